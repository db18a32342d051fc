"""An alert: what a person is told, how grave it is, what it belongs to, and its evidence."""

from __future__ import annotations

import hashlib
from typing import Final, Literal

import msgspec

from risk.domain.times import rfc3339
from risk.rules.alerting import Severity

AlertType = Literal["rule", "rate", "drift"]
GROUP_VALUE_CHARS_MAX: Final = 200


class PaymentEvidence(msgspec.Struct, frozen=True, kw_only=True, tag_field="of", tag="payment"):
    """The decision behind an alert of a rule, and where it stands on the topic.

    ``values`` are the names that the rule's condition reads, null where missing; names that the
    decision does not hold are left out. Amounts are minor units of ``currency``.
    """

    payment_id: str
    account: str
    card: str | None
    merchant: str | None
    amount_minor: int
    currency: str
    outcome: str
    score: float | None
    action: str
    reasons: list[str]
    rule_hits: list[str]
    values: dict[str, float | str | None]
    decided_at: str
    book: str
    partition: int
    offset: int


class RateEvidence(msgspec.Struct, frozen=True, kw_only=True, tag_field="of", tag="rate"):
    """What was counted. ``earlier`` are the spans behind ``usual``, the newest first.

    ``usual`` is null where the rule compares with a number alone.
    """

    when: str
    kind: Literal["spike", "silence"]
    subject: str
    value: str
    from_at: str
    to_at: str
    count: int
    usual: float | None
    earlier: list[int]
    book: str


class DriftEvidence(msgspec.Struct, frozen=True, kw_only=True, tag_field="of", tag="drift"):
    """Which features of a model, its score or its calibration drifted; PSI by name."""

    model_digest: str
    n: int
    drifted: list[str]
    psi: dict[str, float]


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert. ``rule`` is the rule or rate rule that raised it.

    ``id`` follows from what is alerted of, so that a retry has the same one. Alerts of one
    ``group`` are raised once within a span; ``suppressed`` counts those that were held back in
    the group since the alert before.
    """

    id: str
    type: AlertType
    version: Literal[1] = 1
    tenant: str
    severity: Severity
    at: str
    rule: str
    reason: str
    sentence: str
    group: str
    suppressed: int
    evidence: PaymentEvidence | RateEvidence | DriftEvidence


class _Glance(msgspec.Struct):
    type: str


class DriftAlert(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="drift"):
    """What drifted: names of features, ``score`` or ``calibration``; PSI by name."""

    at_ms: int
    model_digest: str
    n: int
    drifted: list[str]
    psi: dict[str, float]
    tenant: str = "main"


_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
_GLANCE: Final = msgspec.json.Decoder(_Glance)
_ALERT: Final = msgspec.json.Decoder(Alert)
_DRIFT: Final = msgspec.json.Decoder(DriftAlert)


def alert_id(*parts: str) -> str:
    """32 hex digits that follow from ``parts``.

    >>> alert_id("rule", "main", "pay_1", "velocity") == alert_id("rule", "main", "pay_1", "velo")
    False
    """
    body = "\0".join(parts).encode()
    return hashlib.blake2b(body, digest_size=16, person=b"weir-alert").hexdigest()


def encode_alert(alert: Alert) -> bytes:
    """The bytes on the topic."""
    return _ENCODER.encode(alert)


def read_alert(body: bytes) -> Alert:
    """The alert that ``body`` is, also where drift of a model raised it.

    Raises msgspec.DecodeError, or ValueError, for other bytes.
    """
    if _GLANCE.decode(body).type != "drift":
        return _ALERT.decode(body)
    told = _DRIFT.decode(body)
    return Alert(
        id=hashlib.blake2b(body, digest_size=16, person=b"weir-alert").hexdigest(),
        type="drift",
        tenant=told.tenant,
        severity="medium",
        at=rfc3339(told.at_ms),
        rule="drift",
        reason="MODEL_DRIFT",
        sentence=f"The payments of now differ from the model's training: {_some(told.drifted)}.",
        group=f"model {told.model_digest[:12]}",
        suppressed=0,
        evidence=DriftEvidence(
            model_digest=told.model_digest, n=told.n, drifted=told.drifted, psi=told.psi
        ),
    )


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
