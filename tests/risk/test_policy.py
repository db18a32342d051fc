"""The policy: precedence over all pairs, degraded steps, monotony, and the money."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from risk.domain.decision import Reason, RuleHit
from risk.domain.errors import BadConfiguration
from risk.domain.findings import (
    NO_LISTS,
    NOTHING_FOUND,
    Findings,
    Hit,
    ListEffect,
    ListHit,
    ListSnapshot,
)
from risk.domain.outcome import Outcome
from risk.policy import (
    Judgement,
    Policy,
    Situation,
    Thresholds,
    expected_cost,
    fall_back,
    judge,
    todays_probability,
)

POLICY = Policy()
ALLOW, REVIEW, BLOCK = Outcome.ALLOW, Outcome.REVIEW, Outcome.BLOCK


def rule_hit(action: str) -> Hit:
    code = f"RULE_{action.upper()}"
    return Hit(
        RuleHit(rule=f"r_{action}", action=action, reason=code),
        Reason(code=code, sentence="s", customer="c"),
    )


def list_hit(effect: ListEffect) -> ListHit:
    code = f"LIST_{effect.upper()}"
    return ListHit("a_list", effect, Reason(code=code, sentence="s", customer="c"))


FAILURE = RuleHit(rule="r_bad", action="review", reason="BAD", error="TypeError")
CLEAN = Situation(amount_base=10_000, score=0.01, findings=NOTHING_FOUND)

# Every single piece of evidence with the outcome it asks for, by precedence.
# Rank 0 is the strongest; an allow (rank 1) beats what stands below it.
EVIDENCE: dict[str, tuple[int, Outcome]] = {
    "list hold": (0, BLOCK), "list block": (0, BLOCK), "rule hold": (0, BLOCK),
    "rule allow": (1, ALLOW), "list allow": (1, ALLOW),
    "rule block": (2, BLOCK), "rule limit": (2, BLOCK), "model block": (3, BLOCK),
    "rule review": (4, REVIEW), "model review": (4, REVIEW), "rule failed": (4, REVIEW),
    "no model": (4, REVIEW), "no rules": (4, REVIEW), "no rate": (4, REVIEW),
    "rule alert": (5, ALLOW), "rule tag": (5, ALLOW),
}  # fmt: skip


def situation(names: tuple[str, ...]) -> Situation:
    hits = [rule_hit(n.split()[1]) for n in names if n.startswith("rule") and "failed" not in n]
    effects: dict[str, ListEffect] = {
        "list hold": "hold", "list block": "block", "list allow": "allow",
    }  # fmt: skip
    score: float | None = 0.01
    if "model block" in names:
        score = POLICY.block_at
    elif "model review" in names:
        score = POLICY.review_at
    if "no model" in names:
        score = None
    failures = (FAILURE,) if "rule failed" in names else ()
    findings = None if "no rules" in names else Findings(tuple(hits), (), failures)
    return Situation(
        amount_base=None if "no rate" in names else 10_000,
        score=score,
        findings=findings,
        list_hits=tuple(list_hit(effects[n]) for n in names if n in effects),
    )


def expected(names: tuple[str, ...]) -> Outcome:
    if "no rules" in names:  # rules that were not evaluated cannot have hit or failed
        names = tuple(n for n in names if not n.startswith("rule"))
    if "no model" in names:
        names = tuple(n for n in names if n not in ("model block", "model review"))
    outcome = min((EVIDENCE[n] for n in names), default=(5, ALLOW))[1]
    silent = "rule failed" in names or "no rules" in names
    return REVIEW if outcome is ALLOW and silent else outcome


@pytest.mark.parametrize(
    "names",
    [
        *itertools.combinations(EVIDENCE, 1),
        *itertools.combinations(EVIDENCE, 2),
    ],
    ids=" + ".join,
)
def test_precedence_over_all_pairs(names: tuple[str, ...]) -> None:
    assert judge(situation(names), POLICY).outcome is expected(names)


def test_precedence_over_all_triples() -> None:
    for names in itertools.combinations(EVIDENCE, 3):
        assert judge(situation(names), POLICY).outcome is expected(names), names


def test_nothing_found_is_allowed_without_reasons() -> None:
    ruling = judge(CLEAN, POLICY)
    assert ruling.outcome is ALLOW
    assert ruling.reasons == ()
    assert ruling.rule_hits == ()
    assert ruling.degraded == ()


def codes(ruling: Judgement) -> list[str]:
    return [reason.code for reason in ruling.reasons]


def test_reasons_name_what_led_to_the_outcome_each_once() -> None:
    hits = (rule_hit("block"), rule_hit("block"), rule_hit("review"))
    ruling = judge(
        Situation(amount_base=1, score=0.9, findings=Findings(hits), list_hits=(list_hit("hold"),)),
        POLICY,
    )
    assert codes(ruling) == ["LIST_HOLD", "RULE_BLOCK", "MODEL_BLOCK"]
    assert len(ruling.rule_hits) == 3


def test_failed_rules_are_recorded_and_floor_at_review() -> None:
    ruling = judge(
        Situation(
            amount_base=1, score=0.01, findings=Findings((rule_hit("allow"),), (), (FAILURE,))
        ),
        POLICY,
    )
    assert ruling.outcome is REVIEW
    assert ruling.rule_errors == (FAILURE,)
    assert FAILURE in ruling.rule_hits
    assert ruling.degraded == ("rule_failed",)
    assert codes(ruling) == ["RULE_FAILED"]


@pytest.mark.parametrize(
    ("amount", "outcome"),
    [(POLICY.degraded_amount_max_minor, ALLOW), (5_001, REVIEW), (None, REVIEW)],
)
def test_without_features_an_allow_list_opens_for_small_amounts_only(
    amount: int | None, outcome: Outcome
) -> None:
    ruling = judge(
        Situation(
            amount_base=amount,
            score=None,
            findings=None,
            list_hits=(list_hit("allow"),),
            has_features=False,
        ),
        POLICY,
    )
    assert ruling.outcome is outcome
    assert ruling.degraded[:2] == ("no_model", "no_features")
    if outcome is REVIEW:
        assert codes(ruling) == ["AMOUNT_CEILING", "NO_FEATURES"]


def test_findings_without_features_are_not_trusted() -> None:
    ruling = judge(
        Situation(
            amount_base=1,
            score=0.01,
            findings=Findings((rule_hit("allow"),)),
            has_features=False,
        ),
        POLICY,
    )
    assert ruling.outcome is REVIEW
    assert ruling.rule_hits == ()


@pytest.mark.parametrize("score", [math.nan, -0.1, 1.1, math.inf])
def test_a_score_that_is_no_probability_is_no_score(score: float) -> None:
    ruling = judge(Situation(amount_base=1, score=score, findings=NOTHING_FOUND), POLICY)
    assert ruling.outcome is REVIEW
    assert ruling.degraded == ("no_model",)
    assert ruling.expected_cost is None


def test_the_fallback_is_never_an_allow() -> None:
    assert fall_back(POLICY).outcome is REVIEW
    assert fall_back(POLICY).degraded == ("fallback",)
    assert fall_back(Policy(fallback="block")).outcome is BLOCK


SITUATIONS = st.lists(st.sampled_from(sorted(EVIDENCE)), max_size=5, unique=True).map(
    lambda names: situation(tuple(names))
)


@settings(deadline=None)
@given(SITUATIONS, st.floats(0, 1), st.floats(0, 1))
def test_a_higher_score_is_never_judged_milder(base: Situation, a: float, b: float) -> None:
    low, high = (
        judge(
            Situation(base.amount_base, score, base.findings, base.list_hits), POLICY
        ).outcome.severity
        for score in sorted((a, b))
    )
    assert low <= high


@settings(deadline=None)
@given(SITUATIONS, st.sampled_from(["hold", "block"]))
def test_a_hold_or_block_list_always_blocks(base: Situation, effect: ListEffect) -> None:
    more = Situation(
        base.amount_base, base.score, base.findings, (*base.list_hits, list_hit(effect))
    )
    assert judge(more, POLICY).outcome is BLOCK


@settings(deadline=None)
@given(SITUATIONS)
def test_degraded_is_allowed_only_by_somebodys_word(base: Situation) -> None:
    ruling = judge(base, POLICY)
    if ruling.degraded and ruling.outcome is ALLOW:
        assert ruling.reasons
        assert all("ALLOW" in code for code in codes(ruling))
        assert not {"rule_failed", "no_rules"} & set(ruling.degraded)


@settings(deadline=None)
@given(SITUATIONS)
def test_judging_is_pure(base: Situation) -> None:
    assert judge(base, POLICY) == judge(base, POLICY)


def test_expected_cost_follows_its_formula() -> None:
    policy = Policy(
        fee_minor=2_000, stopped_customer_minor=1_500, review_minor=300, margin_share=0.02,
        review_miss_share=0.1, review_stop_share=0.05,
    )  # fmt: skip
    cost = expected_cost(10_000, 0.25, policy)
    assert cost is not None
    assert cost.allow_minor == round(0.25 * 12_000)
    assert cost.block_minor == round(0.75 * 1_700)
    assert cost.review_minor == round(300 + 0.1 * 3_000 + 0.05 * 1_275)


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0.001, 0.999))
def test_prevalence_moves_probabilities_in_order(score: float, prevalence: float) -> None:
    policy = Policy(reference_prevalence=0.01, prevalence=prevalence)
    moved = todays_probability(score, policy)
    assert 0.0 <= moved <= 1.0
    if prevalence > 0.01:
        assert moved >= score - 1e-12
    assert todays_probability(0.0, policy) == 0.0
    assert todays_probability(1.0, policy) == 1.0


@settings(deadline=None)
@given(st.integers(0, 2**32 - 2), st.floats(0, 1))
def test_costs_are_integers_and_never_negative(amount: int, score: float) -> None:
    cost = expected_cost(amount, score, POLICY)
    assert cost is not None
    assert min(cost.allow_minor, cost.review_minor, cost.block_minor) >= 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"review_at": 0.0}, {"review_at": 0.7}, {"block_at": 1.5}, {"prevalence": 0.0},
        {"reference_prevalence": 1.0}, {"loss_share": 1.5}, {"margin_share": -0.1},
        {"fee_minor": -1}, {"degraded_amount_max_minor": -1}, {"review_at": math.nan},
    ],
    ids=str,
)  # fmt: skip
def test_absurd_policies_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadConfiguration, match=next(iter(wrong))):
        Policy(**wrong)  # type: ignore[arg-type]  # numbers of either kind


def test_digests_tell_versions_apart() -> None:
    assert POLICY.digest() == Policy().digest()
    assert POLICY.digest() != Policy(review_at=0.2).digest()
    assert ListSnapshot(version="a").digest() != NO_LISTS.digest()


def test_a_channel_has_thresholds_of_its_own() -> None:
    policy = Policy(by_channel={"ecom": Thresholds(review_at=0.02, block_at=0.05)})
    for channel, score, outcome in (
        ("ecom", 0.019, ALLOW), ("ecom", 0.02, REVIEW), ("ecom", 0.05, BLOCK),
        ("atm", 0.05, ALLOW), ("atm", policy.review_at, REVIEW), (None, policy.block_at, BLOCK),
    ):  # fmt: skip
        of = Situation(amount_base=1, score=score, findings=NOTHING_FOUND, channel=channel)
        assert judge(of, policy).outcome is outcome, (channel, score)
    assert policy.digest() != Policy().digest()


@pytest.mark.parametrize(
    ("by_channel", "says"),
    [
        ({"ecom": Thresholds(review_at=0.6, block_at=0.5)}, "review_at of ecom is 0.6"),
        ({"shop": Thresholds(review_at=0.1, block_at=0.5)}, "'shop', which is none of"),
    ],
)
def test_wrong_thresholds_of_a_channel_are_named(
    by_channel: dict[str, Thresholds], says: str
) -> None:
    with pytest.raises(BadConfiguration, match=says):
        Policy(by_channel=by_channel)
