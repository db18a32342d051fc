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
from features.proof.certificate import ParityReport
from features.proof.history import HistoryRecord
from risk.domain.clock import SystemClock
from risk.domain.decision import decode_decision
from risk.domain.errors import BadConfiguration
from risk.domain.limits import TIME_MS_MAX
from risk.domain.times import rfc3339
from streams.admin import ensure_topics
from streams.archive import Archiver
from streams.archive_store import archive_folder, open_archive
from streams.history import KafkaHistory, open_history
from streams.history_archive import ArchiveHistory, open_archive_history
from streams.topics import Topics
from tests.support.archive_kafka import Sent, send
from tests.support.memory import START_MS
from tests.support.proof_world import STEP_MS, OneModel, headers_of, publish, story, to_base

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]
EVENTS = 500


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


def test_an_audit_names_what_counts_through_tiles(
    kafka: str, redis_url: str, tmp_path: Path
) -> None:
    world, records = "history-tiles", story(47, 1_300)
    asyncio.run(publish(kafka, Topics(world), records))
    bodies = [one.value for one in records if one.topic == "decisions" and one.value]
    events = {decode_decision(body).payment_id: body for body in bodies}
    payment = decode_decision(bodies[-1]).payment_id
    for feature in ("account_payments_30d", "account_amount_sum_30d"):
        code, said, found = weir(
            *(tmp_path, kafka, redis_url), "audit-feature", payment, feature, "--world", world
        )
        assert (code, found["equal"]) == (0, True), said
        (in_tiles,) = found["tiles"].values()
        assert found["folded_count"] == len(found["folded"]) > 0
        counted = [one["says"] for one in found["records"] if one["counted_in"]]
        named = [one["says"]["event_id"] for one in found["folded"]]
        assert len(set(named)) == len(named)
        assert set(named) <= set(events)
        assert not set(named) & {one["event_id"] for one in counted}
        if feature == "account_payments_30d":
            assert in_tiles == len(named)
            assert found["served"] == len(named) + len(counted)
        newest = found["folded"][-1]
        topic, partition, offset = newest["origin"]
        assert f"~ {newest['log']} {newest['sequence']}" in said
        assert f"({topic}:{partition}@{offset}), in a tile" in said


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


async def archived(
    kafka: str, topics: Topics, records: Sequence[HistoryRecord], root: Path
) -> None:
    """Publish a story at its own times, and archive it."""
    await ensure_topics(kafka, topics)
    sent = [
        Sent(
            one.topic,
            one.partition,
            b"key",
            None if one.marker else one.value,
            headers_of(one),
            one.timestamp_ms,
        )
        for one in records
    ]
    await send(kafka, topics, sent)
    with open_archive(root, ("decisions", "ledger")) as writer:
        archiver = Archiver(kafka, topics, writer, SystemClock(), ("decisions", "ledger"))
        await archiver.run(asyncio.Event(), once=True)


async def prove_archive(history: ArchiveHistory, from_ms: int, to_ms: int) -> ParityReport:
    check = Parity(history.extent, to_base, OneModel(), from_ms, to_ms)
    return await prove(history, check)


async def test_the_archive_alone_proves_the_same(kafka: str, tmp_path: Path) -> None:
    root, records = tmp_path / "archive", story(45, 2_500)  # 28 hours
    await archived(kafka, Topics("history-archive"), records, root)
    history = open_archive_history(root, "history-archive")
    assert history.extent.cut_ms is None
    whole = await prove_archive(history, 0, TIME_MS_MAX - 1)
    assert whole.verdict == "equal", (whole.unprovable, whole.first_unprovable, whole.missing)
    # Of the live world only the days of the range are read.
    late_ms = START_MS + 33 * 86_400_000 + 3_600_000
    ranged = open_archive_history(root, "live", late_ms, late_ms + 1)
    assert ranged.extent.cut_ms is not None
    assert all(span.first > 0 and span.epoch == 1 for span in ranged.extent.spans)
    assert 0 < len([one async for chunk in ranged.chunks() for one in chunk]) < len(records)


async def test_a_damaged_file_is_named_and_nothing_passes(kafka: str, tmp_path: Path) -> None:
    root = tmp_path / "archive"
    await archived(kafka, Topics("history-damaged"), story(46, 400), root)
    file = sorted(root.glob("decisions/day=*/part-*.parquet"))[1]
    body = bytearray(file.read_bytes())
    body[len(body) // 2] ^= 1
    file.write_bytes(bytes(body))
    history = open_archive_history(root, "history-damaged")
    report = await prove_archive(history, 0, TIME_MS_MAX - 1)
    assert report.verdict == "unprovable"
    assert report.unequal == report.damaged == 0
    (missing,) = report.missing
    assert (missing.topic, missing.partition) == ("decisions", 1)
    assert set(report.unprovable) <= {"HOLE", "PENDING"}
    (damage,) = history.damages.values()
    assert damage.file is not None
    assert file.name in damage.file
    nowhere = ("127.0.0.1:9", "redis://127.0.0.1:9")
    command = ("parity", "--archive", "--world", "history-damaged")
    home = tmp_path / "home"
    place = archive_folder(home, "history-damaged")
    place.parent.mkdir(parents=True)
    code, said, found = weir(home, *nowhere, *command)
    assert (code, found) == (2, None), said
    assert "has no archive" in said
    # In a state folder that has it, the command names the file and the offsets.
    root.rename(place)
    code, said, found = weir(home, *nowhere, *command)
    assert (code, found["verdict"]) == (4, "unprovable"), said
    (told,) = found["archive_damages"]
    assert file.name in told
    assert f"damaged in the archive: {told}" in said
    assert f"missing: decisions:1 offsets {missing.first} to {missing.last}" in said
