"""A feature for the past: what the live path would have served, from history alone."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np

from features.backfill_store import DayNote, DayStore, DayWriter, Value
from features.catalogue import CATALOGUE, catalogue_digest
from features.program import compile_program
from features.proof.history import Extent, History, HistoryRecord
from features.proof.rebuilder import WAIT_MS, Batch, Item, Rebuilder
from features.proof.told import ToBase
from features.spec import FeatureSpec
from risk.domain.times import rfc3339

DAY_MS: Final = 24 * 60 * 60 * 1000
# A decision is published soon after it was made; then it may wait for what it saw.
CLOSED_MS: Final = 2 * WAIT_MS

Has = Callable[[str, FeatureSpec], bool]
"""Whether the catalogue of this digest has the feature, by the same computation."""


def in_this_catalogue(digest: str, spec: FeatureSpec) -> bool:
    """``Has`` for who knows no catalogue but this code's."""
    return digest == catalogue_digest() and spec in CATALOGUE


def day_of(at_ms: int) -> str:
    """The UTC day of a moment, YYYY-MM-DD."""
    return rfc3339(at_ms)[:10]


def short_name(tenant: str, payment_id: str) -> bytes:
    """A payment in 12 bytes, so that many can be told apart in little room."""
    return hashlib.blake2b(f"{tenant}\x00{payment_id}".encode(), digest_size=12).digest()


class Wanted(NamedTuple):
    """Whole days ``from_ms <= decided_at < to_ms``, except ``done``."""

    from_ms: int
    to_ms: int
    done: frozenset[str] = frozenset()


class Backfill:
    """Computes the features of ``stores`` for the decisions of one history that lack them.

    The tails are those of the parity proof and the kernel is the live one, so a value is what
    would have been served. Decisions that saw what history does not tell are counted by cause.
    """

    def __init__(
        self, extent: Extent, to_base: ToBase, stores: Sequence[DayStore], has: Has, wanted: Wanted
    ) -> None:
        self._stores = stores
        self._program = compile_program([store.spec for store in stores])
        self._has = has
        self._wanted_days = wanted
        self._clocked = extent.clocked
        self._rebuilder = Rebuilder(extent, to_base, self._wanted)
        self._writers: dict[tuple[int, str], DayWriter] = {}
        self._seen: dict[str, set[bytes]] = defaultdict(set)
        self._causes: dict[tuple[int, str], Counter[str]] = defaultdict(Counter)
        self._closed: set[str] = set()
        self._read_ms = 0
        self.notes: dict[str, list[DayNote]] = defaultdict(list)

    def take(self, chunk: Sequence[HistoryRecord]) -> None:
        """Compute what the next chunk allows to, and name the files of days that are over."""
        for batch in self._rebuilder.take(chunk):
            self._compute(batch)
        self._read_ms = max(self._read_ms, chunk[-1].timestamp_ms)
        if self._clocked and not self._rebuilder.waiting:
            self._close([day for day in self._seen if self._over(day)])

    def finish(self) -> dict[str, list[DayNote]]:
        """The rest of the days; what is stored of each, by feature."""
        self._compute(self._rebuilder.finish())
        self._close(list(self._seen))
        return dict(self.notes)

    def abandon(self) -> None:
        """Drop days that were not finished."""
        for writer in self._writers.values():
            writer.drop()
        self._writers.clear()

    def _wanted(self, item: Item) -> bool:
        at_ms, day = item.told.arrived_at_ms, day_of(item.told.arrived_at_ms)
        range_ = self._wanted_days
        if not range_.from_ms <= at_ms < range_.to_ms or day in range_.done:
            return False
        if item.evidence.vector is None:
            return False  # nothing would have been served
        short = short_name(item.decision.tenant, item.decision.payment_id)
        if day in self._closed or short in self._seen[day]:
            return False
        self._seen[day].add(short)
        digest = item.evidence.digests.catalogue
        return not all(self._has(digest, store.spec) for store in self._stores)

    def _compute(self, batch: Batch) -> None:
        for item, cause, _ in batch.unprovable:
            day = day_of(item.told.arrived_at_ms)
            for number, _ in self._lacking(item):
                self._causes[number, day][cause] += 1
        if not batch.ready:
            return
        matrix, flags = self._rebuilder.vectors(batch, self._program)
        found: dict[tuple[int, str], list[Value]] = defaultdict(list)
        for row, item in enumerate(batch.ready):
            at_ms = item.told.arrived_at_ms
            for number, _ in self._lacking(item):
                found[number, day_of(at_ms)].append(
                    Value(
                        item.decision.tenant,
                        item.decision.payment_id,
                        at_ms,
                        float(matrix[row, number]),
                        bool(np.any(flags[row, number])) and row not in batch.outside,
                    )
                )
        for (number, day), values in found.items():
            self._writer(number, day).add(values)

    def _lacking(self, item: Item) -> list[tuple[int, DayStore]]:
        digest = item.evidence.digests.catalogue
        return [
            (number, store)
            for number, store in enumerate(self._stores)
            if not self._has(digest, store.spec)
        ]

    def _writer(self, number: int, day: str) -> DayWriter:
        if (number, day) not in self._writers:
            self._writers[number, day] = self._stores[number].writing(day)
        return self._writers[number, day]

    def _over(self, day: str) -> bool:
        return day < day_of(self._read_ms) and day_of(self._read_ms - CLOSED_MS) > day

    def _close(self, days: Sequence[str]) -> None:
        for day in days:
            for number, store in enumerate(self._stores):
                note = self._writer(number, day).close(
                    self._causes.pop((number, day), Counter()),
                    closed=self._clocked and self._over(day),
                )
                del self._writers[number, day]
                self.notes[store.spec.name].append(note)
            del self._seen[day]
            self._closed.add(day)


async def fill(history: History, backfill: Backfill) -> dict[str, list[DayNote]]:
    """Run ``backfill`` over the whole of ``history``; interrupted, finished days stay."""
    try:
        async for chunk in history.chunks():
            backfill.take(chunk)
        return backfill.finish()
    finally:
        backfill.abandon()
