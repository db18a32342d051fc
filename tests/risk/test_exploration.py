"""The exploration arm: small, capped, fixed by id and policy, and never over anybody's word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from risk.domain.errors import BadConfiguration
from risk.domain.findings import NOTHING_FOUND, Findings
from risk.domain.outcome import Outcome
from risk.policy import LATER_FIELDS, Policy, Situation, judge, lot, propensity_of
from tests.risk.test_policy import FAILURE, list_hit, rule_hit

POLICY = Policy(explore_share=0.05, explore_amount_max_minor=5_000)
RISKY = Situation(amount_base=5_000, score=0.9, findings=NOTHING_FOUND, draw=0.049)


@pytest.mark.parametrize("score", (POLICY.review_at, POLICY.block_at, 1.0))
def test_what_only_the_model_would_stop_may_pass(score: float) -> None:
    ruling = judge(replace(RISKY, score=score), POLICY)
    assert ruling.outcome is Outcome.ALLOW
    (reason,) = ruling.reasons
    assert reason.code == "EXPLORED"
    assert "propensity 0.05" in reason.sentence


@pytest.mark.parametrize(
    "change",
    (
        {"draw": 0.05}, {"amount_base": 5_001}, {"amount_base": None},
        {"findings": None}, {"findings": Findings((), (), (FAILURE,))},
        {"findings": Findings((rule_hit("review"),), ())},
        {"findings": Findings((rule_hit("block"),), ())},
        {"findings": Findings((rule_hit("hold"),), ())},
        {"list_hits": (list_hit("block"),)}, {"list_hits": (list_hit("hold"),)},
        {"has_features": False},
    ),
    ids=str,
)  # fmt: skip
def test_anything_else_against_it_stands(change: dict[str, object]) -> None:
    assert judge(replace(RISKY, **change), POLICY).outcome is not Outcome.ALLOW


def test_it_is_off_by_default_and_digests_of_before_stay() -> None:
    assert judge(replace(RISKY, draw=0.0), Policy()).outcome is Outcome.BLOCK
    assert all(getattr(Policy(), name) == default for name, default in LATER_FIELDS.items())
    assert POLICY.digest() != Policy().digest()
    assert b"explore" not in Policy().body()


@pytest.mark.parametrize("share", (0.05, 0.01, 1e-05))
def test_a_decision_tells_its_propensity_for_ever(share: float) -> None:
    policy = Policy(explore_share=share, explore_amount_max_minor=5_000)
    ruling = judge(replace(RISKY, draw=0.0), policy)
    assert propensity_of(ruling.reasons) == share
    assert propensity_of(judge(RISKY, Policy()).reasons) is None
    assert propensity_of([]) is None


def test_a_good_payment_is_no_exploration() -> None:
    ruling = judge(replace(RISKY, score=0.01), POLICY)
    assert (ruling.outcome, ruling.reasons) == (Outcome.ALLOW, ())


@given(st.text(max_size=8), st.text(max_size=8))
def test_a_lot_is_fixed_and_below_one(digest: str, payment: str) -> None:
    assert 0.0 <= lot(digest, "main", payment) < 1.0
    assert lot(digest, "main", payment) == lot(digest, "main", payment)


def test_lots_are_even_and_another_policy_draws_anew() -> None:
    lots = [[lot(policy, "main", f"pay_{n}") for n in range(20_000)] for policy in ("a", "b")]
    for drawn in lots:
        assert sum(one < 0.05 for one in drawn) == pytest.approx(1_000, abs=120)
    both = sum(a < 0.05 and b < 0.05 for a, b in zip(*lots, strict=True))
    assert both < 90


@pytest.mark.parametrize(
    "wrong",
    ({"explore_share": 0.06}, {"explore_share": -0.1}, {"explore_amount_max_minor": -1}),
    ids=str,
)
def test_more_than_a_little_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadConfiguration, match=next(iter(wrong))):
        Policy(**wrong)  # type: ignore[arg-type]
