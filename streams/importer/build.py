"""A row and a mapping -> the events of that row, all valid, or the reason why it is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from risk.domain.codes import CURRENCY_EXPONENT
from risk.domain.decoding import Canonical, decode_event
from risk.domain.errors import InvalidEvent
from risk.domain.event import Refund
from streams.importer.mapping import (
    MOMENT_FIELDS,
    NUMBER_FIELDS,
    FieldRule,
    LabelRule,
    Mapping,
    OutcomeRule,
    duration_ms,
)
from streams.importer.rows import Row
from streams.importer.values import (
    BadValue,
    Cell,
    Convert,
    amount_converter,
    moment_converter,
    number_converter,
    reader_of,
    shown,
    text_converter,
)

_ENTITY_FIELDS = ("account", "card", "merchant", "beneficiary", "device", "ip")
_REFUND_FIELDS = frozenset(Refund.__struct_fields__)
Derive = Callable[[Sequence[Cell], dict[str, Any]], dict[str, Any] | None]


class Rejected(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A row that was refused: where it is, what is wrong, and in which field and column."""

    line: int
    field: str
    reason: str
    code: str
    column: str = ""


class _RowError(Exception):
    def __init__(self, field: str, reason: str, code: str = "BAD_VALUE") -> None:
        super().__init__(reason)
        self.field, self.reason, self.code = field, reason, code


class EventBuilder:
    """``build`` turns one row into its events: the main one first, then what follows from it."""

    def __init__(self, mapping: Mapping) -> None:
        self._mapping = mapping
        self._place = {column: at for at, column in enumerate(mapping.columns())}
        self._column_of = {
            place: rule.column or ""
            for place, rule in [
                *mapping.fields.items(),
                *((f"attributes/{name}", rule) for name, rule in mapping.attributes.items()),
            ]
        }
        self._tenant = {"tenant": mapping.tenant} if mapping.tenant != "main" else {}
        self._steps = [
            (name, *self._source(rule), _converter(name, rule))
            for name, rule in mapping.fields.items()
            if name not in ("amount_minor", "type")
        ]
        self._attributes = [
            (name, *self._source(rule), _attribute_converter(rule))
            for name, rule in mapping.attributes.items()
        ]
        self._type = self._type_step()
        amount = mapping.fields.get("amount_minor")
        self._amount = None if amount is None else (*self._source(amount), amount_converter(amount))
        self._derived: list[Derive] = []
        if mapping.outcomes is not None:
            self._column_of["reason"] = mapping.outcomes.column
            self._derived.append(_outcome_of(mapping.outcomes, self._place))
        if mapping.labels is not None:
            self._derived.append(_label_of(mapping.labels, self._place))

    def build(self, row: Row) -> list[Canonical] | Rejected:
        """The events of ``row``, checked; or why there are none."""
        if row.problem:
            return Rejected(line=row.line, field="", reason=row.problem, code="BAD_ROW")
        try:
            fields = self._fields(row.cells)
            found = [fields]
            for derive in self._derived:
                more = derive(row.cells, fields)
                if more is not None:
                    found.append({**self._tenant, **more})
            return [decode_event(msgspec.json.encode(event)) for event in found]
        except _RowError as error:
            return self._rejected(row, error.field, error.reason, error.code)
        except InvalidEvent as error:
            return self._rejected(row, error.field.lstrip("/"), error.reason, error.code)
        except UnicodeEncodeError:
            return self._rejected(row, "", "is not valid UTF-8", "INVALID_UTF8")

    def _rejected(self, row: Row, field: str, reason: str, code: str) -> Rejected:
        return Rejected(
            line=row.line, field=field, reason=reason, code=code,
            column=self._column_of.get(field, ""),
        )  # fmt: skip

    def _source(self, rule: FieldRule) -> tuple[int, Cell]:
        """Where the cell stands (-1: nowhere), and the constant that is used instead."""
        if rule.column is not None:
            return self._place[rule.column], None
        return -1, rule.constant

    def _type_step(self) -> tuple[str, int, Cell, Convert]:
        rule = self._mapping.fields.get("type")
        if rule is None:
            rule = FieldRule(constant=self._mapping.kind.removesuffix("s"))
        return ("type", *self._source(rule), text_converter(rule))

    def _fields(self, cells: Sequence[Cell]) -> dict[str, Any]:
        fields: dict[str, Any] = {"type": _value(cells, *self._type), **self._tenant}
        for step in self._steps:
            value = _value(cells, *step)
            if value is not None:
                fields[step[0]] = value
        attributes = {}
        for name, place, constant, convert in self._attributes:
            value = _value(cells, f"attributes/{name}", place, constant, convert)
            if value is not None:
                attributes[name] = value
        if attributes:
            fields["attributes"] = attributes
        if self._amount is not None:
            self._add_amount(cells, fields)
        elif "id" not in fields and "payment_id" in fields:
            # A label or an outcome without an id of its own: its payment names it.
            fields["id"] = fields["payment_id"]
        if self._mapping.kind == "labels" and "known_at" in fields:
            fields.setdefault("occurred_at", fields["known_at"])
        return fields

    def _add_amount(self, cells: Sequence[Cell], fields: dict[str, Any]) -> None:
        assert self._amount is not None
        place, constant, convert = self._amount
        cell = cells[place] if place >= 0 else constant
        currency = fields.get("currency")
        if currency is None:
            raise _RowError("currency", "is missing", "MISSING_FIELD")
        if currency not in CURRENCY_EXPONENT:
            reason = f"{shown(currency)} is not a currency of ISO 4217"
            raise _RowError("currency", reason, "UNKNOWN_CURRENCY")
        try:
            amount = convert(cell, currency)
        except BadValue as error:
            raise _RowError("amount_minor", str(error)) from None
        if amount is None:
            return
        if amount < 0:
            if self._mapping.negative_amounts == "reject":
                reason = "is negative; negative_amounts = 'refund' makes refunds of such rows"
                raise _RowError("amount_minor", reason, "OUT_OF_RANGE")
            fields["type"] = "refund"
            for name in [name for name in fields if name not in _REFUND_FIELDS]:
                if name != "type":
                    del fields[name]
        fields["amount_minor"] = abs(amount)


