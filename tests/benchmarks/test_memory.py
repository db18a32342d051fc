"""`weir bench memory` runs, and its contestants remember the same events."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.memory_usual import HORIZON_MS, KINDS, Happening, SortedSets, Tiles
from benchmarks.memory_weir import Weir
from features.logs import unpack_log
from tests.support.bench_home import bench_home, run_bench

pytestmark = pytest.mark.services
NOW_MS = 1_760_000_000_000


def test_the_command_reports(tmp_path: Path, jar_cache: Path) -> None:
    code, report = run_bench(bench_home(tmp_path / "home", jar_cache), "memory", "--rounds", "1")
    assert code == 0
    assert [row["events"] for row in report["rows"]] == [10, 30, 100, 1_000]
    for row in report["rows"]:
        for name in ("weir", "zset", "tiles"):
            assert row[f"{name}_us"] > 0
            assert row[f"{name}_wall_us"] > 0
            assert row[f"{name}_bytes"] > 0
    longest = report["rows"][-1]
    assert longest["weir_bytes"] < longest["zset_bytes"]
    assert report["card_30_bytes"] <= 2_500
    assert report["published_payment"]["bytes"] < 600
    assert report["hot_merchant"]["events"] == 2_000
    assert set(report["flat"]) >= {"weir_us", "weir_wall_us_per_payment"}
    assert report["server"]


def events(count: int, names: tuple[str, ...]) -> list[Happening]:
    step_ms = HORIZON_MS // (count + 1)
    return [
        Happening(f"pay-{number:08d}", NOW_MS - (count - number) * step_ms, 100 + number, names)
        for number in range(count)
    ]


async def test_a_log_written_at_once_is_the_log_of_events_one_by_one(redis_url: str) -> None:
    import redis

    weir = Weir(redis_url)
    await weir.open()
    try:
        client = redis.Redis.from_url(redis_url)
        slow = events(700, tuple(f"slow-{kind}" for kind in KINDS))
        await weir.fill(slow)
        await weir.fill_one("merchant", "written", slow)
        observed, written = (
            client.get(weir.key("merchant", name)) for name in ("slow-merchant", "written")
        )
        assert isinstance(observed, bytes)
        assert observed == written
        assert unpack_log(observed).following == 700
        client.close()
    finally:
        await weir.close()


async def test_the_usual_ways_leave_what_a_probe_at_a_time_leaves(redis_url: str) -> None:
    import redis

    client = redis.Redis.from_url(redis_url)
    past = events(40, tuple(f"usual-{kind}" for kind in KINDS))
    for contestant in (SortedSets(redis_url), Tiles(redis_url)):
        for event in past:
            await contestant.probe([event])
        one_by_one = _content(client, contestant.key("card", "usual-card"))
        client.delete(*(contestant.key(kind, f"usual-{kind}") for kind in KINDS))
        await contestant.fill(past)
        at_once = _content(client, contestant.key("card", "usual-card"))
        # Tiles of hours that were current then are still held; nothing reads them any more.
        assert at_once.items() <= one_by_one.items()
        assert len(at_once) >= 40
        await contestant.close()
    client.close()


def _content(client: object, key: bytes) -> dict[bytes, object]:
    import redis

    assert isinstance(client, redis.Redis)
    if client.type(key) == b"zset":
        return dict(client.zrange(key, 0, -1, withscores=True))  # type: ignore[arg-type]
    return dict(client.hgetall(key))  # type: ignore[arg-type]
