"""The names of archive files, and the one law that says which of them stand.

A file is named for one partition and the offsets it covers, without a gap, so a listing alone
shows what is archived: there is no separate progress that could disagree with the files.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from risk.domain.errors import WeirError
from risk.domain.times import rfc3339

PARTIAL: Final = ".partial"
HOLES: Final = "holes"
DIGEST_CHARS: Final = 32
_DAY: Final = re.compile(r"^day=(\d{4}-\d{2}-\d{2})$")
_PART: Final = re.compile(r"^part-(\d{5})-(\d{20})-(\d{20})-([0-9a-f]{32})\.parquet$")
_PRUNED: Final = re.compile(r"^pruned-(\d{5})-(\d{20})\.json$")
_HOLE: Final = re.compile(r"^hole-(\d{5})-(\d{20})-(\d{20})\.json$")


class ArchiveDamaged(WeirError):
    """Archived rows cannot be proven; ``problems`` names each file or range of offsets."""

    code = "ARCHIVE_DAMAGED"
    operator = "Run `weir archive verify`; docs/guide/archive.md says what to do with its answer."

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Offsets ``first`` to ``last``, both included, of one partition."""

    partition: int
    first: int
    last: int

    def __str__(self) -> str:
        return f"partition {self.partition} offsets {self.first} to {self.last}"


@dataclass(frozen=True, slots=True)
class Part:
    """A Parquet file: every record of ``span`` that Kafka had, all of one ``day`` (UTC).

    ``digest`` is the beginning of the SHA-256 of the file's bytes.
    """

    span: Span
    day: str
    digest: str

    @property
    def path(self) -> Path:
        """Its place below the folder of its topic."""
        one = self.span
        name = f"part-{one.partition:05}-{one.first:020}-{one.last:020}-{self.digest}.parquet"
        return Path(f"day={self.day}") / name


@dataclass(frozen=True, slots=True)
class Standing:
    """What a listing of one topic says.

    ``parts`` stand, by partition and offset; ``superseded`` (old, new) were merged into a
    larger file; ``overlaps`` are pairs that cannot both be right; ``missing`` was archived
    once, as later offsets show, and no hole explains it. ``pruned`` are files that a prune
    which was killed has left.
    """

    parts: list[Part] = field(default_factory=list)
    superseded: list[tuple[Part, Part]] = field(default_factory=list)
    overlaps: list[tuple[str, str]] = field(default_factory=list)
    missing: list[Span] = field(default_factory=list)
    pruned: list[Part] = field(default_factory=list)


def day_of(ms: int) -> str:
    """The UTC day of a time.

    >>> day_of(1_793_620_800_000)
    '2026-11-02'
    """
    return rfc3339(ms)[:10]


def part_of(folder: str, name: str) -> Part | None:
    """The part that a folder and a file are named for, None where the name is not ours."""
    day, found = _DAY.match(folder), _PART.match(name)
    if day is None or found is None:
        return None
    partition, first, last = (int(found[group]) for group in (1, 2, 3))
    return Part(Span(partition, first, last), day[1], found[4]) if first <= last else None


def hole_name(span: Span) -> str:
    """The name of the file that records a hole."""
    return f"hole-{span.partition:05}-{span.first:020}-{span.last:020}.json"


def hole_of(name: str) -> Span | None:
    """The offsets that a hole's file is named for, None where the name is not ours."""
    found = _HOLE.match(name)
    return Span(int(found[1]), int(found[2]), int(found[3])) if found else None


def pruned_name(partition: int, last: int) -> str:
    """The name of the file that says up to which offset a partition was pruned."""
    return f"pruned-{partition:05}-{last:020}.json"


def pruned_of(name: str) -> tuple[int, int] | None:
    """The partition and the last offset that a prune's file is named for, None for others."""
    found = _PRUNED.match(name)
    return (int(found[1]), int(found[2])) if found else None


def standing(
    parts: Iterable[Part], holes: Iterable[Span], pruned: Mapping[int, int] | None = None
) -> Standing:
    """Which parts stand. Offsets begin at 0, so what lies before the first part is a gap too.

    ``pruned`` is the last offset of each partition that was removed on purpose: nothing up to
    it stands, and nothing up to it is missing.

    A part whose offsets lie within another's of the same day was merged into that one. Any
    other overlap has no lawful origin.
    """
    found = Standing()
    last = pruned or {}
    entries: dict[int, list[tuple[Span, Part | None]]] = defaultdict(list)
    for part in parts:
        if part.span.last <= last.get(part.span.partition, -1):
            found.pruned.append(part)
        else:
            entries[part.span.partition].append((part.span, part))
    for hole in holes:
        if hole.last > last.get(hole.partition, -1):
            entries[hole.partition].append((hole, None))
    for partition in sorted(entries):
        begin = last.get(partition, -1) + 1
        _sweep(partition, begin, sorted(entries[partition], key=_widest_first), found)
    return found


def next_offset(found: Standing, holes: Iterable[Span], partition: int) -> int:
    """Where archiving goes on: behind the highest offset that a part or a hole covers."""
    lasts = [part.span.last for part in found.parts if part.span.partition == partition]
    lasts += [hole.last for hole in holes if hole.partition == partition]
    return max(lasts, default=-1) + 1


def _widest_first(entry: tuple[Span, Part | None]) -> tuple[int, int]:
    return entry[0].first, -entry[0].last


def _sweep(
    partition: int, begin: int, entries: list[tuple[Span, Part | None]], found: Standing
) -> None:
    """Entries of one partition by first offset, the widest first; nothing is before ``begin``."""
    following = begin
    last: tuple[Span, Part | None] | None = None
    for span, part in entries:
        if span.first < following and last is not None:
            _inside(span, part, last, found)
            continue
        if span.first > following:
            found.missing.append(Span(partition, following, span.first - 1))
        if part is not None:
            found.parts.append(part)
        following, last = span.last + 1, (span, part)


def _inside(
    span: Span, part: Part | None, wider: tuple[Span, Part | None], found: Standing
) -> None:
    around, container = wider
    merged = (
        part is not None
        and container is not None
        and span != around
        and span.last <= around.last
        and part.day == container.day
    )
    if merged and part is not None and container is not None:
        found.superseded.append((part, container))
    else:
        found.overlaps.append((_text(span, part), _text(around, container)))


def _text(span: Span, part: Part | None) -> str:
    return str(part.path) if part is not None else f"{HOLES}/{hole_name(span)}"
