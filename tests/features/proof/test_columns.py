"""Columns make the very words that the live path writes, and lean events are the events."""

from __future__ import annotations

import random
from collections.abc import Iterator
from inspect import unwrap

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from features.proof import columns
from features.proof.arena import Arena
from features.proof.columns import columns_of, impossible, packed
from features.proof.history import HistoryRecord
from features.proof.lean import EVENTS, check
from features.proof.told import Damaged, Told, check_sequences, read_told
from risk.domain.decision import LogPosition
from risk.domain.decoding import decode_stored
from risk.domain.event import Payment
from tests.support.proof_world import story, to_base


def _told(seed: int, events: int = 400) -> list[Told]:
    found = [read_told(one, to_base) for one in story(seed, events) if not one.marker]
    return [one for one in found if one is not None]


def _arena_words(told: list[Told]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    arena = Arena(None)
    logs = [number for one in told for number in arena.numbers(one.event.tenant, one.names)]
    again = [number for one in told for number in arena.numbers(one.event.tenant, one.names)]
    assert logs == again
    return packed(columns_of(told), np.array(logs, np.int64), arena.hashes)


def test_the_words_are_those_of_the_live_path() -> None:
    told = _told(61)
    words, hashes = _arena_words(told)
    assert words.tobytes() == b"".join(record for one in told for record in one.records)
    assert [tuple(row) for row in hashes.tolist()] == [one.facts.hashes for one in told]


def test_the_kernel_says_the_same_uncompiled() -> None:
    told = _told(62, 60)
    compiled = _arena_words(told)
    of = columns_of(told)
    words, roles = np.empty_like(compiled[0]), np.zeros_like(compiled[1])
    arena = Arena(None)
    logs = [number for one in told for number in arena.numbers(one.event.tenant, one.names)]
    unwrap(columns._pack)(of, arena.hashes[logs], columns._ROLES[of.slots], words, roles)
    assert np.array_equal(words, compiled[0])
    assert np.array_equal(roles, compiled[1])


def _bodies() -> Iterator[bytes]:
    for one in story(63, 300):
        if one.marker:
            continue
        whole = msgspec.json.decode(one.value, type=dict[str, msgspec.Raw])
        if one.topic == "ledger":
            yield bytes(whole["event"])
        elif "evidence" in whole:
            yield bytes(
                msgspec.json.decode(whole["evidence"], type=dict[str, msgspec.Raw])["event"]
            )


def test_a_lean_event_is_the_event() -> None:
    seen = set()
    for body in _bodies():
        strict, lean = decode_stored(body).event, EVENTS.decode(body)
        check(lean)
        assert isinstance(lean, type(strict))
        assert msgspec.structs.asdict(lean) == msgspec.structs.asdict(strict)
        seen.add(type(strict).__name__)
    assert len(seen) > 3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mcc": "12x4"}, "mcc"),
        ({"mcc": "12345"}, "mcc"),
        ({"currency": "ABC"}, "currency"),
        ({"occurred_at": "1999-12-31T23:59:59Z"}, "time"),
        ({"amount_minor": -1}, "amount_minor"),
        ({"amount_minor": 10**12}, "amount_minor"),
        ({"lat": 91.0}, "lat"),
        ({"kyc_level": 12}, "kyc_level"),
        ({"occurred_at": "2025-01-01T00:00:00"}, "timezone"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_no_record_can_hold_is_refused(change: dict[str, object], says: str) -> None:
    body = next(one for one in _bodies() if isinstance(decode_stored(one).event, Payment))
    changed = msgspec.json.encode({**msgspec.json.decode(body), **change})
    with pytest.raises(ValueError, match=says):
        check(EVENTS.decode(changed))


@pytest.mark.parametrize(
    "change",
    [
        {"base": -1},
        {"sequence": -1, "base": -1},
        {"base": 10**6},
        {"sequence": 2**48, "tail_from": 2**48 - 256},
        {"incarnation": 0},
        {"incarnation": 2**32},
        {"tail_from": 77},
    ],
)
def test_an_impossible_place_is_found_by_both(change: dict[str, int]) -> None:
    rng = random.Random(7)
    told = [one for one in _told(64, 40) if one.positions]
    at = rng.randrange(len(told))
    places: list[LogPosition] = list(told[at].positions)
    places[0] = msgspec.structs.replace(places[0], **change)
    told[at] = told[at]._replace(positions=places)
    assert np.flatnonzero(impossible(columns_of(told))).tolist() == [at]
    with pytest.raises(Damaged):
        check_sequences(told[at])
    for one in told[:at]:
        check_sequences(one)


def test_a_number_that_fits_nothing_is_damage() -> None:
    record = next(one for one in story(65, 60) if one.topic == "ledger" and not one.marker)
    old = read_told(record, to_base)
    assert old is not None
    place = msgspec.structs.replace(old.positions[0], sequence=2**70)
    with pytest.raises(OverflowError):
        columns_of([old._replace(positions=[place])])
    with pytest.raises(Damaged):
        check_sequences(old._replace(positions=[place]))
    assert isinstance(record, HistoryRecord)
