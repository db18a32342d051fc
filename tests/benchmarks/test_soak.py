"""`weir bench soak` runs, and says so where a worker grows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.common_payments import KINDS, Population
from benchmarks.soak import Sample, summary
from benchmarks.soak_feed import bounded
from tests.support.bench_home import bench_home, run_bench


@pytest.mark.services
@pytest.mark.timeout(120)
def test_the_command_reports(tmp_path: Path, jar_cache: Path) -> None:
    home = bench_home(tmp_path / "home", jar_cache)
    code, report = run_bench(home, "soak", "--payments", "5000")
    # In so short a run the worker still warms up, and Redis's buffers weigh more than receipts.
    assert code in (0, 1)
    assert set(report["rss_mb_at"]) == set(report["fd_at"]) == {"1000", "5000"}
    assert all(mb > 50 for mb in report["rss_mb_at"].values())
    assert all(files > 5 for files in report["fd_at"].values())
    assert "redis_bytes_per_payment" in report
    assert sum(report["outcomes"].values()) == 5_000
    assert report["samples"]


def sample(decisions: int, rss_mb: float) -> Sample:
    return Sample(decisions, decisions / 1000, rss_mb, 20, 8, 10**6 + 300 * decisions)


def test_growth_is_from_the_first_mark_to_the_end() -> None:
    samples = [sample(done, 200 + done / 10_000) for done in range(0, 100_001, 1_000)]
    found = summary(samples, 100_000)
    assert found["rss_mb_at"] == {"20000": 202.0, "100000": 209.9}
    assert found["rss_growth"] == pytest.approx(7.9 / 202, abs=1e-4)
    assert found["redis_bytes_per_payment"] == pytest.approx(300, rel=0.02)
    assert found["decisions_per_s"] == pytest.approx(1_000)


def test_every_entity_has_its_share_of_payments() -> None:
    population = Population(1, 25)
    times = np.full(20_000, 1_760_000_000_000)
    drawn = bounded(population, np.random.default_rng(1), times)
    for kind in KINDS:
        assert np.bincount(drawn.entity[kind]).min() > 576
