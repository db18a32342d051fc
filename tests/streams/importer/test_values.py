"""Cells: amounts by currency, times by zone, texts by map."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from streams.importer.mapping import FieldRule
from streams.importer.values import (
    BadValue,
    amount_converter,
    moment_converter,
    number_converter,
    shown,
    text_converter,
)


@pytest.mark.parametrize(
    "cell, currency, more, minor",
    [
        ("12.34", "EUR", {}, 1234),
        ("12.3", "EUR", {}, 1230),
        ("12.340", "EUR", {}, 1234),
        (" 12 ", "EUR", {}, 1200),
        ("1200", "JPY", {}, 1200),
        ("1.234", "TND", {}, 1234),
        ("-5.00", "USD", {}, -500),
        ("$5.00", "USD", {"strip": "$"}, 500),
        ("1.234,50", "EUR", {"decimal": ",", "thousands": "."}, 123450),
        ("1'234.50", "CHF", {"thousands": "'"}, 123450),
        ("1e3", "EUR", {}, 100000),
        (73080.0, "JPY", {}, 73080),
        (1148.6, "CAD", {}, 114860),
        (0.29, "EUR", {}, 29),
        (Decimal("7.10"), "EUR", {}, 710),
        (7, "EUR", {}, 700),
        ("1234", "EUR", {"unit": "minor"}, 1234),
        ("0.125", "EUR", {"rounding": "half_even"}, 12),
        ("0.135", "EUR", {"rounding": "half_even"}, 14),
        ("", "EUR", {}, None),
        (None, "EUR", {}, None),
        (float("nan"), "EUR", {}, None),
        ("NA", "EUR", {"empty": ("NA",)}, None),
    ],
)
def test_amounts(cell: Any, currency: str, more: dict[str, Any], minor: int | None) -> None:
    rule = FieldRule(**{"column": "a", "unit": "major", **more})
    assert amount_converter(rule)(cell, currency) == minor


@pytest.mark.parametrize(
    "cell, currency, more, why",
    [
        ("12.345", "EUR", {}, "more than 2 decimals"),
        ("12.5", "JPY", {}, "more than 0 decimals"),
        ("12.5", "EUR", {"unit": "minor"}, "more than 0 decimals"),
        ("twelve", "EUR", {}, "not a number"),
        ("1,5", "EUR", {}, "not a number"),
        ("1.5", "EUR", {"decimal": ","}, "has a point"),
        ("1_000", "EUR", {}, "not a number"),
        ("١٢", "EUR", {}, "not a number"),
        ("inf", "EUR", {}, "not a number"),
        (float("inf"), "EUR", {}, "not a number"),
        ("1e999", "EUR", {}, "absurdly large"),
        ("1e99999", "EUR", {}, "not a number"),
        ("9" * 40, "EUR", {}, "absurdly large"),
    ],
)
def test_bad_amounts(cell: Any, currency: str, more: dict[str, Any], why: str) -> None:
    rule = FieldRule(**{"column": "a", "unit": "major", **more})
    with pytest.raises(BadValue, match=why):
        amount_converter(rule)(cell, currency)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    "cell, zone, form, moment",
    [
        ("2026-01-15 12:00:00", "Europe/Vienna", "iso", utc(2026, 1, 15, 11)),
        ("2026-07-15 12:00:00", "Europe/Vienna", "iso", utc(2026, 7, 15, 10)),
        # Clocks go back: 02:30 happens twice, the first one (still summer time) is meant.
        ("2026-10-25 02:30:00", "Europe/Vienna", "iso", utc(2026, 10, 25, 0, 30)),
        ("2026-10-25 03:00:00", "Europe/Vienna", "iso", utc(2026, 10, 25, 2)),
        # Clocks go forward: 02:30 never happens and becomes 03:30.
        ("2026-03-29 02:30:00", "Europe/Vienna", "iso", utc(2026, 3, 29, 1, 30)),
        ("2026-03-29 03:30:00", "Europe/Vienna", "iso", utc(2026, 3, 29, 1, 30)),
        ("2007-03-11 02:15", "America/Los_Angeles", "iso", utc(2007, 3, 11, 10, 15)),
        ("2006-03-12 02:15", "America/Los_Angeles", "iso", utc(2006, 3, 12, 10, 15)),
        # An offset in the text is stronger than the mapping's zone.
        ("2026-01-15T12:00:00+05:30", "Europe/Vienna", "iso", utc(2026, 1, 15, 6, 30)),
        ("2026-01-15T12:00:00Z", None, "iso", utc(2026, 1, 15, 12)),
        ("15.01.2026 12:00", "UTC", "%d.%m.%Y %H:%M", utc(2026, 1, 15, 12)),
        ("1768478400", None, "epoch_s", utc(2026, 1, 15, 12)),
        ("1768478400.25", None, "epoch_s", utc(2026, 1, 15, 12, 0, 0, 250_000)),
        (1768478400000, None, "epoch_ms", utc(2026, 1, 15, 12)),
        (datetime(2026, 1, 15, 12), "UTC", "iso", utc(2026, 1, 15, 12)),  # noqa: DTZ001
        (utc(2026, 1, 15, 12), "Europe/Vienna", "iso", utc(2026, 1, 15, 12)),
        ("", "UTC", "iso", None),
    ],
)
def test_times(cell: Any, zone: str | None, form: str, moment: datetime | None) -> None:
    rule = FieldRule(column="t", time_zone=zone, format=form)
    assert moment_converter(rule)(cell) == moment


@pytest.mark.parametrize(
    "cell, zone, form, why",
    [
        ("2026-01-15 12:00:00", None, "iso", "no time zone"),
        ("yesterday", "UTC", "iso", "ISO 8601"),
        ("2026-02-30", "UTC", "iso", "not a time"),
        ("2026-01-15", "UTC", "%d.%m.%Y", "form %d.%m.%Y"),
        ("now", None, "epoch_s", "not a number"),
        ("1e300", None, "epoch_s", "outside the calendar"),
        ("0001-01-01 00:00", "Asia/Tokyo", "iso", "outside the calendar"),
    ],
)
def test_bad_times(cell: Any, zone: str | None, form: str, why: str) -> None:
    rule = FieldRule(column="t", time_zone=zone, format=form)
    with pytest.raises(BadValue, match=why):
        moment_converter(rule)(cell)


def test_texts_are_mapped_then_prefixed() -> None:
    table = {"Swipe": "pos_swipe"}
    assert text_converter(FieldRule(column="c", map=table, prefix="x-"))(" Swipe ") == "x-pos_swipe"
    with pytest.raises(BadValue, match="'Chip' is not in the map"):
        text_converter(FieldRule(column="c", map=table))("Chip")
    assert text_converter(FieldRule(column="c", map=table, unmapped="keep"))("Chip") == "Chip"
    assert text_converter(FieldRule(column="c", map=table, unmapped="missing"))("Chip") is None


@pytest.mark.parametrize(
    "cell, text", [(5411.0, "5411"), (True, "true"), (12, "12"), (b"ab", "ab"), (1.5, "1.5")]
)
def test_native_cells_become_the_text_people_expect(cell: Any, text: str) -> None:
    assert text_converter(FieldRule(column="c"))(cell) == text


def test_numbers_and_flags() -> None:
    assert number_converter(FieldRule(column="c"), "integer")("20.0") == 20
    assert number_converter(FieldRule(column="c"), "number")("48.2") == 48.2
    assert number_converter(FieldRule(column="c"), "boolean")("Yes") is True
    for kind, cell in (("integer", "1.5"), ("number", "x"), ("boolean", "maybe")):
        with pytest.raises(BadValue):
            number_converter(FieldRule(column="c"), kind)(cell)


def test_reports_never_show_what_may_be_a_card_number() -> None:
    assert "4111" not in shown("4111 1111 1111 1111")
    assert len(shown("x" * 500)) < 50
