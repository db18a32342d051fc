"""Parity passes where nothing was changed, and names whatever was."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import msgspec
import pytest

from features.parity import Parity, prove
from features.proof.certificate import ParityReport
from features.proof.history import HistoryRecord
from risk.domain.decision import (
    Decision,
    Evidence,
    decode_decision,
    decode_ledger,
    encode_decision,
)
from risk.domain.decoding import decode_stored, encode_event
from risk.domain.errors import InvalidEvent
from risk.domain.event import Payment, Refund
from risk.domain.ids import fingerprint
from risk.domain.limits import TIME_MS_MAX
from tests.support.memory import START_MS
from tests.support.proof_world import STEP_MS, ListHistory, OneModel, story, to_base
from tests.support.small_model import small_bundle

EVENTS = 1_200  # each account's log passes its caps
DAY_MS = 86_400_000


@cache
def whole() -> tuple[HistoryRecord, ...]:
    return tuple(story(1, EVENTS))


async def parity(
    records: Sequence[HistoryRecord],
    from_ms: int = 0,
    to_ms: int = TIME_MS_MAX - 1,
    models: Any = None,
    **history: Any,
) -> ParityReport:
    read = ListHistory(records, **history)
    check = Parity(read.extent, to_base, models or OneModel(), from_ms, to_ms)
    return await prove(read, check)


def decisions() -> list[int]:
    return [place for place, one in enumerate(whole()) if one.topic == "decisions" and one.value]


def changed(place: int, change: Callable[[Decision], Decision]) -> list[HistoryRecord]:
    """The history with one decision changed, and its repetitions with it."""
    records = list(whole())
    old = records[place].value
    new = encode_decision(change(decode_decision(old)))
    assert new != old
    return [one._replace(value=new) if one.value == old else one for one in records]


def with_evidence(decision: Decision, **fields: Any) -> Decision:
    assert decision.evidence is not None
    return msgspec.structs.replace(
        decision, evidence=msgspec.structs.replace(decision.evidence, **fields)
    )


def evidence_of(record: HistoryRecord) -> Evidence:
    found = decode_decision(record.value).evidence
    assert found is not None
    return found


async def test_everything_is_equal() -> None:
    report = await parity(whole())
    assert report.verdict == "equal"
    assert report.checked == report.equal == len(decisions())
    assert report.unprovable == {}
    assert report.repeated > 0
    assert report.records == len(whole()) - 6  # the markers
    assert list(report.digests["models"]) == [small_bundle().model_digest]
    assert any(evidence_of(whole()[place]).inexact for place in decisions())


@pytest.mark.parametrize("chunk", [1, 7, 100_000])
async def test_neither_chunks_nor_the_order_of_partitions_matter(chunk: int) -> None:
    by_place = sorted(whole(), key=lambda one: (one.partition, one.topic, one.offset))
    one, other = await parity(whole(), chunk=chunk), await parity(by_place, chunk=chunk)
    assert one == other == await parity(whole())


async def test_a_range_is_proven_with_the_history_before_it() -> None:
    from_ms, to_ms = START_MS + 900 * STEP_MS, START_MS + 1_000 * STEP_MS
    report = await parity(whole(), from_ms, to_ms)
    assert report.verdict == "equal"
    assert 30 < report.checked < 120


async def test_an_empty_range_is_no_pass() -> None:
    report = await parity(whole(), START_MS + DAY_MS * 100, START_MS + DAY_MS * 101)
    assert (report.verdict, report.checked) == ("empty", 0)


def proven(value: bytes, topic: str) -> Any:
    """What parity is answerable for in a record's bytes; None where they cannot be read."""
    try:
        if topic == "ledger":
            entry = decode_ledger(value)
            money = isinstance(decode_stored(bytes(entry.event)).event, Payment | Refund)
            rates = entry.rates if money else ""
            return bytes(entry.event), entry.fingerprint, tuple(entry.positions), rates
        one = decode_decision(value)
        of = one.evidence
        if of is None:
            return None
        numbers = None if of.vector is None else [repr(number) for number in of.vector]
        digests = (of.digests.catalogue, of.digests.model, of.digests.calibration, of.digests.rates)
        return (
            (bytes(of.event), of.fingerprint, tuple(of.positions), numbers, tuple(of.inexact)),
            (digests, of.arrived_at, one.decided_at, repr(one.score), one.payment_id, one.tenant),
        )
    except (msgspec.DecodeError, UnicodeDecodeError, InvalidEvent):
        return None


async def test_any_flipped_bit_is_found() -> None:
    rng = random.Random(5)
    told = [one for one in story(2, 150) if one.value]
    bare = [one._replace(offset=place) for place, one in enumerate(_once(told))]
    bare = [one._replace(topic=one.topic, partition=0) for one in _renumbered(bare)]
    assert (await parity(bare)).verdict == "equal"
    flips = 0
    while flips < 120:
        place = rng.randrange(len(bare) - 30)  # later records are seen by nobody
        value = bytearray(bare[place].value)
        value[rng.randrange(len(value))] ^= 1 << rng.randrange(8)
        flipped = bytes(value)
        if proven(flipped, bare[place].topic) == proven(bare[place].value, bare[place].topic):
            continue
        flips += 1
        records = [*bare[:place], bare[place]._replace(value=flipped), *bare[place + 1 :]]
        report = await parity(records)
        assert report.verdict != "equal", (bare[place].value, flipped)
        assert report.first_damaged or report.first_difference or report.first_unprovable


