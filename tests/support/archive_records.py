"""Records of an invented partition, as the archive takes them, and a writer that is in a hurry."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streams.archive import runs
from streams.archive_disk import Disk
from streams.archive_history import read
from streams.archive_merge import merge_day
from streams.archive_names import Span
from streams.archive_store import open_archive
from tests.support.archive_disks import StoppingDisk
from tests.support.stream_records import NOW_MS, Raw, decision

DAY_MS = 24 * 60 * 60 * 1000
TOPIC = "weir.decisions"
EPOCH_1 = (("epoch", b"1"),)


@dataclass(frozen=True, slots=True)
class Timed(Raw):
    """A record as aiokafka hands it over, with the kind of its timestamp."""

    timestamp_type: int = 0


def decided(offset: int, partition: int = 0, at_ms: int = NOW_MS, **fields: Any) -> Timed:
    """The record of a decision, of epoch 1."""
    given: dict[str, Any] = {"value": decision(f"p-{offset}"), "headers": EPOCH_1, **fields}
    return Timed(offset=offset, topic=TOPIC, partition=partition, timestamp=at_ms, **given)


def marker(offset: int, epoch: int, partition: int = 0, at_ms: int = NOW_MS) -> Timed:
    """The marker of an epoch."""
    headers = (("epoch", str(epoch).encode()), ("marker", b"1"))
    return Timed(offset, None, TOPIC, partition, at_ms, b"marker", headers)


def story(count: int, rng: random.Random) -> list[Timed]:
    """``count`` records over three days, some of which alternate at midnight."""
    records = []
    for offset in range(count):
        at_ms = NOW_MS + offset * 3 * DAY_MS // count + rng.choice((0, 0, DAY_MS // 8))
        records.append(decided(offset, at_ms=at_ms))
    return records


def archive(root: Path, records: Sequence[Timed], disk: Disk | None = None, step: int = 2) -> None:
    """Archive what is not yet archived of partition 0, ``step`` records at a time."""
    with open_archive(root, ["decisions"], disk or StoppingDisk()) as writer:
        following = writer.next_offset("decisions", 0)
        epochs = writer.epochs("decisions", 0)
        ahead = [record for record in records if record.offset >= following]
        for start in range(0, len(ahead), step):
            for run in runs(ahead[start : start + step]):
                span = Span(0, following, run[-1].offset)
                writer.add("decisions", span, run, epochs)
                following = span.last + 1
                merge_day(writer, "decisions", 0)


def rows(root: Path, topic: str = "decisions") -> list[Timed]:
    """What the archive says of a topic, as it came in."""
    return [
        Timed(
            one.offset, one.value, one.topic, one.partition, one.timestamp, one.key, one.headers,
            one.timestamp_type,
        )
        for one in read(root, topic)
    ]  # fmt: skip
