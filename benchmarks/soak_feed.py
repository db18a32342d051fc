"""A process that feeds the events topic, never further ahead than it is told it may be.

Reads totals, one a line, on standard input: so many payments may have been sent by now. It
ends when all are sent or its input ends. Nothing is kept: payments are made in small chunks.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from typing import Final

import msgspec
import numpy as np
from aiokafka.partitioner import murmur2

from benchmarks.common_payments import KINDS, Draw, Population
from risk.domain.decoding import encode_event
from streams.publish import KafkaPublisher, Outgoing
from streams.topics import Topics

CHUNK: Final = 1_000
SPAN_MS: Final = 22 * 3_600_000  # events are spread over as much of the last day


class Feed(msgspec.Struct, frozen=True, kw_only=True):
    """What to send. The first payment happened at ``start_ms``, the last ``SPAN_MS`` later."""

    kafka: str
    world: str
    payments: int
    accounts: int
    seed: int
    start_ms: int


async def feed(task: Feed) -> None:
    """Send chunks as they are allowed."""
    topics = Topics(task.world)
    population = Population(task.seed, task.accounts)
    rng = np.random.default_rng((task.seed, 9))
    lines = await _input()
    sent = allowed = 0
    async with KafkaPublisher(task.kafka, topics) as publisher:
        partitions = publisher.partitions(topics.events)
        while sent < task.payments:
            while allowed < min(sent + CHUNK, task.payments):
                line = await lines.readline()
                if not line:
                    return
                allowed = int(line)
            count = min(CHUNK, task.payments - sent)
            places = np.arange(sent, sent + count)
            times = task.start_ms + places * SPAN_MS // task.payments
            drawn = bounded(population, rng, times.astype(np.int64))
            outgoing = []
            for place in range(count):
                event = population.payment(drawn, place, f"soak-{sent + place:09d}")
                key = f"main:{event.account}".encode()
                partition = int(murmur2(key) & 0x7FFFFFFF) % partitions
                outgoing.append(Outgoing(topics.events, partition, key, encode_event(event)))
            await publisher.deliver(outgoing)
            sent += count


def bounded(population: Population, rng: np.random.Generator, time_ms: np.ndarray) -> Draw:
    """Payments whose entities are all drawn evenly from one small pool, so that logs fill."""
    drawn = population.draw(rng, time_ms)
    account = rng.integers(0, population.accounts, len(drawn))
    merchant = rng.integers(0, population.merchants, len(drawn))
    entity = {kind: merchant if kind == "merchant" else account for kind in KINDS}
    return replace(drawn, entity=entity)


async def _input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


def main() -> None:
    """Feed what the first argument says, as JSON."""
    asyncio.run(feed(msgspec.json.decode(sys.argv[1].encode(), type=Feed)))


if __name__ == "__main__":
    main()
