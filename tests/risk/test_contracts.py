"""The schemas say what the decoder does, and the checked-in texts are the code's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from risk.cli.contracts import FOLDER, texts
from risk.contracts import CARD_NUMBER, decision_schema, event_schema, ledger_schema
from risk.domain.clock import ManualClock
from risk.domain.decision import LedgerRecord, LogPosition, encode_ledger
from risk.domain.decoding import decode_event
from risk.domain.errors import InvalidEvent
from risk.domain.event import REMEMBERED_TYPES, SCORED_TYPES
from risk.domain.ids import looks_like_card_number
from risk.domain.observation import Arrival
from risk.domain.outcome import Outcome
from tests.support.engine_twin import a_decision

EXAMPLES: dict[str, dict[str, Any]] = {
    kind: {
        "type": kind, "id": "pay_1", "occurred_at": "2026-01-31T12:00:00.000Z",
        "account": "acc_1", "amount_minor": 1250, "currency": "EUR", "card": "tok_1",
        "merchant": "m_1", "mcc": "5411", "channel": "ecom", "country": "DE", "lat": 52.5,
        "lon": 13.4, "kyc_level": 2, "ip": "10.0.0.1", "attributes": {"basket": 3, "gift": True},
    }
    for kind in SCORED_TYPES
} | {
    "login": {"succeeded": False}, "device_change": {"device": "d_1"},
    "beneficiary_added": {"beneficiary": "b_1"}, "password_reset": {},
    "refund": {"amount_minor": 1, "currency": "JPY", "payment_id": "pay_1"},
    "outcome": {"payment_id": "pay_1", "result": "declined", "reason": "insufficient funds"},
    "label": {
        "payment_id": "pay_1", "label": "chargeback", "known_at": "2026-02-28T12:00:00.000Z",
    },
}  # fmt: skip
WRONG: list[dict[str, Any]] = [
    {"amount_minor": -1}, {"amount_minor": 10**15}, {"amount_minor": 1.5}, {"currency": "XXX"},
    {"country": "XX"}, {"colour": "blue"}, {"account": ""}, {"account": None}, {"type": "gift"},
    {"card": "4111 1111 1111 1111"}, {"account": "a" * 129}, {"schema_version": 2},
    {"lat": 91.0}, {"channel": "pigeon"}, {"mcc": "12"}, {"attributes": {"a": {"b": 1}}},
    {"kyc_level": 10}, {"account": "a\x07"},
]  # fmt: skip


def example(kind: str) -> dict[str, Any]:
    common = {
        "type": kind, "id": "e_1", "occurred_at": "2026-01-31T12:00:00.000Z", "account": "acc_1",
    }  # fmt: skip
    return common | EXAMPLES[kind]


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=FormatChecker())


@pytest.fixture(scope="module")
def events() -> Draft202012Validator:
    return validator(event_schema())


def test_the_checked_in_texts_are_the_codes() -> None:
    for name, text in texts().items():
        assert (FOLDER / name).read_text() == text, f"{name}: run `weir contracts write`"


@pytest.mark.parametrize("kind", [*SCORED_TYPES, *REMEMBERED_TYPES])
def test_an_event_of_each_type_is_valid_to_both(events: Draft202012Validator, kind: str) -> None:
    events.validate(example(kind))
    decode_event(json.dumps(example(kind)).encode())


@pytest.mark.parametrize("change", WRONG, ids=str)
def test_a_wrong_event_is_wrong_to_both(
    events: Draft202012Validator, change: dict[str, Any]
) -> None:
    body = example("payment") | change
    assert not events.is_valid(body)
    with pytest.raises(InvalidEvent):
        decode_event(json.dumps(body).encode())


@pytest.mark.parametrize("name", ["id", "account", "amount_minor", "currency", "occurred_at"])
def test_a_missing_field_is_missing_to_both(events: Draft202012Validator, name: str) -> None:
    body = {field: value for field, value in example("payment").items() if field != name}
    assert not events.is_valid(body)
    with pytest.raises(InvalidEvent, match="MISSING_FIELD"):
        decode_event(json.dumps(body).encode())


@given(st.text("0123456789 -a", max_size=30))
def test_the_schema_refuses_the_same_card_numbers(text: str) -> None:
    refused = not Draft202012Validator({"not": {"pattern": CARD_NUMBER}}).is_valid(text)
    assert refused == looks_like_card_number(text)


def an_arrival() -> Arrival:
    event, body, fingerprint = decode_event(json.dumps(example("payment")).encode())
    return Arrival(event, body, fingerprint, "http", ManualClock(1_800_000_000_000).now_ms(), 1250)


@pytest.mark.parametrize("authoritative", [True, False])
def test_a_decision_is_valid(authoritative: bool) -> None:
    body = json.loads(a_decision(an_arrival(), Outcome.REVIEW, authoritative=authoritative))
    check = validator(decision_schema())
    check.validate(body)
    del body["evidence"]
    check.validate(body)
    assert not check.is_valid(body | {"outcome": "perhaps"})


def test_a_ledger_record_is_valid() -> None:
    import msgspec

    arrival = an_arrival()
    record = LedgerRecord(
        event_id="e_1", tenant="main", record="login", pending=False,
        event=msgspec.Raw(arrival.body), fingerprint=arrival.fingerprint.hex(),
        arrived_at="2026-01-31T12:00:00.000Z",
        positions=[LogPosition("account", "acc_1", 1, 0, 5, 0)], rates="r",
    )  # fmt: skip
    check = validator(ledger_schema())
    body = json.loads(encode_ledger(record))
    check.validate(body)
    body["positions"][0].append(7)
    assert not check.is_valid(body)


@pytest.mark.parametrize("name", ["openapi.json", "asyncapi.json", "event.schema.json"])
def test_every_reference_leads_somewhere(name: str) -> None:
    document = json.loads((FOLDER / name).read_text())
    for reference in references(document):
        assert reference.startswith("#/"), reference
        node = document
        for step in reference[2:].split("/"):
            assert step in node, f"{reference} leads nowhere"
            node = node[step]


def references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        mapping = node.get("mapping")
        own += list(mapping.values()) if isinstance(mapping, dict) else []
        return own + [found for child in node.values() for found in references(child)]
    if isinstance(node, list):
        return [found for child in node for found in references(child)]
    return []