def _value(cells: Sequence[Cell], name: str, place: int, constant: Cell, convert: Convert) -> Any:
    try:
        return convert(cells[place] if place >= 0 else constant)
    except BadValue as error:
        raise _RowError(name, str(error)) from None


def _converter(name: str, rule: FieldRule) -> Convert:
    if name in MOMENT_FIELDS:
        return moment_converter(rule)
    if name in NUMBER_FIELDS:
        return number_converter(rule, NUMBER_FIELDS[name])
    return text_converter(rule)


def _attribute_converter(rule: FieldRule) -> Convert:
    return text_converter(rule) if rule.type == "text" else number_converter(rule, rule.type)


def _outcome_of(rule: OutcomeRule, places: dict[str, int]) -> Derive:
    read = reader_of(FieldRule(column=rule.column, empty=rule.empty))
    place, after = places[rule.column], timedelta(milliseconds=duration_ms(rule.after) or 0)

    def derive(cells: Sequence[Cell], payment: dict[str, Any]) -> dict[str, Any] | None:
        reason = read(cells[place])
        if reason is None and not rule.authorised:
            return None
        if reason is not None and rule.map is not None:
            if reason not in rule.map and rule.unmapped == "reject":
                raise _RowError("reason", f"{shown(reason)} is not in the map of outcomes")
            reason = rule.map.get(reason, reason)
        if payment["type"] == "refund":
            if reason is not None:
                why = "a refund that was declined moved no money"
                raise _RowError("reason", why, "INCONSISTENT")
            return None
        event = _about(payment, "outcome", after)
        if event is None:
            return None
        event["result"] = "authorised" if reason is None else "declined"
        if reason is not None:
            event["reason"] = reason
        return event

    return derive


def _label_of(rule: LabelRule, places: dict[str, int]) -> Derive:
    read = reader_of(FieldRule(column=rule.column or "always"))
    place = -1 if rule.column is None else places[rule.column]
    fraud, after = frozenset(rule.fraud), timedelta(milliseconds=duration_ms(rule.known_after) or 0)

    def derive(cells: Sequence[Cell], payment: dict[str, Any]) -> dict[str, Any] | None:
        if place >= 0 and read(cells[place]) not in fraud:
            return None
        event = _about(payment, "label", after)
        if event is None:
            return None
        return {**event, "label": rule.label, "known_at": event["occurred_at"]}

    return derive


def _about(payment: dict[str, Any], kind: str, after: timedelta) -> dict[str, Any] | None:
    """The common part of an event about ``payment``; None where that has no id or time yet, so
    that the refusal names the payment's field."""
    moment, payment_id = payment.get("occurred_at"), payment.get("id")
    if not isinstance(moment, datetime) or payment_id is None:
        return None
    event = {
        "type": kind, "id": payment_id, "payment_id": payment_id, "occurred_at": moment + after,
    }  # fmt: skip
    event.update((name, payment[name]) for name in _ENTITY_FIELDS if name in payment)
    return event
