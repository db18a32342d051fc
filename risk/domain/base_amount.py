"""The amount of any event in the base currency: one answer for both doors and for history."""

from __future__ import annotations

from risk.domain.event import AnyEvent, Payment, Refund
from risk.domain.money import ExchangeRates


def amount_in_base(event: AnyEvent, rates: ExchangeRates) -> int | None:
    """Minor units of the base currency; None without an amount, or without a rate for it."""
    if isinstance(event, Payment | Refund):
        return rates.to_base(event.amount_minor, event.currency)
    return None
