"""``weir setup`` mends a cache and leaves a good one alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from risk.local import jars

pytestmark = pytest.mark.services


def test_setup_fetches_what_is_missing_or_altered_and_nothing_twice(
    tmp_path: Path, jar_cache: Path
) -> None:
    jars.ensure(jar_cache)
    cache = tmp_path / "cache" / "maven"
    locked = sorted(jars.read_lock(), key=lambda jar: jar.path(jar_cache).stat().st_size)
    for jar in locked[1:]:
        jar.path(cache).parent.mkdir(parents=True)
        jar.path(cache).symlink_to(jar.path(jar_cache).resolve())
    locked[1].path(cache).unlink()
    locked[1].path(cache).write_bytes(b"altered")
    assert setup(tmp_path)["jars_fetched"] == 2
    assert not jars.altered(cache, locked)
    assert setup(tmp_path)["jars_fetched"] == 0


def setup(home: Path) -> dict[str, float]:
    report = home / "report.json"
    subprocess.run(
        [sys.executable, "-m", "risk.cli", "setup", "--report", str(report)],
        check=True,
        capture_output=True,
        env={**os.environ, "WEIR_HOME": str(home)},
    )
    told: dict[str, float] = json.loads(report.read_bytes())
    assert set(told) == {"jars", "jars_fetched", "kernel_s", "seconds"}
    return told
