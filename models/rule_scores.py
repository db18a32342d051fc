"""The rule set as a model to compare with: how strongly a book speaks against each payment."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import as_file, files
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from features.catalogue import CATALOGUE
from models.rows import UNKNOWN, Rows
from risk.domain.event import Payment
from risk.domain.findings import Findings
from risk.domain.money import ExchangeRates
from risk.domain.observation import Arrival
from risk.domain.times import from_ms
from risk.rules.book import Book
from risk.rules.book_file import read_book
from risk.rules.compiler import Tables
from risk.rules.evaluator import CompiledBook
from risk.rules.schema import Schema

# A block outweighs any number of reviews, a review any number of mere alerts.
_WEIGHTS: Final = {"block": 100.0, "hold": 100.0, "limit": 100.0, "review": 10.0, "alert": 1.0}
_ALLOWED: Final = -1_000.0
_BATCH: Final = 512


def starter_book() -> Book:
    """The book that ships."""
    with as_file(files("risk.rules") / "starter_book.yaml") as path:
        return read_book(path)


def rule_scores(
    book: Book, rates: ExchangeRates, base_currency: str, rows: Rows, chosen: NDArray[np.int64]
) -> NDArray[np.float64]:
    """One number a row of ``chosen``, higher where more and stronger rules hit.

    Rules read the features and what a training set tells of a payment: amount in the base
    currency, channel, country, merchant category. Rules on other fields, lists and windows of
    their own do not hit.
    """
    compiled = CompiledBook(book, Schema.of(CATALOGUE), Tables(rates))
    scores = np.zeros(len(chosen))
    for start in range(0, len(chosen), _BATCH):
        some = chosen[start : start + _BATCH]
        arrivals = [_arrival(rows, int(row), base_currency) for row in some]
        matrix = np.ascontiguousarray(rows.samples.matrix[some])
        found = compiled.evaluate(arrivals, matrix, [None] * len(some))
        scores[start : start + len(some)] = _strength(found)
    return scores


def _strength(found: Sequence[Findings]) -> list[float]:
    strengths = []
    for one in found:
        actions = [hit.rule.action for hit in one.hits]
        total = sum(_WEIGHTS.get(action, 0.0) for action in actions)
        strengths.append(_ALLOWED if "allow" in actions else total)
    return strengths


def _arrival(rows: Rows, row: int, base_currency: str) -> Arrival:
    """As much of a payment as a training set tells; amounts are in the base currency."""
    amount = int(rows.samples.amount_base[row])
    time_ms = int(rows.samples.time_ms[row])

    def word(name: str) -> str | None:
        held = str(rows.segments[name][row])
        return None if held == UNKNOWN else held

    payment = Payment(
        id=str(rows.payment_id[row]),
        occurred_at=from_ms(time_ms),
        account=f"account-{rows.account[row]}",
        amount_minor=max(amount, 0),
        currency=base_currency,
        channel=cast("Any", word("channel")),  # a training set holds checked words
        country=word("country"),
        mcc=word("mcc"),
    )
    return Arrival(payment, b"", b"", "stream", time_ms, None if amount < 0 else amount)
