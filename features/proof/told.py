"""What one record of the topics tells a proof, checked against itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from features.catalogue import FEATURE_NAMES, catalogue_digest
from features.logs import tail_from
from features.proof.history import HistoryRecord
from features.records import Facts, facts, records
from risk.domain.decision import Decision, Evidence, LogPosition, decode_decision, decode_ledger
from risk.domain.errors import WeirError
from risk.domain.event import AnyEvent, Decided, Payment, Refund
from risk.domain.ids import fingerprint
from risk.domain.kinds import record_kind
from risk.domain.times import parse_rfc3339

ToBase = Callable[[AnyEvent, str], int | None]
"""The amount of an event in minor units of the base currency, by the exchange rates of this
digest; None without a rate. Raises BadConfiguration where the table is not at hand."""

_EVENTS: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent | Decided)
SEQUENCE_MAX: Final = 2**48


class Damaged(WeirError):
    """A record of a topic is not what Weir wrote there; the message says how it shows."""

    code = "RECORD_DAMAGED"
    operator = "Somebody else wrote to the topic, or its bytes were changed; keep them as they are."


class Told(NamedTuple):
    """An event with its places in the logs. ``decision`` is None for the ledger's records.

    ``facts`` are the integers of its records and its vector; ``records`` are those that it
    left, one for each of ``positions``. ``unrated`` says that the exchange rates of its
    amounts are not at hand.
    """

    event: AnyEvent
    facts: Facts
    positions: Sequence[LogPosition]
    records: tuple[bytes, ...]
    arrived_at_ms: int
    decision: Decision | None
    pending: bool
    unrated: bool


def read_told(record: HistoryRecord, to_base: ToBase) -> Told | None:
    """What ``record`` tells; None for a decision that is not authoritative.

    Raises Damaged.
    """
    try:
        if record.topic == "ledger":
            return _ledger(record.value, to_base)
        decision = decode_decision(record.value)
        return _decision(decision, to_base) if decision.authoritative else None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise Damaged(str(error)) from error


def _decision(decision: Decision, to_base: ToBase) -> Told:
    evidence = decision.evidence
    if evidence is None:
        raise Damaged("an authoritative decision without evidence")
    body = bytes(evidence.event)
    event = _event(body, evidence.fingerprint)
    if not isinstance(event, Payment):
        raise Damaged(f"a decision on {event.kind} {event.id}, which is not scored")
    if (event.id, event.tenant) != (decision.payment_id, decision.tenant):
        raise Damaged(f"the decision on {decision.payment_id} holds the event {event.id}")
    if decision.decided_at != evidence.arrived_at:
        raise Damaged(f"decided at {decision.decided_at}, but arrived at {evidence.arrived_at}")
    _check_vector(evidence)
    of, unrated = _facts(event, evidence.digests.rates, to_base)
    left = _records(event, of, evidence.positions)
    arrived_at_ms = _milliseconds(evidence.arrived_at)
    return Told(event, of, evidence.positions, left, arrived_at_ms, decision, False, unrated)


def _ledger(value: bytes, to_base: ToBase) -> Told:
    entry = decode_ledger(value)
    event = _event(bytes(entry.event), entry.fingerprint)
    kind = record_kind(event)
    if (event.id, event.tenant, kind) != (entry.event_id, entry.tenant, entry.record):
        raise Damaged(f"the record of {entry.record} {entry.event_id} holds {kind} {event.id}")
    of, unrated = _facts(event, entry.rates, to_base)
    left = _records(event, of, entry.positions)
    arrived_at_ms = _milliseconds(entry.arrived_at)
    return Told(event, of, entry.positions, left, arrived_at_ms, None, entry.pending, unrated)


def _event(body: bytes, expected: str) -> AnyEvent:
    """The event in ``body``. Its canonical bytes are these very bytes, as the fingerprint says."""
    event = _EVENTS.decode(body)
    if fingerprint(body).hex() != expected:
        raise Damaged(f"the event {event.id} is not the one of its fingerprint")
    return event


def _check_vector(evidence: Evidence) -> None:
    known = evidence.digests.catalogue == catalogue_digest()
    if known and evidence.vector is not None and len(evidence.vector) != len(FEATURE_NAMES):
        raise Damaged(f"a vector of {len(evidence.vector)} features, not {len(FEATURE_NAMES)}")


def _records(event: AnyEvent, of: Facts, positions: Sequence[LogPosition]) -> tuple[bytes, ...]:
    """What the event left at each of its places, which must be those of its entities."""
    left = records(event, of)
    if len(left) != len(positions):
        raise Damaged(f"{event.id} has {len(left)} logs, and {len(positions)} places")
    for (kind, identifier, _), one in zip(left, positions, strict=True):
        if one.kind != kind or one.identifier != identifier:
            raise Damaged(f"{event.id} has no {one.kind} log {one.identifier!r} at this place")
        sequence = one.sequence
        if not (0 <= one.base <= sequence < SEQUENCE_MAX and one.incarnation > 0):
            raise Damaged(f"the place of {event.id} in its {kind} log is impossible")
        if one.tail_from != tail_from(sequence):
            raise Damaged(f"the tail of {event.id} in its {kind} log begins at another place")
    return tuple([record for _, _, record in left])


def _facts(event: AnyEvent, rates: str, to_base: ToBase) -> tuple[Facts, bool]:
    if not isinstance(event, Payment | Refund):
        return facts(event, record_kind(event), None), False
    try:
        return facts(event, record_kind(event), to_base(event, rates)), False
    except WeirError:
        return facts(event, record_kind(event), None), True


# Records in a stretch of history share their milliseconds, and each decision tells its own twice.
@lru_cache(maxsize=4096)
def _milliseconds(text: str) -> int:
    return parse_rfc3339(text)
