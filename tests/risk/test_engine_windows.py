"""Windows through the whole walk: one book for a batch, its windows in the evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from features.local_memory import LocalMemory
from features.vectors import vectors
from risk.domain.decision import Decision, decode_decision
from risk.domain.observation import Arrival, Claimed, Observed
from risk.domain.outcome import Outcome
from risk.judgement import told_windows
from risk.rules.book import Book, Rule
from tests.risk.test_engine import Parts, an_arrival
from tests.support.proof_world import compiled

SPENT = 'sum(account, "3h", amount)'
SHOPS = 'max(beneficiary, "2d", amount)'


def book(*conditions: str) -> Book:
    rules = tuple(
        Rule(
            id=f"rule_{number}", name="n", when=when, action="review", reason="WINDOW",
            sentence="s", customer="c", owner="o", state="live",
        )
        for number, when in enumerate(conditions)
    )  # fmt: skip
    return Book(name="b", rules=rules)


def publish(parts: Parts, chosen: Book) -> None:
    held = parts.judgement.versions
    parts.judgement.versions = parts.judgement.constants.versions(
        held.scoring, compiled(chosen), held.policy
    )


class PublishingMemory(LocalMemory):
    """Another book goes live while Redis answers."""

    def __init__(self) -> None:
        super().__init__(vectors)
        self.then: Callable[[], None] = lambda: None

    async def observe(
        self, arrivals: Sequence[Arrival], windows: tuple[str, ...] = ()
    ) -> list[Observed]:
        found = await super().observe(arrivals, windows)
        self.then()
        return found


async def decided(parts: Parts, number: int) -> Decision:
    (verdict,) = await parts.engine.decide([an_arrival(number)], parts.deadline())
    return decode_decision(verdict.body)


async def test_windows_are_inputs_of_the_decision_and_stand_in_its_evidence() -> None:
    parts = Parts()
    plain = await decided(parts, 1)
    assert plain.evidence is not None
    assert not plain.evidence.windows
    assert told_windows(plain.evidence) is None
    publish(parts, book(f"{SPENT} >= 1001", f"{SHOPS} > 1"))
    found = await decided(parts, 2)
    assert found.outcome is Outcome.REVIEW
    assert [hit.rule for hit in found.rule_hits] == ["rule_0"]
    assert found.evidence is not None
    assert found.evidence.windows == {SPENT: 1001.0, SHOPS: None}
    told = told_windows(found.evidence)
    assert told is not None
    assert dict(zip(told.names, np.nan_to_num(told.values, nan=-1), strict=True)) == {
        SPENT: 1001.0,
        SHOPS: -1.0,
    }


@pytest.mark.parametrize(("before", "after"), [((SPENT,), (SHOPS,)), ((), (SPENT,))])
async def test_a_batch_is_judged_by_the_book_its_windows_were_made_for(
    before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    memory = PublishingMemory()
    parts = Parts(memory)
    publish(parts, book(*(f"{window} > 1" for window in before)))
    old = parts.judgement.versions.digests.book
    memory.then = lambda: publish(parts, book(*(f"{window} > 1" for window in after)))
    first, second = await decided(parts, 1), await decided(parts, 2)
    for decision, asked in ((first, before), (second, after)):
        assert decision.evidence is not None
        assert tuple(decision.evidence.windows or ()) == asked
        assert decision.evidence.rule_errors == []
    assert first.evidence is not None
    assert second.evidence is not None
    assert first.evidence.digests.book == old != second.evidence.digests.book


def test_a_book_without_windows_makes_none() -> None:
    (seen,) = LocalMemory(vectors).observe_now([an_arrival(1)])
    assert isinstance(seen, Claimed)
    assert seen.windows is None
    (seen,) = LocalMemory(vectors).observe_now([an_arrival(1)], (SPENT,))
    assert isinstance(seen, Claimed)
    assert seen.windows is not None
    assert seen.windows.names == (SPENT,)
    assert seen.vector is not None
    (bare,) = LocalMemory(vectors).observe_now([an_arrival(1)])
    assert isinstance(bare, Claimed)
    assert bare.vector is not None
    assert seen.vector.tobytes() == bare.vector.tobytes()
