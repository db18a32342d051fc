"""Finds the decision that stands on a payment in a history, and makes its vector again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.catalogue import catalogue_digest
from features.proof import causes
from features.proof.history import Extent, History, HistoryRecord
from features.proof.origin import Origin
from features.proof.rebuilder import Batch, Item, Rebuilder
from features.proof.told import ToBase


class Found(NamedTuple):
    """The first authoritative decision on a payment that is not void, and its bytes.

    ``rebuilt`` is its vector (F,) made from history, None where ``cause`` says why it cannot be.
    """

    item: Item
    body: bytes
    rebuilt: NDArray[np.float64] | None
    cause: str


class Recall:
    """Looks for one payment of a tenant in the chunks of one history."""

    def __init__(self, extent: Extent, to_base: ToBase, tenant: str, payment_id: str) -> None:
        self._payment = (tenant, payment_id)
        self._needle = payment_id.encode()
        self._rebuilder = Rebuilder(extent, to_base, self._wanted)
        self._bodies: dict[Origin, bytes] = {}
        self._item: Item | None = None
        self._rebuilt: NDArray[np.float64] | None = None
        self._cause = ""

    @property
    def damaged(self) -> int:
        """How many records of the history could not be read."""
        return len(self._rebuilder.tally.damaged)

    def take(self, chunk: Sequence[HistoryRecord]) -> bool:
        """Take the next chunk; True where nothing more has to be read."""
        for record in chunk:
            if record.topic == "decisions" and not record.marker and self._needle in record.value:
                place = Origin(record.topic, record.partition, record.offset)
                self._bodies[place] = record.value
        for batch in self._rebuilder.take(chunk):
            self._judge(batch)
        return self._item is not None and (self._rebuilt is not None or bool(self._cause))

    def finish(self) -> Found | None:
        """What was found, None where history holds no decision on the payment."""
        if self._item is None or not (self._rebuilt is not None or self._cause):
            self._judge(self._rebuilder.finish())
        if self._item is None:
            return None
        body = self._bodies[self._item.place]
        return Found(self._item, body, self._rebuilt, self._cause)

    def _wanted(self, item: Item) -> bool:
        if (item.decision.tenant, item.decision.payment_id) != self._payment or self._item:
            return False
        self._item = item
        if item.evidence.vector is None:
            self._cause = causes.FEATURES_LOST
        elif item.evidence.digests.catalogue != catalogue_digest():
            self._cause = causes.CATALOGUE_OLDER
        return not self._cause

    def _judge(self, batch: Batch) -> None:
        for _, cause, _gap in batch.unprovable:
            self._cause = cause
        if batch.ready:
            self._rebuilt = self._rebuilder.vectors(batch)[0][0]


async def recall(history: History, search: Recall) -> Found | None:
    """Run ``search`` over as much of ``history`` as it needs."""
    async for chunk in history.chunks():
        if search.take(chunk):
            break
    return search.finish()
