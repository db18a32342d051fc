"""What one record of the topics puts back into Redis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from features.claims import (
    UNREADABLE,
    ClaimedValue,
    DecidedValue,
    ReceiptValue,
    pack_places,
    pending_publication,
    pending_record,
    unpack_value,
)
from features.keys import Keys
from features.logs import Log, unpack_log
from features.proof.lean import EVENTS, check
from features.records import facts, records
from features.truth import TruthRecord, TruthTopic
from risk.domain.decision import (
    Decision,
    LedgerRecord,
    LogPosition,
    decode_decision,
    decode_ledger,
)
from risk.domain.decoding import decode_stored
from risk.domain.errors import InvalidEvent
from risk.domain.event import AnyEvent
from risk.domain.ids import digest
from risk.domain.ids import fingerprint as fingerprint_of
from risk.domain.kinds import entities, event_key, record_kind
from risk.domain.limits import LOG_TTL_S, RECEIPT_TTL_S
from risk.domain.observation import Publication, Receipt
from risk.domain.times import parse_rfc3339

ToBase = Callable[[AnyEvent, str], int | None]
"""The amount of an event in minor units of the base currency, by the exchange rates of this
digest; None without a rate."""
Write = tuple[bytes, bytes, int, bool]
"""Key, value, seconds to live, and whether the key leaves the pending set."""


FINGERPRINT_BYTES: Final = 16
SEQUENCE_MAX: Final = 2**48


class Unreadable(Exception):
    """A record of a topic is not what Weir writes there."""


@dataclass(frozen=True, slots=True)
class Found:
    """An event as a record tells of it. ``value`` is a receipt, or an unfinished claim."""

    event: AnyEvent
    value: ReceiptValue | ClaimedValue
    positions: Sequence[LogPosition]
    rates: str


def read_found(topic: TruthTopic, partition: int, record: TruthRecord) -> Found | None:
    """What ``record`` tells; None for a decision that is not authoritative.

    Raises Unreadable for foreign bytes.
    """
    try:
        if topic == "ledger":
            return _checked(_from_ledger(partition, record))
        decision = decode_decision(record.value)
        if not decision.authoritative:
            return None
        return _checked(_from_decision(partition, record, decision))
    except (msgspec.DecodeError, InvalidEvent, ValueError) as error:
        raise Unreadable(str(error)) from error


def _checked(found: Found) -> Found:
    """``found``, if its places are those of its event and fit a log."""
    names = entities(found.event)
    for place in found.positions:
        if (place.kind, place.identifier) not in names:
            raise Unreadable(f"the event has no {place.kind} log of that name")
        if not (0 <= place.base <= place.sequence < SEQUENCE_MAX and place.incarnation > 0):
            raise Unreadable(f"the place in the {place.kind} log is impossible")
    return found


def _from_decision(partition: int, record: TruthRecord, decision: Decision) -> Found:
    evidence = decision.evidence
    if evidence is None:
        raise Unreadable("an authoritative decision without evidence")
    receipt = Receipt(
        decision.outcome.value, decision.score, digest(record.value), partition, record.offset
    )
    value = ReceiptValue(bytes.fromhex(evidence.fingerprint), "decisions", receipt)
    event = _event(evidence.event, value.fingerprint)
    return Found(event, value, evidence.positions, evidence.digests.rates)


def _from_ledger(partition: int, record: TruthRecord) -> Found:
    entry = decode_ledger(record.value)
    body = bytes(entry.event)
    fingerprint = bytes.fromhex(entry.fingerprint)
    value: ReceiptValue | ClaimedValue
    if entry.pending:
        value = ClaimedValue(
            fingerprint,
            pack_places(entry.positions),
            parse_rfc3339(entry.arrived_at),
            entry.rates,
            body,
        )
    else:
        receipt = Receipt("", None, digest(record.value), partition, record.offset)
        value = ReceiptValue(fingerprint, "ledger", receipt)
    return Found(_event(entry.event, fingerprint), value, entry.positions, entry.rates)


def _event(raw: msgspec.Raw, expected: bytes) -> AnyEvent:
    """The event of a record. A door has checked it, as the fingerprint of its bytes says."""
    if len(expected) != FINGERPRINT_BYTES:
        raise Unreadable("the fingerprint has a wrong length")
    if fingerprint_of(bytes(raw)) != expected:
        raise Unreadable("the event is not the one of its fingerprint")
    event = EVENTS.decode(raw)
    check(event)
    return event


class Batch:
    """A number of findings, sorted by the keys that they change.

    The result does not depend on the order of the findings, except that the first receipt
    of an event stands.
    """

    def __init__(self, keys: Keys, findings: Sequence[Found], to_base: ToBase) -> None:
        self._keys = keys
        self._events: dict[bytes, list[ReceiptValue | ClaimedValue]] = {}
        self._logs: dict[bytes, list[tuple[LogPosition, bytes]]] = {}
        for one in findings:
            self._add(one, to_base(one.event, one.rates))

    def _add(self, one: Found, amount_base: int | None) -> None:
        event, tenant = one.event, one.event.tenant
        key = self._keys.event(tenant, event_key(event))
        self._events.setdefault(key, []).append(one.value)
        left = records(event, facts(event, record_kind(event), amount_base))
        by_name = {(kind, identifier): record for kind, identifier, record in left}
        for place in one.positions:
            key = self._keys.log(tenant, place.kind, place.identifier)
            record = by_name[place.kind, place.identifier]
            self._logs.setdefault(key, []).append((place, record))

    def keys(self) -> list[bytes]:
        """Every key that may change, once."""
        return [*self._events, *self._logs]

    def writes(self, held: Mapping[bytes, bytes | None]) -> list[Write]:
        """The writes that bring the keys of ``held``, some of ``keys``, to what was found."""
        made = []
        for key, value in held.items():
            if key in self._events:
                made += self._event(key, value)
            else:
                made.append((key, self._log(key, value), LOG_TTL_S, False))
        return made

    def _event(self, key: bytes, standing: bytes | None) -> list[Write]:
        """The first receipt stands, and before there is one, what Redis has, or the first claim."""
        written: list[Write] = []
        for value in self._events[key]:
            receipt = isinstance(value, ReceiptValue)
            if standing is None or (receipt and standing[:1] != b"R"):
                standing = value.pack()
                written = [(key, standing, RECEIPT_TTL_S if receipt else LOG_TTL_S, receipt)]
        return written

    def _log(self, key: bytes, value: bytes | None) -> bytes:
        """The log with every record at its recorded sequence."""
        log = unpack_log(value) if value else Log(0, 0, 0, bytearray())
        for place, record in self._logs[key]:
            if place.sequence >= log.following:
                log.incarnation, log.base = place.incarnation, place.base
            log.put(place.sequence, record)
        return log.pack()


def place_keeper(value: bytes | None) -> Publication | None:
    """The ledger publication that keeps the places of an unfinished event from loss.

    None where nothing is unfinished. Raises Unreadable for foreign bytes.
    """
    try:
        held = None if value is None else unpack_value(value)
        if isinstance(held, ClaimedValue):
            return pending_record(held)
        return _decided_places(held) if isinstance(held, DecidedValue) else None
    except UNREADABLE as error:
        raise Unreadable(str(error)) from error


def _decided_places(value: DecidedValue) -> Publication:
    """The places of an undelivered decision; the decision itself stays in the outbox."""
    if value.topic == "ledger":
        entry = decode_ledger(value.body)
        event = decode_stored(bytes(entry.event)).event
        return pending_publication(event, msgspec.structs.replace(entry, pending=True))
    evidence = decode_decision(value.body).evidence
    if evidence is None:
        raise ValueError("a decision in the outbox has no evidence")
    body = bytes(evidence.event)
    event = decode_stored(body).event
    return pending_publication(
        event,
        LedgerRecord(
            event_id=event.id,
            tenant=event.tenant,
            record=record_kind(event),
            pending=True,
            event=evidence.event,
            fingerprint=evidence.fingerprint,
            arrived_at=evidence.arrived_at,
            positions=evidence.positions,
            rates=evidence.digests.rates,
        ),
    )
