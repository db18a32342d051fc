"""What cannot be proven is counted by its cause, and never passes as equal."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from features.catalogue import catalogue_digest
from features.parity import Parity, prove
from features.proof.certificate import ParityReport
from features.proof.history import HistoryRecord
from features.proof.rebuilder import WAIT_MS
from models.bundle import read_bundle
from risk.domain.decision import Decision, decode_decision, encode_decision
from risk.domain.limits import FUTURE_MS_MAX, HORIZON_MS, LOG_TTL_S, TIME_MS_MAX
from tests.support.memory import START_MS
from tests.support.proof_world import (
    STEP_MS,
    STRANGERS,
    ListHistory,
    OneModel,
    story,
    to_base,
)
from tests.support.small_model import small_bundle

ROOT = Path(__file__).parents[2]
END_MS = TIME_MS_MAX - 1


async def parity(
    records: Sequence[HistoryRecord], from_ms: int = 0, to_ms: int = END_MS, **history: Any
) -> ParityReport:
    read = ListHistory(records, **history)
    return await prove(read, Parity(read.extent, to_base, OneModel(), from_ms, to_ms))


@pytest.fixture(scope="module")
def whole() -> list[HistoryRecord]:
    return story(31, 400)


def is_decision(one: HistoryRecord) -> bool:
    return one.topic == "decisions" and not one.marker


def renumbered(records: Sequence[HistoryRecord]) -> list[HistoryRecord]:
    """As if what is missing had never been published."""
    following: dict[tuple[str, int], int] = {}
    out = []
    for one in records:
        place = (one.topic, one.partition)
        out.append(one._replace(offset=following.get(place, 0)))
        following[place] = out[-1].offset + 1
    return out


def changed(record: HistoryRecord, **fields: Any) -> HistoryRecord:
    """A decision with other evidence."""
    decision = decode_decision(record.value)
    assert decision.evidence is not None
    evidence = msgspec.structs.replace(decision.evidence, **fields)
    return record._replace(value=encode_decision(_with(decision, evidence=evidence)))


def _with(decision: Decision, **fields: Any) -> Decision:
    return msgspec.structs.replace(decision, **fields)


async def test_another_catalogue(whole: list[HistoryRecord]) -> None:
    records = list(whole)
    place = next(n for n, one in enumerate(records) if is_decision(one))
    evidence = decode_decision(records[place].value).evidence
    assert evidence is not None
    digests = msgspec.structs.replace(evidence.digests, catalogue="0" * 64)
    records[place] = changed(records[place], digests=digests, vector=[1.0])
    report = await parity(records)
    assert report.verdict == "unprovable"
    assert report.unprovable == {"CATALOGUE_OLDER": 1}
    assert report.digests["catalogue"] == catalogue_digest()


async def test_decided_without_features(whole: list[HistoryRecord]) -> None:
    records = list(whole)
    place = next(n for n, one in enumerate(records) if is_decision(one))
    evidence = decode_decision(records[place].value).evidence
    assert evidence is not None
    lost = evidence.positions[0]
    records[place] = changed(records[place], vector=None, features_lost=lost)
    report = await parity(records)
    assert report.unprovable == {"FEATURES_LOST": 1}
    assert report.equal == report.checked - 1


async def test_a_table_of_rates_that_is_not_here(whole: list[HistoryRecord]) -> None:
    records = list(whole)
    place = next(n for n, one in enumerate(records) if is_decision(one))
    old = records[place]
    evidence = decode_decision(old.value).evidence
    assert evidence is not None
    digests = msgspec.structs.replace(evidence.digests, rates="0" * 64)
    new = changed(old, digests=digests).value
    report = await parity(
        [one._replace(value=new) if one.value == old.value else one for one in records]
    )
    # Itself needs its amount, and so does everything that saw it; the rest is equal.
    assert set(report.unprovable) == {"RATES_UNKNOWN"}
    assert report.unprovable["RATES_UNKNOWN"] > 10
    assert report.equal + report.unprovable["RATES_UNKNOWN"] == report.checked


async def test_never_published_in_an_epoch_that_ended(whole: list[HistoryRecord]) -> None:
    gone = next(one for one in whole[200:] if is_decision(one))
    records = renumbered([one for one in whole if one.value != gone.value])
    report = await parity(records)
    assert report.missing == []
    ends: list[HistoryRecord] = []
    for one in reversed(records):
        if (one.topic, one.partition) not in {(end.topic, end.partition) for end in ends}:
            ends.append(one)
    markers = [
        one._replace(
            offset=one.offset + 1,
            epoch=2,
            marker=True,
            value=b"",
            timestamp_ms=one.timestamp_ms + 1,
        )
        for one in ends
    ]
    ended = await parity([*records, *markers])
    assert set(ended.unprovable) == {"HOLE"}
    assert ended.unprovable["HOLE"] == sum(report.unprovable.values())
    gap = ended.first_unprovable["HOLE"].place
    evidence = decode_decision(gone.value).evidence
    assert gap is not None
    assert evidence is not None
    places = {(one.kind, one.identifier, one.sequence) for one in evidence.positions}
    assert (gap.kind, gap.identifier, gap.sequence) in places
    assert ended.verdict == "unprovable"


async def test_published_after_its_epoch(whole: list[HistoryRecord]) -> None:
    place = next(n for n, one in enumerate(whole) if n > 200 and is_decision(one))
    late = whole[place]
    ledger_end = whole[-1].timestamp_ms
    records = renumbered([one for one in whole if one.value != late.value])
    ends = {(one.topic, one.partition): one.offset + 1 for one in records}
    markers = [
        HistoryRecord(topic, partition, offset, ledger_end + 1, 2, True, b"")
        for (topic, partition), offset in ends.items()
    ]
    end = ends[late.topic, late.partition] + 1
    void = late._replace(offset=end, timestamp_ms=ledger_end + 2)
    report = await parity([*records, *markers, void])
    assert report.void == 1
    assert set(report.unprovable) <= {"VOID", "HOLE"}
    assert report.unprovable["VOID"] > 0
    assert report.verdict == "unprovable"


async def test_a_record_that_comes_late_is_waited_for(whole: list[HistoryRecord]) -> None:
    place = next(n for n, one in enumerate(whole) if n > 200 and is_decision(one))
    late = whole[place]
    rest = [one for one in whole if one.value != late.value]
    within = [one for one in rest if one.timestamp_ms < late.timestamp_ms + WAIT_MS // 2]
    after = rest[len(within) :]
    records = renumbered([*within, late._replace(timestamp_ms=within[-1].timestamp_ms), *after])
    assert (await parity(records, chunk=7)).verdict == "equal"


async def test_a_batch_that_a_producer_repeats_is_proven_twice(
    whole: list[HistoryRecord],
) -> None:
    place = [n for n, one in enumerate(whole) if (one.topic, one.partition) == ("decisions", 1)]
    first, end = place[1:40], place[40]
    again = [whole[n] for n in first if not whole[n].marker]
    once = await parity(whole)
    twice = await parity(renumbered([*whole[:end], *again, *whole[end:]]))
    assert twice.verdict == "equal", twice.first_unprovable
    assert twice.checked == twice.equal == once.checked + len(again)
    assert twice.repeated > once.repeated
    # Batches in another order than they were sent in tell the same.
    mixed = list(whole)
    for one, other in zip(place[1:21], place[21:41], strict=True):
        mixed[one], mixed[other] = whole[other], whole[one]
    swapped = await parity(renumbered(mixed))
    assert (swapped.verdict, swapped.checked) == ("equal", once.checked), swapped.first_unprovable


async def test_history_cut_by_retention() -> None:
    old = story(33, 2_400)
    # Everything published in the first part is gone; then others appear beside the first.
    cut_ms = START_MS + 800 * STEP_MS
    new = story(38, 400, first=STRANGERS, after_ms=1_200 * STEP_MS)
    kept = [one for one in old if one.timestamp_ms >= cut_ms]
    records = renumbered(sorted([*kept, *new], key=lambda one: one.timestamp_ms))
    records = [one._replace(offset=one.offset + 500) for one in records]
    history, proven = ListHistory(records, cut_ms=cut_ms), Counter[str]()
    check = Parity(
        history.extent, to_base, OneModel(), 0, END_MS,
        lambda items, _: proven.update(one.decision.payment_id for one in items),
    )  # fmt: skip
    report = await prove(history, check)
    assert report.verdict == "unprovable"
    assert set(report.unprovable) == {"RETENTION"}
    assert report.unequal == report.damaged == 0
    assert report.missing == []
    assert report.history_from is not None
    # The logs of the others are whole: every one of their decisions is proven.
    whole = Counter(decode_decision(one.value).payment_id for one in new if is_decision(one))
    assert {payment: proven[payment] for payment in whole} == whole
    # The logs of the first are so busy that their windows reach before their tails, and
    # behind the cut; what saw nothing but its own account may be proven all the same.
    saw_cut = Counter(decode_decision(one.value).payment_id for one in kept if is_decision(one))
    assert report.equal == proven.total() >= whole.total()
    assert report.unprovable["RETENTION"] == (whole + saw_cut - proven).total() > 100


async def test_what_is_cut_may_be_older_than_any_window() -> None:
    early, shift_ms = story(34, 300), HORIZON_MS + FUTURE_MS_MAX + 400 * STEP_MS
    # The same entities go on after more than the longest window.
    whole = story(34, 600, pause_after=300, pause_ms=shift_ms)
    cut_ms = max(one.timestamp_ms for one in early) + 1
    kept = [one for one in whole if one.timestamp_ms >= cut_ms]
    report = await parity(kept, cut_ms=cut_ms)
    assert report.verdict == "equal"
    assert report.checked > 100
    # Where arrivals are not by the wall clock nobody can say how old it is.
    replayed = await parity(kept, cut_ms=cut_ms, clocked=False)
    assert replayed.verdict == "unprovable"
    assert replayed.equal < replayed.checked


async def test_a_log_that_redis_has_forgotten_begins_anew(whole: list[HistoryRecord]) -> None:
    lifetime_ms = LOG_TTL_S * 1000 + 500 * STEP_MS
    again = story(35, 400, first=1_000, after_ms=lifetime_ms)
    ends = {(one.topic, one.partition): one.offset + 1 for one in whole}
    joined = [
        one._replace(offset=one.offset + ends.get((one.topic, one.partition), 0)) for one in again
    ]
    report = await parity([*whole, *joined])
    assert report.verdict == "equal", (report.first_damaged[:1], report.first_difference)


async def test_two_records_at_one_place_are_named(whole: list[HistoryRecord]) -> None:
    again = story(36, 100, first=1_000)
    ends = {(one.topic, one.partition): one.offset + 1 for one in whole}
    joined = [
        one._replace(offset=one.offset + ends.get((one.topic, one.partition), 0)) for one in again
    ]
    report = await parity([*whole, *joined])
    assert report.verdict == "different"
    assert "is told otherwise at" in report.first_damaged[0].reason


CHECK = """
import asyncio, sys
from pathlib import Path
from tests.features.test_unprovable import serve_into, verdict_on
place = Path(sys.argv[2])
if sys.argv[1] == "serve":
    serve_into(place)
