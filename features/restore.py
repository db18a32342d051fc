"""What one record of the topics puts back into Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import msgspec

from features.claims import (
    ClaimedValue,
    DecidedValue,
    EventValue,
    ReceiptValue,
    pack_places,
    pending_publication,
    pending_record,
)
from features.keys import Keys
from features.logs import Log, unpack_log
from features.records import facts, records
from features.truth import TruthRecord, TruthTopic
from risk.domain.decision import (
    Decision,
    LedgerRecord,
    LogPosition,
    decode_decision,
    decode_ledger,
)
from risk.domain.decoding import decode_event
from risk.domain.errors import InvalidEvent
from risk.domain.event import AnyEvent
from risk.domain.ids import digest
from risk.domain.kinds import event_key, record_kind
from risk.domain.limits import LOG_TTL_S, RECEIPT_TTL_S
from risk.domain.observation import Publication, Receipt
from risk.domain.times import parse_rfc3339

ToBase = Callable[[AnyEvent, str], int | None]
"""The amount of an event in minor units of the base currency, by the exchange rates of this
digest; None without a rate."""
Write = tuple[bytes, bytes, int, bool]
"""Key, value, seconds to live, and whether the key leaves the pending set."""


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
            return _from_ledger(partition, record)
        decision = decode_decision(record.value)
        return _from_decision(partition, record, decision) if decision.authoritative else None
    except (msgspec.DecodeError, InvalidEvent, ValueError) as error:
        raise Unreadable(str(error)) from error


def _from_decision(partition: int, record: TruthRecord, decision: Decision) -> Found:
    evidence = decision.evidence
    if evidence is None:
        raise Unreadable("an authoritative decision without evidence")
    receipt = Receipt(
        decision.outcome.value, decision.score, digest(record.value), partition, record.offset
    )
    value = ReceiptValue(bytes.fromhex(evidence.fingerprint), "decisions", receipt)
    event = decode_event(bytes(evidence.event)).event
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
    return Found(decode_event(body).event, value, entry.positions, entry.rates)


class Batch:
    """A number of findings, merged into what Redis holds under their keys.

    The result does not depend on the order of the findings, except that the first receipt
    of an event stands.
    """

    def __init__(self, keys: Keys, findings: Sequence[Found]) -> None:
        self._keys = keys
        self._findings = findings

    def keys(self) -> list[bytes]:
        """Every key that may change, once."""
        names = {self._event_key(one): None for one in self._findings}
        for one in self._findings:
            names.update(dict.fromkeys(self._log_key(one, place) for place in one.positions))
        return list(names)

    def writes(self, held: dict[bytes, bytes | None], to_base: ToBase) -> list[Write]:
        """The writes that bring ``held`` (by key) to what the findings say."""
        events: dict[bytes, tuple[bytes, bool]] = {}
        logs: dict[bytes, Log] = {}
        for one in self._findings:
            key = self._event_key(one)
            standing = events[key][0] if key in events else held.get(key)
            receipt = isinstance(one.value, ReceiptValue)
            if standing is None or (receipt and standing[:1] != b"R"):
                events[key] = (one.value.pack(), receipt)
            self._put(one, held, logs, to_base)
        return [
            (key, value, RECEIPT_TTL_S if settled else LOG_TTL_S, settled)
            for key, (value, settled) in events.items()
        ] + [(key, log.pack(), LOG_TTL_S, False) for key, log in logs.items()]

    def _put(
        self, one: Found, held: dict[bytes, bytes | None], logs: dict[bytes, Log], to_base: ToBase
    ) -> None:
        """Put the records of one finding at their recorded sequences."""
        amount = to_base(one.event, one.rates)
        left = records(one.event, facts(one.event, record_kind(one.event), amount))
        by_name = {(kind, identifier): record for kind, identifier, record in left}
        for place in one.positions:
            key = self._log_key(one, place)
            if key not in logs:
                value = held.get(key)
                logs[key] = unpack_log(value) if value else Log(0, 0, 0, bytearray())
            log = logs[key]
            if place.sequence >= log.following:
                log.incarnation, log.base = place.incarnation, place.base
            log.put(place.sequence, by_name[place.kind, place.identifier])

    def _event_key(self, one: Found) -> bytes:
        return self._keys.event(one.event.tenant, event_key(one.event))

    def _log_key(self, one: Found, place: LogPosition) -> bytes:
        return self._keys.log(one.event.tenant, place.kind, place.identifier)


def saved(values: Iterable[EventValue | None]) -> list[Publication]:
    """Ledger publications that keep surviving claims and undelivered decisions from loss."""
    publications = []
    for value in values:
        if isinstance(value, ClaimedValue):
            publications.append(pending_record(value))
        elif isinstance(value, DecidedValue):
            publications.append(_saved_decision(value))
    return publications


def _saved_decision(value: DecidedValue) -> Publication:
    """The places of an undelivered decision; the decision itself stays in the outbox."""
    if value.topic == "ledger":
        entry = decode_ledger(value.body)
        event = decode_event(bytes(entry.event)).event
        return pending_publication(event, msgspec.structs.replace(entry, pending=True))
    evidence = decode_decision(value.body).evidence
    if evidence is None:
        raise ValueError("a decision in the outbox has no evidence")
    body = bytes(evidence.event)
    event = decode_event(body).event
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
