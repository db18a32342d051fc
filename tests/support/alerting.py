"""Decisions that alerts look at, and books that make alerts of them."""

from __future__ import annotations

from typing import Any

import msgspec

from risk.alerts.alert import Alert, PaymentEvidence
from risk.alerts.seen import Features
from risk.domain.times import rfc3339
from risk.rules.book import Book, Rule
from streams.alert_reading import AlertReading
from streams.topics import Topics

NOW_MS = 1_793_620_800_000
FEATURES = Features(("card_payments_1h", "account_payments_5m"), "catalogue-1")
WHEN = 'card_payments_1h >= 8 and amount_minor > 5 and count(card, "3h") > 1 and score > 0'


def rule(rule_id: str, action: Any = "alert", **fields: Any) -> Rule:
    """A live rule."""
    given = {
        "name": "n", "when": "True", "reason": rule_id.upper(), "sentence": f"{rule_id} hit.",
        "customer": "c", "owner": "o", "state": "live", **fields,
    }  # fmt: skip
    return Rule(id=rule_id, action=action, **given)


def book(*rules: Rule, rates: Any = msgspec.UNSET) -> Book:
    """A book of these rules."""
    return Book(name="A book", rules=rules, rate_rules=rates)


def hit(rule_id: str, action: str = "alert", **fields: Any) -> dict[str, Any]:
    """A hit as it stands in a decision."""
    return {"rule": rule_id, "action": action, "reason": rule_id.upper(), **fields}


def decision(
    payment_id: str, of: str = "", hits: Any = (), at_ms: int = NOW_MS, **fields: Any
) -> bytes:
    """The bytes of a decision of the book ``of``, with these hits.

    ``paid`` are fields of the payment, ``evidence`` of the evidence.
    """
    paid = {"account": "a-1", "card": "c-1", "amount_minor": 1999, "currency": "EUR",
            "merchant": "m-1", "type": "payment", "id": payment_id,
            "occurred_at": rfc3339(at_ms), **fields.pop("paid", {})}  # fmt: skip
    digests = dict.fromkeys(("model", "calibration", "lists", "policy", "rates"), "")
    evidence = {
        "event": paid, "fingerprint": "", "door": "stream", "arrived_at": rfc3339(at_ms),
        "vector": [9.0, None], "inexact": [], "positions": [], "features_lost": None,
        "digests": {**digests, "catalogue": FEATURES.digest, "book": of}, "rule_errors": [],
        "engine": "weir", "libraries": {}, **fields.pop("evidence", {}),
    }  # fmt: skip
    return msgspec.json.encode({
        "payment_id": payment_id, "tenant": "main", "version": 1, "outcome": "review",
        "score": 0.25, "reasons": [{"code": one["reason"], "sentence": "s", "customer": "c"}
                                   for one in hits],
        "rule_hits": list(hits), "expected_cost": None, "degraded": [], "authoritative": True,
        "decided_at": rfc3339(at_ms), "expires_at": rfc3339(at_ms), "evidence": evidence,
        **fields,
    })  # fmt: skip


def alert(number: int = 1, **fields: Any) -> Alert:
    """An alert of a rule; another ``number`` is another one, a second later."""
    at = rfc3339(NOW_MS + number * 1000)
    evidence = PaymentEvidence(
        payment_id=f"pay_{number}", account="a-1", card=None, merchant=None, amount_minor=1,
        currency="EUR", outcome="review", score=None, action="alert", reasons=[], rule_hits=[],
        values={}, decided_at=at, book="", partition=0, offset=number,
    )  # fmt: skip
    given: dict[str, Any] = {
        "id": f"{number:032x}", "type": "rule", "tenant": "main", "severity": "medium", "at": at,
        "rule": "velocity", "reason": "VELOCITY", "sentence": "Often.", "group": "account a-1",
        "suppressed": 0, "evidence": evidence, **fields,
    }  # fmt: skip
    return Alert(**given)


async def alerts_told(kafka: str, topics: Topics) -> list[Alert]:
    """What stands on the topic of alerts."""
    reading = AlertReading(kafka, topics)
    await reading.open()
    found: list[Alert] = []
    while not reading.at_end:
        found += [one.alert for one in await reading.poll(200) if one.alert]
    await reading.close()
    return found
