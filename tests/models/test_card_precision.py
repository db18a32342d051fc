"""Card precision against a slow, plain reading of it."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.card_precision import card_precision

ROWS = st.lists(
    st.tuples(st.integers(1, 4), st.integers(0, 6), st.booleans(), st.integers(0, 5)),
    min_size=1,
    max_size=60,
)


def plain(rows: list[tuple[int, int, bool, int]], top: int) -> float:
    found: set[int] = set()
    shares = []
    for today in sorted({row[0] for row in rows}):
        payments = [row for row in rows if row[0] == today and row[1] not in found]
        people = sorted({row[1] for row in payments})
        ranked = sorted(
            people, key=lambda one: max(row[3] for row in payments if row[1] == one), reverse=True
        )
        caught = {one for one in ranked[:top] if any(row[2] for row in payments if row[1] == one)}
        found |= caught
        shares.append(len(caught) / top)
    return sum(shares) / len(shares)


def measured(rows: list[tuple[int, int, bool, int]], top: int) -> float:
    day, customer, fraud, score = (np.array(column) for column in zip(*rows, strict=True))
    return card_precision(day, customer, fraud.astype(bool), score.astype(np.float64), top)


@given(ROWS, st.integers(1, 5))
def test_it_is_the_described_measure(rows: list[tuple[int, int, bool, int]], top: int) -> None:
    assert math.isclose(measured(rows, top), plain(rows, top), abs_tol=1e-12)


def test_a_customer_found_leaves_the_later_days() -> None:
    assert measured([(1, 5, True, 9), (2, 5, True, 9)], 1) == 0.5


def test_a_customer_ranks_by_the_riskiest_payment_and_counts_for_any_fraud() -> None:
    rows = [(1, 5, True, 0), (1, 5, False, 9), (1, 6, False, 8)]
    assert measured(rows, 1) == 1.0


def test_it_divides_by_the_number_called_also_where_fewer_pay() -> None:
    assert measured([(1, 5, True, 9)], 100) == 0.01


def test_no_payments_have_no_precision() -> None:
    none = np.empty(0, dtype=np.int64)
    assert math.isnan(card_precision(none, none, none.astype(bool), none.astype(np.float64)))
