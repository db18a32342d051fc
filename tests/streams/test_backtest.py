"""Back-tests of a story told on topics: columns, windows, and the closed loop."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import pytest

from features.catalogue import CATALOGUE
from features.proof.history import HistoryRecord
from risk.backtest.judging import Candidate, Judge
from risk.backtest.report import Signed, Source
from risk.backtest.run import Asked, Backtest
from risk.backtest.truth import Labels
from risk.domain.decision import decode_decision
from risk.domain.errors import BadConfiguration
from risk.domain.findings import NO_LISTS
from risk.domain.limits import TIME_MS_MAX, TIME_MS_MIN
from risk.domain.outcome import Outcome
from risk.policy import Policy
from risk.rules.book import Book, Rule
from risk.rules.compiler import Tables
from risk.rules.schema import Schema
from streams.backtest_cache import load_block
from streams.backtest_loop import closed_loop
from streams.backtest_read import Gathered, gather_topics
from streams.backtest_windows import Windows, lacking, rebuilt
from tests.support.proof_world import RATES, ListHistory, scorer, story, to_base

WHOLE = (TIME_MS_MIN, TIME_MS_MAX - 1)
WINDOWS = ('count(account, "3h", kind="declined")', 'sum(account, "30d", amount)')
SIGNED = Signed(book="", lists="", policy="", model="", calibration="", catalogue="", rates="")


def rule(name: str, when: str, action: str, state: str = "live") -> Rule:
    return msgspec.convert(
        {
            "id": name, "name": "n", "when": when, "action": action, "reason": name.upper(),
            "sentence": "s", "customer": "c", "owner": "o", "state": state,
        },
        Rule,
    )  # fmt: skip


SERVED = Book(
    name="Served",
    rules=(
        rule("windowed", f"{WINDOWS[0]} >= 40 or {WINDOWS[1]} < 5000000", "review"),
        rule("large", "amount > 250000", "review"),
    ),
)


@cache
def told() -> tuple[HistoryRecord, ...]:
    return tuple(story(11, 900, book=SERVED))


def history() -> ListHistory:
    return ListHistory(told())


def candidate(book: Book, policy: Policy | None = None) -> Candidate:
    return Candidate(book, Schema.of(CATALOGUE), Tables(RATES, NO_LISTS), policy or Policy())


async def gathered(folder: Path, times: tuple[int, int] = WHOLE) -> Gathered:
    return await gather_topics(history(), times, to_base, folder)


def backtest(found: Gathered, book: Book, times: tuple[int, int] = WHOLE) -> Backtest:
    asked = Asked(Source(kind="topics", name="t"), SIGNED, *times, 0.0, "stored outcomes")
    made = Backtest(candidate(book), asked, Labels(found.words, TIME_MS_MAX, 0))
    for block in found:
        made.add(block)
    return made


def decisions() -> dict[str, Outcome]:
    stored = {}
    for record in told():
        if record.topic == "decisions" and not record.marker:
            decision = decode_decision(record.value)
            stored[decision.payment_id] = decision.outcome
    return stored


async def test_the_book_that_decided_flips_nothing(tmp_path: Path) -> None:
    report = backtest(await gathered(tmp_path), SERVED).report({})
    assert report.payments == len(decisions())  # a tenth is told twice, and counts once
    assert set(report.flips.values()) == {0}
    assert report.open_loop.review == sum(one is Outcome.REVIEW for one in decisions().values())
    assert report.open_loop.review > 0
    assert report.untested == {}
    assert report.hits["windowed"] > 0


async def test_flips_are_told_both_ways(tmp_path: Path) -> None:
    book = Book(name="Other", rules=(rule("most", "amount > 150000 and amount < 350000", "block"),))
    found = await gathered(tmp_path)
    report = backtest(found, book).report(found.left_out)
    stops = report.open_loop.block + report.open_loop.review
    moved = report.flips
    assert moved["review -> block"] > 0
    assert moved["review -> allow"] > 0
    assert moved["allow -> block"] > 0
    assert stops == sum(1 for one in decisions().values() if one is not Outcome.ALLOW) + sum(
        count for name, count in moved.items() if name.startswith("allow ->")
    ) - sum(count for name, count in moved.items() if name.endswith("-> allow"))
    assert report.frauds > 0
    assert report.fraud_caught.low <= report.fraud_caught.value <= report.fraud_caught.high
    days = report.days
    assert sum(one.payments for one in days) == report.payments
    assert len(report.examples.stopped) == 10
    amounts = [one.amount_minor or 0 for one in report.examples.stopped]
    assert amounts == sorted(amounts, reverse=True)


async def test_a_range_takes_its_decisions_only(tmp_path: Path) -> None:
    times = sorted({record.timestamp_ms for record in told() if record.topic == "decisions"})
    middle = times[len(times) // 2]
    first = backtest(await gathered(tmp_path / "a", (TIME_MS_MIN, middle)), SERVED)
    second = backtest(await gathered(tmp_path / "b", (middle, TIME_MS_MAX - 1)), SERVED)
    assert first.payments + second.payments == len(decisions())
    assert min(first.payments, second.payments) > 100
    nothing = backtest(await gathered(tmp_path / "c", (TIME_MS_MIN, times[0] - 10**9)), SERVED)
    with pytest.raises(BadConfiguration, match="nothing that can be judged was decided"):
        nothing.report({})


async def test_windows_made_again_are_those_of_the_evidence(tmp_path: Path) -> None:
    found = await gathered(tmp_path)
    made = await rebuilt(history(), WINDOWS, WHOLE, to_base)
    assert made.unprovable == 0
    for block in found:
        bare = dataclasses.replace(block, windows={})
        assert lacking([bare], WINDOWS) == WINDOWS
        assert Windows(WINDOWS).into(bare) is bare
        filled = made.into(bare)
        assert lacking([filled], WINDOWS) == ()
        for name in WINDOWS:
            values, known = block.windows[name]
            assert known.all()
            np.testing.assert_array_equal(filled.windows[name][0], values)


async def test_a_window_that_evidence_lacks_is_named_or_made(tmp_path: Path) -> None:
    book = Book(name="New", rules=(rule("fresh", 'max(account, "7d", amount) > 300000', "review"),))
    found = await gathered(tmp_path)
    report = backtest(found, book).report({})
    count = report.payments
    assert report.untested == {
        "fresh": f'{count} of {count} payments lack max(account, "7d", amount)'
    }
    assert not report.rules[0].tested
    made = await rebuilt(history(), ('max(account, "7d", amount)',), WHOLE, to_base)
    test = backtest(Gathered(), book)
    for block in found:
        test.add(made.into(block))
    filled = test.report({})
    assert filled.untested == {}
    assert filled.hits["fresh"] > 10


async def test_what_cannot_be_read_is_counted(tmp_path: Path) -> None:
    records = list(told())
    places = [n for n, one in enumerate(records) if one.topic == "decisions" and one.value]
    ledger = [n for n, one in enumerate(records) if one.topic == "ledger" and one.value]
    for place, value in ((places[3], b"{"), (places[4], b'{"decided_at":"2025-10-09T08:53:20Z"}')):
        records[place] = records[place]._replace(value=value)
    records[ledger[0]] = records[ledger[0]]._replace(value=b"[]")
    records[places[7]] = records[places[7]]._replace(epoch=0)
    found = await gather_topics(ListHistory(records), WHOLE, to_base, tmp_path)
    assert found.left_out == {"damaged": 3, "void": 1}


async def test_a_block_comes_back_from_disk_as_it_was(tmp_path: Path) -> None:
    found = await gathered(tmp_path)
    (folder,) = found.folders
    stored = load_block(folder)
    block = stored.block
    assert stored.newest == found.newest
    assert found.newest[1] == Policy().digest()
    assert len(block) >= len(decisions())
    ids = {block.ids.at(row) for row in range(len(block))}
    assert ids == set(decisions())
    outcomes = Judge(candidate(SERVED)).judge(block).outcome
    np.testing.assert_array_equal(outcomes, block.outcome)


@pytest.mark.parametrize("scored", [False, True])
async def test_the_closed_loop_of_the_same_book_has_no_gap(scored: bool) -> None:
    labels = Labels({}, TIME_MS_MAX, 0)
    tried = candidate(SERVED)
    if scored:
        tried = dataclasses.replace(tried, scoring=scorer())
    found = await closed_loop(history(), (tried, labels), WHOLE, to_base)
    assert found.open.payments == found.closed.payments == len(decisions())
    # The story's records of own decisions are never told, so the closed loop adds them.
    assert found.unknowable == 0
    assert found.open.review == sum(one is Outcome.REVIEW for one in decisions().values())


async def test_what_a_candidate_blocks_is_missing_later(tmp_path: Path) -> None:
    stops = Book(
        name="Stops",
        rules=(
            rule("all_of_a1", 'account == "a1" and amount > 1500', "block"),
            rule("stopped_before", 'count(account, "30d", kind="decided_block") >= 1', "review"),
        ),
    )
    labels = Labels({}, TIME_MS_MAX, 0)
    found = await closed_loop(history(), (candidate(stops), labels), WHOLE, to_base)
    assert found.open.block == found.closed.block > 0
    assert found.gap["review"] == found.closed.review - found.open.review > 0
    assert found.added > 0
    assert found.dropped > 0
    assert found.differing_outcomes >= found.gap["review"]
