"""One cell of a foreign file -> one value of an event, or a reason why not."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from risk.domain.codes import CURRENCY_EXPONENT
from risk.domain.ids import looks_like_card_number
from streams.importer.mapping import FieldRule

Cell = Any  # text of a CSV file; text, number, bool, Decimal, datetime or None of a Parquet file
Convert = Callable[[Cell], Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER: Final = re.compile(r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$")
_DIGITS_MAX: Final = 18  # before the point; a larger amount is beyond every limit
_TRUE, _FALSE = ("true", "1", "yes", "y", "t"), ("false", "0", "no", "n", "f")


class BadValue(ValueError):
    """A cell that cannot be read; the message is the reason a person reads."""


def text_of(cell: Cell) -> str:
    """``cell`` as text; whole floats lose their ``.0``, as numbers of codes often are floats."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "surrogateescape")
    return str(cell)


def reader_of(rule: FieldRule) -> Convert:
    """Cell -> trimmed text or None where it is missing, before any meaning is given to it."""
    missing = frozenset(rule.empty) | {""}
    strip = rule.strip

    def read(cell: Cell) -> str | None:
        # NaN is how data frames write "missing".
        if cell is None or (isinstance(cell, float) and math.isnan(cell)):
            return None
        text = text_of(cell).strip()
        if strip:
            text = text.strip(strip).strip()
        return None if text in missing else text

    return read


def text_converter(rule: FieldRule) -> Convert:
    """Mapped by ``map``, then put behind ``prefix``."""
    read, table, prefix, unmapped = reader_of(rule), rule.map, rule.prefix, rule.unmapped

    def convert(cell: Cell) -> str | None:
        text: str | None = read(cell)
        if text is None:
            return None
        if table is not None:
            known = table.get(text)
            if known is not None:
                text = known
            elif unmapped == "missing":
                return None
            elif unmapped == "reject":
                raise BadValue(f"{shown(text)} is not in the map")
        return prefix + text

    return convert


def number_converter(rule: FieldRule, kind: str) -> Convert:
    """``integer``, ``number`` or ``boolean``."""
    read = reader_of(rule)

    def convert(cell: Cell) -> int | float | bool | None:
        text = read(cell)
        if text is None:
            return None
        if kind == "boolean":
            if text.lower() in _TRUE or text.lower() in _FALSE:
                return text.lower() in _TRUE
            raise BadValue("is not true or false")
        value = decimal_of(text, rule)
        if kind == "number":
            return float(value)
        if value != value.to_integral_value():
            raise BadValue("is not a whole number")
        return int(value)

    return convert


def decimal_of(text: str, rule: FieldRule) -> Decimal:
    """``text`` as an exact number, with the mapping's decimal and thousands signs."""
    if rule.thousands:
        text = text.replace(rule.thousands, "")
    if rule.decimal == ",":
        if "." in text:
            raise BadValue("has a point, the mapping says decimal = ','")
        text = text.replace(",", ".")
    if not _NUMBER.match(text):
        raise BadValue("is not a number")
    value = Decimal(text)
    if value.adjusted() >= _DIGITS_MAX:
        raise BadValue("is absurdly large")
    return value


def amount_converter(rule: FieldRule) -> Callable[[Cell, str], int | None]:
    """(cell, known currency) -> signed minor units; ``major`` is scaled by its exponent."""
    read = reader_of(rule)
    major, exact = rule.unit == "major", rule.rounding == "exact"

    def convert(cell: Cell, currency: str) -> int | None:
        text = read(cell)
        if text is None:
            return None
        value = decimal_of(text, rule)
        exponent = 0
        if major:
            exponent = CURRENCY_EXPONENT[currency]
            value = value.scaleb(exponent)
        minor = value.to_integral_value(ROUND_HALF_EVEN)
        if exact and minor != value:
            raise BadValue(
                f"has more than {exponent} decimals ({currency}); "
                "set rounding = 'half_even' to accept that"
            )
        return int(minor)

    return convert


def moment_converter(rule: FieldRule) -> Convert:
    """Times: an offset in the text wins, else ``time_zone`` applies.

    Local times that happen twice (clocks go back) mean the first of the two; those that never
    happen (clocks go forward) are shifted forward by the gap. Both are what ``fold=0`` gives.
    """
    read, zone = reader_of(rule), ZoneInfo(rule.time_zone) if rule.time_zone else None
    parse = _parser(rule.format)

    def convert(cell: Cell) -> datetime | None:
        if isinstance(cell, datetime):
            moment = cell
        else:
            text = read(cell)
            if text is None:
                return None
            moment = parse(text)
        if moment.tzinfo is None:
            if zone is None:
                raise BadValue("has no time zone; set time_zone in the mapping")
            moment = moment.replace(tzinfo=zone, fold=0)
        try:
            return moment.astimezone(UTC)
        except OverflowError:
            raise BadValue("is outside the calendar") from None

    return convert


def _parser(form: str) -> Callable[[str], datetime]:
    if form in ("epoch_s", "epoch_ms"):
        scale = 1000 if form == "epoch_s" else 1

        def from_epoch(text: str) -> datetime:
            if not _NUMBER.match(text):
                raise BadValue("is not a number of seconds or milliseconds")
            try:
                return _EPOCH + timedelta(milliseconds=int(Decimal(text) * scale))
            except OverflowError:
                raise BadValue("is outside the calendar") from None

        return from_epoch

    def from_text(text: str) -> datetime:
        try:
            if form == "iso":
                return datetime.fromisoformat(text)
            return datetime.strptime(text, form)  # noqa: DTZ007
        except ValueError:
            wanted = "ISO 8601" if form == "iso" else form
            raise BadValue(f"is not a time of the form {wanted}") from None

    return from_text


def shown(text: str) -> str:
    """``text`` as it may stand in a report: short, and never a card number."""
    if looks_like_card_number(text):
        return "a value that looks like a card number"
    short = text if len(text) <= 40 else text[:37] + "..."
    return ascii(short)
