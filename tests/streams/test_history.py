"""Decisions and ledger read back from a real broker, merged by time, and proven by commands."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from features.parity import Parity, prove
from features.proof.history import HistoryRecord
from risk.domain.decision import decode_decision
from risk.domain.errors import BadConfiguration
from risk.domain.limits import TIME_MS_MAX
from risk.domain.times import rfc3339
from streams.admin import ensure_topics
from streams.history import KafkaHistory, open_history
from streams.publish import EPOCH_HEADER, KafkaPublisher, Outgoing
from streams.topics import Topics
from streams.truth import MARKER_HEADER
from tests.support.memory import START_MS
from tests.support.proof_world import STEP_MS, OneModel, story, to_base

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]
EVENTS = 500


async def publish(kafka: str, topics: Topics, records: Sequence[HistoryRecord]) -> None:
    """Write a story to the topics of a world, in its order."""
    names = {"decisions": topics.decisions, "ledger": topics.ledger}
    await ensure_topics(kafka, topics)
    async with KafkaPublisher(kafka, topics) as publisher:
        for start in range(0, len(records), 100):
            await publisher.deliver(
                [
                    Outgoing(
                        names[one.topic],
                        one.partition,
                        b"key",
                        None if one.marker else one.value,
                        (
                            (EPOCH_HEADER, str(one.epoch).encode()),
                            *([(MARKER_HEADER, b"1")] if one.marker else []),
                        ),
                    )
                    for one in records[start : start + 100]
                ]
            )


async def read(history: KafkaHistory) -> list[HistoryRecord]:
    return [one async for chunk in history.chunks() for one in chunk]


async def test_everything_comes_back_and_is_equal(kafka: str) -> None:
    topics, records = Topics("history-all"), story(41, EVENTS)
    await publish(kafka, topics, records)
    history = await open_history(kafka, topics)
    found = await read(history)
    assert len(found) == len(records)
    assert {(one.topic, one.partition, one.offset, one.epoch, one.marker, one.value)
            for one in found} == {
        (one.topic, one.partition, one.offset, one.epoch, one.marker, one.value)
        for one in records
    }  # fmt: skip
    offsets: dict[tuple[str, int], int] = {}
    for one in found:
        assert one.offset == offsets.get((one.topic, one.partition), -1) + 1
        offsets[one.topic, one.partition] = one.offset
    times = [one.timestamp_ms for one in found]
    assert all(before <= after for before, after in pairwise(times))
    check = Parity(history.extent, to_base, OneModel(), 0, TIME_MS_MAX - 1)
    report = await prove(history, check)
    assert report.verdict == "equal"
    assert len(report.ranges) == 16


async def test_retention_is_a_cut_and_no_pass(kafka: str) -> None:
    topics, records = Topics("history-cut"), story(42, EVENTS)
    await publish(kafka, topics, records)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.delete_records({TopicPartition(topics.decisions, 0): RecordsToDelete(60)})
    await admin.close()
    history = await open_history(kafka, topics)
    extent = history.extent
    assert extent.cut_ms is not None
    assert not extent.clocked
    (cut,) = (span for span in extent.spans if span.first)
    assert (cut.topic, cut.partition, cut.first, cut.epoch) == ("decisions", 0, 60, 0)
    check = Parity(extent, to_base, OneModel(), 0, TIME_MS_MAX - 1)
    report = await prove(history, check)
    assert report.verdict == "unprovable"
    assert set(report.unprovable) == {"RETENTION"}
    assert report.missing == []


async def test_a_world_without_topics_is_refused(kafka: str) -> None:
    with pytest.raises(BadConfiguration, match="are missing"):
        await open_history(kafka, Topics("history-nowhere"))


def weir(home: Path, kafka: str, redis: str, *arguments: str) -> tuple[int, str, Any]:
    """Exit code, output and report of a command."""
    report = home / "report.json"
    report.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "risk.cli", *arguments, "--report", str(report)],
        env={
            **os.environ,
            "WEIR_HOME": str(home),
            "WEIR_KAFKA": kafka,
            "WEIR_REDIS": redis,
            "WEIR_MLFLOW": "",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(report.read_text()) if report.exists() else None
    return done.returncode, done.stdout + done.stderr, found


def test_the_commands(kafka: str, redis_url: str, tmp_path: Path) -> None:
    world, records = "history-cli", story(43, 200)
    asyncio.run(publish(kafka, Topics(world), records))
    parts = (tmp_path, kafka, redis_url)
    code, said, found = weir(*parts, "parity", "--world", world)
    # The model of the story is nowhere to be had: said so, not passed.
    assert (code, found["verdict"]) == (4, "unprovable"), said
    assert found["unprovable"] == {"MODEL_UNKNOWN": found["checked"]}
    assert "neither cached nor registered" in said
    begin, end = rfc3339(START_MS + 50 * STEP_MS), rfc3339(START_MS + 60 * STEP_MS)
    code, _, ranged = weir(*parts, "parity", "--world", world, "--from", begin, "--to", end)
    assert code == 4
    assert 0 < ranged["checked"] <= 12
    assert (ranged["from"], ranged["to"]) == (begin, end)
    code, said, _ = weir(*parts, "parity", "--world", world, "--from", end, "--to", begin)
    assert code == 2, said
    code, said, found = weir(*parts, "leaks", "--world", world)
    assert (code, found["verdict"], found["leaking"]) == (0, "equal", 0), said
    payment = decode_decision(
        next(one.value for one in reversed(records) if one.topic == "decisions" and one.value)
    ).payment_id
    code, said, found = weir(
        *parts, "audit-feature", payment, "account_payments_24h", "--world", world
    )
    assert (code, found["equal"]) == (0, True), said
    assert found["served"] == sum(bool(one["counted_in"]) for one in found["records"])
    code, said, _ = weir(*parts, "audit-feature", "nobody", "account_payments_24h")
    assert code == 2, said


def test_rebuild_fills_an_empty_redis(kafka: str, redis_url: str, tmp_path: Path) -> None:
    world, records = "history-rebuild", story(44, 300)
    asyncio.run(publish(kafka, Topics(world), records))
    parts = (tmp_path, kafka, redis_url)
    code, said, first = weir(*parts, "rebuild", "--world", world)
    assert code == 0, said
    assert first["digest_before"] == "0" * 64
    assert first["records"] >= len([one for one in records if one.value])
    assert first["logs"] > 5
    code, said, again = weir(*parts, "rebuild", "--world", world)
    assert code == 0, said
    assert again["digest_before"] == again["digest_after"] == first["digest_after"]
    assert again["epoch"] == first["epoch"] + 1
    assert "as before" in said
