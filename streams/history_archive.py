"""Decisions and ledger of a world as the archive holds them, for a proof without Kafka."""

from __future__ import annotations

import heapq
from collections.abc import AsyncGenerator, Iterator, Sequence
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Final

from features.proof.history import Extent, HistoryRecord, Span
from features.truth import TRUTH_TOPICS, TruthTopic
from risk.domain.limits import TIME_MS_MAX, TIME_MS_MIN
from risk.domain.times import parse_rfc3339
from streams.archive_history import Damage, read_partition
from streams.archive_names import Part, day_of, next_offset
from streams.archive_store import claimed, listing
from streams.history import AFTER_MS, BEFORE_MS, CHUNK, CLOCKS_MS, history_record
from streams.topics import LIVE_WORLD

_ALL_DAYS: Final = ("", "~")


class ArchiveHistory:
    """Implements ``features.proof.history.History`` on the archive of one world.

    Rows that are damaged or gone are left out: a proof then names the missing offsets, and
    ``damages`` says of each file what is wrong with it. Made by ``open_archive_history``.
    """

    def __init__(self, root: Path, extent: Extent, days: tuple[str, str]) -> None:
        self._root = root
        self._extent = extent
        self._days = days
        self.damages: dict[str, Damage] = {}

    @property
    def extent(self) -> Extent:
        """How far it goes."""
        return self._extent

    async def chunks(self) -> AsyncGenerator[Sequence[HistoryRecord], None]:
        """See ``History``."""
        merged = heapq.merge(
            *(self._partition(span) for span in self._extent.spans), key=attrgetter("timestamp_ms")
        )
        while chunk := list(islice(merged, CHUNK)):
            yield chunk

    def _partition(self, span: Span) -> Iterator[HistoryRecord]:
        folder = self._root / span.topic
        for record in read_partition(folder, span.partition, self._days, self._note):
            if span.first <= record.offset < span.end:
                yield history_record(record, span.topic)

    def _note(self, damage: Damage) -> None:
        self.damages[str(damage)] = damage


def open_archive_history(
    root: Path, world: str, from_ms: int | None = None, to_ms: int | None = None
) -> ArchiveHistory:
    """The history that decisions with ``from_ms <= decided_at < to_ms`` need, as archived now.

    Whole days, as ``streams.history.open_history`` chooses them. Raises ArchiveDamaged where a
    file at the begin of the range cannot be read.
    """
    clocked = world == LIVE_WORLD
    days = _ALL_DAYS
    if clocked and from_ms is not None and to_ms is not None:
        begin_ms = max(TIME_MS_MIN, from_ms - BEFORE_MS)
        days = (day_of(begin_ms), day_of(min(TIME_MS_MAX - 1, to_ms + AFTER_MS)))
    spans: list[Span] = []
    for topic in TRUTH_TOPICS:
        spans += _spans(root / topic, topic, days)
    cuts = [_cut_ms(root / span.topic, span, days[0]) for span in spans if span.first]
    cut_ms = max(cuts, default=None)
    return ArchiveHistory(root, Extent(tuple(spans), cut_ms, clocked), days)


def _spans(folder: Path, topic: TruthTopic, days: tuple[str, str]) -> list[Span]:
    """The offsets of each partition whose day is in the range."""
    held = listing(folder)
    spans = []
    for partition in sorted({part.span.partition for part in held.parts}):
        parts = [part for part in held.standing().parts if part.span.partition == partition]
        within = [part for part in parts if days[0] <= part.day <= days[1]]
        if not within:
            continue
        first, epoch = _begin(folder, parts, within, pruned=partition in held.pruned)
        last_day = within[-1] is parts[-1]
        end = next_offset(held.standing(), held.holes, partition) if last_day else 0
        spans.append(Span(topic, partition, first, end or within[-1].span.last + 1, epoch))
    return spans


def _cut_ms(folder: Path, span: Span, day: str) -> int:
    """Since when a span that does not begin at 0 is whole: its day, or what a prune has left."""
    held = listing(folder)
    (first,) = (
        part
        for part in held.standing().parts
        if (part.span.partition, part.span.first) == (span.partition, span.first)
    )
    if held.pruned.get(span.partition, -1) + 1 == span.first or not day:
        return claimed(folder, first).first_ms + CLOCKS_MS
    return parse_rfc3339(f"{day}T00:00:00Z") + CLOCKS_MS


def _begin(
    folder: Path, parts: Sequence[Part], within: Sequence[Part], *, pruned: bool
) -> tuple[int, int]:
    """Where a range begins, and the epoch in force there; what was archived first begins at 0.

    Behind a prune it begins with what was kept.
    """
    if within[0] is parts[0] and not pruned:
        return 0, 0
    return within[0].span.first, claimed(folder, within[0]).epoch_before
