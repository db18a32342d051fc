"""Outcomes over columns against the judgement that serves, on random payments and policies."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest

from risk.backtest.block import OUTCOMES, Block
from risk.backtest.judging import Candidate, Judge
from risk.domain.decision import Digests, LogPosition, Reason
from risk.domain.findings import ActingList, ListSnapshot, Texts
from risk.domain.money import ExchangeRates
from risk.domain.observation import Arrival, Claimed, Lost, Windowed
from risk.judgement import Constants, Judgement, Versions
from risk.policy import Policy, Thresholds
from risk.rules.book import Book, Rule
from risk.rules.compiler import Tables
from risk.rules.evaluator import CompiledBook
from risk.rules.schema import Schema
from risk.rules.syntax import Type
from tests.support.backtest import NAMES, block_of

SCHEMA = Schema(
    features=((NAMES[0], Type.NUMBER), (NAMES[1], Type.BOOLEAN)), lists={"trusted": "account"}
)
RATES = ExchangeRates(base="EUR", as_of="2026-01-01", source="test", rates_e9={})
WINDOW = 'count(card, "1h")'


def rule(number: int, when: str, action: Any, **fields: Any) -> Rule:
    return Rule(
        id=f"rule_{number}", name="n", when=when, action=action, reason=f"REASON_{number}",
        sentence="s", customer="c", owner="o", **{"state": "live", **fields},
    )  # fmt: skip


BOOK = Book(
    name="Tried",
    rules=(
        rule(0, "f_one > 5", "block"),
        rule(1, "f_flag and amount > 3000", "review"),
        rule(2, 'country == "DE" and f_one < 1', "allow"),
        rule(3, "score > 0.4", "tag"),
        rule(4, "f_one > 2", "review", rollout_percent=40.0),
        rule(5, "f_one > 1", "block", state="shadow"),
        rule(6, "f_one > 3", "review", expires_at="2026-09-21T10:00:00Z"),
        rule(7, f"{WINDOW} >= 4", "review"),
        rule(8, "account in trusted", "allow", state="draft"),
        rule(9, "amount > 1", "block", state="retired"),
        rule(10, "device in trusted and f_one > 7", "hold"),
        rule(11, "f_one > 6 and amount > 2000", "limit"),
    ),
)
REASON = Reason(code="LISTED", sentence="s", customer="c")
LISTS = ListSnapshot(
    values={"trusted": Texts(frozenset(("acc-1", "dev-1")))},
    version="f" * 64,
    acting=(
        ActingList("bad", "block", (("device", REASON),), Texts(frozenset(("dev-2",)))),
        ActingList("held", "hold", (("email_hash", REASON),), Texts(frozenset(("mail-1",)))),
        ActingList("good", "allow", (("account", REASON),), Texts(frozenset(("acc-3",)))),
    ),
)
POLICIES = (
    Policy(),
    Policy(
        review_at=0.05, block_at=0.3, by_channel={"atm": Thresholds(review_at=0.5, block_at=0.9)}
    ),
    Policy(explore_share=0.05, explore_amount_max_minor=2_000, degraded_amount_max_minor=100),
)
POSITION = LogPosition("account", "a", 1, 0, 1, 0)


def claims(
    count: int, seed: int
) -> tuple[list[tuple[Arrival, Claimed | Lost]], list[float | None]]:
    from tests.support.memory import payment

    rng = random.Random(seed)
    found: list[tuple[Arrival, Claimed | Lost]] = []
    scores: list[float | None] = []
    for number in range(count):
        arrival = payment(
            number,
            account=f"acc-{rng.randrange(6)}",
            device=rng.choice([None, "dev-1", "dev-2", "dev-3"]),
            email_hash=rng.choice([None, "mail-1", "mail-2", "mail-3"]),
            channel=rng.choice([None, "atm", "ecom"]),
            country=rng.choice([None, "DE", "FR"]),
            amount_minor=rng.choice([50, 1500, 9000]),
            at_ms=1_789_984_000_000 + rng.randrange(10_000_000),
        )
        base = rng.choice([None, arrival.event.amount_minor])  # type: ignore[union-attr]
        arrival = Arrival(
            arrival.event, arrival.body, arrival.fingerprint, "stream",
            arrival.arrived_at_ms, base,
        )  # fmt: skip
        vector = np.array([rng.choice([math.nan, 0.5, 4.0, 9.0]), rng.choice([0.0, 1.0])])
        windows = Windowed((WINDOW,), np.array([rng.choice([math.nan, 1.0, 5.0])]))
        seen: Claimed | Lost = Claimed((POSITION,), vector, (), windows)
        if rng.random() < 0.1:
            seen = Lost(POSITION, (POSITION,))
        lost = isinstance(seen, Lost)
        found.append((arrival, seen))
        scores.append(None if lost else rng.choice([math.nan, 0.01, 0.2, 0.45, 0.95]))
    return found, scores


class Given:
    """A model that gives each row the score that is expected next."""

    model_digest = "m" * 64
    calibration_digest = "c" * 64

    def __init__(self, scores: list[float | None]) -> None:
        self._scores = np.array([math.nan if one is None else one for one in scores])

    def score(self, matrix: Any) -> Any:
        assert len(matrix) == len(self._scores)
        return self._scores

    def reasons(self, matrix: Any) -> Any:
        return [[] for _ in matrix]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("lists", [LISTS, ListSnapshot(values=LISTS.values)])
def test_outcomes_and_hits_are_those_of_the_judgement(policy: Policy, lists: ListSnapshot) -> None:
    made, scores = claims(3_000, 7)
    tables = Tables(RATES, lists)
    awake = Book(name="Tried", rules=tuple(r for r in BOOK.rules if r.state != "draft"))
    compiled = CompiledBook(awake, SCHEMA, tables)
    constants = Constants(NAMES, "k" * 64, "r" * 64, "weir", {})
    digests = Digests(
        catalogue="", model="", calibration="", book="", lists="", policy=policy.digest(), rates=""
    )
    versions = Versions(Given(scores), compiled, policy, digests, lists)
    expected = Judgement(constants, versions).judge(made)

    judge = Judge(Candidate(BOOK, SCHEMA, tables, policy))
    found = judge.judge(block_of(made, scores))
    outcomes = [OUTCOMES[code] for code in found.outcome.tolist()]
    assert outcomes == [one.outcome for one in expected]
    assert len(set(outcomes)) == 3

    matrix = np.array([np.full(2, math.nan) if isinstance(s, Lost) else s.vector for _, s in made])
    windows = [None if isinstance(s, Lost) else s.windows for _, s in made]
    findings = compiled.evaluate([one for one, _ in made], matrix, scores, windows)
    for place, tried in enumerate(judge.rules):
        if tried.state != "live":
            continue
        hits = [
            isinstance(seen, Claimed) and any(hit.rule.rule == tried.id for hit in one.hits)
            for (_, seen), one in zip(made, findings, strict=True)
        ]
        assert found.hits[place].tolist() == hits
        assert any(hits)


def test_a_rule_without_its_column_or_window_is_named() -> None:
    made, scores = claims(50, 3)
    block = block_of(made, scores)
    bare = block_of(made, scores, windows=False)
    judge = Judge(Candidate(BOOK, SCHEMA, Tables(RATES, LISTS), Policy()))
    assert judge.lacking(block) == {}
    assert judge.lacking(bare) == {"rule_7": [WINDOW]}
    untested = judge.judge(bare).untested
    assert untested[7].tolist() == bare.has_features.tolist()
    assert not untested[:7].any()


def test_a_long_block_is_cut_into_stretches_with_the_same_answers() -> None:
    made, scores = claims(60, 5)
    candidate = Candidate(BOOK, SCHEMA, Tables(RATES, LISTS), POLICIES[2])
    block = block_of(made, scores)
    whole, cut = Judge(candidate).judge(block), Judge(candidate, stretch_rows=7).judge(block)
    for name in ("hits", "unknown", "untested", "stops", "lets", "outcome"):
        assert getattr(whole, name).tolist() == getattr(cut, name).tolist()


def test_a_block_without_rows() -> None:
    block: Block = block_of([], [])
    assert Judge(Candidate(BOOK, SCHEMA, Tables(RATES, LISTS), Policy())).judge(
        block
    ).hits.shape == (len(BOOK.rules) - 1, 0)
