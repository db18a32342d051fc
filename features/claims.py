"""The one value that Redis holds for an event, in its three states.

========  =====================================================================
claimed   ``C`` fingerprint 16, number of logs 1, places 16 each, then the facts:
          arrival ms 6, digest of the exchange rates 32, canonical event
decided   ``D`` fingerprint 16, digest 32, topic 1 (d or l), score 8 (NaN none),
          outcome (length 1), Kafka key (length 2), the exact bytes
receipt   ``R`` the same up to and with the outcome, then partition 4, offset 8
========  =====================================================================

Numbers are little-endian. The Lua scripts cut these strings at the same places.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from features.logs import PLACE_BYTES, pack_three, positions
from risk.domain.decision import LedgerRecord, LogPosition, encode_ledger
from risk.domain.decoding import decode_stored
from risk.domain.errors import InvalidEvent
from risk.domain.event import AnyEvent
from risk.domain.kinds import entities, event_key, record_kind
from risk.domain.observation import Arrival, Publication, Receipt
from risk.domain.times import rfc3339

# What reading a value that this Weir did not write may raise.
UNREADABLE: Final = (msgspec.DecodeError, InvalidEvent, ValueError, IndexError, struct.error)
_PLACE = struct.Struct("<IQ")
_SCORE = struct.Struct("<d")
_KEY_LENGTH = struct.Struct("<H")
_FACTS_BYTES: Final = 38
_TOPIC_LETTER: Final = {"decisions": b"d", "ledger": b"l"}


@dataclass(frozen=True, slots=True)
class ClaimedValue:
    """State C: what an unfinished claim's ledger record needs."""

    fingerprint: bytes
    places: bytes
    arrived_at_ms: int
    rates: str
    body: bytes

    def event(self) -> AnyEvent:
        """The claimed event."""
        return decode_stored(self.body).event

    def pack(self) -> bytes:
        """The value as it stands in Redis."""
        head = b"C" + self.fingerprint + bytes([len(self.places) // PLACE_BYTES]) + self.places
        return head + _facts(self.arrived_at_ms, self.rates) + self.body


@dataclass(frozen=True, slots=True)
class DecidedValue:
    """State D: bytes that wait to be published and acknowledged."""

    fingerprint: bytes
    digest: str
    topic: Literal["decisions", "ledger"]
    outcome: str
    score: float | None
    key: bytes
    body: bytes

    def publication(self, tenant: str, event_key: str) -> Publication:
        """What has to be published for the event."""
        return Publication(
            tenant, event_key, self.topic, self.key, self.body, self.outcome, self.score
        )


@dataclass(frozen=True, slots=True)
class ReceiptValue:
    """State R: where the published bytes are."""

    fingerprint: bytes
    topic: Literal["decisions", "ledger"]
    receipt: Receipt

    def pack(self) -> bytes:
        """The value as it stands in Redis."""
        of = self.receipt
        head = _decided_head(bytes.fromhex(of.digest), self.topic, of.score, of.outcome)
        return b"R" + self.fingerprint + head + pack_place(of.partition, of.offset)


EventValue = ClaimedValue | DecidedValue | ReceiptValue


def pack_facts(arrival: Arrival, rates: str) -> bytes:
    """What stands behind the places of a claim."""
    return _facts(arrival.arrived_at_ms, rates) + arrival.body


def pack_decided(publication: Publication) -> bytes:
    """A decided value without its state and fingerprint, which the script takes over."""
    head = _decided_head(
        publication.digest, publication.topic, publication.score, publication.outcome
    )
    return head + _KEY_LENGTH.pack(len(publication.key)) + publication.key + publication.body


def pack_place(partition: int, offset: int) -> bytes:
    """Twelve bytes."""
    return _PLACE.pack(partition, offset)


def unpack_value(value: bytes) -> EventValue:
    """The value of an event key; raises ValueError on an unknown state."""
    state, fingerprint = value[:1], value[1:17]
    if state == b"C":
        return _unpack_claimed(value)
    if state not in (b"D", b"R"):
        raise ValueError(f"an event's value begins with {state!r}, not with C, D or R")
    digest = value[17:49].hex()
    topic: Literal["decisions", "ledger"] = "decisions" if value[49:50] == b"d" else "ledger"
    (number,) = _SCORE.unpack_from(value, 50)
    score = None if math.isnan(number) else number
    after = 59 + value[58]
    outcome = value[59:after].decode()
    if state == b"R":
        partition, offset = _PLACE.unpack_from(value, after)
        receipt = Receipt(outcome, score, digest, partition, offset)
        return ReceiptValue(fingerprint, topic, receipt)
    body_at = after + 2 + _KEY_LENGTH.unpack_from(value, after)[0]
    key, body = value[after + 2 : body_at], value[body_at:]
    return DecidedValue(fingerprint, digest, topic, outcome, score, key, body)


def pending_record(claim: ClaimedValue) -> Publication:
    """The ledger publication that saves an unfinished claim from becoming a hole."""
    event = claim.event()
    return pending_publication(
        event,
        LedgerRecord(
            event_id=event.id,
            tenant=event.tenant,
            record=record_kind(event),
            pending=True,
            event=msgspec.Raw(claim.body),
            fingerprint=claim.fingerprint.hex(),
            arrived_at=rfc3339(claim.arrived_at_ms),
            positions=list(positions(entities(event), claim.places)),
            rates=claim.rates,
        ),
    )


def pending_publication(event: AnyEvent, record: LedgerRecord) -> Publication:
    """``record`` on its way to the ledger, keyed by tenant and account."""
    return Publication(
        tenant=event.tenant,
        event_key=event_key(event),
        topic="ledger",
        key=f"{event.tenant}:{event.account or event.id}".encode(),
        body=encode_ledger(record),
        outcome="",
        score=None,
    )


def pack_places(of: Sequence[LogPosition]) -> bytes:
    """Positions as they stand in a claim."""
    return b"".join(pack_three(one.incarnation, one.base, one.sequence) for one in of)


def _facts(arrived_at_ms: int, rates: str) -> bytes:
    digest = bytes.fromhex(rates) if rates else bytes(32)
    return arrived_at_ms.to_bytes(6, "little") + digest


def _decided_head(digest: bytes, topic: str, score: float | None, outcome: str) -> bytes:
    number = _SCORE.pack(math.nan if score is None else score)
    text = outcome.encode()
    return digest + _TOPIC_LETTER[topic] + number + bytes([len(text)]) + text


def _unpack_claimed(value: bytes) -> ClaimedValue:
    at = 18 + value[17] * PLACE_BYTES
    rates = value[at + 6 : at + _FACTS_BYTES]
    return ClaimedValue(
        fingerprint=value[1:17],
        places=value[18:at],
        arrived_at_ms=int.from_bytes(value[at : at + 6], "little"),
        rates=rates.hex() if any(rates) else "",
        body=value[at + _FACTS_BYTES :],
    )
