"""The exact twin of the Redis memory in plain dictionaries: training, back-tests, tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from features.logs import Log, tail_from
from features.records import Facts, facts, records
from features.seeing import Answer, Seen, Vectors, with_vectors
from risk.domain.decision import LogPosition
from risk.domain.errors import StaleEpoch
from risk.domain.event import is_scored
from risk.domain.ids import digest
from risk.domain.kinds import event_key, record_kind
from risk.domain.observation import (
    Arrival,
    Delivery,
    Lost,
    Mismatch,
    Observed,
    Publication,
    Receipt,
    Stored,
)


@dataclass(slots=True)
class _Claim:
    """What is kept of an event; ``stands`` is None until it is decided."""

    fingerprint: bytes
    positions: tuple[LogPosition, ...]
    stands: Stored | Receipt | None = None


class LocalMemory:
    """Implements ``risk.domain.observation.Memory``; the same calls give the same results.

    Nothing expires: features look no further back than their horizon. Not for several
    threads. ``epoch`` becomes the incarnation of the logs.
    """

    def __init__(self, vectors: Vectors, epoch: int = 1) -> None:
        self._vectors = vectors
        self._epoch = epoch
        self._logs: dict[tuple[str, str, str], Log] = {}
        self._claims: dict[tuple[str, str], _Claim] = {}

    @property
    def epoch(self) -> int:
        """The one epoch of this memory."""
        return self._epoch

    async def observe(
        self, arrivals: Sequence[Arrival], windows: tuple[str, ...] = ()
    ) -> list[Observed]:
        """See ``Memory.observe``."""
        return self.observe_now(arrivals, windows)

    def observe_now(
        self, arrivals: Sequence[Arrival], windows: tuple[str, ...] = ()
    ) -> list[Observed]:
        """``observe`` for callers without an event loop."""
        seen = [self._see(one) for one in arrivals]
        return with_vectors(arrivals, seen, self._vectors, windows)

    def _see(self, arrival: Arrival) -> Answer:
        event = arrival.event
        name = (event.tenant, event_key(event))
        of = facts(event, record_kind(event), arrival.amount_base)
        claim = self._claims.get(name)
        if claim is None:
            positions = self._append(arrival, of)
            self._claims[name] = _Claim(arrival.fingerprint, positions)
        elif claim.fingerprint != arrival.fingerprint:
            return Mismatch(claim.fingerprint)
        elif claim.stands is not None:
            return claim.stands
        else:
            positions = claim.positions
        if not is_scored(event):
            return Seen(positions, None, of)
        tails = []
        for position in positions:
            log = self._logs[event.tenant, position.kind, position.identifier]
            seen = log.tail(position)
            if seen is None:
                return Lost(position, positions)
            tails.append(seen)
        return Seen(positions, tuple(tails), of)

    def _append(self, arrival: Arrival, of: Facts) -> tuple[LogPosition, ...]:
        event, epoch = arrival.event, self._epoch
        positions = []
        for kind, identifier, record in records(event, of):
            name = (event.tenant, kind, identifier)
            log = self._logs.get(name)
            if log is None:
                log = self._logs[name] = Log(epoch, 0, 0, bytearray())
            sequence = log.append(epoch, record)
            positions.append(
                LogPosition(kind, identifier, epoch, log.base, sequence, tail_from(sequence))
            )
        return tuple(positions)

    async def decide(self, publications: Sequence[Publication]) -> list[Stored | Receipt]:
        """See ``Memory.decide``."""
        claims = [self._claim(one) for one in publications]
        for claim, publication in zip(claims, publications, strict=True):
            if claim.stands is None:
                claim.stands = Stored(publication.body)
        return [claim.stands for claim in claims if claim.stands is not None]

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """See ``Memory.acknowledge``."""
        receipts = [_receipt(one) for one in deliveries]
        claims = [self._claim(one.publication) for one in deliveries]
        for claim, receipt in zip(claims, receipts, strict=True):
            stands = claim.stands
            held = digest(stands.body) if isinstance(stands, Stored) else stands and stands.digest
            if held != receipt.digest:
                raise StaleEpoch("other bytes are decided under this id")
        for claim, receipt in zip(claims, receipts, strict=True):
            if isinstance(claim.stands, Stored):
                claim.stands = receipt

    async def look_up(self, tenant: str, event_key: str) -> Stored | Receipt | None:
        """What is decided under an id; None where nothing is."""
        claim = self._claims.get((tenant, event_key))
        return claim.stands if claim else None

    async def recover(self) -> None:
        """Nothing to wait for: this memory lives and dies with its process."""

    def _claim(self, of: Publication) -> _Claim:
        claim = self._claims.get((of.tenant, of.event_key))
        if claim is None:
            raise StaleEpoch(f"there is no claim under {of.tenant}:{of.event_key}")
        return claim


def _receipt(of: Delivery) -> Receipt:
    publication = of.publication
    return Receipt(
        publication.outcome, publication.score, digest(publication.body), of.partition, of.offset
    )
