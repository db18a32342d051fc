"""Archiving a real Kafka: resumed, with holes, refused where the topics are others."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from risk.domain.clock import SystemClock
from risk.domain.errors import BadConfiguration
from streams.admin import ensure_topics
from streams.archive import Archiver, ArchiveReport
from streams.archive_history import Damage, examine, holes, read
from streams.archive_store import archive_folder, open_archive
from streams.topics import Topics
from tests.support.archive_kafka import Sent, everything, send
from tests.support.archive_records import DAY_MS
from tests.support.stream_records import NOW_MS, decision, event

pytestmark = pytest.mark.services


async def archive_once(kafka: str, topics: Topics, root: Path, **given: Any) -> ArchiveReport:
    """One run up to the end of the topics."""
    names = given.pop("names", ("decisions", "ledger", "labels"))
    refill = given.pop("refill", False)
    with open_archive(root, names) as writer:
        archiver = Archiver(kafka, topics, writer, SystemClock(), names, **given)
        return await archiver.run(asyncio.Event(), once=True, refill=refill)


async def new_world(kafka: str, name: str) -> Topics:
    topics = Topics(name)
    await ensure_topics(kafka, topics)
    return topics


def decisions(count: int, first: int = 0, **fields: Any) -> list[Sent]:
    """Decisions over two days and all partitions, of epoch 1."""
    return [
        Sent(
            "decisions", number % 8, f"main:p-{number}".encode(), decision(f"p-{number}"),
            (("epoch", b"1"),), NOW_MS + (number % 2) * DAY_MS, **fields,
        )
        for number in range(first, first + count)
    ]  # fmt: skip


ODD = [
    Sent("decisions", 0, b"marker", None, (("epoch", b"1"), ("marker", b"1"))),
    Sent("decisions", 0, None, b"", ()),
    Sent("decisions", 0, b"", b"\xff\x00 not a decision", (("epoch", b"no number"), ("x", b""))),
    Sent("decisions", 0, b"k", b"{}", (("epoch", b"9" * 40),)),
    Sent("ledger", 7, b"k", b"[" * 5000, (("epoch", b"1"), ("epoch", b"2"))),
    Sent("labels", 3, b"k", b'{"type": "label"}'),
    Sent("labels", 3, b"k", event("label", "l-1", payment_id="p-1", label="chargeback")),
]  # fmt: skip


async def test_every_record_is_archived_byte_for_byte_and_once(kafka: str, tmp_path: Path) -> None:
    topics = await new_world(kafka, "arch-bytes")
    root = archive_folder(tmp_path, topics.world)
    await send(kafka, topics, [*ODD, *decisions(300)])
    first = await archive_once(kafka, topics, root)
    assert first.rows == {"decisions": 304, "ledger": 1, "labels": 2}
    again = await archive_once(kafka, topics, root)
    assert again.rows == {"decisions": 0, "ledger": 0, "labels": 0}
    await send(kafka, topics, decisions(50, first=300))
    assert (await archive_once(kafka, topics, root)).rows["decisions"] == 50
    for name in ("decisions", "ledger", "labels"):
        wanted = await everything(kafka, getattr(topics, name))
        held = [
            (one.partition, one.offset, one.timestamp, one.timestamp_type, one.key, one.value,
             one.headers)
            for one in read(root, name)
        ]  # fmt: skip
        assert held == wanted
    found = examine(root, prove=True)
    assert found.sound
    assert found.holes == []
    problems = {one.value: one.epoch for one in read(root, "decisions") if one.offset < 4}
    assert problems[b"{}"] == 2**63 - 1


async def test_a_service_writes_while_records_come_and_stops_when_told(
    kafka: str, tmp_path: Path
) -> None:
    topics = await new_world(kafka, "arch-service")
    root = archive_folder(tmp_path, topics.world)
    with open_archive(root, ["decisions"]) as writer:
        archiver = Archiver(kafka, topics, writer, SystemClock(), ["decisions"], every_s=0.1)
        stop = asyncio.Event()
        running = asyncio.create_task(archiver.run(stop, once=False))
        await send(kafka, topics, decisions(64))
        async with asyncio.timeout(20):
            while archiver.report.rows["decisions"] < 64:
                await asyncio.sleep(0.05)
        await send(kafka, topics, decisions(8, first=64))
        await asyncio.sleep(0.3)
        stop.set()
        report = await running
    assert report.rows == {"decisions": 72}
    assert (report.first, report.last) == ("2026-11-02T12:00:00.000Z", "2026-11-03T12:00:00.000Z")
    assert len(list(read(root, "decisions"))) == 72


async def test_what_retention_removed_first_is_a_hole(kafka: str, tmp_path: Path) -> None:
    topics = await new_world(kafka, "arch-hole")
    root = archive_folder(tmp_path, topics.world)
    marker = Sent("decisions", 0, b"marker", None, (("epoch", b"1"), ("marker", b"1")))
    await send(kafka, topics, [marker, *decisions(80)])
    await archive_once(kafka, topics, root)
    await send(kafka, topics, decisions(80, first=80))
    place = TopicPartition(topics.decisions, 0)
    await _delete_before(kafka, place, 15)
    await send(kafka, topics, [marker, *decisions(8, first=160)])
    report = await archive_once(kafka, topics, root)
    (hole,) = report.holes
    assert (hole.topic, hole.partition, hole.first, hole.last, hole.cause) == (
        "decisions", 0, 11, 14, "RETENTION",
    )  # fmt: skip
    assert holes(root, "decisions") == [hole]
    found = examine(root, prove=True)
    assert found.sound
    assert found.holes == [hole]
    seen = [one for one in read(root, "decisions") if one.partition == 0]
    assert [one.offset for one in seen] == [*range(11), *range(15, 23)]
    # A marker may stand in the hole, so nobody knows which records behind it are void.
    assert [one.void for one in seen] == [False] * 11 + [None] * 6 + [False, False]


async def test_a_partition_that_begins_late_has_a_hole_from_the_start(
    kafka: str, tmp_path: Path
) -> None:
    topics = await new_world(kafka, "arch-late")
    root = archive_folder(tmp_path, topics.world)
    await send(kafka, topics, decisions(80))
    await _delete_before(kafka, TopicPartition(topics.decisions, 2), 4)
    said: list[str] = []
    report = await archive_once(kafka, topics, root, say=said.append)
    assert [(one.partition, one.first, one.last) for one in report.holes] == [(2, 0, 3)]
    assert "partition 2 offsets 0 to 3" in said[0]
    assert examine(root, prove=True).sound


async def test_a_file_that_is_gone_is_filled_in_from_the_topic(kafka: str, tmp_path: Path) -> None:
    topics = await new_world(kafka, "arch-refill")
    root = archive_folder(tmp_path, topics.world)
    await send(kafka, topics, decisions(160))
    await archive_once(kafka, topics, root)
    await send(kafka, topics, decisions(160, first=160))
    await archive_once(kafka, topics, root)
    before = list(read(root, "decisions"))
    for path in (root / "decisions").rglob(f"part-0000[34]-{0:020}-*"):
        path.unlink()
    await _delete_before(kafka, TopicPartition(topics.decisions, 4), 5)
    report = await archive_once(kafka, topics, root)
    assert report.missing["decisions"] == [
        "partition 3 offsets 0 to 19", "partition 4 offsets 0 to 19",
    ]  # fmt: skip
    report = await archive_once(kafka, topics, root, refill=True)
    assert report.missing["decisions"] == ["partition 4 offsets 0 to 4"]
    assert report.rows["decisions"] == 35
    told: list[Damage] = []
    after = list(read(root, "decisions", on_damage=told.append))
    places = [(one.partition, one.offset) for one in after]
    assert places == [
        (one.partition, one.offset) for one in before if one.partition != 4 or one.offset > 4
    ]
    assert [one for one in after if one.partition != 4] == [
        one for one in before if one.partition != 4
    ]
    assert [(one.first, one.last) for one in told] == [(0, 4)]


async def test_another_topic_of_the_same_name_is_refused(kafka: str, tmp_path: Path) -> None:
    topics = await new_world(kafka, "arch-anew")
    root = archive_folder(tmp_path, topics.world)
    await send(kafka, topics, decisions(80))
    await archive_once(kafka, topics, root)
    await _make_anew(kafka, topics)
    with pytest.raises(BadConfiguration, match="ends at 0, but 10 offsets are archived"):
        await archive_once(kafka, topics, root)
    await send(kafka, topics, decisions(160, first=1000))
    with pytest.raises(BadConfiguration, match="another record at offset 9"):
        await archive_once(kafka, topics, root)


async def test_a_world_without_topics_is_refused(kafka: str, tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="are missing"):
        await archive_once(kafka, Topics("arch-nowhere"), tmp_path / "arch-nowhere")


async def test_the_commands(kafka: str, tmp_path: Path) -> None:
    topics = await new_world(kafka, "arch-cli")
    await send(kafka, topics, decisions(40))
    report = tmp_path / "report.json"
    code, out = _weir(tmp_path, kafka, "run", "--once", "--report", str(report))
    assert code == 0, out
    found = msgspec.json.decode(report.read_bytes(), type=ArchiveReport)
    assert found.rows == {"decisions": 40, "ledger": 0, "labels": 0}
    assert json.loads(report.read_bytes())["from"] == "2026-11-02T12:00:00.000Z"
    assert "40 rows" in out
    for command in ("status", "verify"):
        code, out = _weir(tmp_path, kafka, command, "--report", str(report))
        assert code == 0, out
        assert json.loads(report.read_bytes())["topics"]["decisions"]["rows"] == 40
    code, out = _weir(tmp_path, kafka, "sql")
    assert "CREATE OR REPLACE VIEW decided" in out
    file = next(archive_folder(tmp_path, topics.world).rglob("part-*.parquet"))
    file.write_bytes(file.read_bytes()[:-1])
    code, out = _weir(tmp_path, kafka, "verify")
    assert code == 1
    assert "NOT PROVEN decisions partition" in out


def _weir(home: Path, kafka: str, command: str, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "risk.cli", "archive", command, "--world", "arch-cli", *arguments],
        env={**os.environ, "WEIR_HOME": str(home), "WEIR_KAFKA": kafka},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


async def _delete_before(kafka: str, place: TopicPartition, offset: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.delete_records({place: RecordsToDelete(before_offset=offset)})
    finally:
        await admin.close()


async def _make_anew(kafka: str, topics: Topics) -> None:
    names: Sequence[str] = [topic.name for topic in topics.all()]
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.delete_topics(names)
        async with asyncio.timeout(20):
            while set(names) & set(await admin.list_topics()):
                await asyncio.sleep(0.1)
    finally:
        await admin.close()
    await ensure_topics(kafka, topics)
