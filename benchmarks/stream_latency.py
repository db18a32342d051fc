"""The open-loop client of the stream benchmark: sends by a clock, notes when answers come.

When each payment is due is fixed before the first is sent, and latency counts from then: a
service that stalls is charged for everything that would have come meanwhile. A process of
its own, so that nothing else delays its clock.
"""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from risk.domain.clock import Clock, Deadline, SystemClock

WARM_UP_S: Final = 3.0
LEAD_S: Final = 0.5
ANSWERED_WITHIN_S: Final = 30.0
PARTITIONS: Final = 8


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What to send: (key, event) in order, ``rate`` a second; the keys of their answers."""

    kafka: str
    send_to: str
    listen_to: str
    rate: float
    events: list[tuple[bytes, bytes]]
    answers: list[bytes]


class Latencies(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds from due to decided, of every answered payment after the warm-up.

    ``due_s`` is when each was due, by the machine's monotonic clock.
    """

    sent: int
    unanswered: int
    values_ms: list[float]
    due_s: list[float] = []

    def percentile(self, share: float) -> float | None:
        """The latency that ``share`` of the payments do not exceed, None where there is none."""
        found = sorted(self.values_ms)
        if not found:
            return None
        return round(found[min(len(found) - 1, int(share * len(found)))], 2)


class Client:
    """Sends and listens on one loop."""

    def __init__(self, load: Load, clock: Clock) -> None:
        self._load = load
        self._clock = clock
        self._due_s: dict[bytes, float] = {}
        self._counted_from_s = 0.0
        self._values_ms: list[float] = []
        self._counted_due_s: list[float] = []

    async def run(self) -> Latencies:
        """Send all of it; wait for the answers."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._load.kafka, enable_auto_commit=False, fetch_max_wait_ms=500
        )
        producer = AIOKafkaProducer(
            bootstrap_servers=self._load.kafka, acks="all", linger_ms=0, enable_idempotence=True
        )
        await consumer.start()
        await producer.start()
        try:
            heard = self._load.listen_to
            places = [TopicPartition(heard, number) for number in range(PARTITIONS)]
            consumer.assign(places)
            await consumer.seek_to_end(*places)
            listening = asyncio.create_task(self._listen(consumer))
            await self._send(producer)
            until = Deadline(self._clock, int(ANSWERED_WITHIN_S * 1000))
            while self._due_s and not until.spent() and not listening.done():
                await asyncio.sleep(0.05)
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        finally:
            await producer.stop()
            await consumer.stop()
        sent = len(self._load.events)
        return Latencies(
            sent=sent,
            unanswered=len(self._due_s),
            values_ms=self._values_ms,
            due_s=self._counted_due_s,
        )

    async def _send(self, producer: Any) -> None:
        load, clock = self._load, self._clock
        began_s = clock.monotonic_s() + LEAD_S
        due = [began_s + place / load.rate for place in range(len(load.events))]
        self._due_s = dict(zip(load.answers, due, strict=True))
        self._counted_from_s = began_s + WARM_UP_S
        for at_s, (key, body) in zip(due, load.events, strict=True):
            while (early_s := at_s - clock.monotonic_s()) > 0:
                await asyncio.sleep(early_s)
            await producer.send(load.send_to, value=body, key=key)
        await producer.flush()

    async def _listen(self, consumer: Any) -> None:
        while True:
            fetched = await consumer.getmany(timeout_ms=500)
            now_s = self._clock.monotonic_s()
            for records in fetched.values():
                for record in records:
                    due_s = self._due_s.pop(record.key, None)
                    if due_s is not None and due_s >= self._counted_from_s:
                        self._values_ms.append((now_s - due_s) * 1000)
                        self._counted_due_s.append(due_s)


def main(
    load: Annotated[Path, typer.Argument(help="A Load, as msgpack.")],
    answer: Annotated[Path, typer.Argument(help="Where to write Latencies, as msgpack.")],
) -> None:
    """Send, listen, write what was measured."""
    import uvloop

    given = msgspec.msgpack.decode(load.read_bytes(), type=Load)
    gc.collect()
    gc.freeze()
    gc.disable()

    answer.with_name("began").touch()

    async def work() -> Latencies:
        return await Client(given, SystemClock()).run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        answer.write_bytes(msgspec.msgpack.encode(runner.run(work())))


if __name__ == "__main__":
    typer.run(main)
