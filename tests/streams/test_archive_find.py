"""Decisions are found in the archive by payment; void, changed and old ones are not."""

from __future__ import annotations

from pathlib import Path

import msgspec

from risk.domain.clock import ManualClock
from risk.domain.decision import decode_decision, encode_decision
from risk.domain.ids import fingerprint
from streams.archive_find import REACH_MS, ArchivedDecisions
from tests.support.archive_records import archive, decided, marker
from tests.support.stream_records import NOW_MS
from tests.support.stream_records import decision as decision_bytes


def sound(payment_id: str, **change: object) -> bytes:
    """A decision whose evidence has the fingerprint of its event."""
    decision = decode_decision(decision_bytes(payment_id))
    assert decision.evidence is not None
    of = fingerprint(bytes(decision.evidence.event)).hex()
    evidence = msgspec.structs.replace(decision.evidence, fingerprint=of)
    return encode_decision(msgspec.structs.replace(decision, evidence=evidence, **change))


def test_the_decision_that_stands_is_found(tmp_path: Path) -> None:
    first, void = sound("p-1"), sound("p-9")
    records = [
        marker(0, 1),
        decided(1, value=first),
        decided(2, value=sound("p-1", score=0.5)),
        decided(3, value=sound("p-2", authoritative=False)),
        decided(4, value=decision_bytes("p-3")),  # its fingerprint is not that of its event
        decided(5, value=sound("p-4")),
        marker(6, 2),
        decided(7, value=void),
    ]
    archive(tmp_path, records)
    found = ArchivedDecisions(tmp_path, ManualClock(NOW_MS))
    names = [("main", f"p-{number}") for number in (1, 2, 3, 4, 9)]
    held = found.find([*names, ("other", "p-1")])
    assert held.keys() == {("main", "p-1"), ("main", "p-4")}
    assert held["main", "p-1"] == first
    assert found.find([]) == {}


def test_what_is_older_than_the_reach_is_not_looked_at(tmp_path: Path) -> None:
    archive(tmp_path, [marker(0, 1), decided(1, value=sound("p-1"))])
    later = ManualClock(NOW_MS + REACH_MS + 2 * 86_400_000)
    assert ArchivedDecisions(tmp_path, later).find([("main", "p-1")]) == {}
    assert ArchivedDecisions(tmp_path, later, None).find([("main", "p-1")])


def test_without_an_archive_nothing_is_found(tmp_path: Path) -> None:
    assert ArchivedDecisions(tmp_path, ManualClock(NOW_MS)).find([("main", "p-1")]) == {}
