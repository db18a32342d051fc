"""Merges the small files of a day, so that a year is read from thousands of files, not millions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from streams.archive_names import ArchiveDamaged, Part, Span
from streams.archive_rows import FORMAT, Meta, encode, meta_of, open_file, schema_of
from streams.archive_store import ArchiveWriter, read_part

# A merged part is read and proven whole, in memory.
MERGED_BYTES_MAX: Final = 64 * 1024 * 1024
FAN_IN: Final = 16
FIRST_TIER_BYTES: Final = 64 * 1024


def merge_day(writer: ArchiveWriter, topic: str, partition: int) -> int:
    """Merge what is due in a partition; how many parts went into others.

    Safe to be killed at any point: a merged part covers the offsets of its members, and that
    alone is what makes them superseded. Damaged parts stay as they are.
    """
    gone = 0
    for members in due(_sized(writer, topic, partition)):
        try:
            merged = _merged(writer, topic, members)
        except ArchiveDamaged as error:
            writer.damaged += error.problems
            continue
        if merged is not None:
            writer.replace(topic, members, merged)
            gone += len(members)
    return gone


def due(sized: Sequence[tuple[Part, int]]) -> list[list[Part]]:
    """Which parts (of one partition, by offset, with their bytes) are merged into one each.

    Only neighbours of the same day. A day that later offsets have left behind is merged as
    far as ``MERGED_BYTES_MAX`` allows; in the last one ``FAN_IN`` parts of like size become
    one, so that a row is written again a few times only, however many parts come.
    """
    found: list[list[Part]] = []
    neighbours = list(_neighbours(sized))
    for place, run in enumerate(neighbours):
        last = place == len(neighbours) - 1
        found += _tiers(run) if last else _packed(run, 2)
    return found


def _neighbours(sized: Sequence[tuple[Part, int]]) -> Iterator[list[tuple[Part, int]]]:
    run: list[tuple[Part, int]] = []
    for part, size in sized:
        if run and (run[-1][0].day != part.day or run[-1][0].span.last + 1 != part.span.first):
            yield run
            run = []
        run.append((part, size))
    if run:
        yield run


def _tiers(run: Sequence[tuple[Part, int]]) -> list[list[Part]]:
    bound = FIRST_TIER_BYTES
    while bound < MERGED_BYTES_MAX:
        small: list[tuple[Part, int]] = []
        found: list[list[Part]] = []
        for part, size in [*run, (run[-1][0], MERGED_BYTES_MAX)]:
            if size <= bound:
                small.append((part, size))
                continue
            found += _packed(small, FAN_IN)
            small = []
        if found:
            return found
        bound *= FAN_IN
    return []


def _packed(run: Sequence[tuple[Part, int]], parts_min: int) -> list[list[Part]]:
    """``run`` cut into groups of at most ``MERGED_BYTES_MAX``, those of ``parts_min`` or more."""
    groups: list[list[Part]] = [[]]
    total = 0
    for part, size in run:
        if groups[-1] and total + size > MERGED_BYTES_MAX:
            groups.append([])
            total = 0
        groups[-1].append(part)
        total += size
    return [group for group in groups if len(group) >= parts_min]


def _sized(writer: ArchiveWriter, topic: str, partition: int) -> list[tuple[Part, int]]:
    folder = writer.folder(topic)
    return [(part, (folder / part.path).stat().st_size) for part in writer.parts(topic, partition)]


def _merged(writer: ArchiveWriter, topic: str, members: Sequence[Part]) -> Part | None:
    """The part made of ``members``, put; None where one has columns of another version."""
    metas = []
    for part in members:
        file = _opened(writer, topic, part)
        if not file.schema_arrow.equals(schema_of(topic)):
            return None
        metas.append(meta_of(file, str(part.path)))
    first, last = metas[0], metas[-1]
    span = Span(first.partition, first.first, last.last)
    meta = Meta(
        format=FORMAT,
        topic=first.topic,
        partition=first.partition,
        first=span.first,
        last=span.last,
        rows=sum(one.rows for one in metas),
        absent=sum(one.absent for one in metas),
        first_ms=min(one.first_ms for one in metas),
        last_ms=max(one.last_ms for one in metas),
        epoch_before=first.epoch_before,
        known_before=first.known_before,
        epoch_after=last.epoch_after,
        known_after=last.known_after,
        last_offset=last.last_offset,
        last_digest=last.last_digest,
    )
    body = encode(topic, _tables(writer, topic, members), meta)
    return writer.put_part(topic, members[0].day, span, body)


def _tables(writer: ArchiveWriter, topic: str, members: Sequence[Part]) -> Iterator[Any]:
    for part in members:
        file = _opened(writer, topic, part)
        for group in range(file.num_row_groups):
            yield file.read_row_group(group)


def _opened(writer: ArchiveWriter, topic: str, part: Part) -> Any:
    name = str(part.path)
    return open_file(read_part(writer.folder(topic), part), name)
