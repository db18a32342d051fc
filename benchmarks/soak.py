"""`weir bench soak`: a million payments through one worker, and what it holds on the way.

Entities come from a bounded pool, so that every log is at its cap before the first mark:
what grows after it is either what each payment leaves (a receipt), or a leak.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Final, NamedTuple

import httpx
import msgspec
import typer

from benchmarks import common, common_parts
from benchmarks.common_parts import NO_MLFLOW, Parts
from benchmarks.soak_feed import SPAN_MS, Feed
from risk.domain.clock import SystemClock
from risk.domain.errors import Unavailable
from risk.domain.limits import LOG_SLACK, TAIL_CAP
from risk.local import ports
from risk.local.kafka import KafkaServer
from risk.local.parts import jar_cache
from risk.local.process import Child, log_tail
from risk.local.redis import RedisServer
from risk.local.services import log_of, start_service
from risk.settings import Settings
from streams.topics import Topics

WORLD: Final = "live"
SEED: Final = 13
AHEAD: Final = 20_000  # payments that the feed may be ahead of the worker
EVENTS_AN_ENTITY: Final = 800  # before the first mark; a log holds at most 576 records
POLL_S: Final = 0.5
QUIET_SAMPLES: Final = 6  # after the last decision
STUCK_S: Final = 120.0
READY_S: Final = 120.0
GROWTH_MAX: Final = 0.05
FIRST_MARK: Final = 0.2
# Kafka forgets what is behind, so that a long run needs no large disk.
RETENTION_BYTES: Final = 64 * 1024**2
SEGMENT_BYTES: Final = 16 * 1024**2


class Sample(NamedTuple):
    """What a worker and its Redis hold after ``decisions``."""

    decisions: int
    seconds: float
    rss_mb: float
    fd: int
    threads: int
    redis_bytes: int


class BoundedKafka(KafkaServer):
    """A broker that looks every few seconds for what it may delete."""

    def prepare(self) -> None:
        """Write the properties, and one more."""
        super().prepare()
        with (self.data / "server.properties").open("a") as properties:
            properties.write("log.retention.check.interval.ms=10000\n")


def soak(
    report: Annotated[Path | None, typer.Option(help="Write the report there, as JSON.")] = None,
    payments: Annotated[int, typer.Option(min=5_000, help="Payments in all.")] = 1_000_000,
    quick: Annotated[bool, typer.Option(help="A small model: does it run?")] = False,
) -> None:
    """Run one worker for long. Exit code 1 where its memory grows by more than 5 %."""
    machine = common.machine()
    bundle = common_parts.model(quick=quick)
    with _parts() as parts:
        parts.serve(bundle, WORLD)
        settings = parts.in_world(WORLD)
        with _worker(settings) as (worker, metrics):
            _bound_topics(settings.kafka)
            watch = _Watch(parts, worker, metrics)
            with _feed(settings, payments) as feed:
                samples = watch.until(payments, feed)
            outcomes = watch.outcomes()
    content = {**summary(samples, payments), "outcomes": outcomes, "machine": machine}
    common.write_report(report, content)
    _show(content)
    if content["rss_growth"] > GROWTH_MAX:
        common.say(f"the worker grew by {content['rss_growth']:.1%}, more than {GROWTH_MAX:.0%}")
        raise typer.Exit(1)


def summary(samples: list[Sample], payments: int) -> dict[str, Any]:
    """The report of a run of ``payments``, from samples in order."""
    marks = (int(payments * FIRST_MARK), payments)
    first, last = (_around(samples, mark, payments) for mark in marks)
    done = last.decisions - first.decisions
    whole = next(one for one in samples if one.decisions >= payments)
    spent_s = whole.seconds - first.seconds
    step = max(1, len(samples) // 60)
    return {
        "payments": payments,
        "accounts": _accounts(payments),
        "rss_mb_at": {
            str(mark): one.rss_mb for mark, one in zip(marks, (first, last), strict=True)
        },
        "fd_at": {str(mark): one.fd for mark, one in zip(marks, (first, last), strict=True)},
        "threads_at": {
            str(mark): one.threads for mark, one in zip(marks, (first, last), strict=True)
        },
        "rss_growth": round(last.rss_mb / first.rss_mb - 1, 4),
        "redis_bytes_per_payment": round((last.redis_bytes - first.redis_bytes) / max(1, done), 1),
        "decisions_per_s": round(done / max(spent_s, 1e-9), 1),
        "log_records_max": 2 * TAIL_CAP + LOG_SLACK,
        "samples": [one._asdict() for one in samples[::step]],
    }


def _around(samples: list[Sample], mark: int, payments: int) -> Sample:
    """The sample nearest to ``mark``, with the memory of those close to it.

    The median of the worker's; the least of Redis's, which holds buffers for moments.
    """
    close = [one for one in samples if abs(one.decisions - mark) <= payments // 50]
    nearest = min(samples, key=lambda one: abs(one.decisions - mark))
    close = close or [nearest]
    return nearest._replace(
        rss_mb=round(median(one.rss_mb for one in close), 1),
        redis_bytes=min(one.redis_bytes for one in close),
    )


def _accounts(payments: int) -> int:
    """So few that each has ``EVENTS_AN_ENTITY`` payments at the first mark."""
    return max(2, int(payments * FIRST_MARK) // EVENTS_AN_ENTITY)


@contextmanager
def _parts() -> Iterator[Parts]:
    """As ``common_parts.parts``, with a broker that forgets soon."""
    outer = Settings()
    folder = outer.state / "bench" / f"{os.getpid()}"
    kafka = BoundedKafka(folder / "kafka", jar_cache(outer.state), folder / "logs" / "kafka.log")
    redis = RedisServer(folder / "redis", folder / "logs" / "redis.log")
    try:
        kafka.start()
        redis.start()
        addresses = {"kafka": kafka.url, "redis": redis.url, "mlflow": NO_MLFLOW}
        yield Parts(outer.model_copy(update={"home": folder, **addresses}), kafka, redis)
    finally:
        redis.stop()
        kafka.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _worker(settings: Settings) -> Iterator[tuple[Child, str]]:
    """A real `weir worker`, ready; with the address of its metrics."""
    port = ports.pick(None)
    os.environ["WEIR_METRICS_PORT"] = str(port)
    child = start_service("worker", ["worker", "--slot", "0"], settings)
    try:
        child.wait_ready((settings.state / "ready" / "worker-0").exists, READY_S)
        yield child, f"http://127.0.0.1:{port}/metrics"
    finally:
        child.stop()


def _bound_topics(bootstrap: str) -> None:
    """Let Kafka keep only the newest of every topic that fills."""
    import asyncio

    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

    topics = Topics(WORLD)
    bounds = {"retention.bytes": str(RETENTION_BYTES), "segment.bytes": str(SEGMENT_BYTES)}

    async def alter() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            names = (topics.events, topics.decisions, topics.ledger)
            await admin.alter_configs(
                [ConfigResource(ConfigResourceType.TOPIC, name, configs=bounds) for name in names]
            )
        finally:
            await admin.close()

    asyncio.run(alter())


@contextmanager
def _feed(settings: Settings, payments: int) -> Iterator[subprocess.Popen[bytes]]:
    """The process that sends the payments."""
    task = Feed(
        kafka=settings.kafka,
        world=settings.world,
        payments=payments,
        accounts=_accounts(payments),
        seed=SEED,
        start_ms=SystemClock().now_ms() - SPAN_MS - 3_600_000,
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.soak_feed", msgspec.json.encode(task).decode()],
        cwd=common.ROOT,
        stdin=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()


class _Watch:
    """Samples the worker, and lets the feed go on as decisions are made."""

    def __init__(self, parts: Parts, worker: Child, metrics: str) -> None:
        import redis

        self._worker = worker
        self._metrics = metrics
        self._redis: Any = redis.Redis.from_url(parts.settings.redis)
        self._log = log_of("worker", parts.settings.state)
        self._clock = SystemClock()

    def until(self, payments: int, feed: subprocess.Popen[bytes]) -> list[Sample]:
        """Samples until all are decided. Raises Unavailable where nothing moves any more."""
        assert feed.stdin is not None
        samples: list[Sample] = []
        began_s = moved_s = self._clock.monotonic_s()
        told = done = 0
        while done < payments:
            if told < min(done + AHEAD, payments):
                told = min(done + AHEAD, payments)
                feed.stdin.write(f"{told}\n".encode())
                feed.stdin.flush()
            time.sleep(POLL_S)
            now_s = self._clock.monotonic_s()
            samples.append(self._sample(now_s - began_s))
            if samples[-1].decisions > done:
                if samples[-1].decisions // 50_000 > done // 50_000:
                    common.say(_line(samples[-1]))
                done, moved_s = samples[-1].decisions, now_s
            self._check(feed, now_s - moved_s)
        for _ in range(QUIET_SAMPLES):
            time.sleep(POLL_S)
            samples.append(self._sample(self._clock.monotonic_s() - began_s))
        return samples

    def outcomes(self) -> dict[str, int]:
        """Decisions of the stream door, by outcome."""
        return {
            line.partition('outcome="')[2].partition('"')[0]: int(float(line.rpartition(" ")[2]))
            for line in self._lines()
        }

    def _sample(self, seconds: float) -> Sample:
        status = Path(f"/proc/{self._worker.pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        return Sample(
            decisions=sum(self.outcomes().values()),
            seconds=round(seconds, 2),
            rss_mb=round(int(fields["VmRSS"].split()[0]) / 1024, 1),
            fd=len(os.listdir(f"/proc/{self._worker.pid}/fd")),
            threads=int(fields["Threads"]),
            redis_bytes=self._redis.info("memory")["used_memory"],
        )

    def _lines(self) -> list[str]:
        text = httpx.get(self._metrics, timeout=30).text
        wanted = 'weir_decisions_total{door="stream"'
        return [line for line in text.splitlines() if line.startswith(wanted)]

    def _check(self, feed: subprocess.Popen[bytes], quiet_s: float) -> None:
        if not self._worker.running:
            raise Unavailable("worker", log_tail(self._log))
        if feed.poll():
            raise Unavailable("feed", f"it ended with {feed.returncode}")
        if quiet_s > STUCK_S:
            raise Unavailable("worker", f"no decision for {STUCK_S:g} s; {log_tail(self._log)}")


def _line(one: Sample) -> str:
    return (
        f"{one.decisions:,} decisions after {one.seconds:,.0f} s: {one.rss_mb:,.1f} MB, "
        f"{one.fd} files, Redis {one.redis_bytes / 2**20:,.0f} MB"
    )


def _show(content: dict[str, Any]) -> None:
    rows = [
        (f"{int(mark):,}", rss_mb, content["fd_at"][mark], content["threads_at"][mark])
        for mark, rss_mb in content["rss_mb_at"].items()
    ]
    common.show("One worker", ("after payments", "RSS, MB", "files", "threads"), rows)
    common.say(
        f"{content['decisions_per_s']:,.0f} decisions a second, "
        f"{content['redis_bytes_per_payment']:,.0f} bytes in Redis for each"
    )


if __name__ == "__main__":
    common.run(soak)
