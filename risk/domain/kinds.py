"""The kinds of entity that have a log, and the kinds of record a log holds.

Numbers are written into records: only ever appended, never moved.
"""

from __future__ import annotations

from typing import Final

from risk.domain.event import Event, Label, Login, OutcomeReport

# Entities that own a log, in the order in which an event touches them.
ENTITY_KINDS: Final = ("account", "card", "device", "ip", "merchant", "beneficiary")

RECORD_KINDS: Final = (
    "", "payment", "transfer", "withdrawal", "top_up",
    "login", "login_failed", "device_change", "beneficiary_added", "password_reset", "refund",
    "authorised", "declined", "settled", "refunded",
    "chargeback", "fraud_report", "dispute_won", "analyst_fraud", "analyst_legit",
    "decided_review", "decided_block",
)  # fmt: skip
RECORD_KIND_CODE: Final = {name: code for code, name in enumerate(RECORD_KINDS) if name}
HOLE: Final = 31  # a sequence whose event was lost; no feature sees it

ATTEMPTS: Final = ("payment", "transfer", "withdrawal", "top_up")
FRAUD_LABELS: Final = ("chargeback", "fraud_report", "analyst_fraud")


def record_kind(event: Event) -> str:
    """The kind of record that ``event`` leaves."""
    if isinstance(event, OutcomeReport):
        return event.result
    if isinstance(event, Label):
        return event.label
    if isinstance(event, Login) and not event.succeeded:
        return "login_failed"
    return event.kind


def event_key(event: Event) -> str:
    """What an event is claimed under: its id, and for remembered events its kind too.

    A payment, its outcome and its label may share an id and still be events of their own.
    """
    kind = event.kind
    if kind in ATTEMPTS:
        return f"p:{event.id}"
    return f"{record_kind(event)}:{event.id}"


def entities(event: Event) -> list[tuple[str, str]]:
    """(kind, identifier) of every entity log that ``event`` is appended to, in fixed order."""
    return [
        (kind, identifier)
        for kind in ENTITY_KINDS
        if (identifier := getattr(event, kind)) is not None
    ]
