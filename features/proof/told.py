"""What one record of the topics tells a proof, checked against itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from features.catalogue import FEATURE_NAMES, catalogue_digest
from features.logs import tail_from
from features.proof.history import HistoryRecord
from features.proof.lean import EVENTS, check
from features.records import Facts, OwnFacts, facts, own_facts, records
from risk.domain.decision import Decision, Evidence, LogPosition, decode_decision, decode_ledger
from risk.domain.errors import WeirError
from risk.domain.event import AnyEvent, Payment, Refund
from risk.domain.ids import fingerprint
from risk.domain.kinds import entities, record_kind
from risk.domain.times import parse_rfc3339

ToBase = Callable[[AnyEvent, str], int | None]
"""The amount of an event in minor units of the base currency, by the exchange rates of this
digest; None without a rate. Raises BadConfiguration where the table is not at hand."""

SEQUENCE_MAX: Final = 2**48
INCARNATION_MAX: Final = 2**32


class Damaged(WeirError):
    """A record of a topic is not what Weir wrote there; the message says how it shows."""

    code = "RECORD_DAMAGED"
    operator = "Somebody else wrote to the topic, or its bytes were changed; keep them as they are."


class Told(NamedTuple):
    """An event with its places in the logs. ``decision`` is None for the ledger's records.

    ``names`` are the kind and identifier of each of ``positions``. ``own`` are the integers of
    the event itself, in the order of ``Facts``. ``unrated`` says that the exchange rates of
    its amounts are not at hand.
    """

    event: AnyEvent
    kind: str
    own: OwnFacts
    names: list[tuple[str, str]]
    positions: list[LogPosition]
    arrived_at_ms: int
    decision: Decision | None
    pending: bool
    unrated: bool
    amount_base: int | None

    @property
    def time_ms(self) -> int:
        """The time of its record."""
        return self.own[0]

    @property
    def facts(self) -> Facts:
        """The integers of its records and its vector, made anew by each call."""
        return facts(self.event, self.kind, self.amount_base)

    @property
    def records(self) -> list[bytes]:
        """What it left at each of its places, made anew by each call."""
        return [record for _, _, record in records(self.event, self.facts)]


def read_told(record: HistoryRecord, to_base: ToBase) -> Told | None:
    """What ``record`` tells; None for a decision that is not authoritative.

    Its sequences are not looked at: see ``check_sequences``. Raises Damaged.
    """
    try:
        if record.topic == "ledger":
            return _ledger(record.value, to_base)
        decision = decode_decision(record.value)
        return _decision(decision, to_base) if decision.authoritative else None
    except (msgspec.DecodeError, UnicodeError, ValueError) as error:
        raise Damaged(str(error)) from error


def check_sequences(told: Told) -> None:
    """Raises Damaged where a place is one that no log gives."""
    for one in told.positions:
        known = 0 < one.incarnation < INCARNATION_MAX
        if not (known and 0 <= one.base <= one.sequence < SEQUENCE_MAX):
            raise Damaged(f"the place of {told.event.id} in its {one.kind} log is impossible")
        if one.tail_from != tail_from(one.sequence):
            raise Damaged(f"the tail of {told.event.id} in its {one.kind} log begins elsewhere")


def _decision(decision: Decision, to_base: ToBase) -> Told:
    evidence = decision.evidence
    if evidence is None:
        raise Damaged("an authoritative decision without evidence")
    event = _event(evidence.event, evidence.fingerprint)
    if not isinstance(event, Payment):
        raise Damaged(f"a decision on {event.kind} {event.id}, which is not scored")
    if event.id != decision.payment_id or event.tenant != decision.tenant:
        raise Damaged(f"the decision on {decision.payment_id} holds the event {event.id}")
    if decision.decided_at != evidence.arrived_at:
        raise Damaged(f"decided at {decision.decided_at}, but arrived at {evidence.arrived_at}")
    if evidence.vector is not None and len(evidence.vector) != len(FEATURE_NAMES):
        _check_catalogue(evidence)
    arrived_ms = _milliseconds(evidence.arrived_at)
    rates, places = evidence.digests.rates, evidence.positions
    return _told(event, event.kind, (rates, places, arrived_ms, decision, False), to_base)


def _ledger(value: bytes, to_base: ToBase) -> Told:
    entry = decode_ledger(value)
    event = _event(entry.event, entry.fingerprint)
    kind = record_kind(event)
    if event.id != entry.event_id or event.tenant != entry.tenant or kind != entry.record:
        raise Damaged(f"the record of {entry.record} {entry.event_id} holds {kind} {event.id}")
    arrived_ms = _milliseconds(entry.arrived_at)
    return _told(
        event, kind, (entry.rates, entry.positions, arrived_ms, None, entry.pending), to_base
    )


def _event(raw: msgspec.Raw, expected: str) -> AnyEvent:
    """The event in ``raw``. Its canonical bytes are these very bytes, as the fingerprint says."""
    event = EVENTS.decode(raw)
    if fingerprint(bytes(raw)).hex() != expected:
        raise Damaged(f"the event {event.id} is not the one of its fingerprint")
    check(event)
    return event


def _check_catalogue(evidence: Evidence) -> None:
    assert evidence.vector is not None
    if evidence.digests.catalogue == catalogue_digest():
        raise Damaged(f"a vector of {len(evidence.vector)} features, not {len(FEATURE_NAMES)}")


def _told(
    event: AnyEvent,
    kind: str,
    of: tuple[str, list[LogPosition], int, Decision | None, bool],
    to_base: ToBase,
) -> Told:
    rates, positions, arrived_ms, decision, pending = of
    names = entities(event)
    if [(one.kind, one.identifier) for one in positions] != names:
        raise Damaged(_other_places(event, names, positions))
    amount, unrated = None, False
    if isinstance(event, _WITH_AMOUNT):
        try:
            amount = to_base(event, rates)
        except WeirError:
            unrated = True
    own = own_facts(event, kind, amount)
    return Told(event, kind, own, names, positions, arrived_ms, decision, pending, unrated, amount)


def _other_places(
    event: AnyEvent, names: Sequence[tuple[str, str]], positions: Sequence[LogPosition]
) -> str:
    if len(names) != len(positions):
        return f"{event.id} has {len(names)} logs, and {len(positions)} places"
    one = next(
        one
        for name, one in zip(names, positions, strict=True)
        if name != (one.kind, one.identifier)
    )
    return f"{event.id} has no {one.kind} log {one.identifier!r} at this place"


_WITH_AMOUNT: Final = (Payment, Refund)


# Records in a stretch of history share their milliseconds, and each decision tells its own twice.
@lru_cache(maxsize=4096)
def _milliseconds(text: str) -> int:
    return parse_rfc3339(text)
