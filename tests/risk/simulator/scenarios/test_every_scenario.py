"""What holds for every scenario: repeatable, valid, labelled by its law, checked parameters."""

from __future__ import annotations

from collections import Counter
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from features.catalogue import FEATURE_NAMES
from risk.domain.decoding import canonical
from risk.domain.event import Label, OutcomeReport, Payment
from risk.domain.kinds import ENTITY_KINDS
from risk.simulator.cast import Cast
from risk.simulator.scenarios import SCENARIOS, Scenario
from risk.simulator.scenarios.parameters import laws, parameters
from risk.simulator.world import new_script
from tests.support.episodes import PLAYED_MS, START_MS, play

every = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
SEEDS = range(12)


@every
def test_the_same_seed_plays_the_same_bytes(scenario: Scenario) -> None:
    bodies = [
        [canonical(event).body for event in play(scenario, seed).events] for seed in (4, 4, 5)
    ]
    assert bodies[0] == bodies[1] != bodies[2]


@every
def test_every_payment_is_fraud_of_this_scenario_and_has_an_outcome(scenario: Scenario) -> None:
    for seed in SEEDS:
        episode = play(scenario, seed)
        assert episode.payments
        assert min(event.occurred_at_ms for event in episode.events) >= PLAYED_MS - 60_000
        assert {episode.truth.scenario(payment.id) for payment in episode.payments} == {
            scenario.name
        }
        reported = {
            report.payment_id
            for report in episode.of(OutcomeReport)
            if report.result in ("authorised", "declined")
        }
        assert reported == {payment.id for payment in episode.payments}
        assert len({event.id for event in episode.events}) == len(episode.events)


@every
def test_labels_come_after_their_payment_by_the_labels_of_the_law(scenario: Scenario) -> None:
    allowed = {way.label for _, law in laws(scenario) for way in law.ways}
    wins = any(way.won_share for _, law in laws(scenario) for way in law.ways)
    disputed = "chargeback" in allowed
    labelled = paid = 0
    for seed in range(40):
        episode = play(scenario, seed)
        payments = {payment.id: payment for payment in episode.payments}
        for label in episode.labels:
            assert label.known_at_ms >= payments[label.payment_id].occurred_at_ms + 2_000
            extra = {"dispute_won"} if wins else {"fraud_report"} if disputed else set()
            assert label.label in allowed | extra
        paid += len(payments)
        labelled += len({label.payment_id for label in episode.labels})
    least = min(law.known_share for _, law in laws(scenario))
    most = max(law.known_share for _, law in laws(scenario))
    assert 0.5 * least < labelled / paid <= min(1.0, 1.6 * most)


@every
def test_parameters_are_documented_and_frozen(scenario: Scenario) -> None:
    described = list(parameters(scenario))
    assert described[0][0].name == "weight"
    for field, meaning in described:
        assert meaning.sentence.endswith("."), field.name
    with pytest.raises(FrozenInstanceError):
        scenario.weight = 3.0  # type: ignore[misc]


@every
def test_parameters_out_of_range_are_refused(scenario: Scenario) -> None:
    changeable: Any = scenario
    for field, meaning in parameters(scenario):
        with pytest.raises(ValueError, match=field.name):
            replace(changeable, **{field.name: meaning.least - 1})
        if meaning.unit == "share":
            with pytest.raises(ValueError, match=field.name):
                replace(changeable, **{field.name: 1.01})
        if field.name.endswith("_min"):
            most = getattr(scenario, field.name.removesuffix("_min") + "_max")
            with pytest.raises(ValueError, match="above its maximum"):
                replace(changeable, **{field.name: most + 1})


@every
def test_it_names_features_and_entities_that_exist(scenario: Scenario) -> None:
    assert set(scenario.features) <= set(FEATURE_NAMES)
    assert scenario.subject in ENTITY_KINDS
    assert all(getattr(payment, scenario.subject) for payment in play(scenario, 1).payments)


@every
def test_it_can_be_played_where_hardly_anybody_lives(scenario: Scenario) -> None:
    for seed in range(20):
        assert play(scenario, seed, accounts=1).payments


def test_names_differ_and_a_cast_plays_all_by_their_weights() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(names)) == len(names) == 10
    script = new_script(3, 500, START_MS)
    cast = Cast(script, START_MS, fraud_share=0.9)
    for turn in range(16_000):
        cast.act(START_MS + 1000 * turn)
    truth = script.truth
    numbers = {
        truth.episode(event.id): truth.scenario(event.id)
        for event in script.agenda.before(2**62)
        if truth.is_fraud(event.id)
    }
    episodes = Counter(numbers.values())
    total = sum(scenario.weight for scenario in SCENARIOS)
    for scenario in SCENARIOS:
        expected = scenario.weight / total * sum(episodes.values())
        assert abs(episodes[scenario.name] - expected) < 5 * expected**0.5, scenario.name


def test_waits_of_hours_are_short_where_somebody_watches() -> None:
    structuring = next(each for each in SCENARIOS if each.name == "structuring")
    script = new_script(1, 400, START_MS)
    script.delay_factor = 1 / 2880
    structuring.play(script, START_MS)
    events = list(script.agenda.before(2**62))
    payments = [event for event in events if isinstance(event, Payment)]
    assert payments[-1].occurred_at_ms - payments[0].occurred_at_ms < 8 * 3_600_000
    assert all(
        label.known_at_ms - payments[0].occurred_at_ms < 8 * 3_600_000
        for label in events
        if isinstance(label, Label)
    )
