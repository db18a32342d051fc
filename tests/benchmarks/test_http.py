"""`weir bench http` runs, and its report has what it promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import http_load
from benchmarks.common_payments import Population
from benchmarks.http import mean_tail, past_of
from risk.domain.decoding import decode_event
from tests.support.bench_home import bench_home, run_bench

NOW_MS = 1_760_000_000_000


@pytest.mark.services
def test_the_command_reports(tmp_path: Path, jar_cache: Path) -> None:
    code, report = run_bench(bench_home(tmp_path / "home", jar_cache), "http", "--rounds", "1")
    assert code == 0
    assert report["refused"] == {}
    assert report["empty_per_s"] > report["weir_per_s"] > 0
    assert 0 < report["ratio_saturation"] < 1
    assert set(report["saturation"]) == {"1", "8", "32"}
    for at in report["saturation"].values():
        assert at["empty_per_s"] > 0
        assert at["weir_per_s"] > 0
    assert set(report["ranges"]) == {"empty_per_s", "weir_per_s"}
    calm = report["latency_ms"]
    assert calm["rate_per_s"] == 100
    assert 0 < calm["p50"] <= calm["p99"] <= calm["p999"]
    assert report["empty_latency_ms"]["p50"] < calm["p50"]
    assert 60 < report["tail_records"] < 110
    assert set(report["stages_us"]) >= {"observe", "judge", "decide", "publish", "acknowledge"}
    assert report["cpu_us_per_decision"] > 0
    assert report["machine"]["cores"] >= 1


def test_requests_are_payments_of_the_filled_population() -> None:
    task = http_load.Task(
        address="http://127.0.0.1:8080", path="/v1/decisions", token="t", name="n", seed=3,
        accounts=50, connections=1, seconds=1, warm_up_s=0,
    )  # fmt: skip
    seen = set()
    for _, request in zip(range(600), http_load.requests(task), strict=False):
        head, _, body = request.partition(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        event, _, _ = decode_event(body)
        seen.add(event.id)
    assert len(seen) == 600


def test_the_past_is_as_long_as_asked_for() -> None:
    population = Population(7, 400)
    past = past_of(population, 72.0, NOW_MS)
    assert mean_tail(population, past, NOW_MS) == pytest.approx(72.0, rel=0.1)
    assert bool(np.all(past.time_ms < NOW_MS))
