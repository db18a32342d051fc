"""The figures of a report against plain sums over the same payments, one by one."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest

from risk.backtest.block import ALLOW, OUTCOMES, UNDECIDED, Block
from risk.backtest.costs import cost
from risk.backtest.judging import Candidate, Judge, RulesAlone
from risk.backtest.people import People, intervals
from risk.backtest.report import Report, Signed, Source, decode_report, encode_report
from risk.backtest.run import Asked, Backtest, delay_ms
from risk.backtest.truth import Labels
from risk.domain.errors import BadConfiguration
from risk.domain.limits import TIME_MS_MAX, TIME_MS_MIN
from risk.domain.money import ExchangeRates
from risk.domain.observation import Arrival, Claimed
from risk.domain.outcome import Outcome
from risk.policy import Policy, expected_cost
from risk.rules.book import Book, Rule
from risk.rules.compiler import Tables
from risk.rules.schema import Schema
from risk.rules.syntax import Type
from tests.support.backtest import NAMES, block_of, with_columns
from tests.support.memory import payment

DAY_MS = 86_400_000
START_MS = 1_789_948_800_000  # midnight UTC
SCHEMA = Schema(features=((NAMES[0], Type.NUMBER), (NAMES[1], Type.BOOLEAN)))
RATES = ExchangeRates(base="EUR", as_of="2026-01-01", source="test", rates_e9={})
POLICY = Policy(review_at=0.3, block_at=0.8)
SIGNED = Signed(book="", lists="", policy="", model="", calibration="", catalogue="", rates="")


def rule(name: str, when: str, action: Any, state: Any = "live") -> Rule:
    return Rule(
        id=name, name="n", when=when, action=action, reason=name.upper(), sentence="s",
        customer="c", owner="o", state=state,
    )  # fmt: skip


BOOK = Book(
    name="Tried",
    rules=(
        rule("high", "f_one > 7", "block"),
        rule("higher", "f_one > 8", "review"),
        rule("flagged", "f_flag", "review"),
        rule("good", 'country == "DE" and f_one < 2', "allow"),
        rule("tried", "f_one > 5", "block", "shadow"),
    ),
)


class World:
    """Payments with stored outcomes and labels, and the block that a back-test reads."""

    def __init__(self, count: int = 800, seed: int = 3) -> None:
        rng = random.Random(seed)
        claims, scores, outcomes = [], [], []
        self.words: dict[tuple[str, str], list[tuple[int, str]]] = {}
        for number in range(count):
            at_ms = START_MS + number * (10 * DAY_MS) // count
            arrival = payment(
                number, at_ms=at_ms, account=f"acc-{rng.randrange(40)}",
                amount_minor=rng.randrange(100, 90_000), country=rng.choice([None, "DE", "FR"]),
                channel=rng.choice(["ecom", "atm"]),
            )  # fmt: skip
            vector = np.array([rng.choice([math.nan, 1.0, 6.0, 7.5, 9.0]), rng.choice([0.0, 1.0])])
            claims.append((arrival, Claimed((), vector, ())))
            scores.append(rng.choice([0.01, 0.1, 0.5, 0.9]))
            outcomes.append(rng.randrange(3))
            if rng.random() < 0.2:
                word = rng.choice(["chargeback", "analyst_legit"])
                known_ms = at_ms + rng.randrange(8) * DAY_MS
                self.words["main", f"p{number}"] = [(known_ms, word)]
        self.claims: list[tuple[Arrival, Claimed]] = claims
        held = block_of(list(claims), list(scores))
        self.block = with_columns(held, outcome=np.array(outcomes, np.int8))
        self.as_of_ms = START_MS + 12 * DAY_MS


WORLD = World()


def asked(**fields: Any) -> Asked:
    whole: dict[str, Any] = {
        "source": Source(kind="archive", name="t"), "digests": SIGNED, "from_ms": TIME_MS_MIN,
        "to_ms": TIME_MS_MAX, "label_delay_days": 5.0, "baseline": "stored outcomes",
        "capacity": 30.0,
    }  # fmt: skip
    return Asked(**{**whole, **fields})


def backtest_of(*blocks: Block, old: Candidate | None = None, **fields: Any) -> Backtest:
    candidate = Candidate(BOOK, SCHEMA, Tables(RATES), POLICY)
    labels = Labels(WORLD.words, WORLD.as_of_ms, delay_ms(5.0))
    test = Backtest(candidate, asked(**fields), labels, old)
    for block in blocks:
        test.add(block)
    return test


def report() -> Report:
    return backtest_of(WORLD.block).report({"damaged": 2})


class Row:
    """One payment, with everything that the figures are sums of."""

    def __init__(self, place: int, new: int, hits: dict[str, bool]) -> None:
        arrival = WORLD.claims[place][0]
        event = arrival.event
        self.old, self.new = int(WORLD.block.outcome[place]), new
        self.hits = hits
        self.amount = arrival.amount_base or 0
        self.account = event.account
        self.channel = getattr(event, "channel", "")
        self.day = (arrival.arrived_at_ms - START_MS) // DAY_MS
        self.mature = arrival.arrived_at_ms + 5 * DAY_MS <= WORLD.as_of_ms
        said = [w for at, w in WORLD.words.get(("main", event.id), []) if at <= WORLD.as_of_ms]
        self.fraud = said == ["chargeback"]
        self.score = float(WORLD.block.score[place])

    @property
    def stopped(self) -> bool:
        return self.old == ALLOW and self.new != ALLOW

    @property
    def released(self) -> bool:
        return self.old != ALLOW and self.new == ALLOW


def rows() -> list[Row]:
    judge = Judge(Candidate(BOOK, SCHEMA, Tables(RATES), POLICY))
    judged = judge.judge(WORLD.block)
    return [
        Row(
            place,
            int(judged.outcome[place]),
            {one.id: bool(judged.hits[n, place]) for n, one in enumerate(judge.rules)},
        )
        for place in range(len(WORLD.block))
    ]


def test_flips_labels_and_people() -> None:
    found, told = report(), rows()
    assert found.payments == len(told) == 800
    assert found.left_out == {"damaged": 2}
    pairs = Counter((row.old, row.new) for row in told if row.old != row.new)
    names = [one.value for one in OUTCOMES]
    assert found.flips == {
        f"{names[old]} -> {names[new]}": pairs[old, new]
        for old in range(3) for new in range(3) if old != new
    }  # fmt: skip
    mature = [row for row in told if row.mature]
    assert 0 < len(mature) < 800
    assert (found.mature, found.frauds) == (len(mature), sum(row.fraud for row in mature))
    assert found.immature_share == pytest.approx(1 - len(mature) / 800)
    assert found.fraud_caught.value == sum(row.fraud and row.stopped for row in mature)
    assert found.fraud_released.value == sum(row.fraud and row.released for row in mature)
    assert found.good_stopped.value == sum(not row.fraud and row.stopped for row in mature)
    assert found.good_released.value == sum(not row.fraud and row.released for row in mature)
    assert found.fraud_caught.low < found.fraud_caught.value < found.fraud_caught.high
    changed = [row for row in told if row.old != row.new]
    immature = sum(not row.mature for row in changed)
    assert found.flips_immature_share == pytest.approx(immature / len(changed))
    assert found.accounts_affected == len({row.account for row in changed})
    assert found.accounts_newly_stopped == len({row.account for row in told if row.stopped})
    loop = found.open_loop
    assert [loop.allow, loop.review, loop.block] == [
        sum(row.new == code for row in told) for code in range(3)
    ]
    caught = [row for row in mature if row.fraud and row.new != ALLOW]
    assert loop.fraud_stopped == len(caught)
    assert loop.fraud_stopped_minor == sum(row.amount for row in caught)


def test_money_and_reviews() -> None:
    found, mature = report(), [row for row in rows() if row.mature]
    caught = sum(row.amount for row in mature if row.fraud and row.stopped)
    assert found.money.fraud_caught_minor.value == pytest.approx(caught)
    saved = sum(_cost(row, row.old) - _cost(row, row.new) for row in mature)
    assert found.money.net_minor.value == pytest.approx(saved)
    days: dict[int, Counter[int]] = {}
    for row in rows():
        days.setdefault(row.day, Counter())[row.new] += 1
    reviews = [count[1] for _, count in sorted(days.items())]
    told = found.reviews_per_day
    assert told.new == pytest.approx(sum(reviews) / len(reviews))
    assert told.worst_day == max(reviews)
    assert told.over_capacity_days == sum(one > 30 for one in reviews)
    assert told.extra == pytest.approx(told.new - told.old)
    assert (
        backtest_of(WORLD.block, capacity=None).report({}).reviews_per_day.over_capacity_days
        is None
    )


def _cost(row: Row, outcome: int) -> float:
    fraud, policy = row.fraud, POLICY
    allow = (policy.loss_share * row.amount + policy.fee_minor) if fraud else 0.0
    block = 0.0 if fraud else policy.stopped_customer_minor + policy.margin_share * row.amount
    review = policy.review_minor + policy.review_miss_share * allow
    review += policy.review_stop_share * block
    return (allow, review, block)[outcome]


def test_costs_are_the_expected_ones_where_the_truth_is_certain() -> None:
    nearly = 1.0 - 1e-12
    for fraud, score in ((True, nearly), (False, 1e-12)):
        expected = expected_cost(5_000, score, POLICY)
        assert expected is not None
        for code, wanted in enumerate(
            (expected.allow_minor, expected.review_minor, expected.block_minor)
        ):
            one = np.array([code], np.int8), np.array([fraud]), np.array([5_000.0])
            assert cost(*one, POLICY)[0] == pytest.approx(wanted, abs=0.51)


def test_rules_alone_and_together() -> None:
    found, told = report(), rows()
    by_rule = {one.rule: one for one in found.rules}
    acts = {"high": (2,), "higher": (1,), "flagged": (1,)}
    for name, figures in by_rule.items():
        hit = [row for row in told if row.hits[name]]
        assert figures.hits == len(hit) == found.hits[name]
        assert figures.accounts == len({row.account for row in hit})
        assert figures.amount_minor == sum(row.amount for row in hit)
        assert figures.fraud == sum(row.fraud and row.mature for row in hit)
        stops = [
            row
            for row in hit
            if name != "good"
            and row.score < POLICY.review_at
            and not row.hits["good"]
            and not any(row.hits[other] for other in acts if other != name)
        ]
        if name != "good":
            assert figures.marginal_stopped == len(stops)
            assert bool(stops) is (name != "higher")  # which "high" always joins
            assert found.marginal[name] == sum(row.fraud and row.mature for row in stops)
    lets = [
        row for row in told
        if row.hits["good"]
        and (row.score >= POLICY.review_at or any(row.hits[name] for name in acts))
    ]  # fmt: skip
    assert by_rule["good"].marginal_stopped == len(lets) > 0
    shared = sum(row.hits["high"] and row.hits["higher"] for row in told)
    assert found.overlap["high"]["higher"] == found.overlap["higher"]["high"] == shared > 0


def test_segments_days_and_examples() -> None:
    found, told = report(), rows()
    ecom = next(one for one in found.segments if one.name == "channel=ecom")
    mine = [row for row in told if row.channel == "ecom"]
    assert ecom.payments == len(mine)
    assert ecom.stopped_new == sum(row.new != ALLOW for row in mine)
    assert ecom.good_stopped == sum(row.stopped and row.mature and not row.fraud for row in mine)
    assert {one.name for one in found.segments} >= {"country=missing", "country=DE", "type=payment"}
    assert [one.payments for one in found.days] == [80] * 10
    largest = sorted((row.amount for row in told if row.released), reverse=True)[:10]
    assert [one.amount_minor for one in found.examples.released] == largest
    assert {one.old for one in found.examples.stopped} == {"allow"}
    assert any(one.fraud is None for one in found.examples.stopped + found.examples.released)


def test_blocks_apart_are_as_one_and_copies_count_once() -> None:
    whole = msgspec.to_builtins(report())
    halves = [with_columns(WORLD.block, keep=np.arange(800) % 2 == half) for half in (0, 1)]
    apart = msgspec.to_builtins(backtest_of(*halves, WORLD.block).report({"damaged": 2}))
    for name in (
        "payments",
        "flips",
        "hits",
        "days",
        "marginal",
        "overlap",
        "examples",
        "open_loop",
    ):
        assert apart[name] == whole[name]
    doubled = with_columns(WORLD.block, keep=np.repeat(np.arange(800), 2))
    again = msgspec.to_builtins(backtest_of(doubled).report({"damaged": 2}))
    assert again["flips"] == whole["flips"]


def test_the_report_survives_json() -> None:
    found = report()
    assert decode_report(encode_report(found)) == found
    assert b"NaN" not in encode_report(found)


def test_another_book_as_the_baseline() -> None:
    same = Candidate(BOOK, SCHEMA, Tables(RATES), POLICY)
    undecided = with_columns(WORLD.block, outcome=np.full(800, UNDECIDED, np.int8))
    found = backtest_of(undecided, old=same).report({})
    assert set(found.flips.values()) == {0}
    assert found.flips_immature_share == 0.0
    with pytest.raises(BadConfiguration, match="--against"):
        backtest_of(undecided)


def test_without_scores_somebody_must_say_what_judges() -> None:
    bare = with_columns(WORLD.block, score=np.full(800, np.nan))
    with pytest.raises(BadConfiguration, match="--model none"):
        backtest_of(bare).report({})
    alone = Candidate(BOOK, SCHEMA, Tables(RATES), POLICY, RulesAlone())
    judged = Judge(alone).judge(bare)
    assert set(judged.score.tolist()) == {0.0}
    assert OUTCOMES[int(judged.outcome.max())] is Outcome.BLOCK
    assert list(RulesAlone().reasons(np.zeros((2, 1)))) == [(), ()]


def test_an_empty_range_says_so() -> None:
    with pytest.raises(BadConfiguration, match="look at --from and --to"):
        backtest_of(WORLD.block, to_ms=START_MS).report({})


def test_intervals_are_those_of_drawing_all_accounts_again() -> None:
    rng = np.random.default_rng(5)
    account, column = rng.integers(0, 30, 500), rng.normal(1.0, 1.0, 500)
    (found,) = intervals(account, [column], people=200, seed=9)
    sums = np.bincount(account, weights=column, minlength=200)
    drawn = [sums[rng.integers(0, 200, 200)].sum() for _ in range(4_000)]
    low, high = np.quantile(drawn, (0.025, 0.975))
    assert found.value == pytest.approx(column.sum())
    assert found.low == pytest.approx(low, rel=0.08)
    assert found.high == pytest.approx(high, rel=0.08)
    (none,) = intervals(account[:0], [column[:0]], people=200, seed=9)
    assert (none.value, none.low, none.high) == (0.0, 0.0, 0.0)


def test_accounts_of_two_tenants_are_two_people() -> None:
    people = People()
    first = people.of(WORLD.block)
    assert len(people) == 40
    assert people.of(WORLD.block).tolist() == first.tolist()
    other = with_columns(WORLD.block, tenant="bank")
    assert set(people.of(other).tolist()).isdisjoint(first.tolist())
