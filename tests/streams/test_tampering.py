"""Whatever one changes in history or in the model is found and named by what `weir parity` runs.

On the topics, and on the archive alone. Nothing is changed in one of the worlds, and it passes.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from features.proof.certificate import ParityReport
from features.proof.history import HistoryRecord
from risk.cli.parity import _prove, told
from risk.domain.clock import SystemClock
from risk.domain.decision import decode_decision, encode_decision
from risk.domain.limits import TIME_MS_MAX, TIME_MS_MIN
from risk.settings import Settings
from streams.archive import Archiver
from streams.archive_store import archive_folder, open_archive
from streams.topics import Topics
from tests.support.proof_world import publish, story
from tests.support.small_model import small_bundle

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]
Change = Callable[[Sequence[HistoryRecord], int], list[HistoryRecord]]


def untouched(records: Sequence[HistoryRecord], _place: int) -> list[HistoryRecord]:
    return list(records)


def one_bit_of_a_record(records: Sequence[HistoryRecord], place: int) -> list[HistoryRecord]:
    """An amount in the event has another last bit."""
    old = records[place].value
    new = bytearray(old)
    new[old.index(b'"amount_minor":') + len('"amount_minor":')] ^= 1
    return replaced(records, old, bytes(new))


def one_vector_value(records: Sequence[HistoryRecord], place: int) -> list[HistoryRecord]:
    """The first value of the vector that is not nothing has another last bit."""
    decision = decode_decision(records[place].value)
    assert decision.evidence is not None
    assert decision.evidence.vector is not None
    vector = list(decision.evidence.vector)
    column, value = next((n, one) for n, one in enumerate(vector) if one)
    vector[column] = math.nextafter(value, math.inf)
    evidence = msgspec.structs.replace(decision.evidence, vector=vector)
    body = encode_decision(msgspec.structs.replace(decision, evidence=evidence))
    return replaced(records, records[place].value, body)


def one_event_dropped(records: Sequence[HistoryRecord], place: int) -> list[HistoryRecord]:
    """It was never published, so no offset is missing either."""
    return [one for one in records if one.value != records[place].value]


def replaced(records: Sequence[HistoryRecord], old: bytes, new: bytes) -> list[HistoryRecord]:
    assert new != old
    return [one._replace(value=new) if one.value == old else one for one in records]


def with_model(home: Path, digit: bool) -> Settings:
    """A state folder whose cache has the story's model, with one digit changed if asked for."""
    bundle = small_bundle()
    folder = home / "cache" / "models" / "bundles" / bundle.digest
    bundle.write(folder)
    if digit:
        text = (folder / "model.txt").read_bytes()
        at = text.index(b"leaf_value=") + len(b"leaf_value=")
        at = next(n for n in range(at, len(text)) if text[n : n + 1] in b"12345678")
        (folder / "model.txt").write_bytes(text[:at] + bytes([text[at] + 1]) + text[at + 1 :])
    return Settings(home=home)


async def both(settings: Settings) -> list[ParityReport]:
    """The certificate of the topics, and that of the archive alone."""
    topics = Topics(settings.world)
    names = ("decisions", "ledger")
    with open_archive(archive_folder(settings.state, settings.world), names) as writer:
        archiver = Archiver(settings.kafka, topics, writer, SystemClock(), names)
        await archiver.run(asyncio.Event(), once=True)
    nowhere = settings.model_copy(update={"kafka": "127.0.0.1:9"})
    span, clock = (TIME_MS_MIN, TIME_MS_MAX - 1), SystemClock()
    found = [
        await _prove(settings, span, 0, clock, archive=False),
        await _prove(nowhere, span, 0, clock, archive=True),
    ]
    return [report for report, _, _ in found]


async def tampered(
    kafka: str, home: Path, world: str, change: Change, *, digit: bool = False
) -> tuple[HistoryRecord, list[ParityReport]]:
    """The record that was changed, and what is said of it."""
    records = story(61, 160)
    places = [
        place
        for place, one in enumerate(records)
        if one.topic == "decisions" and b'"amount_minor":' in one.value
    ]
    place = places[len(places) // 2]
    await publish(kafka, Topics(world), change(records, place))
    settings = with_model(home, digit).model_copy(update={"kafka": kafka, "world": world})
    return records[place], await both(settings)


async def test_nothing_was_changed(kafka: str, tmp_path: Path) -> None:
    _, reports = await tampered(kafka, tmp_path, "tamper-none", untouched)
    for report in reports:
        assert report.verdict == "equal", told(report)
        assert report.checked == report.equal > 50
        assert list(report.digests["models"]) == [small_bundle().model_digest]


async def test_one_bit_of_one_record(kafka: str, tmp_path: Path) -> None:
    old, reports = await tampered(kafka, tmp_path, "tamper-bit", one_bit_of_a_record)
    for report in reports:
        assert report.verdict == "different"
        trouble = report.first_damaged[0]
        assert trouble.origin.topic == "decisions"
        assert "fingerprint" in trouble.reason
        assert any("damaged: decisions:" in line for line in told(report))
    # A damaged record is believed in nothing: who saw it is not proven either.
    assert all(report.unequal == 0 and report.unprovable for report in reports), old


async def test_one_vector_value(kafka: str, tmp_path: Path) -> None:
    old, reports = await tampered(kafka, tmp_path, "tamper-vector", one_vector_value)
    for report in reports:
        assert (report.verdict, report.damaged) == ("different", 0)
        first = report.first_difference
        assert first is not None
        assert first.payment_id == decode_decision(old.value).payment_id
        assert isinstance(first.served, float)
        assert isinstance(first.rebuilt, float)
        assert first.served == math.nextafter(first.rebuilt, math.inf)
        assert report.equal + report.unequal == report.checked
        assert any(first.feature in line for line in told(report))


async def test_one_digit_of_the_model(kafka: str, tmp_path: Path) -> None:
    _, reports = await tampered(kafka, tmp_path, "tamper-model", untouched, digit=True)
    for report in reports:
        # It is not the model that the decisions name, so it proves nothing.
        assert report.verdict == "unprovable"
        assert report.unprovable == {"MODEL_UNKNOWN": report.checked}
        assert any("neither cached nor registered" in line for line in told(report))


async def test_one_event_dropped(kafka: str, tmp_path: Path) -> None:
    old, reports = await tampered(kafka, tmp_path, "tamper-drop", one_event_dropped)
    evidence = decode_decision(old.value).evidence
    assert evidence is not None
    places = {(one.kind, one.identifier, one.sequence) for one in evidence.positions}
    for report in reports:
        assert report.verdict == "unprovable"
        assert report.missing == []
        # So soon after it somebody may publish it yet; later it is a HOLE.
        assert set(report.unprovable) <= {"HOLE", "PENDING"}
        for one in report.first_unprovable.values():
            assert one.place is not None
            assert (one.place.kind, one.place.identifier, one.place.sequence) in places
        assert report.equal + sum(report.unprovable.values()) == report.checked
