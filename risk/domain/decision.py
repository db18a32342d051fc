"""Decisions and their evidence: what is published, stored and proven.

The bytes of a decision are ``encode_decision(decision)``: deterministic JSON, so that a
replay can be compared byte for byte. Epochs travel in Kafka headers, never in the bytes.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from risk.domain.outcome import Outcome

DECISION_VERSION = 1
Door = Literal["stream", "http"]
# What was left out of a decision. "fallback" decisions are never authoritative.
Degraded = Literal["no_model", "no_features", "no_rules", "no_rate", "rule_failed", "fallback"]


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why: a stable code, a sentence for staff, a sentence that is safe to tell a customer."""

    code: str
    sentence: str
    customer: str


class RuleHit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A live rule that applied, or failed (``error`` then says how)."""

    rule: str
    action: str
    reason: str
    error: str | None = None


class LogPosition(msgspec.Struct, frozen=True, array_like=True):
    """Where an event stands in one entity log.

    ``incarnation`` is the epoch that wrote it, ``base`` that epoch's first sequence in this
    log, ``sequence`` the event's own place, ``tail_from`` the first record it may see.
    """

    kind: str
    identifier: str
    incarnation: int
    base: int
    sequence: int
    tail_from: int


class Digests(msgspec.Struct, frozen=True, kw_only=True):
    """SHA-256 (hex) of every immutable version that shaped the decision; "" where none was used."""

    catalogue: str
    model: str
    calibration: str
    book: str
    lists: str
    policy: str
    rates: str


class ExpectedCost(msgspec.Struct, frozen=True, kw_only=True):
    """Expected cost of each outcome, in minor units of the base currency."""

    allow_minor: int
    review_minor: int
    block_minor: int


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a replay needs besides the tables that the digests name.

    ``vector`` is in catalogue order, null where missing. ``event`` is the canonical event.
    ``windows`` are those that the rules of the book asked for, by their text: absent where
    there was none, null where a value is missing.
    """

    event: msgspec.Raw
    fingerprint: str
    door: Door
    arrived_at: str
    vector: list[float | None] | None
    windows: dict[str, float | None] | msgspec.UnsetType = msgspec.UNSET
    inexact: list[str]
    positions: list[LogPosition]
    features_lost: LogPosition | None
    digests: Digests
    rule_errors: list[RuleHit]
    engine: str
    libraries: dict[str, str]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one payment. ``score`` is a calibrated probability, null without a model."""

    payment_id: str
    tenant: str
    version: Literal[1] = 1
    outcome: Outcome
    score: float | None
    reasons: list[Reason]
    rule_hits: list[RuleHit]
    expected_cost: ExpectedCost | None
    degraded: list[Degraded]
    authoritative: bool
    decided_at: str
    expires_at: str
    evidence: Evidence | None = None


class LedgerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A remembered event (or an unfinished claim) with its places in the logs."""

    event_id: str
    tenant: str
    version: Literal[1] = 1
    record: str
    pending: bool
    event: msgspec.Raw
    fingerprint: str
    arrived_at: str
    positions: list[LogPosition]
    rates: str


_ENCODER = msgspec.json.Encoder(order="deterministic")
_DECISIONS: msgspec.json.Decoder[Decision] = msgspec.json.Decoder(Decision)
_LEDGER: msgspec.json.Decoder[LedgerRecord] = msgspec.json.Decoder(LedgerRecord)


def encode_decision(decision: Decision) -> bytes:
    """The exact bytes that are stored, published and replayed."""
    return _ENCODER.encode(decision)


def decode_decision(body: bytes) -> Decision:
    """The inverse of ``encode_decision``; raises msgspec.ValidationError on other bytes."""
    return _DECISIONS.decode(body)


def encode_ledger(record: LedgerRecord) -> bytes:
    return _ENCODER.encode(record)


def decode_ledger(body: bytes) -> LedgerRecord:
    return _LEDGER.decode(body)
