"""`weir bench memory`: microseconds and bytes an entity, against sorted sets and tiles."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Final

import typer

from benchmarks import common
from benchmarks.memory_usual import HORIZON_MS, KINDS, Happening, SortedSets, Tiles
from benchmarks.memory_weir import Weir
from features import kernel
from risk.domain.clock import SystemClock
from risk.domain.limits import BATCH_PAYMENTS_MAX
from risk.local.redis import RedisServer
from risk.settings import Settings

Contestant = Weir | SortedSets | Tiles
SEED: Final = 11
# Events in an entity's past, sets of five entities, probes a round: enough of each to measure,
# and so few probes that the past stays about as long as it is said to be.
FULL: Final = ((10, 400, 400), (30, 300, 300), (100, 100, 300), (1_000, 20, 640), (100_000, 1, 640))
QUICK: Final = ((10, 20, 40), (30, 20, 40), (100, 10, 40), (1_000, 2, 64))
HOT_EVENTS: Final = 1_000_000
HOT_SETS: Final = 100
# A batch of sorted sets answers with every event of every window: it is kept under this many.
ZSET_EVENTS_MAX: Final = 64_000
PROBES_S_MAX: Final = 3.0
FLAT_FROM: Final = 100


@dataclass(slots=True)
class Cost:
    """One contestant's cost in one row: a value a round, microseconds a payment."""

    server: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    vectors: list[float] = field(default_factory=list)

    def an_entity(self) -> dict[str, Any]:
        """Medians a payment and entity, and the range of the server's time."""
        each = len(KINDS)
        return {
            "us": round(median(self.server) / each, 2),
            "us_range": [round(min(self.server) / each, 2), round(max(self.server) / each, 2)],
            "cpu_us": round(median(self.cpu) / each, 2),
            "wall_us": round(median(self.wall) / each, 2),
        }


