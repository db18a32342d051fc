"""Replay: each decision again to its very bytes, whatever was lost when it was made."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from features.catalogue import FEATURE_NAMES
from features.proof import causes
from features.proof.recall import Found, Recall, recall
from risk.bootstrap import new_judgement
from risk.domain.decision import Decision, RuleHit, decode_decision
from risk.domain.errors import BadVersion
from risk.domain.observation import Arrival, Claimed, Lost
from risk.domain.times import parse_rfc3339
from risk.judgement import Versions
from risk.replay import Recalled, first_difference, judge_again, stored_vector
from tests.support.proof_world import RATES, ListHistory, scorer, story, to_base

RECORDS = story(77, 160)
DECIDED = [one for one in RECORDS if one.topic == "decisions" and one.value]
HELD = new_judgement(RATES).versions
RECALLED = Recalled(FEATURE_NAMES, scorer(), HELD.rules, HELD.policy)


async def found(payment_id: str) -> Found | None:
    history = ListHistory(RECORDS)
    return await recall(history, Recall(history.extent, to_base, "main", payment_id))


async def some(place: int = 40) -> Found:
    one = await found(decode_decision(DECIDED[place].value).payment_id)
    assert one is not None
    return one


async def test_each_payment_is_judged_again_to_its_bytes_from_its_rebuilt_vector() -> None:
    for place in range(0, len(DECIDED), 9):
        one = await some(place)
        item = one.item
        assert one.body == DECIDED[place].value
        assert one.rebuilt is not None
        assert not one.cause
        for vector in (None, one.rebuilt):
            again = judge_again(
                item.decision, item.told.event, item.told.amount_base, RECALLED, vector
            )
            assert again == one.body


async def test_what_the_decision_says_is_not_believed() -> None:
    one = await some()
    forged = msgspec.structs.replace(one.item.decision, score=0.5, reasons=[])
    again = judge_again(forged, one.item.told.event, one.item.told.amount_base, RECALLED)
    assert again == one.body


async def test_another_value_or_amount_gives_other_bytes_and_says_where() -> None:
    one = await some()
    told = one.item.told
    assert one.rebuilt is not None
    moved = one.rebuilt.copy()
    moved[3] = 17.25
    again = judge_again(one.item.decision, told.event, told.amount_base, RECALLED, moved)
    assert first_difference(one.body, again) == "/evidence/vector/3"
    again = judge_again(one.item.decision, told.event, 10**9, RECALLED)
    assert first_difference(one.body, again).startswith("/expected_cost/")
    assert first_difference(one.body, one.body) == ""
    assert first_difference(b'{"a":1}', b'{"b":1}') == "/a"
    assert first_difference(b"[1]", b"[1,2]") == "/"


def degraded(one: Found, seen: Claimed | Lost, versions: Versions | None = None) -> Decision:
    """The decision of the same arrival, had it been seen or judged like this."""
    judgement, told = new_judgement(RATES), one.item.told
    evidence = one.item.evidence
    arrival = Arrival(
        told.event,
        bytes(evidence.event),
        bytes.fromhex(evidence.fingerprint),
        evidence.door,
        parse_rfc3339(evidence.arrived_at),
        told.amount_base,
    )
    with_model = judgement.constants.versions(scorer(), HELD.rules, HELD.policy)
    body = judgement.judge([(arrival, seen)], versions or with_model)[0].body
    return decode_decision(body)


def same(one: Found, decision: Decision, recalled: Recalled = RECALLED) -> bool:
    told = one.item.told
    again = judge_again(decision, told.event, told.amount_base, recalled)
    return again == msgspec.json.encode(decision, order="deterministic")


async def test_a_decision_without_model_or_without_features_is_judged_without_again() -> None:
    one = await some()
    evidence = one.item.evidence
    vector = stored_vector(one.item.decision)
    claimed = Claimed(tuple(evidence.positions), vector, tuple(evidence.inexact))
    no_model = degraded(one, claimed, HELD)
    assert no_model.degraded == ["no_model"]
    assert same(one, no_model, Recalled(FEATURE_NAMES, None, HELD.rules, HELD.policy))
    lost = degraded(one, Lost(evidence.positions[0], tuple(evidence.positions)))
    assert "no_features" in lost.degraded
    assert stored_vector(lost) is None
    assert same(one, lost)
    nowhere = degraded(one, Lost(evidence.positions[0], ()))
    assert nowhere.evidence is not None
    assert nowhere.evidence.features_lost is None
    assert same(one, nowhere)


async def test_a_rule_that_failed_fails_again() -> None:
    one = await some()
    rule = RuleHit(rule="broken", action="review", reason="R", error="LookupError")
    evidence = msgspec.structs.replace(one.item.evidence, rule_errors=[rule])
    told = one.item.told
    decision = msgspec.structs.replace(one.item.decision, evidence=evidence)
    again = decode_decision(judge_again(decision, told.event, told.amount_base, RECALLED))
    assert "rule_failed" in again.degraded
    assert again.rule_hits[-1] == rule
    assert same(one, again)


async def test_a_fallback_is_answered_again() -> None:
    one = await some()
    told, evidence = one.item.told, one.item.evidence
    arrival = Arrival(
        told.event,
        bytes(evidence.event),
        bytes.fromhex(evidence.fingerprint),
        evidence.door,
        parse_rfc3339(evidence.arrived_at),
        None,
    )
    body = new_judgement(RATES).fallback(arrival).body
    recalled = Recalled(FEATURE_NAMES, None, HELD.rules, HELD.policy)
    assert judge_again(decode_decision(body), told.event, None, recalled) == body


async def test_evidence_that_does_not_fit_is_refused() -> None:
    one = await some()
    told = one.item.told
    bare = msgspec.structs.replace(one.item.decision, evidence=None)
    with pytest.raises(BadVersion, match="has no evidence"):
        judge_again(bare, told.event, None, RECALLED)
    with pytest.raises(BadVersion, match="its catalogue 2"):
        judge_again(
            one.item.decision, told.event, None,
            Recalled(("a", "b"), None, HELD.rules, HELD.policy),
        )  # fmt: skip


async def test_an_unknown_payment_is_not_found() -> None:
    assert await found("nobody") is None


async def test_an_older_catalogue_leaves_the_stored_vector() -> None:
    place = 40
    body = DECIDED[place].value
    decision = decode_decision(body)
    assert decision.evidence is not None
    older = body.replace(decision.evidence.digests.catalogue.encode(), b"0" * 64)
    records = [one._replace(value=older) if one.value == body else one for one in RECORDS]
    history = ListHistory(records)
    search = Recall(history.extent, to_base, "main", decision.payment_id)
    one = await recall(history, search)
    assert one is not None
    assert (one.cause, one.rebuilt, one.body) == (causes.CATALOGUE_OLDER, None, older)
    assert search.damaged == 0
    vector = stored_vector(one.item.decision)
    assert vector is not None
    assert np.isnan(vector).any() or math.isfinite(vector.sum())
    told = one.item.told
    assert judge_again(one.item.decision, told.event, told.amount_base, RECALLED) == older
