"""Labels and outcomes whose payment is not known yet: how they are kept until it is.

They wait on the compacted topic ``parked``, under a key of their own. A record without a value
says that one has gone: remembered, or given up as a dead letter.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from risk.domain.decision import Door
from risk.domain.decoding import decode_event
from risk.domain.ids import digest
from risk.domain.kinds import event_key
from risk.domain.observation import Arrival
from risk.domain.times import parse_rfc3339, rfc3339
from streams.partitioner import partition_of
from streams.publish import Outgoing
from streams.topics import Topics

PARKED_VERSION: Final = 1
_ENCODER: Final = msgspec.json.Encoder(order="deterministic")


class ParkedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that waits for the decision on ``payment_id``.

    ``source`` is topic:partition:offset of the record that brought it, "" where HTTP did;
    ``sha256`` (hex) is of that record's bytes.
    """

    tenant: str
    event_key: str
    payment_id: str
    door: Door
    arrived_at: str
    parked_at: str
    source: str
    sha256: str
    event: msgspec.Raw
    version: Literal[1] = 1

    @property
    def parked_ms(self) -> int:
        """When it was parked."""
        return parse_rfc3339(self.parked_at)

    @property
    def key(self) -> bytes:
        """Its key on the topic. Other content under one id waits beside it."""
        return f"{self.tenant}:{self.event_key}:{digest(bytes(self.event))[:16]}".encode()

    def arrival(self) -> Arrival:
        """The event as it came; nothing that is parked has an amount."""
        decoded = decode_event(bytes(self.event))
        return Arrival(
            event=decoded.event,
            body=decoded.body,
            fingerprint=decoded.fingerprint,
            door=self.door,
            arrived_at_ms=parse_rfc3339(self.arrived_at),
            amount_base=None,
        )


def parked(
    arrival: Arrival, payment_id: str, now_ms: int, source: str = "", sha256: str = ""
) -> ParkedEvent:
    """``arrival``, which names only ``payment_id``, as it is parked."""
    return ParkedEvent(
        tenant=arrival.event.tenant,
        event_key=event_key(arrival.event),
        payment_id=payment_id,
        door=arrival.door,
        arrived_at=rfc3339(arrival.arrived_at_ms),
        parked_at=rfc3339(now_ms),
        source=source,
        sha256=sha256 or digest(arrival.body),
        event=msgspec.Raw(arrival.body),
    )


def outgoing_parked(one: ParkedEvent, topics: Topics, partitions: int) -> Outgoing:
    """``one`` as it is published; what waits for one payment keeps its order."""
    return Outgoing(
        topic=topics.parked,
        partition=partition_of(f"{one.tenant}:{one.payment_id}".encode(), partitions),
        key=one.key,
        value=_ENCODER.encode(one),
    )


def outgoing_gone(one: ParkedEvent, topics: Topics, partitions: int) -> Outgoing:
    """Says that ``one`` waits no more."""
    return outgoing_parked(one, topics, partitions)._replace(value=None)


def decode_parked(body: bytes) -> ParkedEvent:
    """The inverse of what ``outgoing_parked`` wrote; raises msgspec.DecodeError."""
    return msgspec.json.decode(body, type=ParkedEvent)
