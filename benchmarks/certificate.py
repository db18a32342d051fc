"""`weir bench certificate`: rough traffic and kills, then every proof that Weir has of itself."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from benchmarks import common, common_parts
from benchmarks.certificate_feed import Rough, Sender, Sent
from benchmarks.certificate_stage import Following, LooseRedis, Stage, slower_loops
from benchmarks.common import say
from benchmarks.common_parts import NO_MLFLOW, Parts
from features.connection import Connection
from features.keys import Keys
from features.log_digest import redis_digest
from risk.domain.clock import SystemClock
from risk.domain.errors import Unavailable
from risk.local import ports
from risk.local.kafka import KafkaServer
from risk.local.parts import jar_cache
from risk.local.redis import RedisServer
from risk.local.services import service_environment
from risk.settings import Settings
from risk.storage.api_keys import create_key
from streams.admin import ensure_topics
from streams.archive_history import examine
from streams.archive_store import archive_folder
from streams.dead_letters import PAYLOAD_MISMATCH, decode_dead_letter
from streams.reader import new_consumer, read_range
from streams.topics import Topics, redis_prefix

WORLD: Final = "live"
SEED: Final = 20_261_122
AHEAD: Final = 4_000  # payments that may be on their way
AHEAD_MIN: Final = 200
STUCK_S: Final = 180.0
SPREAD_MS: Final = 4 * 3_600_000  # the first payment happened so long before the run
EVIDENCE_BYTES_MAX: Final = 2_500
CPU: Final = "NPY_DISABLE_CPU_FEATURES"
LOW: Final = ("nice", "-n", "10")


def certificate(
    report: Annotated[Path | None, typer.Option(help="Write the report there, as JSON.")] = None,
    payments: Annotated[int, typer.Option(min=1_000, help="Payments in all.")] = 200_000,
    seed: Annotated[int, typer.Option(help="Of the traffic and of what goes wrong.")] = SEED,
    forgets: Annotated[
        int, typer.Option(min=0, help="Redis syncs once a second and loses so many bytes.")
    ] = 0,
    quick: Annotated[bool, typer.Option(help="A small model: does it run?")] = False,
) -> None:
    """Certify a run under fire: late, duplicated and corrected events, both doors, kills.

    Report keys: payments, seed, forgets, sent, happened, decisions (records, standing, payments,
    void, fallbacks; one may be published twice, with the same bytes), seconds, per_s, lost, twice,
    answers (checked, differ), corrections (by_stream, by_http, unseen), parity (verdict, checked,
    equal, unequal, unprovable, first_difference, ranges, digests), parity_other_cpu,
    parity_archive, leaks, archive, rebuild (of an emptied Redis), evidence_bytes (whole,
    decisions, each), problems.
    Exit codes: 0 all of it holds, 1 something of ``problems``.
    """
    machine = common.machine()
    bundle = common_parts.model(quick=quick)
    with _parts(loose=forgets > 0) as parts:
        parts.serve(bundle, WORLD)
        content = asyncio.run(_played(parts, payments, seed, forgets))
        content |= _proven(parts)
        content["evidence_bytes"] = _evidence(parts.kafka, content["decisions"]["records"])
    content = {"payments": payments, "seed": seed, "forgets": forgets, **content}
    content["problems"] = problems(content)
    content["machine"] = machine
    common.write_report(report, content)
    _show(content)
    if content["problems"]:
        raise typer.Exit(1)


def problems(found: dict[str, Any]) -> list[str]:
    """What does not hold; empty for a certificate."""
    whole = found["forgets"] == 0
    named: list[str] = [*found["sent"]["problems"]]
    for name in ("parity", "parity_other_cpu", "parity_archive"):
        wrong = _wrong(found[name], found["decisions"]["standing"], whole=whole)
        named += [f"{name}: {one}" for one in wrong]
    leaks = found["leaks"]["verdict"]
    rebuilt, answers = found["rebuild"], found["answers"]
    holds = {
        "another processor proves something else": (
            found["parity_other_cpu"]["unprovable"] == found["parity"]["unprovable"]
        ),
        f"leaks: {leaks}": leaks == "equal" or (leaks == "unprovable" and not whole),
        "an empty Redis was filled with other logs than it had": (
            rebuilt["digest_after"] == rebuilt["digest_before"]
        ),
        f"payments without a decision, such as {found['lost'][:1]}": not found["lost"],
        f"payments with two decisions, such as {found['twice'][:1]}": not found["twice"],
        "answers that are not what was published": not answers["differ"],
        "corrections that were not set aside": not found["corrections"]["unseen"],
        "the archive cannot be proven": found["archive"]["sound"],
        f"a decision takes more than {EVIDENCE_BYTES_MAX} bytes": (
            found["evidence_bytes"]["each"] <= EVIDENCE_BYTES_MAX
        ),
    }
    return named + [line for line, fine in holds.items() if not fine]


def _wrong(one: dict[str, Any], standing: int, *, whole: bool) -> list[str]:
    """What is wrong with one certificate of parity over so many decisions."""
    counted = one["equal"] + one["unequal"] + sum(one["unprovable"].values())
    holds = {
        f"{one['unequal']} unequal": not one["unequal"],
        f"{one['damaged']} damaged": not one["damaged"],
        "records are missing": not one["missing"],
        f"{one['checked']} checked of {standing}": one["checked"] == standing,
        "its counts do not add up": one["checked"] == counted,
        f"unprovable {one['unprovable']}": not (whole and one["unprovable"]),
    }
    return [line for line, fine in holds.items() if not fine]


# -- the run -----------------------------------------------------------------------------


@contextmanager
def _parts(*, loose: bool) -> Iterator[Parts]:
    outer = Settings()
    folder = outer.state / "bench" / f"certificate-{os.getpid()}"
    kafka = KafkaServer(folder / "kafka", jar_cache(outer.state), folder / "logs" / "kafka.log")
    made = LooseRedis if loose else RedisServer
    redis = made(folder / "redis", folder / "logs" / "redis.log")
    try:
        kafka.start()
        redis.start()
        addresses = {"kafka": kafka.url, "redis": redis.url, "mlflow": NO_MLFLOW}
        yield Parts(outer.model_copy(update={"home": folder, **addresses}), kafka, redis)
    finally:
        redis.stop()
        kafka.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def _played(parts: Parts, payments: int, seed: int, forgets: int) -> dict[str, Any]:
    """Send, kill, wait until all is decided; what was seen from outside."""
    settings, topics, clock = parts.in_world(WORLD), Topics(WORLD), SystemClock()
    await ensure_topics(settings.kafka, topics)
    rough = Rough(seed, payments, clock.now_ms() - SPREAD_MS)
    _, token = create_key(
        settings, name="certificate", scopes=("decide", "read"), now_ms=clock.now_ms(),
        rate_per_s=50_000,
    )  # fmt: skip
    address = f"http://127.0.0.1:{ports.pick(None)}"
    # What is served is made without numpy's faster loops, what is proven with them.
    os.environ[CPU] = slower_loops()
    stage = Stage(settings, parts.kafka, parts.redis, forgets)
    following = Following(settings.kafka, topics)
    watching = asyncio.create_task(following.run())
    try:
        async with stage.open(address), Sender(settings.kafka, topics, address, token) as sender:
            began_s = clock.monotonic_s()
            playing = asyncio.create_task(stage.play(lambda: len(following.stands) / payments))
            ahead = min(AHEAD, max(AHEAD_MIN, payments // 20))

            def may_send() -> int:
                return min(len(following.stands), int(stage.next_share * payments)) + ahead

            await _sent(rough, sender, following, may_send, (playing, watching))
            await sender.finish()
            await _until(following, payments, (playing, watching))
            await playing
            seconds = clock.monotonic_s() - began_s
        await asyncio.sleep(1)
    finally:
        os.environ.pop(CPU)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    sent = sender.sent
    return {
        "sent": {**rough.counts, "problems": sent.problems[:20]},
        "happened": {**stage.counts, "fallbacks_answered": sent.fallbacks},
        "decisions": following.told(),
        "seconds": round(seconds, 1),
        "per_s": round(len(following.stands) / seconds, 1),
        "lost": sorted(sent.payments - following.stands.keys())[:20],
        "twice": following.twice[:20],
        "answers": _answers(sent, following),
        "corrections": await _corrections(settings.kafka, topics, sent),
    }


async def _sent(
    rough: Rough,
    sender: Sender,
    following: Following,
    may_send: Callable[[], int],
    work: tuple[asyncio.Task[None], ...],
) -> None:
    """Send everything, never further ahead than it may be."""
    patience = _Patience(following, work)
    for number, one in enumerate(rough):
        await sender.send(one)
        if number % 50 == 0:
            await asyncio.sleep(0)
        while len(sender.sent.payments) > may_send():
            await patience.wait()


class _Patience:
    """Waits in small steps. Raises Unavailable where nothing moves, or what broke."""

    def __init__(self, following: Following, work: tuple[asyncio.Task[None], ...]) -> None:
        self._following = following
        self._work = work
        self._clock = SystemClock()
        self._last = 0
        self._moved_s = self._clock.monotonic_s()

    async def wait(self) -> None:
        """A moment."""
        await asyncio.sleep(0.05)
        for task in self._work:
            if task.done():
                task.result()
        now, now_s = len(self._following.stands), self._clock.monotonic_s()
        if now > self._last:
            if now // 10_000 > self._last // 10_000:
                say(f"{now:,} decided")
            self._last, self._moved_s = now, now_s
        if now_s - self._moved_s > STUCK_S:
            raise Unavailable("worker", f"no decision for {STUCK_S:g} s, {now} so far")


async def _until(following: Following, decided: int, work: tuple[asyncio.Task[None], ...]) -> None:
    """Wait for so many decisions."""
    patience = _Patience(following, work)
    while len(following.stands) < decided:
        await patience.wait()


def _answers(sent: Sent, following: Following) -> dict[str, Any]:
    """Whether the HTTP door answered what stands on the topic, byte for byte."""
    differ = [
        payment
        for payment, bodies in sent.answers.items()
        if bodies != {following.stands.get(payment)}
    ]
    return {"checked": len(sent.answers), "differ": differ[:20], "tried_again": sent.tried_again}


async def _corrections(kafka: str, topics: Topics, sent: Sent) -> dict[str, int]:
    """Every corrected event must be a dead letter, or was refused over HTTP."""
    found: set[tuple[str, int, int]] = set()
    consumer = new_consumer(kafka, fetch_bytes=1024 * 1024)
    await consumer.start()
    try:
        for topic in topics.all():
            if topic.name != topics.dead_letters:
                continue
            from aiokafka import TopicPartition

            places = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
            ends = await consumer.end_offsets(places)
            for place in places:
                async for record in read_range(consumer, place, 0, ends[place]):
                    letter = decode_dead_letter(record.value or b"")
                    if letter.code == PAYLOAD_MISMATCH:
                        found.add((letter.topic, letter.partition, letter.offset))
    finally:
        await consumer.stop()
    return {
        "by_stream": len(sent.corrections),
        "by_http": sent.refused,
        "unseen": len(sent.corrections - found),
        "refused_without_reason": len(found - sent.corrections),
    }


# -- the proofs --------------------------------------------------------------------------


def _proven(parts: Parts) -> dict[str, Any]:
    """Every proof, by the commands as anybody runs them; what Redis holds by its own digest."""
    settings = parts.in_world(WORLD)
    found: dict[str, Any] = {
        "parity": _weir(settings, "parity"),
        "parity_other_cpu": _weir(settings, "parity", **{CPU: slower_loops()}),
        "leaks": _weir(settings, "leaks"),
    }
    _weir(settings, "archive", "run", "--once")
    held = examine(archive_folder(settings.state, settings.world), prove=True)
    found["archive"] = {
        "rows": {name: one.rows for name, one in held.topics.items()},
        "bytes": {name: one.bytes for name, one in held.topics.items()},
        "sound": held.sound,
    }
    found["parity_archive"] = _weir(settings, "parity", "--archive")
    before = asyncio.run(_digest_then_forget(settings))
    found["rebuild"] = {**_weir(settings, "rebuild"), "digest_before": before}
    return found


async def _digest_then_forget(settings: Settings) -> str:
    """The digest of all logs; then Redis holds nothing any more."""
    connection = Connection(settings.redis)
    try:
        found = await redis_digest(connection, Keys(redis_prefix(settings.world)))
        await connection.call("FLUSHALL")
    finally:
        await connection.close()
    return found.hex


def _weir(settings: Settings, *arguments: str, **environment: str) -> dict[str, Any]:
    """The report of a command. Raises Unavailable where there is none."""
    report = settings.state / "report.json"
    report.unlink(missing_ok=True)
    say(f"weir {' '.join(arguments)}")
    done = subprocess.run(
        [*LOW, sys.executable, "-m", "risk.cli", *arguments, "--report", str(report)],
        env={**service_environment(settings), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if not report.exists():
        raise Unavailable(arguments[0], f"code {done.returncode}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def _evidence(kafka: KafkaServer, decisions: int) -> dict[str, Any]:
    """Bytes of the decisions topic on the broker's disk, its markers included."""
    named = f"{Topics(WORLD).decisions}-"
    whole = sum(
        file.stat().st_size
        for file in kafka.data.rglob("*.log")
        if file.parent.name.rpartition("-")[0] + "-" == named
    )
    return {
        "whole": whole,
        "decisions": decisions,
        "each": round(whole / decisions, 1) if decisions else 0.0,
    }


def _show(found: dict[str, Any]) -> None:
    rows = [
        (name, one["checked"], one["equal"], one["unequal"], sum(one["unprovable"].values()))
        for name, one in found.items()
        if name.startswith("parity")
    ]
    common.show("Proven", ("by", "checked", "equal", "unequal", "unprovable"), rows)
    for line in found["problems"] or ["everything holds"]:
        say(line)


if __name__ == "__main__":
    common.run(certificate)
