"""Reads the archive back, and says which of its rows cannot be proven."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Final

import msgspec

from risk.domain.times import rfc3339
from streams.archive_names import ArchiveDamaged, Part, Span
from streams.archive_rows import (
    RAW_NAMES,
    ArchivedRecord,
    Meta,
    open_file,
    records_of,
)
from streams.archive_store import (
    Hole,
    Listing,
    checked_meta,
    claimed,
    listing,
    read_hole,
    read_part,
    topics_in,
)

# A merge may take a file away between the listing and the reading of it.
TRIES: Final = 5


class Damage(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that cannot be proven: offsets ``first`` to ``last`` of a partition, and why."""

    topic: str
    partition: int
    first: int
    last: int
    why: str
    file: str | None = None

    def __str__(self) -> str:
        return f"{self.topic} {Span(self.partition, self.first, self.last)}: {self.why}"


class TopicState(
    msgspec.Struct, frozen=True, kw_only=True, rename={"since": "from", "until": "to"}
):
    """What is archived of a topic. ``following`` is the next offset of each partition.

    ``pruned`` is the last offset of each partition that was removed on purpose.
    """

    rows: int
    files: int
    bytes: int
    absent: int
    since: str | None
    until: str | None
    following: dict[int, int]
    pruned: dict[int, int] = {}


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive holds, and what of it cannot be proven."""

    world: str
    topics: dict[str, TopicState]
    damaged: list[Damage]
    missing: list[Damage]
    overlaps: list[str]
    strays: list[str]
    unfinished: int
    holes: list[Hole]

    @property
    def sound(self) -> bool:
        """Whether every row that was archived can be proven."""
        return not (self.damaged or self.missing or self.overlaps)


def read(
    root: Path,
    topic: str,
    day_from: str | None = None,
    day_to: str | None = None,
    on_damage: Callable[[Damage], None] | None = None,
) -> Iterator[ArchivedRecord]:
    """The records of a topic whose day (UTC, both ends included) is in the range.

    Ordered by partition and offset. The bytes of each file are proven by the digest in its
    name. Rows that are damaged or missing raise ArchiveDamaged; where ``on_damage`` is given
    it is told, and reading goes on behind them. Holes are not damage: see ``holes``.
    """
    folder = root / topic
    partitions = sorted({part.span.partition for part in listing(folder).parts})
    for partition in partitions:
        yield from _read_partition(
            folder, partition, (day_from or "", day_to or "~"), on_damage or _refuse
        )


def read_partition(
    folder: Path,
    partition: int,
    days: tuple[str, str],
    on_damage: Callable[[Damage], None],
) -> Iterator[ArchivedRecord]:
    """As ``read``, of one partition of the topic whose folder this is."""
    return _read_partition(folder, partition, days, on_damage)


def holes(root: Path, topic: str) -> list[Hole]:
    """The offsets of a topic that were gone before they could be archived."""
    folder = root / topic
    return [read_hole(folder, span) for span in sorted(listing(folder).holes)]


def _refuse(damage: Damage) -> None:
    raise ArchiveDamaged([str(damage)])


def _read_partition(
    folder: Path, partition: int, days: tuple[str, str], on_damage: Callable[[Damage], None]
) -> Iterator[ArchivedRecord]:
    following, tries = 0, 0
    while tries < TRIES:
        try:
            for one in _ahead(folder, partition, days, following):
                if isinstance(one, Part):
                    yield from _read_part(folder, one, following, on_damage)
                    following, tries = one.span.last + 1, 0
                else:
                    on_damage(_gone(folder.name, one))
                    following = one.last + 1
        except FileNotFoundError:
            tries += 1
            continue
        return
    raise ArchiveDamaged([f"{folder.name} partition {partition}: files vanish while it is read"])


def _ahead(
    folder: Path, partition: int, days: tuple[str, str], following: int
) -> list[Part | Span]:
    """By offset: the parts still to be read, and what is missing and may be of those days."""
    found = listing(folder).standing()
    if found.overlaps:
        raise ArchiveDamaged([f"{folder.name}: {a} and {b} overlap" for a, b in found.overlaps])
    parts = [part for part in found.parts if part.span.partition == partition]
    ahead: list[tuple[int, Part | Span]] = [
        (part.span.first, part)
        for part in parts
        if part.span.last >= following and days[0] <= part.day <= days[1]
    ]
    for gap in found.missing:
        first, last = _days_around(parts, gap)
        if gap.partition == partition and gap.first >= following:
            ahead += [(gap.first, gap)] if first <= days[1] and last >= days[0] else []
    return [one for _, one in sorted(ahead, key=itemgetter(0))]


def _days_around(parts: list[Part], gap: Span) -> tuple[str, str]:
    """Of which days the rows of a gap may have been, going by its neighbours' days.

    A day is allowed for on both sides, as around midnight the days of a partition alternate.
    """
    before = [part.day for part in parts if part.span.last < gap.first][-1:]
    after = [part.day for part in parts if part.span.first > gap.last][:1]
    days = [date.fromisoformat(day) for day in before + after]
    low = str(min(days) - timedelta(days=1)) if before else ""
    return low, str(max(days) + timedelta(days=1)) if after else "~"


def _read_part(
    folder: Path, part: Part, following: int, on_damage: Callable[[Damage], None]
) -> Iterator[ArchivedRecord]:
    name = str(part.path)
    try:
        file = open_file(read_part(folder, part), name)
        topic = checked_meta(file, part).topic
    except ArchiveDamaged as error:
        on_damage(_damage(folder.name, part, error))
        return
    for record in records_of(file, topic, name):
        if record.offset >= following:
            yield record


def examine(root: Path, *, prove: bool) -> Examined:
    """What an archive holds; with ``prove`` every byte of it is read and compared.

    Proven is what its file's digest confirms: the rows that were written are the rows that
    are read, their number and span are those of the name, and epochs go on from file to file.
    """
    found = Examined(
        world=root.name, topics={}, damaged=[], missing=[], overlaps=[], strays=[],
        unfinished=0, holes=[],
    )  # fmt: skip
    for topic in topics_in(root):
        one = _examined(root / topic, prove=prove)
        found.topics[topic] = one[0]
        found.damaged.extend(one[1])
        held = listing(root / topic)
        said = held.standing()
        found.missing.extend(_gone(topic, span) for span in said.missing)
        found.overlaps.extend(f"{topic}: {one} and {other}" for one, other in said.overlaps)
        found.strays.extend(str(path.relative_to(root)) for path in held.strays)
        found.holes.extend(holes(root, topic))
        found = msgspec.structs.replace(found, unfinished=found.unfinished + len(held.partials))
    return found


def _examined(folder: Path, *, prove: bool) -> tuple[TopicState, list[Damage]]:
    """The state of a topic; begun again where a merge takes files away meanwhile."""
    for _ in range(TRIES):
        damaged: list[Damage] = []
        with contextlib.suppress(FileNotFoundError):
            return _topic_state(folder, listing(folder), damaged, prove), damaged
    raise ArchiveDamaged([f"{folder.name}: files vanish while they are read"])


def _topic_state(folder: Path, held: Listing, damaged: list[Damage], prove: bool) -> TopicState:
    rows = size = absent = 0
    times: list[int] = []
    before: Meta | None = None
    parts = held.standing().parts
    following = {span.partition: 0 for span in held.holes}
    for part in parts:
        size += (folder / part.path).stat().st_size
        following[part.span.partition] = part.span.last + 1
        try:
            meta = _proven(folder, part, before) if prove else claimed(folder, part)
        except ArchiveDamaged as error:
            damaged.append(_damage(folder.name, part, error))
            before = None
            continue
        rows, absent, before = rows + meta.rows, absent + meta.absent, meta
        times += (meta.first_ms, meta.last_ms)
    for span in held.holes:
        following[span.partition] = max(following[span.partition], span.last + 1)
    return TopicState(
        rows=rows,
        files=len(parts),
        bytes=size,
        absent=absent,
        since=rfc3339(min(times)) if times else None,
        until=rfc3339(max(times)) if times else None,
        following=dict(sorted(following.items())),
        pruned=dict(sorted(held.pruned.items())),
    )


def proven(folder: Path, part: Part) -> Meta:
    """The footer of a part whose bytes and rows are those that were written.

    Raises ArchiveDamaged, FileNotFoundError.
    """
    return _proven(folder, part, None)


def _proven(folder: Path, part: Part, before: Meta | None) -> Meta:
    name = str(part.path)
    file = open_file(read_part(folder, part), name)
    meta = checked_meta(file, part)
    if file.metadata.num_rows != meta.rows or file.schema_arrow.names[: len(RAW_NAMES)] != list(
        RAW_NAMES
    ):
        raise ArchiveDamaged([f"{name}: it does not hold the rows that it names"])
    known = before is not None and before.known_after
    follows = (
        before is not None
        and known
        and (before.partition, before.last + 1)
        == (
            meta.partition,
            meta.first,
        )
    )
    if before is not None and follows and before.epoch_after != meta.epoch_before:
        raise ArchiveDamaged([f"{name}: its epochs do not go on from the file before it"])
    return meta


def _damage(topic: str, part: Part, error: ArchiveDamaged) -> Damage:
    one = part.span
    return Damage(
        topic=topic, partition=one.partition, first=one.first, last=one.last,
        why=error.problems[0], file=str(part.path),
    )  # fmt: skip


def _gone(topic: str, span: Span) -> Damage:
    return Damage(
        topic=topic, partition=span.partition, first=span.first, last=span.last,
        why="the file that held them is gone",
    )  # fmt: skip
