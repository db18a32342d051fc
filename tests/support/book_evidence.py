"""Reports of back-tests that nobody ran, for what only asks which book and range they are of."""

from __future__ import annotations

from risk.backtest.report import (
    Examples,
    Interval,
    Loop,
    Money,
    Report,
    Reviews,
    Signed,
    Source,
    encode_report,
)
from risk.lists.manifest import manifest_digest
from risk.policy import Policy
from risk.tables.load import exchange_rates

FROM_MS = 1_767_225_600_000  # 2026-01-01
TO_MS = FROM_MS + 31 * 24 * 60 * 60 * 1000  # 2026-02-01
RATES = exchange_rates(None, "EUR")
_NOTHING = Interval(value=0.0, low=0.0, high=0.0)


def report(book: str, payments: int = 10) -> Report:
    """About the book of this digest."""
    signed = Signed(
        book=book, lists=manifest_digest({}), policy=Policy().digest(), model="", calibration="",
        catalogue="", rates=RATES.digest(),
    )  # fmt: skip
    return Report(
        book="b", digest=book, digests=signed, source=Source(kind="topics", name="live"),
        from_ms=FROM_MS, to_ms=TO_MS, first_decided_at=None, last_decided_at=None,
        labels_as_of_ms=TO_MS, label_delay_days=30.0, baseline="", payments=payments,
        left_out={}, mature=0, immature_share=1.0, flips_immature_share=1.0, frauds=0, hits={},
        rules=[], untested={}, flips={}, fraud_caught=_NOTHING, fraud_released=_NOTHING,
        good_stopped=_NOTHING, good_released=_NOTHING,
        money=Money(
            fraud_caught_minor=_NOTHING, fraud_released_minor=_NOTHING,
            good_stopped_minor=_NOTHING, good_released_minor=_NOTHING, review_minor=0.0,
            net_minor=_NOTHING,
        ),
        reviews_per_day=Reviews(
            old=0.0, new=0.0, extra=0.0, worst_day=0.0, capacity=None, over_capacity_days=None
        ),
        accounts_affected=0, accounts_newly_stopped=0, marginal={}, overlap={}, segments=[],
        days=[], examples=Examples(stopped=[], released=[]),
        open_loop=Loop(
            payments=payments, allow=payments, review=0, block=0, fraud_stopped=0,
            good_stopped=0, fraud_stopped_minor=0, good_stopped_minor=0, same_vectors=1.0,
        ),
        closed_loop=None, seconds=0.1,
    )  # fmt: skip


def evidence_of(book: str, payments: int = 10) -> bytes:
    """The same as JSON."""
    return encode_report(report(book, payments))
