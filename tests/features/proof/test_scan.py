"""Compiled reading takes what the slow one takes, and finds the same there, or leaves it alone."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import msgspec
import numpy as np
import pytest

from features.proof import names, scan_record
from features.proof.arena import Arena
from features.proof.blake import blake, hasher
from features.proof.columns import columns_of, packed
from features.proof.history import HistoryRecord
from features.proof.reading import Reader, Scanned
from features.proof.scan import NOT, PADDING, decimal, moment, number, whole
from features.proof.told import Damaged, Told, check_sequences, read_told
from features.records import Facts
from features.vectors import fact_row
from risk.domain.decision import (
    LedgerRecord,
    LogPosition,
    decode_decision,
    encode_decision,
    encode_ledger,
)
from risk.domain.decoding import decode_stored
from risk.domain.event import AnyEvent, Payment
from risk.domain.kinds import entities, record_kind
from tests.support.proof_world import RATES, story, to_base

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "features" / "proof"


def _records(seed: int, events: int) -> list[HistoryRecord]:
    return [one for one in story(seed, events) if not one.marker]


def _read(records: list[HistoryRecord]) -> tuple[Scanned, Reader, Arena, list[str]]:
    arena, troubles = Arena(None), list[str]()
    reader = Reader(arena, to_base, lambda record, reason: troubles.append(reason))
    return reader.read(records), reader, arena, troubles


def _read_slowly(records: list[HistoryRecord]) -> tuple[list[int], list[Told], list[str]]:
    kept, found, troubles = [], [], []
    for place, record in enumerate(records):
        try:
            told = read_told(record, to_base)
            if told is not None:
                check_sequences(told)
                kept.append(place)
                found.append(told)
        except Damaged as error:
            troubles.append(str(error))
    return kept, found, troubles


def _assert_alike(records: list[HistoryRecord]) -> Reader:
    """Both ways of reading find the same; the reader, to see how much it left to the slow one."""
    scanned, reader, arena, troubles = _read(records)
    kept, told, wanted = _read_slowly(records)
    assert troubles == wanted
    assert scanned.kept.tolist() == kept
    if not told:
        return reader
    of = columns_of(told)
    other = Arena(None)
    logs = [number for one in told for number in other.numbers(one.event.tenant, one.names)]
    words, hashes = packed(of, np.array(logs, np.int64), other.hashes)
    assert scanned.words.tobytes() == words.tobytes()
    assert [arena.name(one) for one in scanned.logs] == [other.name(one) for one in logs]
    assert scanned.at.tolist() == of.at.tolist()
    assert scanned.slots.tolist() == of.slots.tolist()
    assert scanned.counts.tolist() == of.counts.tolist()
    assert scanned.arrived_ms.tolist() == [one.arrived_at_ms for one in told]
    assert scanned.time_ms.tolist() == [one.time_ms for one in told]
    assert scanned.decided.tolist() == [one.decision is not None for one in told]
    assert scanned.unrated.tolist() == [one.unrated for one in told]
    facts = [
        fact_row(one.event, Facts(*one.own, tuple(row.tolist()), 0))
        for one, row in zip(told, hashes, strict=True)
        if one.decision is not None and isinstance(one.event, Payment)
    ]
    assert scanned.facts.tolist() == [list(row) for row in facts]
    return reader


def _ledger(body: dict[str, object], **change: object) -> HistoryRecord:
    event, raw, fingerprint = decode_stored(msgspec.json.encode(body))
    record = LedgerRecord(
        event_id=event.id,
        tenant=event.tenant,
        record=record_kind(event),
        pending=False,
        event=msgspec.Raw(raw),
        fingerprint=fingerprint.hex(),
        arrived_at="2026-01-31T12:00:00.500Z",
        positions=[LogPosition(kind, one, 1, 0, 300, 44) for kind, one in entities(event)],
        rates=RATES.digest(),
    )
    value = encode_ledger(msgspec.structs.replace(record, **change))
    return HistoryRecord("ledger", 0, 0, 0, 1, False, value)


def _decision(body: dict[str, object]) -> HistoryRecord:
    """The first decision of a story, made of this payment instead."""
    record = next(one for one in _records(90, 40) if one.topic == "decisions")
    decision = decode_decision(record.value)
    event, raw, fingerprint = decode_stored(msgspec.json.encode(body))
    assert decision.evidence is not None
    evidence = msgspec.structs.replace(
        decision.evidence,
        event=msgspec.Raw(raw),
        fingerprint=fingerprint.hex(),
        positions=[LogPosition(kind, one, 1, 0, 300, 44) for kind, one in entities(event)],
    )
    value = encode_decision(
        msgspec.structs.replace(
            decision, payment_id=event.id, tenant=event.tenant, evidence=evidence
        )
    )
    return record._replace(value=value)


def _payment(**more: object) -> dict[str, object]:
    return {
        "type": "payment", "id": "p1", "occurred_at": "2026-01-31T12:00:00Z", "account": "a",
        "amount_minor": 1234, "currency": "EUR", **more,
    }  # fmt: skip


def test_a_story_is_read_without_the_slow_way() -> None:
    reader = _assert_alike(_records(71, 500))
    assert reader.slow == 0


@pytest.mark.parametrize("seed", range(4))
def test_changed_bytes_are_read_alike_or_refused_alike(seed: int) -> None:
    rng = random.Random(seed)
    changed = []
    for record in _records(72 + seed, 120) * 4:
        body = bytearray(record.value)
        at = rng.randrange(len(body))
        way = rng.randrange(4)
        if way == 0:
            body[at] ^= 1 << rng.randrange(8)
        elif way == 1:
            del body[at]
        elif way == 2:
            body.insert(at, rng.choice(b'0123456789",:{}[]-.eE\\ ntf'))
        else:
            body[at] = rng.choice(b'0123456789",:{}[]-.eE\\ ntf')
        changed.append(record._replace(value=bytes(body)))
    _assert_alike(changed)


@pytest.mark.parametrize("seed", range(2))
def test_other_json_of_the_same_meaning_is_read_alike(seed: int) -> None:
    rng = random.Random(seed)
    records = []
    for record in _records(80 + seed, 60):
        body = json.loads(record.value)
        keys = list(body)
        rng.shuffle(keys)
        value = json.dumps({key: body[key] for key in keys}, indent=rng.choice((None, 1)))
        records.append(record._replace(value=value.encode()))
    reader = _assert_alike(records)
    assert reader.slow == len(records)


EVENTS: list[dict[str, object]] = [
    _payment(),
    _payment(type="transfer", beneficiary="b", merchant="m", device="d", ip="10.0.0.1", card="c"),
    _payment(type="withdrawal", channel="atm", lat=-90, lon=180),
    _payment(type="top_up", channel="p2p", lat=89.999999, lon=-179.5, mcc="0000"),
    _payment(country="DE", card_country="FR", ip_country="DE", channel="ecom", kyc_level=9),
    _payment(country="DE", card_country="DE", ip_country="US", channel="moto", kyc_level=0),
    _payment(account_opened_at="2016-02-29T23:59:59.123456Z", attributes={"a": 1, "b": "x"}),
    _payment(account_opened_at="1969-02-28T23:59:59Z", attributes={"a": 1.5e3, "b": False}),
    _payment(account_opened_at="2026-01-31T12:00:00.5+01:00", attributes={}),
    _payment(occurred_at="2099-12-31T23:59:59.999Z", tenant="other", currency="JPY"),
    _payment(occurred_at="2000-01-01T00:00:00Z", amount_minor=10**12 - 1, currency="KWD"),
    _payment(amount_minor=0, bin="403005", terminal="t", ip_prefix="10.0.0.0/24"),
    _payment(amount_minor=900_000, email_hash="e", phone_hash="f"),
    _payment(amount_minor=1_000_000, account='a"b', merchant="ä", currency="USD"),
    _payment(id="long" * 30, account="x" * 128, lat=48.073, lon=11.530871234567891),
    {"type": "login", "id": "l", "occurred_at": "2024-02-29T00:00:00Z", "account": "a"},
    {"type": "login", "id": "l", "occurred_at": "2024-03-01T00:00:00Z", "account": "a",
     "succeeded": False, "attributes": {"x": "y", "z": True}},
    {"type": "device_change", "id": "l", "occurred_at": "2024-03-01T00:00:00Z", "account": "a"},
    {"type": "refund", "id": "r", "occurred_at": "2024-03-01T00:00:00Z", "account": "a",
     "amount_minor": 7, "currency": "GBP", "payment_id": "p", "merchant": "m"},
    {"type": "outcome", "id": "o", "occurred_at": "2024-03-01T00:00:00Z", "payment_id": "p",
     "result": "declined", "reason": "", "card": "c"},
    {"type": "decided", "id": "o", "occurred_at": "2024-03-01T00:00:00Z", "payment_id": "p",
     "result": "decided_block", "device": "d"},
    {"type": "label", "id": "b", "occurred_at": "2024-03-01T00:00:00Z", "payment_id": "p",
     "label": "fraud_report", "known_at": "2024-03-05T01:02:03.004Z", "account": "a"},
]  # fmt: skip


def test_every_field_of_an_event_is_read_alike() -> None:
    paid = [body for body in EVENTS if "amount_minor" in body and body["type"] != "refund"]
    decided = _assert_alike([_decision(body) for body in paid])
    assert decided.slow == 2
    reader = _assert_alike([_ledger(body) for body in EVENTS])
    # An escape, and a year before 1970, are left to the slow way.
    assert reader.slow == 2


def test_places_next_to_a_step_are_read_alike() -> None:
    rng = random.Random(6)
    bodies = []
    for _ in range(400):
        step = rng.randrange(1, 65534)
        lat = step * 180.0 / 65534.0 - 90.0 + rng.choice((0.0, 1e-14, -1e-14, 1e-8, -1e-8))
        bodies.append(_payment(lat=lat, lon=rng.uniform(-180, 180)))
    reader = _assert_alike([_ledger(body) for body in bodies])
    assert 0 < reader.slow < 300


@pytest.mark.parametrize(
    "change",
    [
        {"event_id": "other"},
        {"tenant": "other"},
        {"record": "top_up"},
        {"fingerprint": "0" * 32},
        {"positions": []},
        {"positions": [LogPosition("account", "b", 1, 0, 300, 44)]},
        {"positions": [LogPosition("card", "a", 1, 0, 300, 44)]},
        {"positions": [LogPosition("account", "a", 1, 0, 300, 45)]},
        {"positions": [LogPosition("account", "a", 0, 0, 300, 44)]},
        {"positions": [LogPosition("account", "a", 1, 301, 300, 44)]},
        {"positions": [LogPosition("account", "a", 1, 0, 2**48, 2**48 - 256)]},
        {"positions": [LogPosition("account", "a", 1, 0, 2**70, 2**70 - 256)]},
        {"arrived_at": "2026-02-30T12:00:00Z"},
        {"rates": "0" * 64},
        {"pending": True},
    ],
)
def test_what_does_not_fit_is_read_alike(change: dict[str, object]) -> None:
    _assert_alike([_ledger(_payment()), _ledger(_payment(), **change)])


def test_decisions_that_tell_more_are_read_alike() -> None:
    record = next(one for one in _records(90, 40) if one.topic == "decisions")
    decision = decode_decision(record.value)
    evidence = decision.evidence
    assert evidence is not None
    replace = msgspec.structs.replace
    changed = [
        replace(decision, evidence=replace(evidence, windows={"sum": None, "count": 3.0})),
        replace(decision, evidence=replace(evidence, windows={})),
        replace(decision, evidence=replace(evidence, vector=None)),
        replace(decision, evidence=replace(evidence, inexact=["a", "b"])),
        replace(decision, evidence=replace(evidence, libraries={})),
        replace(decision, evidence=replace(evidence, vector=[1.0])),
        replace(decision, evidence=replace(evidence, features_lost=evidence.positions[0])),
        replace(decision, degraded=["no_model", "no_rate"]),
        replace(decision, authoritative=False),
        replace(decision, decided_at="2026-01-01T00:00:00.000Z"),
        replace(decision, tenant="other"),
        replace(decision, payment_id="other"),
        replace(decision, evidence=None),
    ]
    values = [encode_decision(one) for one in changed]
    _assert_alike([record._replace(value=value) for value in values])


def test_a_table_of_rates_that_is_not_at_hand_is_told() -> None:
    scanned, reader, _, _ = _read([_ledger(_payment()), _ledger(_payment(), rates="0" * 64)])
    assert scanned.unrated.tolist() == [False, True]
    assert reader.slow == 0


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 127, 128, 129, 255, 256, 257, 1000])
def test_hashes_are_those_of_hashlib(length: int) -> None:
    text = random.Random(length).randbytes(length)
    of = hasher(16, b"weir-event")
    blake(of, np.frombuffer(b"xyz" + text + b"!", np.uint8), 3, 3 + length)
    expected = hashlib.blake2b(text, digest_size=16, person=b"weir-event").digest()
    assert of.state.tobytes()[:16] == expected


def _bytes(text: str) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return np.frombuffer(text.encode() + PADDING, np.uint8)


@pytest.mark.parametrize(
    "text",
    ["0", "12", "1.5", "0.1", "-89.99999", "123456.789012345", "01", "1.", ".5", "-", "1.2.3",
     "9007199254740993", "0.00000000000000001", "00.5"],
)  # fmt: skip
def test_decimals_are_rounded_as_python_does_or_left(text: str) -> None:
    at, value, exact = decimal(_bytes(text), 0)
    try:
        expected = msgspec.json.decode(text.encode(), type=float)
    except msgspec.DecodeError:
        assert at != len(text)
        return
    assert at == len(text)
    assert value == pytest.approx(expected, rel=1e-15)
    assert not exact or value.hex() == expected.hex()
    assert exact or len(text) > 15


def test_random_decimals_are_rounded_as_python_does() -> None:
    rng = random.Random(5)
    for _ in range(3000):
        text = f"{rng.uniform(-180, 180):.{rng.randrange(1, 13)}f}"
        assert decimal(_bytes(text), 0) == (len(text), float(text), True)


@pytest.mark.parametrize("text", ["1e5", "1.5E-7", "-0.0", "1e999", "1e", "1.e5", "--1", "1e+05"])
def test_numbers_that_json_knows_are_passed_and_others_are_not(text: str) -> None:
    at = number(_bytes(text), 0)
    try:
        msgspec.json.decode(text.encode(), type=float)
    except msgspec.DecodeError:
        assert at != len(text)
        return
    assert at in (len(text), text.find("E"))  # an encoder writes a small e


def test_whole_numbers_have_at_most_fifteen_digits() -> None:
    assert whole(_bytes("999999999999999,"), 0) == (15, 10**15 - 1)
    assert whole(_bytes("1000000000000000,"), 0)[0] == NOT
    assert whole(_bytes("012"), 0)[0] == NOT
    assert whole(_bytes("-1"), 0)[0] == NOT


@pytest.mark.parametrize(
    "text", ["2025-02-29", "2025-13-01", "2025-00-10", "2025-04-31", "2100-02-29", "1900-02-28"]
)
def test_days_that_no_calendar_has_are_left(text: str) -> None:
    assert moment(_bytes(f'{text}T00:00:00Z"'), 0)[0] == NOT


@pytest.mark.parametrize(
    "parts",
    [("blake", "scan", "scan_event", scan_record), ("blake", "scan_event", "scan_record", names)],
)
def test_compiled_parts_are_named_where_numba_looks(parts: tuple[object, ...]) -> None:
    *files, module = parts
    text = b"".join((FOLDER / f"{name}.py").read_bytes() for name in files)
    assert hashlib.sha256(text).hexdigest()[:16] == module.PARTS  # type: ignore[attr-defined]


def test_names_keep_their_numbers_as_they_grow() -> None:
    arena = Arena(None)
    wanted = [("t", "account", f"a{number}" * (1 + number % 40)) for number in range(9000)]
    wanted += [("t", "card", "a1"), ("u", "account", "a1"), ("t", "ip", "x" * 5000)]
    numbers = [arena.numbers(tenant, [(kind, name)])[0] for tenant, kind, name in wanted]
    assert numbers == list(range(len(wanted)))
    assert [arena.name(number) for number in numbers] == wanted
    assert [arena.numbers(tenant, [(kind, name)])[0] for tenant, kind, name in wanted] == numbers
    assert arena.log_count == len(wanted)


def test_an_event_stands_in_for_its_amount() -> None:
    met: list[AnyEvent] = []

    def rate(event: AnyEvent, digest: str) -> int | None:
        met.append(event)
        return to_base(event, digest)

    Reader(Arena(None), rate, lambda record, reason: None).read([_ledger(_payment())])
    assert [(one.amount_minor, one.currency) for one in met] == [(1234, "EUR")]  # type: ignore[union-attr]
