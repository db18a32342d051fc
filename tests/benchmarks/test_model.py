"""`weir bench model` on a small model: every key, and scores that agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.bench_home import bench_home, run_bench

pytestmark = pytest.mark.services


def test_every_key_is_there_and_the_two_calls_agree(tmp_path: Path, jar_cache: Path) -> None:
    home = bench_home(tmp_path / "home", jar_cache)
    code, found = run_bench(home, "model", "--rounds", "1", "--rows", "64")
    assert code == 0
    assert found["equal"]
    for key in ("single_us", "score_us", "predict_us", "batch_us_per_row", "reasons_us"):
        assert found[key] > 0
    assert found["ratio_single"] > 0
