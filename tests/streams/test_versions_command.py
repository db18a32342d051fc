"""`weir versions publish`: a policy goes live on a real broker, and nothing unfit does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from risk.cli.versions import _checked
from risk.domain.errors import BadConfiguration
from risk.policy import Policy
from risk.versions.store import VersionStore
from streams.control import Control
from streams.topics import Topics
from tests.streams.test_history import weir

NOWHERE = "redis://127.0.0.1:9"


def policy_file(folder: Path, **fields: Any) -> Path:
    file = folder / "policy.json"
    file.write_text(json.dumps(fields))
    return file


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("policy", "{", "policy.json: "),
        ("policy", '{"review_att": 0.1}', "unknown field `review_att`"),
        ("policy", '{"review_at": "high"}', r"Expected `float`, got `str` - at `\$.review_at`"),
        ("policy", '{"review_at": 0.7}', "0 < review_at < block_at <= 1 must hold"),
        ("policy", '{"by_channel": {"fax": {"review_at": 0.1, "block_at": 0.2}}}', "fax"),
        ("book", "{}", "a book is not published like this; books: `weir rules publish`"),
        ("polcy", "{}", "KIND: 'polcy' is none of "),
    ],
)
def test_what_is_unfit_is_refused_by_its_field(
    kind: str, text: str, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "policy.json"
    file.write_text(text)
    with pytest.raises(BadConfiguration, match=message):
        _checked(kind, file, "ana", 1)


@pytest.mark.services
@pytest.mark.timeout(120)
async def test_a_policy_goes_live_and_the_one_before_is_kept(kafka: str, tmp_path: Path) -> None:
    world, parts = "versions-publish", (tmp_path, kafka, NOWHERE)
    publish = ("versions", "publish", "policy")
    to = ("--as", "ana", "--reason", "pilot", "--world", world)
    file = policy_file(tmp_path, review_at=0.2)
    code, said, first = weir(*parts, *publish, str(file), *to)
    assert code == 0, said
    assert (first["digest"], first["number"]) == (Policy(review_at=0.2).digest(), 1)
    assert (first["author"], first["reason"]) == ("ana", "pilot")
    assert f"policy {first['digest'][:12]} is live in place of what ships" in said

    bad = policy_file(tmp_path, review_at=2)
    code, said, found = weir(*parts, *publish, str(bad), *to)
    assert (code, found) == (2, None), said
    assert "BAD_CONFIGURATION: policy: 0 < review_at" in said
    code, said, _ = weir(*parts, *publish, str(tmp_path / "none.json"), *to)
    assert code == 2, said

    code, said, second = weir(*parts, *publish, str(policy_file(tmp_path, review_at=0.3)), *to)
    assert code == 0, said
    assert (second["previous"], second["number"]) == (first["digest"], 2)
    # Somebody else, who has nothing of it yet.
    control = Control(kafka, Topics(world), VersionStore(tmp_path / "other"))
    await control.load()
    await control.close()
    assert control.live["policy"].digest == second["digest"]
    for one, review_at in ((first, 0.2), (second, 0.3)):
        held = control.store.get("policy", one["digest"])
        assert held is not None
        assert held.body == Policy(review_at=review_at).body()
