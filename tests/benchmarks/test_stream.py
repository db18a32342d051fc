"""The stream benchmark runs, and its report has every key with a number that can be true."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.common_rivals import rivals_python
from benchmarks.stream_latency import Latencies
from benchmarks.stream_measure import Contestant, Window, measure
from benchmarks.stream_scene import Size
from benchmarks.stream_sweep import steps
from benchmarks.stream_variant import book_of, partitions
from risk.domain.clock import SystemClock
from risk.domain.errors import Unavailable
from risk.rules.book_file import read_book
from risk.settings import Settings
from streams.topics import Topics
from tests.support.bench_home import bench_home, run_bench

ROOT = Path(__file__).parents[2]
STAGES = {"observe", "judge", "decide", "publish", "acknowledge"}


@pytest.mark.services
def test_a_quick_run_reports_every_key(tmp_path: Path, jar_cache: Path) -> None:
    home = bench_home(tmp_path / "home", jar_cache)
    contestants = ["noop", "send", "usual", "weir"]
    options = "--rounds 1 --payments 3000 --seconds 1 --latency-seconds 1 --only"
    code, found = run_bench(home, "stream", *options.split(), ",".join(contestants))
    assert code == 0
    for name in contestants:
        low, high = found["ranges"][f"{name}_per_s"]
        assert 10 < low <= found[f"{name}_per_s"] <= high < 1_000_000
    assert found["ratio_noop"] < found["ratio_send"] < found["ratio_usual"]
    assert 20 < found["cpu_us_per_decision"] < 5_000
    assert set(found["stages_us"]) >= STAGES
    assert found["redis_us_per_decision"] > 0
    assert 60 < found["tail_records"] < 90
    assert found["entities"] == 5.0
    assert set(found["others_cores"]) == set(contestants)
    assert sum(found["outcomes"].values()) == pytest.approx(1.0, abs=0.01)
    latency = found["latency_ms"]
    assert latency["rate_per_s"] == 500
    assert 0 < latency["p50"] <= latency["p99"] <= latency["p999"] <= latency["max"]
    assert (latency["payments"], latency["unanswered"]) == (500, 0)
    assert 0 < latency["floor"]["p50"] < latency["p50"]
    assert found["machine"]["cores"] >= 1


@pytest.mark.services
@pytest.mark.skipif(rivals_python(build=False) is None, reason="`weir bench stream` builds it")
def test_quix_streams_is_measured_in_its_own_environment(tmp_path: Path, jar_cache: Path) -> None:
    home = bench_home(tmp_path / "home", jar_cache)
    (home / "rivals").symlink_to(Settings().state / "rivals", target_is_directory=True)
    options = "--rounds 1 --payments 60000 --seconds 1 --only quix"
    code, found = run_bench(home, "stream", *options.split())
    assert code == 0
    assert 5_000 < found["quix_per_s"] < 1_000_000
    assert (found["weir_per_s"], found["ratio_quix"], found["latency_ms"]) == (None, None, {})


def test_an_unknown_contestant_is_refused() -> None:
    command = [sys.executable, "-m", "risk.cli", "bench", "stream", "--only", "noop,nobody"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert "choose of noop" in done.stderr


def contestant(looks: Iterator[tuple[float, int]], ended: str | None = None) -> Contestant:
    """One that was seen so far as ``looks`` say."""

    async def look() -> tuple[float, int]:
        return next(looks)

    used_s = iter((1.0, 3.0))

    async def probe() -> dict[str, float]:
        return {"cpu": next(used_s)}

    answers: Callable[[], Awaitable[tuple[float, int]]] = look
    return Contestant(answers, probe, lambda: ended)


async def test_the_warm_up_and_the_last_tenth_do_not_count() -> None:
    looks = iter([(0.0, 0), (5.0, 10), (5.1, 250), (5.2, 300), (6.2, 600), (7.2, 950), (8.2, 951)])
    found = await measure(contestant(looks), Window(10.0, 1_000), SystemClock())
    assert (found.count, round(found.seconds, 3), found.per_s) == (650, 2.0, 325.0)
    assert found.us("cpu") == pytest.approx(2.0 * 1e6 / 650, abs=0.1)


async def test_who_ends_before_the_window_is_not_measured() -> None:
    looks = iter([(1.0, 0), (1.1, 0)])
    with pytest.raises(Unavailable, match="killed"):
        await measure(contestant(looks, "it was killed"), Window(1.0, 100), SystemClock())
    done = iter([(1.0, 100), (1.0, 100), (1.0, 100)])
    with pytest.raises(Unavailable, match="raise --payments"):
        await measure(contestant(done), Window(1.0, 100), SystemClock())


def test_percentiles_are_those_of_the_sorted_latencies() -> None:
    found = Latencies(sent=4, unanswered=0, values_ms=[4.0, 1.0, 3.0, 2.0])
    assert (found.percentile(0.5), found.percentile(0.999)) == (3.0, 4.0)
    assert Latencies(sent=0, unanswered=0, values_ms=[]).percentile(0.5) is None


def test_the_sweep_changes_one_thing_at_a_time() -> None:
    size = Size(1_000, 500)
    assert [(step.what, step.value) for step in steps(size)] == [
        *(("records", value) for value in (10, 72, 256)),
        *(("entities", value) for value in (2, 5)),
        *(("rules", value) for value in (10, 30, 100)),
        *(("trees", value) for value in (100, 300, 600)),
        *(("partitions", value) for value in (1, 8, 32)),
        *(("workers", value) for value in (1, 2)),
    ]


def test_a_longer_book_repeats_the_rules_under_new_ids() -> None:
    book = read_book(ROOT / "risk" / "rules" / "starter_book.yaml")
    found = book_of(book, 23)
    assert len({rule.id for rule in found.rules}) == 23
    assert found.rules[20].when == book.rules[20 % len(book.rules)].when


def test_other_partitions_last_as_long_as_they_are_wanted() -> None:
    shipped = Topics("w").all()
    with partitions(32):
        changed = {topic.name: topic.partitions for topic in Topics("w").all()}
        assert (changed[Topics("w").events], changed[Topics("w").control]) == (32, 1)
    assert Topics("w").all() == shipped
