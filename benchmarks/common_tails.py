"""Fills the logs of a world with the past of a population, at the epoch that is open.

What stands in Redis afterwards is what the same events would have left one by one: records
in order, trimmed as the observe script trims, with the log's header and time to live.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from benchmarks.common_payments import (
    KINDS,
    Draw,
    Population,
    pack_records,
    past_kinds,
    short_hashes,
)
from features.keys import Keys
from features.logs import Log, fold_at
from features.records import RECORD_BYTES
from risk.bootstrap import build_runtime
from risk.domain.limits import LOG_TTL_S
from risk.domain.money import ExchangeRates
from risk.settings import Settings
from streams.topics import redis_prefix

BATCH_LOGS: Final = 500
REWRITE_LOOK_S: Final = 0.05


async def open_world(settings: Settings) -> int:
    """Create the topics of ``settings.world`` and open its epoch, as a worker does; the epoch."""
    async with build_runtime(settings, "run") as runtime:
        return runtime.memory.epoch


def logs(
    population: Population, past: Draw, seed: int, rates: ExchangeRates, longest: int | None = None
) -> Iterator[tuple[str, int, Log]]:
    """(kind, entity, log) of every entity in ``past``; epoch 0 stands for the open one.

    Events before the last ``longest`` of a log are left out, as if they had never been.
    """
    kinds = past_kinds(seed, len(past))
    heads = population.heads(past, kinds, rates)
    hashes = {kind: short_hashes(kind, past.entity[kind]) for kind in KINDS}
    ids = np.random.default_rng((seed, 4)).integers(0, 2**16, len(past))
    for kind in KINDS:
        records = pack_records(heads, hashes, kind, ids)
        # Stable: within an entity the order stays that of time.
        order = np.argsort(past.entity[kind], kind="stable")
        numbers, starts = np.unique(past.entity[kind][order], return_index=True)
        packed = records[order].astype("<u4").tobytes()
        ends = [*starts[1:].tolist(), len(past)]
        for number, start, end in zip(numbers.tolist(), starts.tolist(), ends, strict=True):
            first = start if longest is None else max(start, end - longest)
            log = Log(0, 0, 0, bytearray(packed[first * RECORD_BYTES : end * RECORD_BYTES]))
            log.trim(fold_at(log.following))
            yield kind, number, log


def fill(redis_url: str, world: str, epoch: int, held: Iterator[tuple[str, int, Log]]) -> int:
    """Write ``held`` as logs of ``epoch``; how many there are. Redis has then settled its file."""
    from redis import Redis

    from benchmarks.common_payments import name

    keys = Keys(redis_prefix(world))
    client: Any = Redis.from_url(redis_url)
    count = 0
    try:
        pipeline = client.pipeline(transaction=False)
        for kind, number, log in held:
            log.incarnation = epoch
            key = keys.log("main", kind, name(kind, number))
            pipeline.set(key, log.pack(), ex=LOG_TTL_S)
            count += 1
            if count % BATCH_LOGS == 0:
                pipeline.execute()
        pipeline.execute()
        _settle_file(client)
    finally:
        client.close()
    return count


def _settle_file(client: Any) -> None:
    """Let Redis write its file anew now, and wait for it.

    A month of records came in within seconds: the rewrite that this sets off would else fall
    into whichever seconds are measured, and take one of the cores.
    """
    if not _rewriting(client):
        client.bgrewriteaof()
    while _rewriting(client):
        time.sleep(REWRITE_LOOK_S)


def _rewriting(client: Any) -> bool:
    state = client.info("persistence")
    return bool(state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"])
