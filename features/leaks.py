"""Leaks: that no served vector used a record which arrived after its decision was out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from typing import NamedTuple

import msgspec
import numpy as np

from features.catalogue import catalogue_digest
from features.proof import causes
from features.proof.bits import same_bits, served_vectors
from features.proof.causes import CAUSES, Gap
from features.proof.certificate import Unproven
from features.proof.history import Extent, History, HistoryRecord, Span
from features.proof.late_kernel import first_late
from features.proof.origin import Origin, unpack_origin
from features.proof.rebuilder import Batch, Item, Missing, Rebuilder, Trouble
from features.proof.told import ToBase
from features.proof.witness import Content, contents
from risk.domain.limits import HORIZON_MS, SKEW_MS_MAX
from risk.domain.times import rfc3339


class Leak(msgspec.Struct, frozen=True, kw_only=True):
    """A decision that used a record from its future, and the record."""

    payment_id: str
    tenant: str
    decision: Origin
    decided_at: str
    published_at: str
    record: Origin
    arrived_at: str
    says: Content | None


class LeaksReport(msgspec.Struct, frozen=True, kw_only=True):
    """``checked`` is the sum of ``clean``, ``leaking``, ``unequal`` and ``unprovable``."""

    from_: str = msgspec.field(name="from")
    to: str
    verdict: str
    checked: int
    clean: int
    leaking: int
    unequal: int
    unprovable: dict[str, int]
    first_leak: Leak | None
    first_unequal: str | None
    first_unprovable: dict[str, Unproven]
    first_damaged: list[Trouble]
    missing: list[Missing]
    ranges: list[Span]


class _Late(NamedTuple):
    item: Item
    record: Origin
    arrived_ms: int


class Leaks:
    """Checks the decisions with ``from_ms <= decided_at < to_ms`` of one history.

    A vector is made again from the records before its own places, so none at or behind them
    was used. Each of those that a feature can see must have arrived before the decision was
    published, on clocks that differ by at most SKEW_MS_MAX.
    """

    def __init__(self, extent: Extent, to_base: ToBase, from_ms: int, to_ms: int) -> None:
        self._range_ms = (from_ms, to_ms)
        self._rebuilder = Rebuilder(extent, to_base, self._wanted)
        self._catalogue = catalogue_digest()
        self._count: Counter[str] = Counter()
        self._causes: Counter[str] = Counter()
        self._first_unproven: dict[str, Unproven] = {}
        self._first: _Late | None = None
        self._first_unequal: str | None = None

    def take(self, chunk: Sequence[HistoryRecord]) -> None:
        """Check what the next chunk allows to."""
        for batch in self._rebuilder.take(chunk):
            self._judge(batch)

    async def finish(self, history: History) -> LeaksReport:
        """The report; ``history`` is read again only where a leak was found."""
        self._judge(self._rebuilder.finish())
        tally = self._rebuilder.tally
        return LeaksReport(
            from_=rfc3339(self._range_ms[0]),
            to=rfc3339(self._range_ms[1]),
            verdict=self._verdict(),
            checked=self._count["checked"],
            clean=self._count["clean"],
            leaking=self._count["leaking"],
            unequal=self._count["unequal"],
            unprovable=dict(sorted(self._causes.items())),
            first_leak=await _leak(history, self._first) if self._first else None,
            first_unequal=self._first_unequal,
            first_unprovable=self._first_unproven,
            first_damaged=tally.damaged[:20],
            missing=tally.missing,
            ranges=list(self._rebuilder.extent.spans),
        )

    def _verdict(self) -> str:
        tally = self._rebuilder.tally
        if self._count["leaking"] or self._count["unequal"] or tally.damaged:
            return "different"
        if self._causes or tally.missing:
            return "unprovable"
        return "equal" if self._count["checked"] else "empty"

    def _wanted(self, item: Item) -> bool:
        if not self._range_ms[0] <= item.told.arrived_at_ms < self._range_ms[1]:
            return False
        self._count["checked"] += 1
        if item.evidence.vector is None:
            self._count["clean"] += 1  # it used no record at all
            return False
        if item.evidence.digests.catalogue != self._catalogue:
            self._unproven(item, causes.CATALOGUE_OLDER, None)
            return False
        return True

    def _judge(self, batch: Batch) -> None:
        for item, cause, gap in batch.unprovable:
            self._unproven(item, cause, gap)
        if not batch.ready:
            return
        places = self._rebuilder.arena.places
        times = [(one.told.time_ms, _out_ms(one), SKEW_MS_MAX, HORIZON_MS) for one in batch.ready]
        late = np.empty(len(batch.ready), np.int64)
        words = self._rebuilder.arena.words
        first_late(words, places.arrived_ms, batch.spans, np.array(times, np.int64), late)
        older = np.empty_like(late)
        before = self._rebuilder.spans_before(batch)
        first_late(words, places.arrived_ms, before, np.array(times, np.int64), older)
        late = np.where(late < 0, older, late)
        unequal = self._unequal(batch)
        for row, item in enumerate(batch.ready):
            at = int(late[row])
            last = self._rebuilder.latest_folded(item)
            found = None
            if at >= 0:
                record = unpack_origin(int(places.origin[at]))
                found = _Late(item, record, int(places.arrived_ms[at]))
            elif last is not None and last.arrived_ms > _out_ms(item):
                found = _Late(item, unpack_origin(last.origin), last.arrived_ms)
            if found is not None:
                self._count["leaking"] += 1
                if self._first is None or item.published_ms < self._first.item.published_ms:
                    self._first = found
            elif row in unequal:
                self._count["unequal"] += 1
                self._first_unequal = self._first_unequal or item.decision.payment_id
            else:
                self._count["clean"] += 1

    def _unequal(self, batch: Batch) -> set[int]:
        """Rows whose served vector is not made from their prefixes."""
        rebuilt, _ = self._rebuilder.vectors(batch)
        served = served_vectors(batch.ready)
        same = np.all(same_bits(served, rebuilt), axis=1)
        return {row for row, equal in enumerate(same.tolist()) if not equal}

    def _unproven(self, item: Item, cause: str, gap: Gap | None) -> None:
        self._causes[cause] += 1
        self._first_unproven.setdefault(
            cause,
            Unproven(
                payment_id=item.decision.payment_id,
                tenant=item.decision.tenant,
                decision=item.place,
                place=gap,
                means=CAUSES[cause],
            ),
        )


def _out_ms(item: Item) -> int:
    """When the decision was out: nothing that arrives after this can have been used."""
    return max(item.published_ms, item.told.arrived_at_ms) + SKEW_MS_MAX


async def _leak(history: History, found: _Late) -> Leak:
    said = await contents(history, [found.record])
    return Leak(
        payment_id=found.item.decision.payment_id,
        tenant=found.item.decision.tenant,
        decision=found.item.place,
        decided_at=found.item.decision.decided_at,
        published_at=rfc3339(found.item.published_ms),
        record=found.record,
        arrived_at=rfc3339(found.arrived_ms),
        says=said.get(found.record),
    )


async def search(history: History, leaks: Leaks) -> LeaksReport:
    """Run ``leaks`` over the whole of ``history``."""
    async with aclosing(history.chunks()) as chunks:
        async for chunk in chunks:
            leaks.take(chunk)
    return await leaks.finish(history)
