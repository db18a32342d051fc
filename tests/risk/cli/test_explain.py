"""Explanations: shares that add up, and counterfactuals that the judgement itself confirms."""

from __future__ import annotations

import numpy as np
import pytest

from models.explaining import Explanation, compared, explained
from risk.bootstrap import new_judgement, shipped_book
from risk.cli.explain import SHOWN, _lines
from risk.domain.decision import decode_decision
from risk.domain.errors import BadConfiguration, BadVersion
from risk.replay import evidence_of, outcomes_with
from tests.risk.test_replay import bodies, degraded, named, named_plain
from tests.support.proof_world import RATES, scorer


def one(body: bytes, *inputs: str) -> Explanation:
    decision = decode_decision(body)
    return explained(decision, named(decision, scoring=scorer()), shipped_book(), inputs)


def test_shares_add_up_to_what_the_model_said() -> None:
    told = one(bodies()[5])
    vector = evidence_of(decode_decision(bodies()[5])).vector
    assert vector is not None
    row = np.array([[np.nan if value is None else value for value in vector]])
    assert told.base_log_odds is not None
    total = told.base_log_odds + sum(share.log_odds for share in told.shares)
    assert total == pytest.approx(float(scorer().raw(row)[0]))
    sizes = [abs(share.log_odds) for share in told.shares]
    assert sizes == sorted(sizes, reverse=True)
    assert all(share.sentence and share.unit for share in told.shares)


def test_a_counterfactual_is_confirmed_by_the_judgement() -> None:
    confirmed = 0
    for body in bodies()[:25]:
        told, decision = one(body), decode_decision(body)
        if told.counterfactual is None:
            continue
        using = named(decision, scoring=scorer())
        vector = evidence_of(decision).vector
        assert vector is not None
        row = np.array([np.nan if value is None else value for value in vector])
        for change in told.counterfactual.changes:
            row[using.features.index(change.feature)] = change.instead
        assert outcomes_with(decision, using, row[None, :]) == [told.counterfactual.instead]
        assert told.counterfactual.instead != told.outcome
        confirmed += 1
    assert confirmed


def test_an_input_that_is_no_feature_is_named() -> None:
    with pytest.raises(BadConfiguration, match="'card_paymets_1h' is no feature"):
        one(bodies()[0], "card_paymets_1h")


def test_without_features_there_are_reasons_and_nothing_else() -> None:
    (judged,) = new_judgement(RATES).judge(degraded())
    decision = decode_decision(judged.body)
    told = explained(decision, named_plain(decision), shipped_book(), [])
    assert (told.shares, told.base_log_odds, told.counterfactual) == ([], None, None)
    assert told.reasons
    with pytest.raises(BadVersion, match="without features"):
        outcomes_with(decision, named_plain(decision), np.zeros((1, 1)))


def test_the_numbers_that_rules_compare_with_are_tried() -> None:
    book = shipped_book()
    rule = book.rules[0]
    name = next(one for one in named(decode_decision(bodies()[0])).features if one in rule.when)
    assert len(compared(book, name)) > 2
    assert compared(book, "no_such_name") == [0.0, 1.0]


def test_people_read_what_moved_the_score_and_what_would_have_changed_it() -> None:
    told = one(bodies()[5])
    text = "\n".join(_lines(told))
    assert told.payment_id in text
    assert told.shares[0].sentence in text
    assert text.count("log-odds") == 1
    assert len(_lines(told)) <= 3 + len(told.reasons) + 2 * SHOWN
    assert "would have been" in text or "No change" in text
