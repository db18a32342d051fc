"""The records that a payment saw, named so that anybody can look them up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import aclosing

import msgspec

from features.catalogue import FEATURE_NAMES, feature
from features.proof.arena import Arena
from features.proof.arena_kernel import UNKNOWN
from features.proof.history import History, HistoryRecord
from features.proof.origin import Origin, unpack_origin
from features.proof.rebuilder import Item
from features.spec import FeatureSpec
from features.steps import Step
from risk.domain.decision import decode_decision, decode_ledger
from risk.domain.decoding import decode_stored
from risk.domain.event import Payment, Refund
from risk.domain.kinds import event_key, record_kind
from risk.domain.times import rfc3339


class Sight(msgspec.Struct, frozen=True):
    """One place of a log, and where the record stands that tells it (None for a hole)."""

    log: str
    sequence: int
    origin: Origin | None


class Witness(msgspec.Struct, frozen=True, kw_only=True):
    """A record that a payment saw, with what it says."""

    log: str
    sequence: int
    topic: str
    partition: int
    offset: int
    event_id: str
    kind: str
    occurred_at: str
    arrived_at: str
    amount_minor: int | None
    currency: str | None


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What one record of the topics says of its event."""

    event_id: str
    event_key: str
    kind: str
    occurred_at: str
    arrived_at: str
    amount_minor: int | None
    currency: str | None


def entities_of_feature(spec: FeatureSpec) -> tuple[str, ...]:
    """The kinds of entity whose logs the feature reads, in the order of first use.

    >>> entities_of_feature(feature("card_payments_1h"))
    ('card',)
    """
    found: dict[str, None] = {}

    def walk(step: Step) -> None:
        if step.past is not None:
            found.setdefault(step.past.entity)
        for earlier in step.inputs:
            walk(earlier)

    walk(spec.step)
    return tuple(found)


def seen_by(arena: Arena, item: Item, name: str) -> tuple[Sight, ...]:
    """The places that ``item`` saw in the logs of the feature ``name``, oldest first.

    For another name (a score) there are none. Only until the next chunk is taken.
    """
    kinds = entities_of_feature(feature(name)) if name in FEATURE_NAMES else ()
    found: list[Sight] = []
    for at, position in zip(item.asked, item.told.positions, strict=True):
        if position.kind in kinds:
            log = f"{position.kind} {position.identifier}"
            found += sights(arena, log, at.log, range(at.tail_from, at.sequence))
    return tuple(found)


def sights(arena: Arena, name: str, log: int, sequences: Iterable[int]) -> list[Sight]:
    """The places of one log, told or not."""
    first, following = int(arena.logs.first[log]), int(arena.logs.following[log])
    found = []
    for sequence in sequences:
        origin = None
        if first <= sequence < following:
            at = arena.at(log, sequence)
            if arena.places.state[at] != UNKNOWN:
                origin = unpack_origin(int(arena.places.origin[at]))
        found.append(Sight(name, sequence, origin))
    return found


async def contents(history: History, wanted: Iterable[Origin]) -> dict[Origin, Content]:
    """What the records at ``wanted`` say; reads the history once more."""
    left = set(wanted)
    found: dict[Origin, Content] = {}
    async with aclosing(history.chunks()) as chunks:
        async for chunk in chunks:
            for record in chunk:
                origin = Origin(record.topic, record.partition, record.offset)
                if origin in left:
                    found[origin] = content(record)
                    left.discard(origin)
            if not left:
                break
    return found


async def told_by(history: History, seen: Sequence[Sight]) -> list[Witness]:
    """``seen`` with what the records say; holes are left out."""
    said = await contents(history, [one.origin for one in seen if one.origin is not None])
    return [
        Witness(
            log=one.log,
            sequence=one.sequence,
            topic=one.origin.topic,
            partition=one.origin.partition,
            offset=one.origin.offset,
            event_id=of.event_id,
            kind=of.kind,
            occurred_at=of.occurred_at,
            arrived_at=of.arrived_at,
            amount_minor=of.amount_minor,
            currency=of.currency,
        )
        for one in seen
        if one.origin is not None and (of := said.get(one.origin)) is not None
    ]


def content(record: HistoryRecord) -> Content:
    """What a record that ``read_told`` has accepted says of its event."""
    if record.topic == "ledger":
        entry = decode_ledger(record.value)
        body, arrived_at = bytes(entry.event), entry.arrived_at
    else:
        evidence = decode_decision(record.value).evidence
        assert evidence is not None
        body, arrived_at = bytes(evidence.event), evidence.arrived_at
    event = decode_stored(body).event
    money = event if isinstance(event, Payment | Refund) else None
    return Content(
        event_id=event.id,
        event_key=event_key(event),
        kind=record_kind(event),
        occurred_at=rfc3339(event.occurred_at_ms),
        arrived_at=arrived_at,
        amount_minor=money.amount_minor if money else None,
        currency=money.currency if money else None,
    )
