"""Mappings: TOML that says which column becomes which field of an event."""

from __future__ import annotations

import difflib
import hashlib
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from risk.domain.errors import BadConfiguration
from risk.domain.event import (
    SCORED_TYPES,
    Label,
    OutcomeReport,
    Payment,
    Tenant,
)

Kind = Literal["payments", "labels", "outcomes"]
MOMENT_FIELDS: Final = ("occurred_at", "known_at", "account_opened_at")
NUMBER_FIELDS: Final = {"lat": "number", "lon": "number", "kyc_level": "integer"}
_REQUIRED: Final[dict[str, tuple[str, ...]]] = {
    "payments": ("id", "occurred_at", "account", "amount_minor", "currency"),
    "labels": ("payment_id", "label", "known_at"),
    "outcomes": ("payment_id", "result", "occurred_at"),
}
_EVENT_OF: Final[dict[str, type[msgspec.Struct]]] = {
    "payments": Payment,
    "labels": Label,
    "outcomes": OutcomeReport,
}
_NOT_MAPPED = {"schema_version", "tenant", "attributes"}
_DURATION = re.compile(r"^(\d{1,6}) ?(ms|s|m|h|d)$")
_DURATION_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

OneCharacter = Annotated[str, Meta(min_length=1, max_length=1)]


class FieldRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the value of one field comes from; exactly one of ``column`` and ``constant``."""

    column: str | None = None
    constant: str | int | float | bool | None = None
    prefix: str = ""
    strip: str = ""  # characters taken off both ends, besides white space
    empty: tuple[str, ...] = ()  # texts that mean "missing", besides the empty one
    map: dict[str, str] | None = None
    unmapped: Literal["reject", "keep", "missing"] = "reject"
    unit: Literal["major", "minor"] | None = None
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", " ", "'"] = ""
    rounding: Literal["exact", "half_even"] = "exact"
    time_zone: str | None = None
    format: str = "iso"  # iso, epoch_s, epoch_ms, or a strptime format
    type: Literal["text", "integer", "number", "boolean"] = "text"  # attributes only


class FileRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a CSV file is written. Parquet needs none of it."""

    delimiter: OneCharacter = ","
    quote: OneCharacter = '"'
    encoding: Literal["utf-8", "latin-1", "cp1252"] = "utf-8"
    columns: tuple[str, ...] = ()  # the names, where the file has no header


class OutcomeRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A column of decline reasons; a row with one was declined, one without authorised."""

    column: str
    map: dict[str, str] | None = None
    unmapped: Literal["reject", "keep"] = "keep"
    empty: tuple[str, ...] = ()
    authorised: bool = True  # an outcome is also made for rows without a reason
    after: str = "1s"


class LabelRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A column with a fraud flag, or ``always`` for a file of nothing but fraud."""

    known_after: str
    column: str | None = None
    fraud: tuple[str, ...] = ()
    always: bool = False
    label: Literal["chargeback", "fraud_report", "analyst_fraud"] = "fraud_report"


class Mapping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole mapping, checked. ``digest`` is over the meaning, not the layout, of the file."""

    version: Literal[1]
    kind: Kind
    fields: dict[str, FieldRule]
    attributes: dict[str, FieldRule] = {}
    tenant: Tenant = "main"
    file: FileRule = FileRule()
    negative_amounts: Literal["reject", "refund"] = "reject"
    outcomes: OutcomeRule | None = None
    labels: LabelRule | None = None

    def digest(self) -> str:
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()

    def columns(self) -> dict[str, str]:
        """Every column that is read -> the key of the mapping that names it."""
        named: dict[str, str] = {}
        for place, rules in (("fields", self.fields), ("attributes", self.attributes)):
            for name, rule in rules.items():
                if rule.column is not None:
                    named.setdefault(rule.column, f"{place}.{name}.column")
        if self.outcomes is not None:
            named.setdefault(self.outcomes.column, "outcomes.column")
        if self.labels is not None and self.labels.column is not None:
            named.setdefault(self.labels.column, "labels.column")
        return named


def load_mapping(path: Path, kind: Kind | None = None) -> Mapping:
    """The mapping in ``path``; BadConfiguration names the key that is wrong and the fix.

    ``kind`` is what the command imports; a mapping for something else is refused.
    """
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
        _check_rules(path, raw)
        mapping = msgspec.convert(raw, Mapping)
    except OSError as error:
        raise BadConfiguration(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfiguration(f"{path}: is not TOML in UTF-8: {error}") from None
    except msgspec.ValidationError as error:
        raise BadConfiguration(f"{path}: {_readable(str(error))}") from None
    problems = _problems(mapping)
    if kind is not None and mapping.kind != kind:
        problems.insert(0, f"kind: is {mapping.kind!r}; run `weir import {mapping.kind}`")
    if problems:
        raise BadConfiguration("\n".join(f"{path}: {problem}" for problem in problems))
    return mapping


def duration_ms(text: str) -> int | None:
    """Milliseconds of ``14d``, ``36h``, ``5m``, ``1s`` or ``200ms``; None where it is none.

    >>> duration_ms("14d"), duration_ms("200ms"), duration_ms("soon")
    (1209600000, 200, None)
    """
    found = _DURATION.match(text)
    return int(found.group(1)) * _DURATION_MS[found.group(2)] if found else None


def suggestion(wrong: str, known: list[str]) -> str:
    """A hint for a name that is not one of ``known``."""
    close = difflib.get_close_matches(wrong, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"


def _check_rules(path: Path, raw: dict[str, Any]) -> None:
    """Each rule by itself, as msgspec does not say in which one of many a mistake is."""
    for table in ("fields", "attributes"):
        rules = raw.get(table)
        for name, rule in rules.items() if isinstance(rules, dict) else ():
            try:
                msgspec.convert(rule, FieldRule)
            except msgspec.ValidationError as error:
                message = _readable(str(error), f"{table}.{name}")
                raise BadConfiguration(f"{path}: {message}") from None


def _readable(message: str, inside: str = "") -> str:
    """msgspec's message with the TOML key first; ``inside`` is the key of the part it is about."""
    found = re.search(r" - at `(?:key in )?\$\.?([^`]*)`$", message)
    keys = [inside, found.group(1) if found else ""]
    text = message[: found.start()] if found else message
    return f"{'.'.join(key for key in keys if key) or 'the file'}: {text}"


