"""The control topic on a real broker: all end at one version, the unfit changes nothing."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from features.catalogue import CATALOGUE
from risk.bootstrap import new_judgement, shipped_versions
from risk.observability.metrics import Metrics
from risk.policy import Policy
from risk.rules.compiler import Tables
from risk.rules.schema import Schema
from risk.tables.load import exchange_rates
from risk.versions.serving import Serving
from risk.versions.store import VersionStore
from risk.versions.version import Version
from streams.admin import ensure_topics
from streams.control import PIECE_BYTES, Control, pieces
from streams.following import Following
from streams.publish import KafkaPublisher, Outgoing
from streams.topics import Topics

RATES = exchange_rates(None, "EUR")
SHIPPED = shipped_versions(RATES, 1)


def policy(review_at: float) -> Version:
    body = Policy(review_at=review_at).body()
    return Version.of("policy", body, "ana", 2)


class Process:
    """What a worker has of this."""

    def __init__(self, kafka: str, topics: Topics, root: Path, publisher: KafkaPublisher) -> None:
        self.metrics = Metrics()
        self.control = Control(kafka, topics, VersionStore(root), publisher)
        self.serving = Serving(new_judgement(RATES), Schema.of(CATALOGUE), Tables(RATES))
        self.following = Following(self.control, self.serving, self.metrics)

    async def turns(self, digest: str) -> None:
        for _ in range(25):
            await self.following.turn()
            if self.serving.digest_of("policy") == digest:
                return
        raise AssertionError("the version never came")


@asynccontextmanager
async def world(kafka: str) -> AsyncIterator[tuple[Topics, KafkaPublisher]]:
    topics = Topics(f"t-{uuid.uuid4().hex[:8]}")
    await ensure_topics(kafka, topics)
    async with KafkaPublisher(kafka, topics) as publisher:
        yield topics, publisher


@pytest.mark.services
async def test_a_live_version_reaches_every_process_and_those_that_start_later(
    kafka: str, tmp_path: Path
) -> None:
    async with world(kafka) as (topics, publisher):
        one = Process(kafka, topics, tmp_path / "1", publisher)
        two = Process(kafka, topics, tmp_path / "2", publisher)
        await one.following.start(SHIPPED)
        await two.following.start(SHIPPED)
        assert await two.control.publish(SHIPPED) == []
        wanted = policy(0.2)
        pointer = await one.control.set_live(wanted, author="ana", at_ms=7, reason="fewer")
        assert (pointer.number, pointer.previous) == (1, "")
        await one.turns(wanted.digest)
        await two.turns(wanted.digest)
        back = await two.control.set_live(policy(0.3), author="ben", at_ms=8)
        assert (back.number, back.previous) == (2, wanted.digest)
        await one.turns(back.digest)
        late = Process(kafka, topics, tmp_path / "3", publisher)
        await late.following.start(SHIPPED)
        assert late.serving.digest_of("policy") == back.digest
        assert late.control.store.live()["policy"] == back
        assert late.following.problem == ""
        for shipped in SHIPPED:
            assert late.control.store.get(shipped.kind, shipped.digest) is not None
        for process in (one, two, late):
            await process.following.close()


@pytest.mark.services
async def test_the_unfit_is_said_and_what_judges_stays(kafka: str, tmp_path: Path) -> None:
    async with world(kafka) as (topics, publisher):
        one = Process(kafka, topics, tmp_path, publisher)
        await one.following.start(SHIPPED)
        before = one.serving.digest_of("policy")
        unfit = Version.of("policy", b'{"review_at":2}', "eve", 3)
        await one.control.set_live(unfit, author="eve", at_ms=3)
        for _ in range(3):
            await one.following.turn()
        assert one.serving.digest_of("policy") == before
        assert "review_at" in one.following.problem
        assert one.metrics.value("weir_versions_refused_total", kind="policy") == 1
        # A record that is none of ours, and a pointer whose version never came.
        stray = Outgoing(topics.control, 0, b"live:policy", b"{")
        absent = msgspec.json.encode({"kind": "book", "digest": "a" * 64, "previous": "",
                                      "number": 1, "author": "e", "at_ms": 1})  # fmt: skip
        crossed = Outgoing(topics.control, 0, b"live:policy", absent)
        other = Outgoing(topics.control, 0, b"else", b"")
        nowhere = Outgoing(topics.control, 0, b"live:book", absent)
        await publisher.deliver([stray, crossed, other, nowhere])
        for _ in range(3):
            await one.following.turn()
        assert one.serving.digest_of("policy") == before
        assert "is not on the control topic" in one.following.problem
        good = policy(0.4)
        await one.control.set_live(good, author="ana", at_ms=9)
        await one.turns(good.digest)
        assert "policy" not in one.following.problem
        await one.following.close()


@pytest.mark.services
async def test_a_version_larger_than_a_record_travels_in_pieces(kafka: str, tmp_path: Path) -> None:
    async with world(kafka) as (topics, publisher):
        body = bytes(range(256)) * (PIECE_BYTES // 100)
        large = Version.of("lists", body, "ana", 1)
        assert len(pieces(large)) == 3
        sender = Control(kafka, topics, VersionStore(tmp_path / "1"), publisher)
        reader = Control(kafka, topics, VersionStore(tmp_path / "2"), publisher)
        await sender.publish([large])
        await reader.look()
        assert reader.store.get("lists", large.digest) == large
        await sender.close()
        await reader.close()
