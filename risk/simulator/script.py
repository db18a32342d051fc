"""The writer of events: what habits and scenarios say happens, with all that follows from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from risk.domain.event import (
    DeviceChange,
    Label,
    Login,
    OutcomeReport,
    Payment,
    Refund,
    ScoredEvent,
)
from risk.domain.times import from_ms
from risk.simulator.agenda import Agenda, Truth
from risk.simulator.merchants import Market, Merchant
from risk.simulator.numbers import mix, name
from risk.simulator.population import DAY_MS, Account, Population

HOUR_MS: Final = 3_600_000
HONEST_DECLINES: Final = 0.025
REFUNDS: Final = 0.02
FRIENDLY_FRAUD: Final = 0.0004  # honest payments that are charged back all the same
DISPUTES_WON: Final = 0.4
_HONEST_REASONS = ("insufficient_funds", "wrong_pin", "limit_exceeded", "issuer_unavailable")


@dataclass(frozen=True, slots=True)
class Report:
    """How the victim learns of a fraud: when (none: never), and by what label."""

    at_ms: int | None
    charged_back: bool


class Script:
    """Puts events on the agenda and counts payments; one for the whole run of a world.

    ``delay_factor`` shrinks the days until refunds and labels, for traffic that is watched live.
    """

    def __init__(self, seed: int, start_ms: int, population: Population, market: Market) -> None:
        self.rng = Random(f"script:{seed}:{start_ms}")  # noqa: S311
        self.population = population
        self.market = market
        self.agenda = Agenda()
        self.truth = Truth()
        self.delay_factor = 1.0
        self.payments = 0
        self.seed = seed
        self._run = f"{mix(seed, start_ms) >> 32:08x}"
        self._count = 0

    def id(self, prefix: str) -> str:
        """A fresh event id; worlds of another seed or start never share one."""
        self._count += 1
        return f"{prefix}_{self._run}{self._count:08x}"

    def new_device(self) -> str:
        """A device nobody has used."""
        self._count += 1
        return name("dev", self.seed, self._count, 7)

    def login(self, account: Account, at_ms: int, device: str, ip: str, *, ok: bool = True) -> None:
        """A login attempt from ``device`` at ``ip``."""
        self.agenda.add(
            at_ms,
            Login(
                id=self.id("log"), occurred_at=from_ms(at_ms), account=account.id,
                device=device, ip=ip, succeeded=ok,
            ),
        )  # fmt: skip

    def device_change(self, account: Account, at_ms: int, device: str, ip: str) -> None:
        """The account moves to ``device``."""
        self.agenda.add(
            at_ms,
            DeviceChange(
                id=self.id("chg"), occurred_at=from_ms(at_ms), account=account.id,
                device=device, ip=ip,
            ),
        )  # fmt: skip

    def card_payment(
        self, account: Account, merchant: Merchant, at_ms: int, amount_minor: int,
        **more: Any,
    ) -> Payment:  # fmt: skip
        """A payment at ``merchant``; ``more`` are further fields of the event."""
        online = merchant.trade.online
        return Payment(
            id=self.id("pay"), occurred_at=from_ms(at_ms), account=account.id,
            merchant=merchant.id, mcc=merchant.trade.mcc, terminal=merchant.terminal,
            amount_minor=amount_minor, currency=merchant.place.currency,
            country=merchant.place.country, card_country=account.place.country,
            bin=account.bin,
            lat=None if online else merchant.lat, lon=None if online else merchant.lon,
            account_opened_at=account.opened_at, kyc_level=account.kyc_level, **more,
        )  # fmt: skip

    def honest(self, payment: ScoredEvent, at_ms: int) -> bool:
        """Plan an honest payment and what follows; False where it was declined."""
        rng = self.rng
        self.payments += 1
        self.agenda.add(at_ms, payment)
        known_ms = at_ms + 150 + int(900 * rng.random())
        chance = rng.random()
        if chance < HONEST_DECLINES:
            self._outcome(payment, known_ms, _HONEST_REASONS[int(4 * rng.random() ** 1.5)])
            return False
        self._outcome(payment, known_ms, None)
        chance = 1 - chance
        if chance < FRIENDLY_FRAUD:
            self._dispute(payment, at_ms)
        elif chance < REFUNDS and payment.merchant is not None:
            self._refund(payment, at_ms)
        return True

    def fraud(
        self, payment: ScoredEvent, at_ms: int, scenario: str, decline: str | None, report: Report
    ) -> None:
        """Plan a fraudulent payment; ``decline`` is the reason why it failed, if it did."""
        rng = self.rng
        self.payments += 1
        self.truth.mark(payment.id, scenario)
        self.agenda.add(at_ms, payment)
        self._outcome(payment, at_ms + 150 + int(900 * rng.random()), decline)
        if report.at_ms is None:
            return
        if decline is not None:
            if rng.random() < 0.6:
                self._label(payment, "fraud_report", report.at_ms)
        elif report.charged_back:
            later_ms = rng.uniform(5, 30) * DAY_MS * self.delay_factor
            self._label(payment, "chargeback", report.at_ms + int(later_ms))
        else:
            self._label(payment, "fraud_report", report.at_ms + int(30_000 * rng.random()))

    def report(self, end_ms: int, reported: float, median_hours: float) -> Report:
        """When a fraud that ended at ``end_ms`` is noticed: log-normal, hours to days later."""
        rng = self.rng
        if rng.random() >= reported:
            return Report(None, charged_back=False)
        delay_ms = median_hours * HOUR_MS * math.exp(rng.gauss(0, 0.9)) + 0.5 * HOUR_MS
        return Report(
            end_ms + 1000 + int(delay_ms * self.delay_factor), charged_back=rng.random() < 0.35
        )

    def _outcome(self, payment: ScoredEvent, at_ms: int, decline: str | None) -> None:
        self.agenda.add(
            at_ms,
            OutcomeReport(
                id=self.id("out"), occurred_at=from_ms(at_ms), payment_id=payment.id,
                result="authorised" if decline is None else "declined", reason=decline,
                **_entities(payment),
            ),
        )  # fmt: skip

    def _label(self, payment: ScoredEvent, label: Any, at_ms: int) -> None:
        moment = from_ms(at_ms)
        self.agenda.add(
            at_ms,
            Label(
                id=self.id("lab"), occurred_at=moment, known_at=moment, payment_id=payment.id,
                label=label, **_entities(payment),
            ),
        )  # fmt: skip

    def _dispute(self, payment: ScoredEvent, at_ms: int) -> None:
        day_ms = DAY_MS * self.delay_factor
        known_ms = at_ms + 2000 + int(self.rng.uniform(8, 35) * day_ms)
        self._label(payment, "chargeback", known_ms)
        if self.rng.random() < DISPUTES_WON:
            won_ms = known_ms + 1000 + int(self.rng.uniform(5, 20) * day_ms)
            self._label(payment, "dispute_won", won_ms)

    def _refund(self, payment: ScoredEvent, at_ms: int) -> None:
        rng = self.rng
        back_ms = at_ms + 2000 + int(rng.uniform(0.2, 12) * DAY_MS * self.delay_factor)
        part = 1.0 if rng.random() < 0.8 else rng.uniform(0.2, 0.9)
        self.agenda.add(
            back_ms,
            Refund(
                id=self.id("ref"), occurred_at=from_ms(back_ms), payment_id=payment.id,
                amount_minor=max(1, round(payment.amount_minor * part)),
                currency=payment.currency, account=payment.account, card=payment.card,
                merchant=payment.merchant,
            ),
        )  # fmt: skip


def _entities(payment: ScoredEvent) -> dict[str, Any]:
    """The entity fields of ``payment``, for the outcome and label events about it."""
    return {
        "account": payment.account, "card": payment.card, "merchant": payment.merchant,
        "beneficiary": payment.beneficiary, "device": payment.device, "ip": payment.ip,
    }  # fmt: skip