def _problems(mapping: Mapping) -> list[str]:
    known = [name for name in _EVENT_OF[mapping.kind].__struct_fields__ if name not in _NOT_MAPPED]
    if mapping.kind == "payments":
        known.append("type")
    problems = [
        f"fields.{name}: {mapping.kind} have no such field; {suggestion(name, known)}"
        for name in mapping.fields
        if name not in known
    ]
    problems += [
        f"fields.{name}: is missing; give it a column or a constant"
        for name in _REQUIRED[mapping.kind]
        if name not in mapping.fields
    ]
    for name, rule in mapping.fields.items():
        problems += _field_problems(f"fields.{name}", name, rule)
    for name, rule in mapping.attributes.items():
        problems += _field_problems(f"attributes.{name}", name, rule, attribute=True)
    if mapping.kind != "payments":
        problems += [
            f"{key}: only a mapping of kind 'payments' has it; remove it"
            for key in ("outcomes", "labels", "attributes")
            if getattr(mapping, key)
        ]
    return problems + _rule_problems(mapping)


def _field_problems(key: str, name: str, rule: FieldRule, *, attribute: bool = False) -> list[str]:
    problems = []
    if (rule.column is None) == (rule.constant is None):
        problems.append(f"{key}: give exactly one of column and constant")
    if name == "amount_minor" and rule.unit is None and rule.column is not None:
        problems.append(
            f"{key}.unit: say 'major' (12.34 is twelve euro and 34 cents) or 'minor' (1234)"
        )
    if name != "amount_minor" and (rule.unit is not None or rule.rounding != "exact"):
        problems.append(f"{key}: unit and rounding are for amount_minor only")
    if rule.decimal == rule.thousands:
        problems.append(f"{key}.thousands: must differ from decimal")
    moment = name in MOMENT_FIELDS and not attribute
    if not moment and (rule.time_zone is not None or rule.format != "iso"):
        problems.append(f"{key}: time_zone and format are for times only")
    if moment and rule.time_zone is not None and not _zone_exists(rule.time_zone):
        problems.append(
            f"{key}.time_zone: {rule.time_zone!r} is not in the IANA list; "
            "write Europe/Vienna, America/New_York or UTC"
        )
    if rule.type != "text" and not attribute:
        problems.append(f"{key}.type: is for attributes only")
    if name == "type" and not attribute:
        values = [rule.constant] if rule.constant is not None else list((rule.map or {}).values())
        if not values or any(value not in SCORED_TYPES for value in values):
            problems.append(f"{key}: a constant or a map to one of {', '.join(SCORED_TYPES)}")
    return problems


def _rule_problems(mapping: Mapping) -> list[str]:
    problems = []
    if mapping.outcomes is not None and duration_ms(mapping.outcomes.after) is None:
        problems.append("outcomes.after: write a time such as 200ms, 1s or 5m")
    labels = mapping.labels
    if labels is not None:
        if duration_ms(labels.known_after) is None:
            problems.append("labels.known_after: write a time such as 36h or 14d")
        if labels.always == (labels.column is not None):
            problems.append("labels: give a column with its fraud values, or always = true")
        if labels.column is not None and not labels.fraud:
            problems.append("labels.fraud: list the texts of the column that mean fraud")
    return problems


def _zone_exists(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
