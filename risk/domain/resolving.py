"""Labels and outcomes that name only their payment: whose entities they concern."""

from __future__ import annotations

from typing import Final

import msgspec

from risk.domain.decision import decode_decision
from risk.domain.decoding import Canonical, canonical, decode_event
from risk.domain.event import AnyEvent, Label, OutcomeReport

_ENTITIES: Final = ("account", "card", "merchant", "beneficiary", "device", "ip")


def payment_wanted(event: AnyEvent) -> str | None:
    """The payment whose entities ``event`` needs, None where it names entities itself."""
    if not isinstance(event, Label | OutcomeReport):
        return None
    named = any(getattr(event, name) is not None for name in _ENTITIES)
    return None if named else event.payment_id


def entities_of(event: AnyEvent) -> dict[str, str | None]:
    """The entity fields of ``event`` by name."""
    return {name: getattr(event, name) for name in _ENTITIES}


def with_entities(event: AnyEvent, decision: bytes) -> Canonical | None:
    """``event`` with the entities of the payment that ``decision`` (its bytes) is about.

    The same at both doors, so that a repeated label is the same event. None where the
    decision holds no evidence.
    """
    evidence = decode_decision(decision).evidence
    if evidence is None:
        return None
    payment = decode_event(bytes(evidence.event)).event
    return canonical(msgspec.structs.replace(event, **entities_of(payment)))
