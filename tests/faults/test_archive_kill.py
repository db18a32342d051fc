"""The archiver is killed again and again while records come: each offset is archived once."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from pathlib import Path

import pytest

from risk.domain.clock import Deadline, SystemClock
from streams.admin import ensure_topics
from streams.archive import ARCHIVED, Archiver
from streams.archive_history import examine, read
from streams.archive_store import archive_folder, listing, open_archive
from streams.topics import Topics
from tests.support.archive_kafka import Sent, everything, send
from tests.support.archive_records import DAY_MS
from tests.support.archiving import start
from tests.support.stream_records import NOW_MS, decision

pytestmark = [pytest.mark.services, pytest.mark.fault, pytest.mark.timeout(200)]

SEED = 20_260_801
FIRE_MS = 30_000
RECORDS = 64


async def test_each_record_is_archived_once_however_often_the_archiver_dies(
    kafka: str, tmp_path: Path
) -> None:
    topics = Topics("arch-kill")
    await ensure_topics(kafka, topics)
    root = archive_folder(tmp_path, topics.world)
    root.mkdir(parents=True)
    rng = random.Random(SEED)
    enough = asyncio.Event()
    feeding = asyncio.create_task(_feed(kafka, topics, random.Random(SEED), enough))
    ends: Counter[str] = Counter()
    most_files = 0
    deadline = Deadline(SystemClock(), FIRE_MS)
    while not deadline.spent():
        by_itself = ends.total() % 3 != 0
        process = start(kafka, topics.world, root, rng.randrange(10, 400) if by_itself else 0)
        patience_s = 5.0 if by_itself else rng.uniform(0.2, 1.5)
        await asyncio.to_thread(process.join, patience_s)
        if process.exitcode is None:
            ends["killed"] += 1
            process.kill()
            await asyncio.to_thread(process.join)
        else:
            ends["between two operations"] += 1
        assert process.exitcode == -signal.SIGKILL
        files = sum(len(listing(root / name).parts) for name in ARCHIVED)
        most_files = max(most_files, files)
    enough.set()
    await feeding
    before = examine(root, prove=True)
    with open_archive(root, ARCHIVED) as writer:
        rest = await Archiver(kafka, topics, writer, SystemClock()).run(asyncio.Event(), once=True)
    rows = 0
    for name in ARCHIVED:
        held = [
            (one.partition, one.offset, one.timestamp, one.timestamp_type, one.key, one.value,
             one.headers)
            for one in read(root, name)
        ]  # fmt: skip
        assert held == await everything(kafka, getattr(topics, name)), name
        rows += len(held)
    ended = f"ended {dict(ends)}, {most_files} files at most, rest {rest.rows}"
    print(f"\nseed {SEED}: {rows} rows, {ended}")
    after = examine(root, prove=True)
    assert before.sound
    assert after.sound
    assert (after.unfinished, after.holes, rest.damaged) == (0, [], [])
    # How much they get done depends on the machine; it must be something worth killing for.
    assert sum(rest.rows.values()) < rows * 0.9, "the killed archivers did nothing"
    assert min(ends["killed"], ends["between two operations"]) >= 2
    assert ends.total() >= 6


async def _feed(kafka: str, topics: Topics, rng: random.Random, enough: asyncio.Event) -> None:
    """Produce records of all three topics, over three days."""
    number = 0
    while not enough.is_set():
        epoch = (("epoch", str(1 + number // 2000).encode()),)
        records = []
        for _ in range(RECORDS):
            number += 1
            at_ms = NOW_MS + (number // 3000 % 3) * DAY_MS
            name = rng.choice(("decisions", "decisions", "ledger", "labels"))
            body = rng.choice((decision(f"p-{number}"), rng.randbytes(rng.randrange(300)), None))
            key = f"main:p-{number}".encode()
            records.append(Sent(name, rng.randrange(8), key, body, epoch, at_ms))
        await send(kafka, topics, records)
        await asyncio.sleep(0.05)