else:
    print(asyncio.run(verdict_on(place)))
"""


def serve_into(place: Path) -> None:
    """Write a history and its model, made in this process."""
    bundle = small_bundle()
    bundle.write(place / "model")
    (place / "history").write_bytes(msgspec.msgpack.encode((bundle.digest, story(37, 300))))


async def verdict_on(place: Path) -> str:
    """What this process proves of a history."""
    written = (place / "history").read_bytes()
    digest, records = msgspec.msgpack.decode(written, type=tuple[str, list[HistoryRecord]])
    history, models = ListHistory(records), OneModel(read_bundle(place / "model", digest).scorer())
    report = await prove(history, Parity(history.extent, to_base, models, 0, END_MS))
    assert report.checked > 100
    return f"{report.verdict} {report.unequal} {report.unprovable}"


def _loops() -> list[str]:
    """The processor features that numpy uses here beyond its baseline."""
    umath = importlib.import_module("numpy._core._multiarray_umath")
    return [name for name in umath.__cpu_dispatch__ if umath.__cpu_features__[name]]


def _elsewhere(what: str, place: Path) -> str:
    """The same in a process without those features."""
    return subprocess.run(
        [sys.executable, "-c", CHECK, what, str(place)],
        env={**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(_loops()), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.strip()


async def test_what_one_processor_served_another_proves(tmp_path: Path) -> None:
    if not _loops():
        pytest.skip("not run: numpy uses no processor feature beyond its baseline here")
    here, there = tmp_path / "here", tmp_path / "there"
    for place in (here, there):
        place.mkdir()
    serve_into(here)
    assert _elsewhere("prove", here) == "equal 0 {}"
    _elsewhere("serve", there)
    assert await verdict_on(there) == "equal 0 {}"
