"""Rows: every event a row becomes, and every way a row can be refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from risk.domain.decoding import Canonical
from risk.domain.event import Label, OutcomeReport, Payment, Refund, Withdrawal
from streams.importer.build import EventBuilder, Rejected
from streams.importer.mapping import Mapping
from streams.importer.rows import Row

FIELDS: dict[str, Any] = {
    "id": {"column": "id", "prefix": "p-"},
    "occurred_at": {"column": "at", "time_zone": "UTC"},
    "account": {"column": "who", "prefix": "u-"},
    "amount_minor": {"column": "sum", "unit": "major"},
    "currency": {"column": "cur"},
    "mcc": {"column": "mcc"},
    "channel": {"column": "how", "map": {"web": "ecom"}},
}
ROW = {
    "id": "1", "at": "2026-01-15 12:00:00", "who": "7", "sum": "12.50", "cur": "EUR",
    "mcc": "5411", "how": "web", "why": "", "fraud": "0",
}  # fmt: skip


def mapping(**more: Any) -> Mapping:
    return msgspec.convert({"version": 1, "kind": "payments", "fields": FIELDS, **more}, Mapping)


def build(by: Mapping, **cells: Any) -> list[Canonical] | Rejected:
    row = {**ROW, **cells}
    return EventBuilder(by).build(Row(9, [row[column] for column in by.columns()]))


def events(by: Mapping, **cells: Any) -> list[Any]:
    found = build(by, **cells)
    assert not isinstance(found, Rejected), found
    return [one.event for one in found]


def test_a_payment() -> None:
    (payment,) = events(mapping())
    assert type(payment) is Payment
    assert (payment.id, payment.account, payment.amount_minor) == ("p-1", "u-7", 1250)
    assert (payment.currency, payment.mcc, payment.channel) == ("EUR", "5411", "ecom")


def test_the_type_may_be_mapped() -> None:
    fields = {**FIELDS, "type": {"column": "mcc", "map": {"6011": "withdrawal", "5411": "payment"}}}
    how = mapping(fields=fields)
    assert type(events(how, mcc="6011")[0]) is Withdrawal
    assert type(events(how)[0]) is Payment


def test_negative_amounts_become_refunds_without_outcome() -> None:
    how = mapping(
        negative_amounts="refund",
        outcomes={"column": "why"},
        labels={"column": "fraud", "fraud": ["1"], "known_after": "1d"},
    )
    (refund,) = events(how, sum="-3.00")
    assert type(refund) is Refund
    assert (refund.id, refund.amount_minor, refund.account) == ("p-1", 300, "u-7")
    # A fraud flag on a refund still says something about account, card and merchant.
    assert [event.kind for event in events(how, sum="-3.00", fraud="1")] == ["refund", "label"]


def test_a_declined_refund_is_refused() -> None:
    how = mapping(negative_amounts="refund", outcomes={"column": "why"})
    found = build(how, sum="-3.00", why="Bad PIN")
    assert isinstance(found, Rejected)
    assert (found.field, found.column, found.code) == ("reason", "why", "INCONSISTENT")


def test_decline_reasons_become_outcomes() -> None:
    how = mapping(outcomes={"column": "why", "map": {"Bad PIN": "wrong_pin"}, "after": "2s"})
    payment, outcome = events(how, why="Bad PIN")
    assert type(outcome) is OutcomeReport
    assert (outcome.result, outcome.reason, outcome.payment_id) == ("declined", "wrong_pin", "p-1")
    assert outcome.account == payment.account
    assert outcome.occurred_at_ms == payment.occurred_at_ms + 2000
    _, outcome = events(how, why="")
    assert (outcome.result, outcome.reason) == ("authorised", None)


def test_outcomes_may_be_for_declines_only() -> None:
    how = mapping(outcomes={"column": "why", "authorised": False})
    assert len(events(how, why="")) == 1
    assert len(events(how, why="x")) == 2


def test_fraud_flags_become_labels_that_come_later() -> None:
    how = mapping(labels={"column": "fraud", "fraud": ["1", "Yes"], "known_after": "14d"})
    assert len(events(how)) == 1
    payment, label = events(how, fraud="Yes")
    assert type(label) is Label
    assert label.known_at_ms == payment.occurred_at_ms + 14 * 86_400_000
    assert label.occurred_at == label.known_at
    assert (label.payment_id, label.label, label.account) == ("p-1", "fraud_report", "u-7")


def test_attributes_are_typed_and_missing_ones_are_left_out() -> None:
    how = mapping(attributes={"hour": {"column": "why", "type": "integer"}})
    assert events(how, why="20.0")[0].attributes == {"hour": 20}
    assert events(how, why="")[0].attributes is None


def test_a_tenant_is_in_every_event() -> None:
    how = mapping(tenant="acme", outcomes={"column": "why"})
    assert [event.tenant for event in events(how)] == ["acme", "acme"]


@pytest.mark.parametrize(
    "cells, field, column, code, reason",
    [
        ({"id": ""}, "id", "id", "MISSING_FIELD", "missing required field"),
        ({"at": ""}, "occurred_at", "at", "MISSING_FIELD", "missing required field"),
        ({"who": ""}, "account", "who", "MISSING_FIELD", "missing required field"),
        ({"sum": ""}, "amount_minor", "sum", "MISSING_FIELD", "missing required field"),
        ({"cur": ""}, "currency", "cur", "MISSING_FIELD", "is missing"),
        ({"cur": "XYZ"}, "currency", "cur", "UNKNOWN_CURRENCY", "'XYZ' is not a currency"),
        ({"sum": "abc"}, "amount_minor", "sum", "BAD_VALUE", "not a number"),
        ({"sum": "1.234"}, "amount_minor", "sum", "BAD_VALUE", "more than 2 decimals"),
        ({"sum": "-1"}, "amount_minor", "sum", "OUT_OF_RANGE", "negative_amounts = 'refund'"),
        ({"sum": "99999999999.99"}, "amount_minor", "sum", "OUT_OF_RANGE", "int"),
        ({"at": "soon"}, "occurred_at", "at", "BAD_VALUE", "not a time"),
        ({"at": "1970-01-01 00:00"}, "occurred_at", "at", "INVALID_TIME", "year 2000"),
        ({"at": "2200-01-01 00:00"}, "occurred_at", "at", "INVALID_TIME", "2099"),
        ({"mcc": "541"}, "mcc", "mcc", "OUT_OF_RANGE", "regex"),
        ({"how": "fax"}, "channel", "how", "BAD_VALUE", "'fax' is not in the map"),
        ({"who": "x" * 200}, "account", "who", "OUT_OF_RANGE", "length"),
        ({"who": "a\x07b"}, "account", "who", "OUT_OF_RANGE", "regex"),
        ({"who": "\udcff"}, "", "", "INVALID_UTF8", "UTF-8"),
    ],
)
def test_refused_rows(
    cells: dict[str, str], field: str, column: str, code: str, reason: str
) -> None:
    found = build(mapping(), **cells)
    assert isinstance(found, Rejected)
    assert (found.line, found.field, found.column, found.code) == (9, field, column, code)
    assert reason in found.reason


def test_a_raw_number_that_could_be_a_card_is_refused_and_not_shown() -> None:
    fields = {**FIELDS, "account": {"column": "who"}}
    found = build(mapping(fields=fields), who="4111111111111111")
    assert isinstance(found, Rejected)
    assert (found.field, found.code) == ("account", "CARD_NUMBER")
    assert "put a prefix" in found.reason
    assert "4111" not in msgspec.json.encode(found).decode()


def test_a_row_whose_outcome_is_bad_is_refused_whole() -> None:
    how = mapping(outcomes={"column": "why", "map": {}, "unmapped": "reject"})
    found = build(how, why="Odd")
    assert isinstance(found, Rejected)
    assert (found.field, found.column) == ("reason", "why")


def test_labels_and_outcomes_of_their_own() -> None:
    labels = msgspec.convert(
        {
            "version": 1,
            "kind": "labels",
            "fields": {
                "payment_id": {"column": "id", "prefix": "p-"},
                "label": {"constant": "chargeback"},
                "known_at": {"column": "at", "time_zone": "UTC"},
            },
        },
        Mapping,
    )
    (label,) = events(labels)
    assert (label.id, label.payment_id, label.label) == ("p-1", "p-1", "chargeback")
    assert label.occurred_at == label.known_at
    outcomes = msgspec.convert(
        {
            "version": 1,
            "kind": "outcomes",
            "fields": {
                "payment_id": {"column": "id", "prefix": "p-"},
                "result": {"column": "how", "map": {"web": "settled"}},
                "occurred_at": {"column": "at", "time_zone": "UTC"},
            },
        },
        Mapping,
    )
    (outcome,) = events(outcomes)
    assert (outcome.payment_id, outcome.result) == ("p-1", "settled")
