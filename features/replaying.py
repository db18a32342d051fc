"""Looks for the decision on one payment in a history, and makes its vector again."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Literal

import msgspec

from features.catalogue import catalogue_digest
from features.proof.bits import same_bits, served_vectors
from features.proof.causes import CATALOGUE_OLDER, Gap
from features.proof.history import Extent, History, HistoryRecord
from features.proof.origin import Origin
from features.proof.rebuilder import Batch, Item, Rebuilder
from features.proof.told import ToBase
from risk.domain.decision import Decision, decode_decision


class Replayable(msgspec.Struct, frozen=True, kw_only=True):
    """A published decision. ``vector`` says whether history makes the served vector again.

    ``cause`` is why it cannot, where ``vector`` is "unprovable". A decision made without
    features, or not authoritative, has no vector: "none".
    """

    body: bytes
    decision: Decision
    place: Origin
    vector: Literal["equal", "different", "unprovable", "none"]
    cause: str = ""
    gap: Gap | None = None


class Search:
    """``tenant`` and ``payment_id`` name the payment; history is read from its beginning."""

    def __init__(self, extent: Extent, to_base: ToBase, tenant: str, payment_id: str) -> None:
        self._payment = (tenant, payment_id)
        # Identifiers stand in a decision as they are, or escaped: then every record is read.
        self._sign = msgspec.json.encode(payment_id)
        self._rebuilder = Rebuilder(extent, to_base, self._wanted)
        self._met: dict[Origin, tuple[bytes, Decision]] = {}
        self._found: Replayable | None = None

    def take(self, chunk: Sequence[HistoryRecord]) -> bool:
        """Take the next chunk; True once the decision that stands is found and its vector made."""
        for record in chunk:
            if record.topic == "decisions" and not record.marker and self._sign in record.value:
                self._note(record)
        for batch in self._rebuilder.take(chunk):
            self._judge(batch)
        return self._found is not None

    def finish(self) -> Replayable | None:
        """The decision, also one that is not authoritative; None where there is none."""
        if self._found is None:
            self._judge(self._rebuilder.finish())
        if self._found is not None:
            return self._found
        for place, (body, decision) in self._met.items():
            return Replayable(body=body, decision=decision, place=place, vector="none")
        return None

    def _note(self, record: HistoryRecord) -> None:
        try:
            decision = decode_decision(record.value)
        except msgspec.DecodeError:
            return  # damaged: the rebuilder counts it
        if (decision.tenant, decision.payment_id) == self._payment:
            place = Origin(record.topic, record.partition, record.offset)
            self._met[place] = (record.value, decision)

    def _wanted(self, item: Item) -> bool:
        if (item.decision.tenant, item.decision.payment_id) != self._payment:
            return False
        if item.evidence.digests.catalogue != catalogue_digest():
            self._keep(item, "unprovable", CATALOGUE_OLDER, None)
        elif item.evidence.vector is None:
            self._keep(item, "none", "", None)
        else:
            return True
        return False

    def _judge(self, batch: Batch) -> None:
        for item, cause, gap in batch.unprovable:
            self._keep(item, "unprovable", cause, gap)
        if batch.ready and self._found is None:
            rebuilt, _ = self._rebuilder.vectors(batch)
            served = served_vectors(batch.ready)
            equal = served.shape == rebuilt.shape and bool(same_bits(served, rebuilt).all())
            self._keep(batch.ready[0], "equal" if equal else "different", "", None)

    def _keep(
        self,
        item: Item,
        vector: Literal["equal", "different", "unprovable", "none"],
        cause: str,
        gap: Gap | None,
    ) -> None:
        body, decision = self._met[item.place]
        self._found = self._found or Replayable(
            body=body, decision=decision, place=item.place, vector=vector, cause=cause, gap=gap
        )


async def search(history: History, of: Search) -> Replayable | None:
    """Run ``of`` over as much of ``history`` as it needs."""
    async with aclosing(history.chunks()) as chunks:
        async for chunk in chunks:
            if of.take(chunk):
                break
    return of.finish()
