"""Every way an event can be wrong has its own named error with a pointer."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.domain.decoding import canonical, decode_event
from risk.domain.errors import InvalidEvent
from risk.domain.event import Label, Payment
from risk.domain.limits import AMOUNT_MINOR_MAX, EVENT_BYTES_MAX

GOOD: dict[str, Any] = {
    "type": "payment",
    "id": "pay_1",
    "occurred_at": "2026-01-01T00:00:00.123Z",
    "account": "acc_1",
    "amount_minor": 1250,
    "currency": "EUR",
    "card": "tok_1",
    "merchant": "mer_1",
    "device": "dev_1",
    "ip": "192.0.2.1",
    "channel": "ecom",
    "country": "DE",
    "attributes": {"basket": 3},
}

REFUSALS: list[tuple[dict[str, Any], str, str]] = [
    ({"type": "gift"}, "UNKNOWN_TYPE", "/type"),
    ({"type": "activity"}, "UNKNOWN_TYPE", "/type"),
    ({"colour": "red"}, "UNKNOWN_FIELD", "/colour"),
    ({"amount_minor": "1250"}, "WRONG_TYPE", "/amount_minor"),
    ({"amount_minor": 12.5}, "WRONG_TYPE", "/amount_minor"),
    ({"account": None}, "WRONG_TYPE", "/account"),
    ({"amount_minor": -1}, "OUT_OF_RANGE", "/amount_minor"),
    ({"amount_minor": AMOUNT_MINOR_MAX + 1}, "OUT_OF_RANGE", "/amount_minor"),
    ({"id": ""}, "OUT_OF_RANGE", "/id"),
    ({"id": "x" * 129}, "OUT_OF_RANGE", "/id"),
    ({"id": "a\x00b"}, "OUT_OF_RANGE", "/id"),
    ({"channel": "pigeon"}, "OUT_OF_RANGE", "/channel"),
    ({"currency": "ZZZ"}, "UNKNOWN_CURRENCY", "/currency"),
    ({"country": "XX"}, "UNKNOWN_COUNTRY", "/country"),
    ({"card": "4111111111111111"}, "CARD_NUMBER", "/card"),
    ({"account": "4111 1111-1111 1111"}, "CARD_NUMBER", "/account"),
    ({"attributes": {"note": "4111111111111111"}}, "CARD_NUMBER", "/attributes/note"),
    ({"attributes": {"note": 4111111111111111}}, "CARD_NUMBER", "/attributes/note"),
    ({"attributes": {"4111111111111111": 1}}, "CARD_NUMBER", "/attributes"),
    ({"attributes": {"note": "x" * 257}}, "OUT_OF_RANGE", "/attributes/note"),
    ({"attributes": {"n" * 65: 1}}, "OUT_OF_RANGE", "/attributes"),
    ({"attributes": {"deep": {"er": 1}}}, "WRONG_TYPE", "/attributes"),
    ({"occurred_at": "yesterday"}, "INVALID_TIME", "/occurred_at"),
    ({"occurred_at": "2026-01-01T00:00:00"}, "INVALID_TIME", "/occurred_at"),
    ({"occurred_at": "1999-12-31T23:59:59Z"}, "INVALID_TIME", "/occurred_at"),
    ({"occurred_at": "2100-01-01T00:00:00Z"}, "INVALID_TIME", "/occurred_at"),
    ({"schema_version": 2}, "UNSUPPORTED_VERSION", "/schema_version"),
    ({"payment_id": "pay_2"}, "INCONSISTENT", "/payment_id"),
    ({"lat": 1.0}, "INCONSISTENT", "/lat"),
]


@pytest.mark.parametrize("change,code,field", REFUSALS)
def test_refusal_names_code_and_field(change: dict[str, Any], code: str, field: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        decode_event(json.dumps({**GOOD, **change}).encode())
    assert (refused.value.code, refused.value.field) == (code, field)


@pytest.mark.parametrize("field", ["id", "occurred_at", "account", "amount_minor", "currency"])
def test_missing_field_is_named(field: str) -> None:
    body = {key: value for key, value in GOOD.items() if key != field}
    with pytest.raises(InvalidEvent) as refused:
        decode_event(json.dumps(body).encode())
    assert (refused.value.code, refused.value.field) == ("MISSING_FIELD", f"/{field}")


@pytest.mark.parametrize(
    "raw,code",
    [
        (b"", "INVALID_JSON"),
        (b"{", "INVALID_JSON"),
        (b"[]", "WRONG_TYPE"),
        (b"null", "WRONG_TYPE"),
        (b'{"type":"payment","id":"\xff"}', "INVALID_UTF8"),
        (b" " * (EVENT_BYTES_MAX + 1), "TOO_LARGE"),
        (b"x" * 1_000_000, "TOO_LARGE"),
        (b'{"type":"payment","colour":' + b"[" * 10_000, "UNKNOWN_FIELD"),
        (b"[" * 10_000, "WRONG_TYPE"),
    ],
)
def test_bytes_that_are_no_event(raw: bytes, code: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        decode_event(raw)
    assert refused.value.code == code


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_a_named_error(raw: bytes) -> None:
    with pytest.raises(InvalidEvent):
        decode_event(raw)


@given(
    st.dictionaries(
        st.sampled_from(sorted(GOOD)),
        st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.floats(),
    )
)
def test_any_values_are_an_event_or_a_named_error(change: dict[str, Any]) -> None:
    raw = json.dumps({**GOOD, **change}).encode()
    try:
        decoded = decode_event(raw)
    except InvalidEvent:
        return
    assert decode_event(decoded.body) == decoded, "the canonical form is a fixed point"


def test_equal_moments_have_equal_fingerprints() -> None:
    here = decode_event(json.dumps(GOOD).encode())
    there = decode_event(
        json.dumps({**GOOD, "occurred_at": "2026-01-01T01:00:00.1239+01:00"}).encode()
    )
    assert here.fingerprint == there.fingerprint
    assert here.body == there.body
    assert isinstance(here.event, Payment)
    assert here.event.occurred_at_ms == 1767225600123


def test_payment_id_equal_to_id_is_the_same_event() -> None:
    assert (
        decode_event(json.dumps({**GOOD, "payment_id": "pay_1"}).encode()).body
        == decode_event(json.dumps(GOOD).encode()).body
    )


def test_a_label_cannot_be_known_before_it_happened() -> None:
    label = Label(
        id="lab_1",
        occurred_at=datetime.fromisoformat("2026-01-02T00:00:00+00:00"),
        known_at=datetime.fromisoformat("2026-01-01T00:00:00+00:00"),
        payment_id="pay_1",
        label="chargeback",
    )
    with pytest.raises(InvalidEvent) as refused:
        canonical(label)
    assert refused.value.field == "/known_at"
