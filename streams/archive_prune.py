"""Removes the oldest days of an archive: only what was proven whole, and never silently."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from risk.domain.times import rfc3339
from streams.archive_history import proven
from streams.archive_names import ArchiveDamaged, Part, Span, day_of
from streams.archive_rows import Meta
from streams.archive_store import ArchiveWriter

DAY_MS: Final = 86_400_000


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """Offsets ``first`` to ``last`` of a partition, proven and then removed, with their times."""

    topic: str
    partition: int
    first: int
    last: int
    rows: int
    files: int
    bytes: int
    since: str
    until: str
    pruned_at: str

    @property
    def span(self) -> Span:
        """Its offsets."""
        return Span(self.partition, self.first, self.last)


class PruneReport(msgspec.Struct, kw_only=True):
    """What a prune did. ``kept`` says of each partition that stopped it why it did."""

    world: str
    before: str
    pruned: list[Pruned] = []
    kept: list[str] = []


def prune(
    writer: ArchiveWriter, world: str, topics: Sequence[str], older_than_days: int, now_ms: int
) -> PruneReport:
    """Remove the files of days (UTC) that ended more than so many days ago.

    Of each partition from its begin on, as far as every byte is proven; what is damaged, what
    follows a gap, and the newest file are kept. ``writer`` was opened for ``topics``.
    """
    before = day_of(now_ms - older_than_days * DAY_MS)
    report = PruneReport(world=world, before=before)
    for topic in topics:
        for partition in writer.partitions(topic):
            _prune(writer, topic, partition, report, now_ms)
    return report


def _prune(
    writer: ArchiveWriter, topic: str, partition: int, report: PruneReport, now_ms: int
) -> None:
    old = [part for part in writer.parts(topic, partition)[:-1] if part.day < report.before]
    gaps = [gap.first for gap in writer.missing[topic] if gap.partition == partition]
    chosen: list[tuple[Part, Meta]] = []
    for part in writer.parts(topic, partition)[: len(old)]:
        if part.day >= report.before:
            break  # around midnight days alternate
        if any(gap < part.span.first for gap in gaps):
            report.kept.append(f"{topic} {part.span}: archived offsets before them are gone")
            break
        try:
            chosen.append((part, proven(writer.folder(topic), part)))
        except ArchiveDamaged as error:
            report.kept.append(f"{topic} {part.span}: {error.problems[0]}")
            break
    if chosen:
        said = _said(writer, topic, chosen, now_ms)
        writer.prune(topic, [part for part, _ in chosen], msgspec.json.encode(said))
        report.pruned.append(said)


def _said(
    writer: ArchiveWriter, topic: str, chosen: Sequence[tuple[Part, Meta]], now_ms: int
) -> Pruned:
    folder = writer.folder(topic)
    spans = [part.span for part, _ in chosen]
    return Pruned(
        topic=topic,
        partition=spans[0].partition,
        first=spans[0].first,
        last=spans[-1].last,
        rows=sum(meta.rows for _, meta in chosen),
        files=len(chosen),
        bytes=sum((folder / part.path).stat().st_size for part, _ in chosen),
        since=rfc3339(min(meta.first_ms for _, meta in chosen)),
        until=rfc3339(max(meta.last_ms for _, meta in chosen)),
        pruned_at=rfc3339(now_ms),
    )