class Bench:
    """The server, the contestants on it, and events that never repeat."""

    def __init__(self, url: str, rounds: int) -> None:
        import redis

        self._admin: Any = redis.Redis.from_url(url)
        self._rng = random.Random(SEED)
        self._rounds = rounds
        self._clock = SystemClock()
        self._now_ms = self._clock.now_ms()
        self.weir = Weir(url)
        self.all: dict[str, Contestant] = {
            one.name: one for one in (self.weir, SortedSets(url), Tiles(url))
        }

    async def row(self, events: int, sets: int, probes: int) -> dict[str, Any]:
        """Fill ``sets`` of five entities with ``events`` each, measure bytes, then probes."""
        common.say(f"{events:,} events an entity")
        names = [self._names(f"{events}-{number}") for number in range(sets)]
        past = [self._past(one, events) for one in names]
        for contestant in self.all.values():
            for one in past:
                await contestant.fill(one)
        sizes = {name: self._bytes(of, names) for name, of in self.all.items()}
        costs = await self._probe(names, events, probes)
        row: dict[str, Any] = {"events": events}
        for name in self.all:
            for what, value in costs[name].an_entity().items():
                row[f"{name}_{what}"] = value
            row[f"{name}_bytes"] = sizes[name]
        row["weir_vector_us_per_payment"] = round(median(costs["weir"].vectors), 1)
        row["weir_wall_us_per_payment"] = round(median(costs["weir"].wall), 1)
        self._drop()
        return row

    async def hot_merchant(self, events: int, sets: int, probes: int) -> dict[str, Any]:
        """Payments whose merchant has ``events`` behind it, and the same at a quiet one."""
        common.say(f"a merchant with {events:,} events")
        names = [self._names(f"hot-{number}") for number in range(sets)]
        hot = self._names("hot")[-1]
        for one in names:
            past = self._past(one, 30)
            for contestant in self.all.values():
                await contestant.fill(past)
        past = self._past(self._names("hot"), events)
        for contestant in self.all.values():
            await contestant.fill_one("merchant", hot, past)
        found: dict[str, Any] = {"events": events, "share_of_traffic": 0.01}
        for name, contestant in self.all.items():
            found[f"{name}_bytes"] = self._usage(contestant.key("merchant", hot))
        quiet = await self._probe(names, 30, probes)
        busy = await self._probe([(*one[:-1], hot) for one in names], events, probes)
        for name in self.all:
            # A payment of five entities, so that what only one of them costs is seen in it.
            found[f"{name}_us"] = round(median(busy[name].server), 1)
            found[f"{name}_quiet_us"] = round(median(quiet[name].server), 1)
        self._drop()
        return found

    async def published(self, payments: int) -> dict[str, Any]:
        """What stays in Redis for a published payment besides the logs."""
        common.say(f"{payments:,} published payments")
        names = [self._names(f"published-{number}") for number in range(8)]
        for one in names:
            await self.weir.fill(self._past(one, 700))
        events = [self._now(names[number % len(names)]) for number in range(payments)]
        before = self._used() - sum(self._log_bytes(names))
        receipts = await self.weir.publish(events)
        after = self._used() - sum(self._log_bytes(names))
        sample = [self._usage(key) for key in receipts[:: max(1, len(receipts) // 200)]]
        self._drop()
        return {
            "payments": payments,
            "bytes": round((after - before) / payments, 1),
            "receipt_bytes": round(sum(sample) / len(sample), 1),
            "identifier_chars": len(events[0].identity),
        }

    def server(self) -> str:
        """Name and version of the server."""
        info = self._admin.info("server")
        return f"{info.get('server_name', 'redis')} {info.get('redis_version')}"

    async def close(self) -> None:
        """Close every connection."""
        for contestant in self.all.values():
            await contestant.close()
        self._admin.close()

    async def _probe(
        self, names: Sequence[tuple[str, ...]], events: int, probes: int
    ) -> dict[str, Cost]:
        costs = {name: Cost() for name in self.all}
        turn = 0
        for _, name in common.interleaved(tuple(self.all), self._rounds):
            contestant = self.all[name]
            size = BATCH_PAYMENTS_MAX
            if isinstance(contestant, SortedSets):
                size = max(1, min(size, ZSET_EVENTS_MAX // events))
            batches = [
                [self._now(names[(turn + number) % len(names)]) for number in range(start, stop)]
                for start, stop in _spans(probes, size)
            ]
            turn += probes
            await self._round(contestant, batches, costs[name])
        return costs

    async def _round(
        self, contestant: Contestant, batches: list[list[Happening]], cost: Cost
    ) -> None:
        self._admin.config_resetstat()
        cpu_s, vectors_s, done = self._cpu_s(), 0.0, 0
        began_s = self._clock.monotonic_s()
        for batch in batches:
            vectors_s += await contestant.probe(batch)
            done += len(batch)
            if self._clock.monotonic_s() - began_s > PROBES_S_MAX:
                break
        wall_s = self._clock.monotonic_s() - began_s - vectors_s
        stats = self._admin.info("commandstats")
        spent_us = sum(stats[f"cmdstat_{one}"]["usec"] for one in contestant.commands)
        cost.server.append(spent_us / done)
        cost.cpu.append((self._cpu_s() - cpu_s) / done * 1e6)
        cost.wall.append(wall_s / done * 1e6)
        cost.vectors.append(vectors_s / done * 1e6)
        if isinstance(contestant, Weir):
            for batch in batches:
                await contestant.clean(batch)

    def _names(self, label: str) -> tuple[str, ...]:
        """Identifiers of five entities, as long as tokens of 16 characters."""
        return tuple(f"{kind[:3]}_{uuid.uuid5(_SPACE, kind + label).hex[:16]}" for kind in KINDS)

    def _past(self, names: tuple[str, ...], events: int) -> list[Happening]:
        """``events`` over the last 29 days, in order."""
        step_ms = HORIZON_MS * 29 / 30 / events
        first_ms = self._now_ms - HORIZON_MS * 29 / 30
        return [
            Happening(self._id(), int(first_ms + number * step_ms), self._amount(), names)
            for number in range(events)
        ]

    def _now(self, names: tuple[str, ...]) -> Happening:
        self._now_ms += 1
        return Happening(self._id(), self._now_ms, self._amount(), names)

    def _id(self) -> str:
        return str(uuid.UUID(int=self._rng.getrandbits(128)))

    def _amount(self) -> int:
        return self._rng.randrange(100, 50_000)

    def _bytes(self, contestant: Contestant, names: Sequence[tuple[str, ...]]) -> int:
        sizes = [
            self._usage(contestant.key(kind, name))
            for of_set in names
            for kind, name in zip(KINDS, of_set, strict=True)
        ]
        return round(sum(sizes) / len(sizes))

    def _log_bytes(self, names: Sequence[tuple[str, ...]]) -> Iterator[int]:
        for of_set in names:
            for kind, name in zip(KINDS, of_set, strict=True):
                yield self._usage(self.weir.key(kind, name))

    def _usage(self, key: bytes) -> int:
        used: int = self._admin.memory_usage(key, samples=0)
        return used

    def _used(self) -> int:
        """Bytes of data: what connections and the append-only file hold is left out."""
        info = self._admin.info("memory")
        held = sum(info.get(name, 0) for name in ("mem_clients_normal", "mem_aof_buffer"))
        used: int = info["used_memory"] - held
        return used

    def _cpu_s(self) -> float:
        info = self._admin.info("cpu")
        used: float = info["used_cpu_user"] + info["used_cpu_sys"]
        return used

    def _drop(self) -> None:
        """Delete what was measured, but for the open epoch."""
        for pattern in ("z:*", "t:*", "w.bench.{b00}:main:*", "w.bench.{b00}:pending"):
            keys = list(self._admin.scan_iter(pattern, count=5_000))
            for start in range(0, len(keys), 5_000):
                self._admin.unlink(*keys[start : start + 5_000])


_SPACE: Final = uuid.UUID(int=SEED)


def memory(
    report: Annotated[Path | None, typer.Option(help="Write the report there, as JSON.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds, interleaved.")] = 3,
    quick: Annotated[
        bool, typer.Option(help="Few entities and no long past: does it run?")
    ] = False,
) -> None:
    """Measure time and bytes of what is remembered, by length of an entity's past."""
    machine = common.machine()
    outer = Settings()
    folder = outer.state / "bench" / f"{os.getpid()}"
    server = RedisServer(folder / "redis", folder / "redis.log")
    kernel.warm()
    try:
        server.start()
        found = asyncio.run(_measure(server.url, rounds, quick))
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    content = {**found, "rounds": rounds, "machine": machine}
    common.write_report(report, content)
    _show(content)


async def _measure(url: str, rounds: int, quick: bool) -> dict[str, Any]:
    bench = Bench(url, rounds)
    try:
        await bench.weir.open()
        rows = [await bench.row(*one) for one in (QUICK if quick else FULL)]
        hot = (2_000, 10, 40) if quick else (HOT_EVENTS, HOT_SETS, 300)
        return {
            "rows": rows,
            "flat": _flat(rows),
            "card_30_bytes": next(row["weir_bytes"] for row in rows if row["events"] == 30),
            "hot_merchant": await bench.hot_merchant(*hot),
            "published_payment": await bench.published(500 if quick else 20_000),
            "server": bench.server(),
            "entities_per_payment": len(KINDS),
            "units": UNITS,
        }
    finally:
        await bench.close()


UNITS: Final = {
    "us": "usec of commandstats for a payment, divided by its five entities",
    "cpu_us": "CPU of the server (parsing, answering and the append-only file too), likewise",
    "wall_us": "from the call to the parsed answer, batches of 64, likewise; without vectors",
    "weir_vector_us_per_payment": "computing the whole catalogue from the five tails",
    "bytes": "MEMORY USAGE, SAMPLES 0, on average over the entities",
    "hot_merchant": "us: usec of commandstats for a whole payment of five entities",
}


def _flat(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Cost at the longest past over that at 100 events, of what a payment costs."""
    start = next(row for row in rows if row["events"] == FLAT_FROM)
    names = ("weir_us", "weir_cpu_us", "weir_wall_us_per_payment", "weir_vector_us_per_payment")
    return {name: round(rows[-1][name] / start[name], 3) for name in names}


def _spans(count: int, size: int) -> list[tuple[int, int]]:
    return [(start, min(start + size, count)) for start in range(0, count, size)]


def _show(content: dict[str, Any]) -> None:
    names = ("weir", "zset", "tiles")
    columns = ("events", *(f"{name} {what}" for name in names for what in ("us", "bytes")))
    rows = [
        (
            f"{row['events']:,}",
            *(row[f"{name}_{what}"] for name in names for what in ("us", "bytes")),
        )
        for row in content["rows"]
    ]
    common.show("An entity of a payment", columns, rows)


if __name__ == "__main__":
    common.run(memory)
