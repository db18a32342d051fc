"""The stage of the certificate: both doors, who is killed and when, and what is published."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import os
import signal
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.common import say
from features.truth import Standing
from risk.domain.errors import Unavailable
from risk.local.kafka import KafkaServer
from risk.local.process import Child, log_tail
from risk.local.redis import RedisServer
from risk.local.services import answers_ready, log_of, start_service
from risk.settings import Settings
from streams.topics import Topics
from streams.truth import truth_record

READY_S: Final = 120.0
AGAIN_S: Final = 1.0
LEAVES_MAX: Final = 20  # workers that end by themselves while parts are away
FETCH_BYTES: Final = 4 * 1024**2


class Act(NamedTuple):
    """What is done when so great a share of the payments is decided."""

    share: float
    name: str


ACTS: Final = (
    Act(0.15, "a worker joins"),
    Act(0.30, "a worker is killed"),
    Act(0.45, "Redis is killed"),
    Act(0.65, "a worker leaves"),
)


class LooseRedis(RedisServer):
    """A Redis that syncs once a second: what it answered may be lost."""

    def prepare(self) -> None:
        """Write the configuration, and the last word on syncing."""
        super().prepare()
        with (self.data / "redis.conf").open("a") as lines:
            lines.write("appendfsync everysec\n")


class _Told(msgspec.Struct):
    payment_id: str
    authoritative: bool


class Following:
    """Follows the decisions of a world from the first on: one digest for each that stands."""

    def __init__(self, kafka: str, topics: Topics) -> None:
        self._kafka = kafka
        self._topic = topics.decisions
        (self._partitions,) = (
            one.partitions for one in topics.all() if one.name == topics.decisions
        )
        self._read = msgspec.json.Decoder(_Told)
        self._judges: dict[int, Standing] = defaultdict(lambda: Standing(None))
        self.stands: dict[str, str] = {}
        self.twice: list[str] = []
        self.counts: Counter[str] = Counter()

    def told(self) -> dict[str, int]:
        """Records, those that stand, the payments that they decide, void ones, fallbacks."""
        counts = {name: self.counts[name] for name in ("records", "void", "fallbacks", "markers")}
        standing = counts["records"] - counts["void"] - counts["fallbacks"]
        return {**counts, "standing": standing, "payments": len(self.stands)}

    async def run(self) -> None:
        """Until cancelled."""
        places = [TopicPartition(self._topic, number) for number in range(self._partitions)]
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._kafka,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=FETCH_BYTES,
        )
        await consumer.start()
        try:
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            while True:
                for found in (await consumer.getmany(timeout_ms=200)).values():
                    for record in found:
                        self._take(record)
        finally:
            await consumer.stop()

    def _take(self, record: Any) -> None:
        seen = truth_record(record)
        stands = self._judges[record.partition].admits(seen)
        if seen.marker:
            self.counts["markers"] += 1
            return
        self.counts["records"] += 1
        told = self._read.decode(seen.value)
        if not stands:
            self.counts["void"] += 1
        elif not told.authoritative:
            self.counts["fallbacks"] += 1
        else:
            body = hashlib.sha256(seen.value).hexdigest()
            if self.stands.setdefault(told.payment_id, body) != body:
                self.twice.append(told.payment_id)


class Stage:
    """Kafka, Redis, workers and an API; workers that end are started again."""

    def __init__(
        self, settings: Settings, kafka: KafkaServer, redis: RedisServer, forgets_bytes: int
    ) -> None:
        self.settings = settings
        self.kafka = kafka
        self.redis = redis
        self._forgets_bytes = forgets_bytes
        self._workers: dict[str, Child] = {}
        self._api: Child | None = None
        self.next_share = ACTS[0].share
        """Of the act that is next, or goes on; 1 after the last."""
        self.counts: Counter[str] = Counter()

    @asynccontextmanager
    async def open(self, address: str) -> AsyncIterator[None]:
        """Two workers and an API at ``address``, ready; stopped when left."""
        port = address.rpartition(":")[2]
        try:
            self._api = start_service("api", ["api", "--port", port], self.settings)
            for slot in "01":
                self._start(slot)
            await asyncio.to_thread(self._api.wait_ready, lambda: answers_ready(address), READY_S)
            for slot in "01":
                await self._ready(slot)
            watching = asyncio.create_task(self._again())
            try:
                yield
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
        finally:
            self.stop()

    def stop(self) -> None:
        """Stop the doors, in order."""
        children = [*self._workers.values(), *([self._api] if self._api else [])]
        for child in children:
            child.ask_to_stop()
        for child in children:
            child.stop()

    async def play(self, share: Callable[[], float]) -> None:
        """Each act at its time."""
        doing: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "a worker joins": self._join,
            "a worker is killed": self._kill,
            "Redis is killed": self._kill_redis,
            "a worker leaves": self._leave,
        }
        for act in ACTS:
            self.next_share = act.share
            while share() < act.share:
                await asyncio.sleep(0.05)
            say(f"{share():.0%} decided: {act.name}")
            await doing[act.name]()
            self.counts[act.name] += 1
        self.next_share = 1.0

    async def _join(self) -> None:
        """A third worker comes: partitions move to it."""
        self._start("2")
        await self._ready("2")
        self.counts["rebalances"] += 1

    async def _leave(self) -> None:
        """It goes: its partitions move to the others once its session has ended."""
        await asyncio.to_thread(self._workers.pop("2").stop)
        self.counts["rebalances"] += 1

    async def _kill(self) -> None:
        await asyncio.to_thread(self._workers["1"].kill)

    async def _kill_redis(self) -> None:
        if self._forgets_bytes:
            # Whoever had claimed dies with it, so nobody claims the same places again.
            with suppress(ProcessLookupError):
                os.kill(self._workers["0"].pid, signal.SIGKILL)
        await asyncio.to_thread(self.redis.kill)
        if self._forgets_bytes:
            (written,) = self.redis.data.rglob("*.incr.aof")
            os.truncate(written, max(0, written.stat().st_size - self._forgets_bytes))
        await asyncio.to_thread(self.redis.restart)

    def _start(self, slot: str) -> None:
        ready = self._file(slot)
        ready.unlink(missing_ok=True)
        self._workers[slot] = start_service(
            f"worker-{slot}", ["worker", "--slot", slot], self.settings
        )

    def _file(self, slot: str) -> Any:
        return self.settings.state / "ready" / f"worker-{slot}"

    async def _ready(self, slot: str) -> None:
        async with asyncio.timeout(READY_S):
            while not self._file(slot).exists():
                await asyncio.sleep(0.05)

    async def _again(self) -> None:
        """Start ended workers again, as a supervisor does. Raises Unavailable where it loops."""
        while True:
            for slot, child in list(self._workers.items()):
                if child.running:
                    continue
                log = log_of(f"worker-{slot}", self.settings.state)
                self.counts[f"worker ended with {child.exit_code}"] += 1
                if sum(self.counts.values()) > LEAVES_MAX:
                    raise Unavailable("worker", log_tail(log))
                await asyncio.sleep(AGAIN_S)
                if self._workers.get(slot) is child:
                    self._start(slot)
            await asyncio.sleep(0.2)


def slower_loops() -> str:
    """The processor features that numpy uses here beyond its baseline, as it names them."""
    umath = importlib.import_module("numpy._core._multiarray_umath")
    return " ".join(name for name in umath.__cpu_dispatch__ if umath.__cpu_features__[name])
