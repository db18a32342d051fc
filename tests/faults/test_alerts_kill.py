"""The publisher of alerts is killed again and again: every hit is told of, and none twice."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import msgspec
import pytest

from risk.alerts.alert import PaymentEvidence
from risk.domain.clock import Deadline, SystemClock
from risk.domain.times import parse_rfc3339
from risk.rules.alerting import Alerting
from risk.versions.store import VersionStore
from risk.versions.version import Version
from streams.admin import ensure_topics
from streams.control import Control
from streams.publish import KafkaPublisher, Outgoing
from streams.topics import Topics
from tests.support.alerting import NOW_MS, alerts_told, book, decision, hit, rule

pytestmark = [pytest.mark.services, pytest.mark.fault, pytest.mark.timeout(200)]

SEED = 20_261_123
WORLD = "alerts-kill"
KILLS = 4
SPAN_MS = 5 * 60_000
ACCOUNTS = 200
BATCH = 50
BOOK = book(
    rule("by_account", alert=Alerting(within="5m")),
    rule("each_one", "review", alert=Alerting(group_by="payment", severity="high")),
)


async def test_no_alert_is_lost_or_doubled_however_often_the_publisher_dies(
    kafka: str, tmp_path: Path
) -> None:
    topics, rng = Topics(WORLD), random.Random(SEED)
    await ensure_topics(kafka, topics)
    async with KafkaPublisher(kafka, topics) as publisher:
        control = Control(kafka, topics, VersionStore(tmp_path / "others"), publisher)
        version = Version.of("book", msgspec.json.encode(BOOK, order="sorted"), "ana", 0)
        await control.set_live(version, author="ana", at_ms=0)
        await control.close()
        hits: dict[str, tuple[str, str, int]] = {}
        enough = asyncio.Event()
        feeding = asyncio.create_task(_feed(publisher, topics, rng, hits, enough))
        seen = 0
        for _ in range(KILLS):
            process = _start(kafka, tmp_path)
            try:
                # Until it has published something, and then at any moment.
                seen = await _until_more(kafka, topics, seen)
                await asyncio.sleep(rng.uniform(0.0, 1.0))
            finally:
                process.kill()
                process.wait()
        enough.set()
        await feeding
        process = _start(kafka, tmp_path)
        await _until_quiet(kafka, topics, hits)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 60) == 0
    alerts = await alerts_told(kafka, topics)
    print(f"\nseed {SEED}: {len(hits)} hits, {len(alerts)} alerts, {KILLS} kills")
    doubled = [identity for identity, n in Counter(one.id for one in alerts).items() if n > 1]
    assert doubled == []
    told = {
        one.evidence.payment_id
        for one in alerts
        if one.rule == "each_one" and isinstance(one.evidence, PaymentEvidence)
    }
    assert told == {name for name, (of, _, _) in hits.items() if of == "each_one"}
    times: dict[str, list[int]] = defaultdict(list)
    for one in alerts:
        if one.rule == "by_account":
            times[one.group].append(parse_rfc3339(one.at))
    for name, (of, account, at_ms) in hits.items():
        if of == "by_account":
            near = [at for at in times[f"account {account}"] if abs(at - at_ms) < SPAN_MS]
            assert near, f"{name} was lost"


def _start(kafka: str, home: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "WEIR_HOME": str(home), "WEIR_KAFKA": kafka, "WEIR_WORLD": WORLD}
    with (home / "alerts.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "risk.cli", "alerts", "run"],
            env=environment, stdout=log, stderr=log,
        )  # fmt: skip


async def _feed(
    publisher: KafkaPublisher,
    topics: Topics,
    rng: random.Random,
    hits: dict[str, tuple[str, str, int]],
    enough: asyncio.Event,
) -> None:
    """Decisions on all partitions, some with a hit of either rule."""
    number = 0
    headers = (("epoch", b"1"),)
    while not enough.is_set():
        outgoing = []
        for _ in range(BATCH):
            number += 1
            name, account = f"p-{number}", f"a-{rng.randrange(ACCOUNTS)}"
            at_ms = NOW_MS + number * 20 + rng.randrange(2_000)
            of = rng.choices(["", "by_account", "each_one"], [8, 1, 1])[0]
            if of:
                hits[name] = (of, account, at_ms)
            body = decision(
                name, BOOK.digest(), [hit(of, "review")] if of else [], at_ms,
                paid={"account": account},
            )  # fmt: skip
            place = rng.randrange(8)
            outgoing.append(Outgoing(topics.decisions, place, name.encode(), body, headers))
        await publisher.deliver(outgoing)
        await asyncio.sleep(0.02)


async def _until_more(kafka: str, topics: Topics, than: int) -> int:
    deadline = Deadline(SystemClock(), 60_000)
    while not deadline.spent():
        found = len(await alerts_told(kafka, topics))
        if found > than:
            return found
        await asyncio.sleep(0.2)
    raise AssertionError("it publishes nothing")


async def _until_quiet(kafka: str, topics: Topics, hits: dict[str, tuple[str, str, int]]) -> None:
    """Until each payment that stands by itself is told of; SIGTERM then finishes the rest."""
    wanted = sum(1 for of, _, _ in hits.values() if of == "each_one")
    deadline = Deadline(SystemClock(), 60_000)
    while not deadline.spent():
        told = sum(1 for one in await alerts_told(kafka, topics) if one.rule == "each_one")
        if told >= wanted:
            return
        await asyncio.sleep(0.3)
