"""Every feature against the slow oracle; the same bits whatever the batch."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.catalogue import CATALOGUE, FEATURE_NAMES
from features.records import HOLE_RECORD, facts, pack
from features.tails import Tail
from features.vectors import vectors
from risk.domain.event import Login, Payment
from risk.domain.limits import AMOUNT_SQUARED_CLAMP, TAIL_CAP
from risk.domain.observation import Arrival
from risk.domain.times import from_ms
from tests.support.dense import dense_case
from tests.support.feature_oracle import expected
from tests.support.histories import NOW_MS, Case, cases

# The oracle computes these in another way, so they agree to rounding, not to the bit.
TOLERANT = ("_spread_", "_zscore_")


def _agree(name: str, ours: float, theirs: float) -> bool:
    if math.isnan(ours) or math.isnan(theirs):
        return math.isnan(ours) and math.isnan(theirs)
    if name.endswith("_distance"):
        return math.isclose(ours, theirs, rel_tol=0, abs_tol=1e-3)
    if name.endswith("_speed"):
        return math.isclose(ours, theirs, rel_tol=1e-6, abs_tol=0.1)
    if any(part in name for part in TOLERANT):
        return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-9)
    return ours == theirs


def _check(case: Case) -> dict[str, float]:
    matrix, inexact = vectors([case.item])
    row = dict(zip(FEATURE_NAMES, matrix[0].tolist(), strict=True))
    wanted = expected(case.payment, case.of, case.logs)
    assert set(wanted) == set(row)
    for name, value in row.items():
        theirs, doubt = wanted[name]
        assert _agree(name, value, theirs), (name, value, theirs)
        assert (name in inexact[0]) == doubt, (name, value, "inexact")
    return row


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases())
def test_every_feature_equals_its_sentence(case: Case) -> None:
    _check(case)


def test_every_feature_equals_its_sentence_over_long_histories() -> None:
    rng = random.Random(11)
    values: dict[str, set[float]] = {name: set() for name in FEATURE_NAMES}
    for _ in range(900):
        for name, value in _check(dense_case(rng)).items():
            if not math.isnan(value):
                values[name].add(value)
    # Else the histories would not have tested anything.
    for spec in CATALOGUE:
        assert len(values[spec.name]) >= (2 if spec.dtype in ("flag", "code") else 3), spec.name


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=5))
def test_the_bits_of_a_row_depend_on_its_item_alone(seeds: list[int]) -> None:
    items = [dense_case(random.Random(seed)).item for seed in seeds]
    whole, doubts = vectors(items)
    backwards, _ = vectors(items[::-1])
    assert whole.tobytes() == backwards[::-1].tobytes()
    for place, item in enumerate(items):
        single, doubt = vectors([item])
        assert single[0].tobytes() == whole[place].tobytes()
        assert doubt[0] == doubts[place]


def _payment(**fields: object) -> Payment:
    given_fields: dict[str, object] = {
        "id": "p-1",
        "occurred_at": from_ms(NOW_MS),
        "account": "a-1",
        "amount_minor": 100,
        "currency": "EUR",
    }
    return Payment(**(given_fields | fields))  # type: ignore[arg-type]


def _arrival(payment: Payment | Login, amount_base: int | None = 100) -> Arrival:
    return Arrival(payment, b"", b"", "http", NOW_MS, amount_base)


def test_squares_stay_exact_at_the_bound() -> None:
    high = pack(facts(_payment(), "payment", AMOUNT_SQUARED_CLAMP), "account")
    higher = pack(facts(_payment(), "payment", 2**32 - 2), "account")
    low = pack(facts(_payment(), "payment", 0), "account")
    tail = Tail("account", (high + low) * (TAIL_CAP // 4) + (higher + low) * (TAIL_CAP // 4), False)
    matrix, _ = vectors([(_arrival(_payment()), (tail,))])
    row = dict(zip(FEATURE_NAMES, matrix[0].tolist(), strict=True))
    assert row["account_amount_spread_30d"] == AMOUNT_SQUARED_CLAMP / 2
    assert row["account_amount_sum_30d"] == (TAIL_CAP // 4) * (AMOUNT_SQUARED_CLAMP + 2**32 - 2)
    assert row["account_payments_30d"] == TAIL_CAP


def test_a_truncated_tail_of_holes_is_in_doubt_and_a_whole_one_is_not() -> None:
    for truncated in (True, False):
        tail = Tail("account", HOLE_RECORD * 3, truncated)
        matrix, inexact = vectors([(_arrival(_payment()), (tail,))])
        assert matrix[0][FEATURE_NAMES.index("account_payments_5m")] == 0.0
        assert ("account_payments_5m" in inexact[0]) is truncated


def test_no_items_give_an_empty_matrix() -> None:
    matrix, inexact = vectors([])
    assert matrix.shape == (0, len(FEATURE_NAMES))
    assert matrix.dtype == np.float64
    assert inexact == []


def test_tails_must_fit_the_event() -> None:
    empty = Tail("account", b"", False)
    with pytest.raises(ValueError, match="needs one tail each of account; got none"):
        vectors([(_arrival(_payment()), ())])
    with pytest.raises(ValueError, match="needs one tail each of account, card"):
        vectors([(_arrival(_payment(card="c-1")), (empty, empty))])
    with pytest.raises(ValueError, match="not a multiple of 36"):
        vectors([(_arrival(_payment()), (Tail("account", b"\x00" * 35, False),))])
    login = Login(id="l-1", occurred_at=from_ms(NOW_MS), account="a-1")
    with pytest.raises(ValueError, match="login l-1 is not scored"):
        vectors([(_arrival(login), (empty,))])
