"""The writer of events: what habits and scenarios say happens, with all that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, Final, Literal, NamedTuple

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
from risk.simulator.label_laws import LabelLaw
from risk.simulator.merchants import RETURNED, SETTLED_LATER, Market, Merchant
from risk.simulator.numbers import mix, name
from risk.simulator.population import DAY_MS, Account, Population

HOUR_MS: Final = 3_600_000
HONEST_DECLINES: Final = 0.025
_REASONS_IN_SHOPS: Final[tuple[str, ...]] = (
    "insufficient_funds", "wrong_pin", "limit_exceeded", "issuer_unavailable",
)  # fmt: skip
_REASONS_ONLINE: Final[tuple[str, ...]] = (
    "insufficient_funds", "invalid_cvv", "limit_exceeded", "issuer_unavailable", "expired_card",
)  # fmt: skip
_REASONS_WITHOUT_CARD: Final[tuple[str, ...]] = ("insufficient_funds", "limit_exceeded")


class Attempt(NamedTuple):
    """A fraudulent payment that is to be played; ``decline`` is the reason why it failed, if so."""

    payment: ScoredEvent
    decline: str | None = None


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

    def number(self) -> int:
        """A number that was not given out before, for names of what is new in this world."""
        self._count += 1
        return self._count

    def new_device(self) -> str:
        """A device nobody has used."""
        return name("dev", self.seed, self.number(), 7)

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
            reasons = _REASONS_ONLINE if payment.lat is None else _REASONS_IN_SHOPS
            if payment.card is None:
                reasons = _REASONS_WITHOUT_CARD
            reason = reasons[int(len(reasons) * rng.random() ** 1.5)]
            self._outcome(payment, known_ms, reason)
            return False
        self._outcome(payment, known_ms, None)
        mcc = payment.mcc
        if mcc is None:
            return True
        if 1 - chance < RETURNED.get(mcc, 0.0):
            back_ms = at_ms + 2000 + int(rng.uniform(0.2, 12) * DAY_MS * self.delay_factor)
            self.refund(payment, back_ms, 1.0 if rng.random() < 0.8 else rng.uniform(0.2, 0.9))
        elif mcc in SETTLED_LATER:
            settled_ms = at_ms + 2000 + int(rng.uniform(0.5, 3) * DAY_MS * self.delay_factor)
            self._outcome(payment, settled_ms, None, "settled")
        return True

    def fraud(self, scenario: str, law: LabelLaw, attempts: Sequence[Attempt]) -> None:
        """Plan the payments of one case, found out together under ``law`` or never.

        The delay of the labels counts from the first payment of the case. A payment that is
        made after it was found out is labelled within the minute.
        """
        rng = self.rng
        for payment, decline in attempts:
            at_ms = payment.occurred_at_ms
            self.payments += 1
            self.truth.mark(payment.id, scenario, at_ms)
            self.agenda.add(at_ms, payment)
            self._outcome(payment, at_ms + 150 + int(900 * rng.random()), decline)
        notice = law.draw(rng)
        if notice is None or not attempts:
            return
        first_ms = min(payment.occurred_at_ms for payment, _ in attempts)
        known_ms = first_ms + int(notice.delay_ms * self.delay_factor)
        for payment, decline in attempts:
            if decline is not None and rng.random() >= law.declined_share:
                continue
            disputed = notice.label == "chargeback"
            label = "fraud_report" if disputed and decline is not None else notice.label
            label_ms = max(known_ms, payment.occurred_at_ms + 2000) + int(30_000 * rng.random())
            self._label(payment, label, label_ms)
            if notice.won_after_ms is not None and label == "chargeback":
                won_ms = label_ms + 1000 + int(notice.won_after_ms * self.delay_factor)
                self._label(payment, "dispute_won", won_ms)

    def refund(self, payment: ScoredEvent, at_ms: int, part: float = 1.0) -> None:
        """Plan that the share ``part`` of ``payment`` goes back at ``at_ms``, and its outcome."""
        self.agenda.add(
            at_ms,
            Refund(
                id=self.id("ref"), occurred_at=from_ms(at_ms), payment_id=payment.id,
                amount_minor=max(1, round(payment.amount_minor * part)),
                currency=payment.currency, account=payment.account, card=payment.card,
                merchant=payment.merchant,
            ),
        )  # fmt: skip
        self._outcome(payment, at_ms + 500, None, "refunded")

    def _outcome(
        self, payment: ScoredEvent, at_ms: int, decline: str | None,
        accepted: Literal["authorised", "settled", "refunded"] = "authorised",
    ) -> None:  # fmt: skip
        self.agenda.add(
            at_ms,
            OutcomeReport(
                id=self.id("out"), occurred_at=from_ms(at_ms), payment_id=payment.id,
                result=accepted if decline is None else "declined", reason=decline,
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


def _entities(payment: ScoredEvent) -> dict[str, Any]:
    """The entity fields of ``payment``, for the outcome and label events about it."""
    return {
        "account": payment.account, "card": payment.card, "merchant": payment.merchant,
        "beneficiary": payment.beneficiary, "device": payment.device, "ip": payment.ip,
    }  # fmt: skip
