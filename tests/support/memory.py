"""Arrivals, publications and worlds for the tests of the feature memory."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.connection import Connection
from features.keys import Keys
from features.local_truth import LocalTruth
from features.records import RECORD_BYTES, Facts
from features.recovery import Recovery
from features.redis_memory import RedisMemory
from features.rollups import Rollup, unpack_rollup
from features.tails import Tail
from risk.domain.clock import ManualClock
from risk.domain.decision import (
    Decision,
    Digests,
    Evidence,
    LedgerRecord,
    encode_decision,
    encode_ledger,
)
from risk.domain.decoding import decode_event
from risk.domain.event import AnyEvent, Payment, Refund, is_scored
from risk.domain.kinds import event_key, record_kind
from risk.domain.observation import Arrival, Claimed, Delivery, Lost, Publication
from risk.domain.outcome import Outcome
from risk.domain.times import rfc3339

START_MS = 1_760_000_000_000
_PREFIXES = itertools.count()


def arrival(kind: str = "payment", at_ms: int = START_MS, **fields: Any) -> Arrival:
    """An event as a door received it; ``fields`` are those of the event."""
    whole: dict[str, Any] = {"type": kind, "occurred_at": rfc3339(at_ms), **fields}
    if kind in ("payment", "transfer", "withdrawal", "top_up", "refund"):
        whole = {"amount_minor": 1250, "currency": "EUR", **whole}
    event, body, fingerprint = decode_event(msgspec.json.encode(whole))
    return Arrival(event, body, fingerprint, "stream", at_ms, to_base(event))


def payment(number: int, at_ms: int = START_MS, **fields: Any) -> Arrival:
    """Payment ``p{number}`` of account a1 with card c1, unless ``fields`` say otherwise."""
    return arrival(at_ms=at_ms, **{"id": f"p{number}", "account": "a1", "card": "c1", **fields})


def to_base(event: AnyEvent, rates: str = "") -> int | None:
    """Euros are the base; nothing else has a rate."""
    if isinstance(event, Payment | Refund) and event.currency == "EUR":
        return event.amount_minor
    return None


def witness(
    items: Sequence[tuple[Arrival, tuple[Tail, ...]]],
    known: Sequence[Facts] | None = None,
    windows: tuple[str, ...] = (),
) -> tuple[NDArray[np.float64], list[tuple[str, ...]]]:
    """Vectors that tell any difference between tails: length, sum, and what is truncated.

    Of what fell off, the cells at the beginning of the tail are told, wherever folding stands.
    """
    assert known is None or len(known) == len(items)
    matrix = np.zeros((len(items), 3))
    for row, (_, tails) in enumerate(items):
        whole = b"|".join(
            tail.kind.encode() + bytes(tail.records) + cells_before(tail) for tail in tails
        )
        matrix[row] = len(whole), zlib.crc32(whole), sum(tail.truncated for tail in tails)
    truncated = [tuple(tail.kind for tail in tails if tail.truncated) for _, tails in items]
    return matrix, truncated


def cells_before(tail: Tail) -> bytes:
    """The cells of all that an event may still know of the records before its tail."""
    if not tail.truncated or tail.rolled is None:
        return b""
    rollup = unpack_rollup(tail.rolled) if tail.rolled else Rollup()
    count = len(tail.older) // RECORD_BYTES
    rollup.fold(rollup.folded, tail.older, rollup.folded + count)
    return rollup.newest_ms.to_bytes(6, "little") + rollup.cells.tobytes()


def decided(of: Arrival, seen: Claimed | Lost, outcome: str = "allow") -> Publication:
    """The publication of a decision, or of a remembered event's ledger record."""
    event = of.event
    if not is_scored(event):
        return _remembered(of, seen)
    decision = Decision(
        payment_id=event.id,
        tenant=event.tenant,
        outcome=Outcome(outcome),
        score=0.25,
        reasons=[],
        rule_hits=[],
        expected_cost=None,
        degraded=[],
        authoritative=True,
        decided_at=rfc3339(of.arrived_at_ms),
        expires_at=rfc3339(of.arrived_at_ms + 1000),
        evidence=_evidence(of, seen),
    )
    return Publication(
        event.tenant,
        event_key(event),
        "decisions",
        f"{event.tenant}:{event.id}".encode(),
        encode_decision(decision),
        outcome,
        0.25,
    )


def _evidence(of: Arrival, seen: Claimed | Lost) -> Evidence:
    lost = isinstance(seen, Lost)
    return Evidence(
        event=msgspec.Raw(of.body),
        fingerprint=of.fingerprint.hex(),
        door=of.door,
        arrived_at=rfc3339(of.arrived_at_ms),
        vector=None if lost else [float(number) for number in _vector(seen)],
        inexact=[],
        positions=list(seen.positions),
        features_lost=seen.position if isinstance(seen, Lost) else None,
        digests=Digests(
            catalogue="", model="", calibration="", book="", lists="", policy="", rates=""
        ),
        rule_errors=[],
        engine="test",
        libraries={},
    )


def _vector(seen: Claimed | Lost) -> list[float]:
    if isinstance(seen, Claimed) and seen.vector is not None:
        return [float(number) for number in seen.vector]
    return []


def _remembered(of: Arrival, seen: Claimed | Lost) -> Publication:
    event = of.event
    record = LedgerRecord(
        event_id=event.id,
        tenant=event.tenant,
        record=record_kind(event),
        pending=False,
        event=msgspec.Raw(of.body),
        fingerprint=of.fingerprint.hex(),
        arrived_at=rfc3339(of.arrived_at_ms),
        positions=list(seen.positions),
        rates="",
    )
    key = f"{event.tenant}:{event.account or event.id}".encode()
    body = encode_ledger(record)
    return Publication(event.tenant, event_key(event), "ledger", key, body, "", None)


def delivered(publication: Publication, partition: int = 0, offset: int = 7) -> Delivery:
    """``publication`` as Kafka confirmed it."""
    return Delivery(publication, partition, offset)


CHUNK = 200  # small, so that what is interrupted has several behind it


class Node:
    """One process on a Redis world: its connection, its recovery and its memory."""

    def __init__(
        self,
        connection: Connection,
        prefix: str,
        truth: LocalTruth,
        lock_ms: int = 10_000,
    ) -> None:
        self.connection = connection
        self.keys = Keys(prefix)
        self.truth = truth
        self.recovery = Recovery(connection, self.keys, truth, to_base, lock_ms, CHUNK)
        self.memory = RedisMemory(
            connection, self.keys, witness, self.recovery, ManualClock(START_MS)
        )

    async def close(self) -> None:
        await self.memory.close()


def new_prefix() -> str:
    """A key prefix that no other test of this session uses."""
    return f"w.t{next(_PREFIXES)}."


async def opened(
    url: str, prefix: str | None = None, truth: LocalTruth | None = None, lock_ms: int = 10_000
) -> Node:
    """A node that has joined its epoch, in a world of its own unless ``prefix`` is given."""
    node = Node(Connection(url), prefix or new_prefix(), truth or LocalTruth(), lock_ms)
    try:
        await node.memory.open()
    except BaseException:
        await node.close()
        raise
    return node
