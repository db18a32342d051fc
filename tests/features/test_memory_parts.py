"""The parts that both memories are built from: layouts, names, scripts, standing."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.claims import (
    ClaimedValue,
    DecidedValue,
    ReceiptValue,
    pack_decided,
    pack_facts,
    unpack_value,
)
from features.connection import Connection
from features.keys import Keys
from features.logs import (
    Log,
    fold_at,
    pack_three,
    tail,
    tail_from,
    tail_in,
    unpack_log,
    unpack_three,
)
from features.records import HOLE_RECORD, RECORD_BYTES
from features.scripts import PROTOCOL, RECOVERY, protocol_scripts, recovery_scripts
from features.truth import Standing, TruthRecord
from risk.domain.decision import LogPosition
from risk.domain.errors import BadConfiguration
from risk.domain.ids import digest
from risk.domain.limits import LOG_SLACK, TAIL_CAP
from risk.domain.observation import Publication, Receipt
from tests.support.memory import payment


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**48 - 1), st.integers(0, 2**48 - 1))
def test_a_header_survives_packing(incarnation: int, base: int, first: int) -> None:
    raw = pack_three(incarnation, base, first)
    assert len(raw) == 16
    assert unpack_three(b"xx" + raw, 2) == (incarnation, base, first)


@given(st.integers(1, 10**9))
def test_a_log_holds_a_cap_more_than_its_newest_tail(following: int) -> None:
    newest = following - 1
    assert fold_at(following) <= max(0, tail_from(newest) - TAIL_CAP)
    assert following - fold_at(following) <= 2 * TAIL_CAP + LOG_SLACK
    assert fold_at(following) % LOG_SLACK == 0


def record(sequence: int) -> bytes:
    return (sequence + 1).to_bytes(4, "little") * 9


@settings(max_examples=60)
@given(st.integers(1, 900), st.integers(0, 2**32), st.floats(0.3, 1))
def test_restoring_in_any_order_gives_the_same_log(count: int, seed: int, share: float) -> None:
    chance = random.Random(seed)
    known = [one for one in range(count) if chance.random() < share]
    logs = []
    for _ in range(3):
        log = Log(1, 0, 0, bytearray())
        for sequence in known:
            log.put(sequence, record(sequence))
        logs.append(log.pack())
        chance.shuffle(known)
    assert logs[0] == logs[1] == logs[2]
    log = unpack_log(logs[0])
    for sequence in range(log.first, log.following):
        at = (sequence - log.first) * RECORD_BYTES
        expected = record(sequence) if sequence in known else HOLE_RECORD
        assert log.records[at : at + RECORD_BYTES] == expected


def test_a_gap_of_a_million_costs_no_memory() -> None:
    log = Log(1, 0, 0, bytearray())
    log.put(3, record(3))
    log.put(1_000_000, record(1))
    assert log.following == 1_000_001
    assert len(log.records) <= (2 * TAIL_CAP + LOG_SLACK) * RECORD_BYTES
    log.put(3, record(3))
    assert (log.first, log.following) == (1_000_000, 1_000_001)


def test_what_was_never_known_reads_as_holes() -> None:
    position = LogPosition("card", "c1", 2, 5, 7, 0)
    seen = tail(position, record(6))
    assert seen.records == HOLE_RECORD * 6 + record(6)
    assert not seen.truncated


def test_a_claim_survives_packing() -> None:
    of = payment(1)
    places = pack_three(1, 2, 3) * 2
    rates = digest(b"rates")
    raw = b"C" + of.fingerprint + b"\x02" + places + pack_facts(of, rates)
    claim = unpack_value(raw)
    assert claim == ClaimedValue(of.fingerprint, places, of.arrived_at_ms, rates, of.body)
    assert claim.pack() == raw
    assert isinstance(claim, ClaimedValue)
    assert claim.event() == of.event


@given(
    st.sampled_from(["", "allow", "review"]),
    st.none() | st.floats(0, 1),
    st.binary(max_size=40),
    st.binary(max_size=200),
    st.sampled_from(["decisions", "ledger"]),
)
def test_a_decision_and_its_receipt_survive_packing(
    outcome: str, score: float | None, key: bytes, body: bytes, topic: str
) -> None:
    publication = Publication(
        "main", "p:1", "decisions" if topic == "decisions" else "ledger", key, body, outcome, score
    )
    decided = unpack_value(b"D" + bytes(16) + pack_decided(publication))
    assert isinstance(decided, DecidedValue)
    assert decided.publication("main", "p:1") == publication
    assert decided.digest == digest(body)
    receipt = ReceiptValue(
        bytes(16), publication.topic, Receipt(outcome, score, digest(body), 7, 2**41)
    )
    assert unpack_value(receipt.pack()) == receipt
    assert len(receipt.pack()) <= 200


def test_an_unknown_state_is_refused() -> None:
    with pytest.raises(ValueError, match="C, D or R"):
        unpack_value(b"X")


def test_keys_lie_in_one_slot_and_can_be_read_back() -> None:
    keys = Keys("w.test.")
    assert keys.log("main", "card", "c:1") == b"w.test.{b00}:main:card:c:1"
    assert keys.parse_event(keys.event("main", "p:x:{y}:é")) == ("main", "p:x:{y}:é")


def test_scripts_carry_their_fence() -> None:
    one, two, far = (protocol_scripts(*of) for of in ((1, ""), (2, ""), (1, "w.x.")))
    assert set(one) == set(PROTOCOL)
    for name in PROTOCOL:
        assert len({scripts[name].sha for scripts in (one, two, far)}) == 3
        assert one[name].text.startswith("local EPOCH = '1'\n")
        assert "redis.call('GET', KEYS[1]) ~= EPOCH" in one[name].text
    mine, other = recovery_scripts("a1"), recovery_scripts("b2")
    assert set(mine) == set(RECOVERY)
    for name in RECOVERY:
        assert mine[name].sha != other[name].sha
        assert re.search(r"redis\.call\('GET', KEYS\[1\]\) [~=]= TOKEN", mine[name].text)
    with pytest.raises(ValueError, match="letters and digits"):
        recovery_scripts("x' --")


def test_a_record_stands_only_under_the_last_marker() -> None:
    def at(epoch: int, *, marker: bool = False) -> TruthRecord:
        return TruthRecord(0, epoch, marker, b"", b"")

    standing = Standing(None)
    assert standing.admits(at(3))  # retention has taken its marker
    assert not standing.admits(at(2))
    assert not standing.admits(at(5, marker=True))
    assert standing.admits(at(5))
    assert not standing.admits(at(3))
    assert not standing.admits(at(4, marker=True))  # from a recoverer that had lost its lock
    assert standing.admits(at(5))
    assert not standing.admits(at(4))
    assert Standing(7).admits(at(7))
    assert not Standing(7).admits(at(6))


def test_an_address_of_another_kind_is_refused_without_repeating_it() -> None:
    with pytest.raises(BadConfiguration, match="WEIR_REDIS") as refused:
        Connection("http://:secret@here")
    assert "secret" not in str(refused.value)


def test_a_log_that_is_gone_has_lost_its_tail() -> None:
    assert tail_in(LogPosition("card", "c1", 1, 0, 5, 0), None) is None
