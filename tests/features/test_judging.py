"""Decisions are judged again byte for byte; a changed outcome or reason is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import msgspec
import pytest

from features.catalogue import FEATURE_NAMES
from features.judging import Judging
from features.parity import Parity, prove
from features.proof.certificate import ParityReport
from features.proof.history import HistoryRecord
from risk.bootstrap import new_judgement
from risk.domain.decision import Decision, Evidence, decode_decision, encode_decision
from risk.domain.errors import BadVersion, Unavailable
from risk.domain.limits import TIME_MS_MAX
from risk.domain.outcome import Outcome
from risk.judgement import Versions
from risk.replay import Named, evidence_of
from tests.risk.test_engine import an_arrival
from tests.support.memory import START_MS
from tests.support.proof_world import RATES, STEP_MS, ListHistory, OneModel, scorer, story, to_base

END_MS = TIME_MS_MAX - 1


@cache
def held_versions() -> Versions:
    """What judges a story, but for its model."""
    return new_judgement(RATES).versions


class StoryVersions:
    """Implements ``VersionsByDigest`` for what judges a story; some may be missing."""

    def __init__(self, missing: Sequence[str] = (), error: Exception | None = None) -> None:
        self.missing = list(missing)
        self.looks = 0
        self._error = error

    async def of(self, evidence: Evidence) -> Named | None:
        if self._error is not None:
            raise self._error
        if self.missing:
            return None
        held = held_versions()
        event = msgspec.json.decode(evidence.event)
        return Named(
            features=FEATURE_NAMES,
            amount_base=RATES.to_base(event["amount_minor"], event["currency"]),
            scoring=scorer() if evidence.digests.model else None,
            rules=held.rules,
            policy=held.policy,
        )

    def look_again(self) -> None:
        self.looks += 1
        self.missing = []


@pytest.fixture(scope="module")
def whole() -> list[HistoryRecord]:
    return story(81, 150)


def decided(records: Sequence[HistoryRecord]) -> list[int]:
    return [n for n, one in enumerate(records) if one.topic == "decisions" and one.value]


async def certificate(
    records: Sequence[HistoryRecord], judging: Judging | None = None
) -> ParityReport:
    history = ListHistory(records, chunk=64)
    check = Parity(history.extent, to_base, OneModel(), 0, END_MS)
    return await prove(history, check, judging or Judging(StoryVersions(), 0, END_MS))


def with_decision(
    records: Sequence[HistoryRecord], place: int, change: Callable[[Decision], Decision]
) -> list[HistoryRecord]:
    old = records[place].value
    new = encode_decision(change(decode_decision(old)))
    assert new != old
    return [one._replace(value=new) if one.value == old else one for one in records]


async def test_a_story_is_judged_again_to_the_same_bytes(whole: list[HistoryRecord]) -> None:
    report = await certificate(whole)
    assert report.verdict == "equal"
    found = report.judgements
    assert found is not None
    assert found.checked == found.equal == report.checked == len(decided(whole))
    assert (found.unequal, found.unprovable, found.every, found.missing) == (0, {}, 1, [])


async def test_another_outcome_is_named(whole: list[HistoryRecord]) -> None:
    place = decided(whole)[40]
    served = decode_decision(whole[place].value)
    other = Outcome.ALLOW if served.outcome != Outcome.ALLOW else Outcome.BLOCK
    changed = with_decision(whole, place, lambda one: msgspec.structs.replace(one, outcome=other))
    report = await certificate(changed)
    first, found = report.first_difference, report.judgements
    assert first is not None
    assert found is not None
    # Its vector and score are what they were: only the judgement tells.
    assert (report.verdict, report.unequal) == ("different", 0)
    assert found.unequal == sum(one.value == changed[place].value for one in changed)
    assert (first.payment_id, first.feature) == (served.payment_id, "outcome")
    assert (first.served, first.rebuilt) == (f'"{other.value}"', f'"{served.outcome.value}"')
    assert first.decision.offset == whole[place].offset


async def test_another_word_of_a_reason_is_named(whole: list[HistoryRecord]) -> None:
    place = next(n for n in decided(whole)[20:] if decode_decision(whole[n].value).reasons)

    def reworded(one: Decision) -> Decision:
        head, *rest = one.reasons
        head = msgspec.structs.replace(head, sentence=head.sentence + "!")
        return msgspec.structs.replace(one, reasons=[head, *rest])

    report = await certificate(with_decision(whole, place, reworded))
    first = report.first_difference
    assert first is not None
    assert first.feature == "reasons[0].sentence"
    assert first.served == f"{first.rebuilt}"[:-1] + '!"'
    assert first.payment_id == decode_decision(whole[place].value).payment_id


async def test_a_space_is_a_difference(whole: list[HistoryRecord]) -> None:
    place = decided(whole)[-1]
    spaced = whole[place].value.replace(b'"outcome":', b'"outcome": ', 1)
    records = [
        one._replace(value=spaced) if one.value == whole[place].value else one for one in whole
    ]
    report = await certificate(records)
    first = report.first_difference
    assert first is not None
    assert (report.verdict, first.feature, first.served) == ("different", "", None)


async def test_the_earliest_of_several_is_the_first(whole: list[HistoryRecord]) -> None:
    early, late = decided(whole)[10], decided(whole)[90]
    records = list(whole)
    for place in (late, early):
        records = with_decision(
            records, place, lambda one: msgspec.structs.replace(one, expires_at="never")
        )
    by_place = sorted(records, key=lambda one: (-one.partition, one.topic, one.offset))
    for order in (records, by_place):
        report = await certificate(order)
        assert report.first_difference is not None
        assert report.first_difference.payment_id == decode_decision(whole[early].value).payment_id


async def test_evidence_that_is_gone_or_not_weirs_is_a_difference(
    whole: list[HistoryRecord],
) -> None:
    place = decided(whole)[5]

    def torn(one: Decision) -> Decision:
        short = msgspec.structs.replace(evidence_of(one), vector=[1.0])
        return msgspec.structs.replace(one, evidence=short)

    for change in (torn, lambda one: msgspec.structs.replace(one, evidence=None)):
        (record,) = {one.value: one for one in with_decision(whole, place, change)[place:][:1]}
        judging = Judging(StoryVersions(), 0, END_MS)
        await judging.take([whole[place]._replace(value=record)])
        assert judging.state == (0, 1, 0)


async def test_what_is_missing_is_told_by_its_kind(whole: list[HistoryRecord]) -> None:
    words = ["book 1234 is nowhere", "model 5678 is nowhere"]
    report = await certificate(whole, Judging(StoryVersions(words), 0, END_MS))
    found = report.judgements
    assert found is not None
    assert report.verdict == "unprovable"
    assert report.equal == report.checked  # vectors and scores are proven all the same
    assert found.unprovable == {"BOOK_UNKNOWN": len(decided(whole))}
    assert found.missing == words


async def test_a_damaged_version_proves_nothing_and_is_quoted(whole: list[HistoryRecord]) -> None:
    broken = Judging(StoryVersions(error=BadVersion("versions/book/12 is cut")), 0, END_MS)
    found = (await certificate(whole, broken)).judgements
    assert found is not None
    assert set(found.unprovable) == {"VERSION_DAMAGED"}
    assert found.missing == ["versions/book/12 is cut"]


async def test_an_outage_of_kafka_is_no_missing_version(whole: list[HistoryRecord]) -> None:
    away = Judging(StoryVersions(error=Unavailable("kafka", "no answer")), 0, END_MS)
    with pytest.raises(Unavailable):
        await certificate(whole, away)


async def test_a_turn_that_is_repeated_counts_once(whole: list[HistoryRecord]) -> None:
    versions = StoryVersions(["book 1 is nowhere"])
    judging = Judging(versions, 0, END_MS)
    half = len(whole) // 2
    await judging.take(whole[:half])
    lost = judging.state.unprovable
    judging.look_again()
    await judging.take(whole)
    assert versions.looks == 1
    assert judging.state == (len(decided(whole)) - lost, 0, lost)


@pytest.mark.parametrize("every", [1, 7])
async def test_a_range_and_a_sample(whole: list[HistoryRecord], every: int) -> None:
    from_ms, to_ms = START_MS + 30 * STEP_MS, START_MS + 90 * STEP_MS
    judging = Judging(StoryVersions(), from_ms, to_ms, every)
    await judging.take(whole)
    places = [
        one
        for n, one in enumerate(whole)
        if n in set(decided(whole))
        and from_ms <= arrived_ms(one) < to_ms
        and one.offset % every == 0
    ]
    assert judging.state == (len(places), 0, 0)
    assert places


def arrived_ms(record: HistoryRecord) -> int:
    from risk.domain.times import parse_rfc3339

    return parse_rfc3339(decode_decision(record.value).decided_at)


async def test_what_cannot_be_read_is_left_to_parity(whole: list[HistoryRecord]) -> None:
    place = decided(whole)[9]
    cut: Any = whole[place].value[:-7]
    undated = whole[place].value.replace(b'"decided_at":"2', b'"decided_at":"x', 1)
    unread = whole[place].value.replace(b'"version":1', b'"version":9', 1)
    judging = Judging(StoryVersions(), 0, END_MS)
    for offset, value in enumerate((cut, undated, unread, b"\xff")):
        await judging.take([whole[place]._replace(value=value, offset=offset)])
    assert judging.state == (0, 0, 0)
    records = [one._replace(value=cut) if n == place else one for n, one in enumerate(whole)]
    report = await certificate(records)
    assert (report.verdict, report.damaged) == ("different", 1)


async def test_degraded_decisions_are_judged_as_well() -> None:
    made = new_judgement(RATES)
    fallback = made.fallback(an_arrival(1)).body
    record = HistoryRecord("decisions", 0, 0, START_MS, 1, False, fallback)
    judging = Judging(StoryVersions(), 0, END_MS)
    await judging.take([record])
    assert judging.state == (1, 0, 0)
    flipped = msgspec.structs.replace(decode_decision(fallback), outcome=Outcome.ALLOW)
    await judging.take([record._replace(offset=1, value=encode_decision(flipped))])
    assert judging.state == (1, 1, 0)
