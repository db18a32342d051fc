"""The benchmark of lists runs, finds what stands there, and its keys are those it documents."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def test_lists_are_measured(tmp_path: Path) -> None:
    report = tmp_path / "lists.json"
    words = ["--sizes", "100,30000", "--rounds", "1", "--report", str(report)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.lists", *words],
        env={**os.environ, "WEIR_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(report.read_bytes())
    assert set(found) == {
        "machine", "sizes", "grows", "dict_miss_us", "dict_bytes_per_entry", "network_us",
        "payment_us", "repeated_us",
    }  # fmt: skip
    assert set(found["sizes"]) == {"100", "30000"}
    assert found["sizes"]["30000"]["bytes_per_entry"] < 33
    assert found["grows"] < 5
