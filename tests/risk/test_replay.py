"""Replay: the same bytes from the evidence alone, and a named difference where they are not."""

from __future__ import annotations

from functools import cache

import msgspec
import pytest

from features.catalogue import FEATURE_NAMES
from risk.bootstrap import new_judgement
from risk.domain.decision import Decision, RuleHit, decode_decision, encode_decision
from risk.domain.errors import BadVersion
from risk.domain.findings import Findings
from risk.domain.observation import Arrival, Claimed, Lost
from risk.judgement import Rules, Scoring, Versions
from risk.policy import Policy
from risk.replay import Named, RecordedFailures, evidence_of, first_difference, judge_again
from tests.risk.test_engine import an_arrival
from tests.support.proof_world import RATES, scorer, story


@cache
def bodies() -> list[bytes]:
    """The decisions of a story, with a model."""
    records = story(7, 160)
    return [one.value for one in records if one.topic == "decisions" and not one.marker]


def amount_of(decision: Decision) -> int | None:
    event = msgspec.json.decode(evidence_of(decision).event)
    return RATES.to_base(event["amount_minor"], event["currency"])


@cache
def shipped() -> Versions:
    """What judges where nothing was published."""
    return new_judgement(RATES).versions


def named(
    decision: Decision,
    *,
    scoring: Scoring | None = None,
    rules: Rules | None = None,
    policy: Policy | None = None,
) -> Named:
    held = shipped()
    return Named(
        features=FEATURE_NAMES,
        amount_base=amount_of(decision),
        scoring=scoring,
        rules=rules or held.rules,
        policy=policy or held.policy,
    )


def again(body: bytes, **changed: object) -> bytes:
    decision = decode_decision(body)
    return judge_again(decision, named(decision, **{"scoring": scorer(), **changed}))  # type: ignore[arg-type]


def test_every_decision_of_a_story_gives_its_bytes_again() -> None:
    outcomes = set()
    for body in bodies():
        outcomes.add(decode_decision(body).outcome)
        assert again(body) == body
    assert len(outcomes) > 1


def test_another_policy_or_model_gives_other_bytes_and_says_where() -> None:
    strict = Policy(review_at=0.000001, block_at=0.000002)
    other = [again(body, policy=strict) for body in bodies()]
    changed = [(one, two) for one, two in zip(bodies(), other, strict=True) if one != two]
    assert changed
    assert all("outcome" in first_difference(one, two) for one, two in changed)
    assert any(again(body, scoring=None) != body for body in bodies())


def degraded() -> list[tuple[Arrival, Claimed | Lost]]:
    one = an_arrival(1)
    position = decode_decision(bodies()[0]).evidence.positions[0]  # type: ignore[union-attr]
    return [(one, Lost(position, (position,)))]


def test_a_decision_without_features_is_made_again() -> None:
    (judged,) = new_judgement(RATES).judge(degraded())
    decision = decode_decision(judged.body)
    assert "no_features" in decision.degraded
    assert judge_again(decision, named_plain(decision)) == judged.body


def named_plain(decision: Decision) -> Named:
    return Named(
        features=FEATURE_NAMES,
        amount_base=an_arrival(1).amount_base,
        scoring=None,
        rules=shipped().rules,
        policy=Policy(),
    )


def test_a_fallback_is_made_again() -> None:
    judged = new_judgement(RATES).fallback(an_arrival(1))
    decision = decode_decision(judged.body)
    assert not decision.authoritative
    assert judge_again(decision, named_plain(decision)) == judged.body


class FailingRules:
    """A rule that failed when the decision was made, and would not fail now."""

    digest = new_judgement(RATES).versions.rules.digest
    windows: tuple[str, ...] = ()

    def __init__(self, failed: tuple[RuleHit, ...]) -> None:
        self._failed = failed

    def evaluate(self, arrivals: object, *_: object) -> list[Findings]:
        return [Findings(failures=self._failed) for _ in list(arrivals)]  # type: ignore[call-overload]


def test_a_rule_that_failed_then_fails_again_whatever_it_would_do_now() -> None:
    failed = (RuleHit(rule="big", action="block", reason="BIG", error="MemoryError"),)
    made = new_judgement(RATES)
    held = made.versions
    made.versions = made.constants.versions(None, FailingRules(failed), held.policy)
    vector = made._matrix([(an_arrival(1), degraded()[0][1])])[0]
    position = decode_decision(bodies()[0]).evidence.positions[0]  # type: ignore[union-attr]
    (judged,) = made.judge([(an_arrival(1), Claimed((position,), vector, ()))])
    decision = decode_decision(judged.body)
    assert "rule_failed" in decision.degraded
    assert judge_again(decision, named_plain(decision)) == judged.body


def test_recorded_failures_take_the_place_of_what_is_found_now() -> None:
    held = new_judgement(RATES).versions.rules
    failed = RuleHit(rule=rule_that_hits(), action="review", reason="R", error="E")
    wrapped = RecordedFailures(held, [failed])
    assert (wrapped.digest, wrapped.windows) == (held.digest, held.windows)
    hitting = next(body for body in bodies() if decode_decision(body).rule_hits)
    decision = decode_decision(hitting)
    seen = judge_again(decision, named(decision, scoring=scorer(), rules=wrapped))
    assert rule_that_hits() not in {
        one.rule for one in decode_decision(seen).rule_hits if one.error is None
    }


def rule_that_hits() -> str:
    return next(hit.rule for body in bodies() for hit in decode_decision(body).rule_hits)


def test_evidence_that_weir_did_not_write_is_refused() -> None:
    decision = decode_decision(bodies()[0])
    with pytest.raises(BadVersion, match="no evidence"):
        judge_again(msgspec.structs.replace(decision, evidence=None), named(decision))
    evidence = evidence_of(decision)
    short = msgspec.structs.replace(evidence, vector=[1.0])
    with pytest.raises(BadVersion, match="has 1 values"):
        judge_again(msgspec.structs.replace(decision, evidence=short), named(decision))
    torn = msgspec.structs.replace(evidence, fingerprint="zz")
    with pytest.raises(BadVersion, match="the evidence of"):
        judge_again(msgspec.structs.replace(decision, evidence=torn), named(decision))


def test_differences_are_named_by_path() -> None:
    decision = decode_decision(bodies()[0])
    other = msgspec.structs.replace(decision, score=0.5)
    assert first_difference(encode_decision(decision), encode_decision(other)).startswith("score: ")
    assert first_difference(b'{"a":[1,2]}', b'{"a":[1,3]}') == "a[1]: 2 was published, 3 is made"
    assert first_difference(b'{"a":[1]}', b'{"a":[1,3]}').startswith("a: [1] was published")
    assert first_difference(b'{"a":1}', b'{"a": 1}') == "in its bytes"
