"""Label laws: shares and medians come out, nothing is known before it happened."""

from __future__ import annotations

import math
from random import Random
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from risk.simulator.label_laws import FraudLabel, LabelLaw, Notice, Way
from risk.simulator.scenarios import SCENARIOS
from risk.simulator.scenarios.parameters import laws

HOUR_MS = 3_600_000
LABELS: tuple[FraudLabel, ...] = ("chargeback", "fraud_report", "analyst_fraud")
DRAWS = 4_000
ALL_LAWS = [
    pytest.param(law, id=f"{scenario.name}.{field.name}")
    for scenario in SCENARIOS
    for field, law in laws(scenario)
]


def notices(law: LabelLaw, seed: int, count: int = DRAWS) -> list[Notice | None]:
    rng = Random(seed)
    return [law.draw(rng) for _ in range(count)]


def near(found: float, share: float, count: int) -> bool:
    """Within five standard errors."""
    return abs(found - share) <= 5 * math.sqrt(share * (1 - share) / count) + 1e-9


@st.composite
def some_law(draw: st.DrawFn) -> LabelLaw:
    ways = []
    left = 1.0
    labels = draw(st.permutations(LABELS))
    for label in labels[: draw(st.integers(1, 3))]:
        share = draw(st.floats(0.1, 0.6)) * left
        left -= share
        earliest_hours = draw(st.floats(0, 200))
        won = draw(st.sampled_from((0.0, 0.4)))
        ways.append(
            Way(
                reporter="issuer", label=label, share=share, earliest_hours=earliest_hours,
                median_hours=earliest_hours + draw(st.floats(1, 500)),
                sigma=draw(st.floats(0, 1.2)), won_share=won, won_median_hours=100 * won,
            )
        )  # fmt: skip
    return LabelLaw(tuple(ways))


@settings(max_examples=30, deadline=None)
@given(some_law(), st.integers(0, 2**32))
def test_shares_and_medians_come_out_whatever_the_law(law: LabelLaw, seed: int) -> None:
    drawn = notices(law, seed)
    assert near(sum(notice is None for notice in drawn) / DRAWS, law.never_share, DRAWS)
    for way in law.ways:
        taken = [notice for notice in drawn if notice and notice.label == way.label]
        assert near(len(taken) / DRAWS, way.share, DRAWS)
        delays = [notice.delay_ms for notice in taken]
        assert min(delays) >= int(way.earliest_hours * HOUR_MS)
        below = sum(delay <= round(way.median_hours * HOUR_MS) for delay in delays)
        if way.sigma > 0.01:
            assert near(below / len(delays), 0.5, len(delays))
        won = [notice for notice in taken if notice.won_after_ms is not None]
        assert near(len(won) / len(taken), way.won_share, len(taken))


@pytest.mark.parametrize("law", ALL_LAWS)
def test_the_law_of_a_scenario_holds_what_its_page_says(law: LabelLaw) -> None:
    drawn = notices(law, 5)
    assert near(sum(notice is None for notice in drawn) / DRAWS, law.never_share, DRAWS)
    for way in law.ways:
        delays = [
            notice.delay_ms / HOUR_MS
            for notice in drawn
            if notice and (notice.label, notice.reporter) == (way.label, way.reporter)
        ]
        assert near(len(delays) / DRAWS, way.share, DRAWS)
        assert median(delays) == pytest.approx(way.median_hours, rel=0.2)
        assert min(delays) > 0


@pytest.mark.parametrize("law", ALL_LAWS)
def test_the_same_seed_gives_the_same_fates(law: LabelLaw) -> None:
    assert notices(law, 9, 50) == notices(law, 9, 50)
    assert notices(law, 9, 50) != notices(law, 10, 50)


def test_a_dispute_is_won_after_it_was_made() -> None:
    way = Way(
        reporter="cardholder", label="chargeback", share=1.0, median_hours=500, won_share=1.0,
        won_median_hours=200,
    )  # fmt: skip
    waits = [notice.won_after_ms for notice in notices(LabelLaw((way,)), 1) if notice]
    assert len(waits) == DRAWS
    assert median(wait or 0 for wait in waits) == pytest.approx(200 * HOUR_MS, rel=0.1)


def way(**changed: float) -> Way:
    numbers: dict[str, float] = {"share": 0.5, "median_hours": 10.0} | changed
    return Way(reporter="issuer", label="fraud_report", **numbers)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"share": 0.0}, "share"),
        ({"share": 1.1}, "share"),
        ({"won_share": -0.1}, "share"),
        ({"earliest_hours": 10.0}, "median"),
        ({"sigma": -1.0}, "sigma"),
        ({"won_share": 0.4}, "won"),
    ],
)
def test_numbers_out_of_range_are_refused(changed: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        way(**changed)


def test_a_law_without_a_way_or_with_too_many_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one way"):
        LabelLaw(())
    with pytest.raises(ValueError, match="at most 1"):
        LabelLaw((way(share=0.6), way(share=0.6)))
    with pytest.raises(ValueError, match="declined_share"):
        LabelLaw((way(),), declined_share=2.0)
