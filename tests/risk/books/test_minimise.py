"""The smallest book on stored decisions: equal outcomes, and nothing that could still go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from risk.books.minimise import Plan
from risk.cli.rules_minimise import Wish, lines_of, proposed
from risk.domain.decision import decode_decision
from risk.domain.errors import BadBook, BadConfiguration
from risk.replay import outcomes_with
from risk.rules.book import Book
from risk.rules.holding import Holding
from tests.support.memory import START_MS
from tests.support.proof_world import ListHistory, compiled, story
from tests.support.rule_story import BUSY, TO_MS, at_hand, rule


async def plan_of(
    home: Path, history: ListHistory, book: Book = BUSY, judged: Book = BUSY
) -> tuple[Plan, dict[str, Any]]:
    settings, versions = at_hand(home, judged)
    return await proposed(settings, Wish(book, START_MS - 1, TO_MS), history, versions)


async def test_what_others_say_as_well_goes_and_what_decides_stays(tmp_path: Path) -> None:
    history = ListHistory(story(21, 700, book=BUSY))
    plan, told = await plan_of(tmp_path, history)
    removed = {one["rule"]: one for one in told["removed"]}
    kept = {one["rule"]: one for one in told["kept"]}
    assert set(removed) >= {"larger", "also_largest", "never"}
    assert len({"large", "twin"} & set(removed)) == 1
    assert {"watch_french", "note_german", "sketch", "largest"} <= set(kept)
    assert "shadow" in kept["watch_french"]["why"]
    assert "tag" in kept["note_german"]["why"]
    assert kept["largest"]["witness"]
    assert removed["larger"]["by"][next(iter({"large", "twin"} & set(kept)))] > 0
    assert (told["exact"], told["verified"]["different"]) == (True, 0)
    assert told["verified"]["equal"] == told["judged"] > 300
    assert told["rules_after"] == len(plan.book.rules) == len(kept)
    assert "not equal on those to come" in "\n".join(lines_of(told))


async def test_a_rule_that_suspends_is_more_than_its_outcomes(tmp_path: Path) -> None:
    holding = Holding(entity="card", lasts="1h")
    rules = tuple(
        msgspec.structs.replace(one, action="hold", hold=holding) if one.id == "never" else one
        for one in BUSY.rules
    )
    book = msgspec.structs.replace(BUSY, rules=rules)
    _, told = await plan_of(tmp_path, ListHistory(story(21, 100, book=BUSY)), book)
    assert "suspends" in next(one["why"] for one in told["kept"] if one["rule"] == "never")


async def test_every_rule_that_stays_is_needed(tmp_path: Path) -> None:
    history = ListHistory(story(22, 500, book=BUSY))
    plan, told = await plan_of(tmp_path, history)
    _, versions = at_hand(tmp_path, BUSY)
    bodies = {one.value for one in history.records if one.topic == "decisions" and one.value}
    by_id = {one.payment_id: one for one in map(decode_decision, bodies)}
    needed = [one for one in told["kept"] if one["witness"]]
    assert needed
    for one in needed:
        decision = by_id[one["witness"]]
        assert decision.evidence is not None
        named = await versions.of(decision.evidence)
        assert named is not None
        less = tuple(own for own in plan.book.rules if own.id != one["rule"])
        import dataclasses

        import numpy as np

        matrix = np.array([decision.evidence.vector], np.float64)
        books = (BUSY, msgspec.structs.replace(plan.book, rules=less))
        outcomes = [
            outcomes_with(decision, dataclasses.replace(named, rules=compiled(book)), matrix)
            for book in books
        ]
        assert outcomes[0] != outcomes[1]


async def test_a_book_that_never_judged_may_be_tried(tmp_path: Path) -> None:
    other = Book(
        name="Other",
        rules=(
            rule("all_of_them", "amount > 60"), rule("some", "amount > 100000"),
            rule("rare", 'amount > money(4000, "EUR")', "block"),
            rule(
                "windowed", 'count(card, "1h") > 1',
                hits={'count(card, "1h")': 3}, misses={'count(card, "1h")': 1},
            ), rule("told", "amount > 100000", "alert"),
        ),
    )  # fmt: skip
    history = ListHistory(story(23, 300, book=BUSY))
    plan, told = await plan_of(tmp_path, history, other)
    assert [one.id for one in plan.book.rules][:1] == ["all_of_them"]
    kept = {one["rule"]: one["why"] for one in told["kept"]}
    assert "lacked a window" in kept["windowed"]  # its windows were never made
    assert "alert" in kept["told"]
    assert "payments end otherwise" in kept["rare"]
    assert [one["rule"] for one in told["removed"]] == ["some"]
    assert told["verified"]["different"] == 0


async def test_bad_input_is_named(tmp_path: Path) -> None:
    history = ListHistory(story(24, 100, book=BUSY))
    with pytest.raises(BadBook, match="no_such"):
        await plan_of(tmp_path, history, Book(name="Bad", rules=(rule("bad", "no_such > 1"),)))
    whole = Wish(BUSY, START_MS - 1, TO_MS)
    settings, versions = at_hand(tmp_path / "bare")
    with pytest.raises(BadConfiguration, match="version_missing"):
        await proposed(settings, whole, history, versions)
    settings, versions = at_hand(tmp_path, BUSY)
    with pytest.raises(BadConfiguration, match="--from"):
        await proposed(settings, whole._replace(from_ms=TO_MS - 1), history, versions)
