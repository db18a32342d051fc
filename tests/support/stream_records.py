"""Raw records and events for the tests of the stream door."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import msgspec

from risk.domain.decision import Decision, Digests, Evidence, encode_decision
from risk.domain.decoding import decode_event
from risk.domain.outcome import Outcome
from risk.domain.times import rfc3339
from streams.batch import Batch

NOW_MS = 1_793_620_800_000
EVENTS = "weir.events"


@dataclass(frozen=True, slots=True)
class Raw:
    """A Kafka record as aiokafka hands it over."""

    offset: int
    value: bytes | None
    topic: str = EVENTS
    partition: int = 3
    timestamp: int = NOW_MS
    key: bytes | None = b"main:a-1"
    headers: tuple[tuple[str, bytes], ...] = field(default=())


def payment(identifier: str, at_ms: int = NOW_MS, **fields: Any) -> bytes:
    """The JSON of a payment."""
    return event("payment", identifier, at_ms, **{**_PAID, **fields})


_PAID = {"account": "a-1", "card": "c-1", "amount_minor": 1999, "currency": "EUR"}


def event(kind: str, identifier: str, at_ms: int = NOW_MS, **fields: Any) -> bytes:
    """The JSON of an event of any type."""
    body = {"type": kind, "id": identifier, "occurred_at": rfc3339(at_ms), **fields}
    return json.dumps(body).encode()


def batch(*values: bytes | None, first: int = 100, timestamp: int = NOW_MS) -> Batch:
    """A batch of records with consecutive offsets."""
    records = [Raw(first + step, value, timestamp=timestamp) for step, value in enumerate(values)]
    return Batch(EVENTS, 3, 1, first, records)


def decision(payment_id: str, outcome: Outcome = Outcome.BLOCK, **fields: Any) -> bytes:
    """The bytes of a decision on a payment."""
    body = decode_event(payment(payment_id, **fields)).body
    none = Digests(catalogue="", model="", calibration="", book="", lists="", policy="", rates="")
    evidence = Evidence(
        event=msgspec.Raw(body),
        fingerprint="",
        door="stream",
        arrived_at=rfc3339(NOW_MS),
        vector=None,
        inexact=[],
        positions=[],
        features_lost=None,
        digests=none,
        rule_errors=[],
        engine="test",
        libraries={},
    )
    return encode_decision(
        Decision(
            payment_id=payment_id,
            tenant="main",
            outcome=outcome,
            score=0.9,
            reasons=[],
            rule_hits=[],
            expected_cost=None,
            degraded=[],
            authoritative=True,
            decided_at=rfc3339(NOW_MS + 20),
            expires_at=rfc3339(NOW_MS + 900_000),
            evidence=evidence,
        )
    )
