"""An upgrade of Faust or aiokafka that moves a private name must fail here."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

import streams.transport
from streams import private_names


def test_installed_versions_are_the_examined_ones() -> None:
    assert importlib.metadata.version("faust-streaming") == private_names.FAUST_VERSION
    assert importlib.metadata.version("aiokafka") == private_names.AIOKAFKA_VERSION
    assert importlib.metadata.version("mode-streaming") == private_names.MODE_VERSION


def test_every_private_name_is_where_it_was() -> None:
    assert private_names.missing() == []


def test_the_list_names_what_the_transport_uses() -> None:
    source = Path(streams.transport.__file__).read_text()
    used = set(re.findall(r"self\.(_[a-z]\w+)", source)) - {"_freed", "_seeks", "_underway"}
    own = set(re.findall(r"def (_[a-z]\w+)", source))
    listed = {name for names in private_names.ATTRIBUTES.values() for name in names}
    listed |= {name for names in private_names.METHODS.values() for name in names}
    assert used - own <= listed