def _once(records: Sequence[HistoryRecord]) -> list[HistoryRecord]:
    return list({one.value: one for one in reversed(records)}.values())[::-1]


def _renumbered(records: Sequence[HistoryRecord]) -> list[HistoryRecord]:
    following = {"decisions": 0, "ledger": 0}
    out = []
    for one in records:
        out.append(one._replace(partition=0, offset=following[one.topic]))
        following[one.topic] += 1
    return out


async def test_a_forged_amount_is_named_with_the_record() -> None:
    place = next(one for one in decisions()[100:] if b'"currency":"EUR"' in whole()[one].value)

    def forge(decision: Decision) -> Decision:
        assert decision.evidence is not None
        event = decode_stored(bytes(decision.evidence.event)).event
        assert isinstance(event, Payment)
        body = encode_event(msgspec.structs.replace(event, amount_minor=event.amount_minor + 100))
        return with_evidence(decision, event=msgspec.Raw(body), fingerprint=fingerprint(body).hex())

    report = await parity(changed(place, forge))
    assert report.verdict == "different"
    first = report.first_difference
    assert first is not None
    assert first.feature not in ("", "score")
    forged = decode_decision(whole()[place].value).payment_id
    assert first.payment_id == forged or forged in {one.event_id for one in first.records}


async def test_one_bit_of_one_vector_value_is_named() -> None:
    place = decisions()[200]
    vector = evidence_of(whole()[place]).vector
    assert vector is not None
    column = max(n for n, value in enumerate(vector) if value)
    value = vector[column]
    assert value is not None
    moved = math.nextafter(value, math.inf)
    new = [*vector[:column], moved, *vector[column + 1 :]]
    report = await parity(changed(place, lambda one: with_evidence(one, vector=new)))
    first = report.first_difference
    assert report.unequal >= 1
    assert first is not None
    assert (first.payment_id, first.served, first.rebuilt) == (
        decode_decision(whole()[place].value).payment_id,
        moved,
        value,
    )


async def test_the_last_digit_of_a_score_is_named() -> None:
    place = decisions()[50]
    score = decode_decision(whole()[place].value).score
    assert score is not None
    moved = math.nextafter(score, 0)
    report = await parity(changed(place, lambda one: msgspec.structs.replace(one, score=moved)))
    first = report.first_difference
    assert first is not None
    assert (first.feature, first.served, first.rebuilt) == ("score", moved, score)


async def test_one_digit_of_the_model_is_found() -> None:
    bundle = small_bundle()
    # The first leaves of the first tree: some payments fall into one of them.
    text = bundle.files["model.txt"].decode()
    leaves = re.search(r"leaf_value=(.*)", text)
    assert leaves is not None
    found = 0
    for digit in list(re.finditer(r"(?<=\.)0*[1-9]", leaves[1]))[:8]:
        at = leaves.start(1) + digit.end() - 1
        other = text[:at] + str(int(text[at]) % 9 + 1) + text[at + 1 :]
        scorer = replace(bundle, files={**bundle.files, "model.txt": other.encode()}).scorer()
        honest = await parity(whole(), models=OneModel(scorer))
        assert honest.verdict == "unprovable"
        assert honest.unprovable == {"MODEL_UNKNOWN": honest.checked}
        # Now it passes itself off as the one that the decisions name.
        scorer.model_digest = bundle.model_digest
        report = await parity(whole(), models=OneModel(scorer))
        if report.first_difference is not None:
            assert report.verdict == "different"
            assert report.first_difference.feature == "score"
            found += 1
    assert found


async def test_a_dropped_record_is_named_by_its_offset_and_its_place() -> None:
    place = decisions()[300]
    old = whole()[place]
    copies = {one.offset for one in whole() if one.value == old.value}
    records = [one for one in whole() if one.value != old.value]
    report = await parity(records)
    assert report.verdict == "unprovable"
    assert (old.partition, old.offset) in {
        (one.partition, offset)
        for one in report.missing
        for offset in range(one.first, one.last + 1)
    }
    assert len(report.missing) == len(copies)
    # In the last hour of the history somebody may publish it yet.
    assert set(report.unprovable) <= {"HOLE", "PENDING"}
    gap = report.first_unprovable["HOLE"].place
    assert gap is not None
    assert (gap.kind, gap.identifier, gap.sequence) in {
        (one.kind, one.identifier, one.sequence) for one in evidence_of(old).positions
    }
    assert report.equal + sum(report.unprovable.values()) == report.checked
    assert report.equal >= 300
