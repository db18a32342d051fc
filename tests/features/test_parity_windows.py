"""The windows that rules ask for stand in the evidence, and parity proves or names them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import msgspec
import pytest

from features.parity import Parity, prove
from features.proof.certificate import ParityReport
from features.proof.history import HistoryRecord
from risk.domain.decision import Decision, decode_decision, encode_decision
from risk.domain.limits import TIME_MS_MAX
from risk.rules.book import Book, Rule
from tests.support.proof_world import ListHistory, OneModel, story, to_base

RULES = (
    'count(account, "3h", kind="declined") >= 1',
    'sum(account, "30d", amount) > 100000 or max(card, "90m", amount) > 5000',
    'avg(account, "2d", amount) > 1000 and distinct(account, "29d", devices) >= 2',
    'distinct(account, "7d", beneficiaries, kind=("transfer", "payment")) >= 1',
)


def book() -> Book:
    rules = tuple(
        Rule(
            id=f"window_{number}", name="n", when=when, action="review", reason="WINDOW",
            sentence="s", customer="c", owner="o", state="live",
        )
        for number, when in enumerate(RULES)
    )  # fmt: skip
    return Book(name="Windows", rules=rules)


@cache
def whole() -> tuple[HistoryRecord, ...]:
    return tuple(story(7, 900, book=book()))


async def parity(records: Sequence[HistoryRecord]) -> ParityReport:
    read = ListHistory(records)
    return await prove(read, Parity(read.extent, to_base, OneModel(), 0, TIME_MS_MAX - 1))


def changed(
    windows: dict[str, float | None], inexact: list[str] | None = None
) -> list[HistoryRecord]:
    """The history where one decision tells other windows."""
    records = list(whole())
    place = [n for n, one in enumerate(records) if one.topic == "decisions" and one.value][40]
    old = records[place].value
    decision = decode_decision(old)
    evidence = decision.evidence
    assert evidence is not None
    assert isinstance(evidence.windows, dict)
    told = msgspec.structs.replace(
        evidence,
        windows={**evidence.windows, **windows},
        inexact=evidence.inexact if inexact is None else inexact,
    )
    new = encode_decision(msgspec.structs.replace(decision, evidence=told))
    return [one._replace(value=new) if one.value == old else one for one in records]


def told() -> list[Decision]:
    return [decode_decision(one.value) for one in whole() if one.topic == "decisions" and one.value]


async def test_windows_are_proven_with_the_vectors() -> None:
    report = await parity(whole())
    assert report.verdict == "equal"
    assert report.checked == report.equal > 500
    windows = [one.evidence.windows for one in told() if one.evidence is not None]
    assert all(isinstance(one, dict) and len(one) == 6 for one in windows)
    # Each takes several values, and some reach past a tail: else nothing was proven.
    for name in windows[0] or {}:
        assert len({(one or {})[name] for one in windows}) > 1, name
    flagged = [name for one in told() if one.evidence for name in one.evidence.inexact]
    assert 'distinct(account, "29d", devices)' in flagged
    assert 'sum(account, "30d", amount)' not in flagged  # it goes on in tiles


async def test_a_hit_of_a_window_rule_is_decided() -> None:
    hits = {hit.rule for one in told() for hit in one.rule_hits}
    assert hits == {f"window_{number}" for number in range(len(RULES))}
    assert all(one.degraded == [] or "rule_failed" not in one.degraded for one in told())


async def test_another_window_value_is_named() -> None:
    name = 'max(card, "90m", amount)'
    report = await parity(changed({name: 123456.0}))
    assert (report.verdict, report.unequal) == ("different", 1)
    assert report.first_difference is not None
    assert report.first_difference.feature == name
    assert report.first_difference.served == 123456.0


async def test_another_flag_of_a_window_is_named() -> None:
    report = await parity(changed({}, ['sum(account, "30d", amount)', "x"]))
    assert report.verdict == "different"
    assert report.first_difference is not None
    assert report.first_difference.feature == "inexact"


@pytest.mark.parametrize("text", ['count(shop, "1h")', "os.system", 'count( card, "60m")'])
async def test_a_window_of_another_language_is_counted(text: str) -> None:
    report = await parity(changed({text: 1.0}))
    assert report.verdict == "unprovable"
    assert report.unprovable == {"WINDOWS_UNKNOWN": 1}
