"""The JSON Schemas of events, decisions and ledger records, made from the one definition."""

from __future__ import annotations

import inspect
import json
from copy import deepcopy
from typing import Any, Final

import msgspec

from risk.domain.codes import COUNTRIES, CURRENCIES
from risk.domain.decision import DECISION_VERSION, Decision, LedgerRecord
from risk.domain.event import SCHEMA_VERSION, AnyEvent, RememberedEvent, ScoredEvent
from risk.domain.limits import IDENTIFIER_CHARS_MAX

Schema = dict[str, Any]
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
# What looks_like_card_number refuses, as far as ASCII goes.
CARD_NUMBER: Final = "^[ -]*(?:[0-9][ -]*){13,19}$"
_SHARED: Final[dict[str, Schema]] = {
    "Identifier": {
        "title": "Identifier",
        "description": "Opaque text; all-digit text of 13 to 19 digits is refused, because it "
        "could be a card number. Put a prefix before raw numbers.",
        "type": "string",
        "minLength": 1,
        "maxLength": IDENTIFIER_CHARS_MAX,
        "pattern": "^[^\u0000-\u001f\u007f]+$",
        "not": {"pattern": CARD_NUMBER},
    },
    "Currency": {"title": "Currency", "description": "ISO 4217.", "enum": list(CURRENCIES)},
    "Country": {
        "title": "Country", "description": "ISO 3166-1 alpha-2.", "enum": list(COUNTRIES),
    },
}  # fmt: skip
_CODE_FIELDS: Final = {
    "currency": "Currency", "country": "Country", "card_country": "Country",
    "ip_country": "Country",
}  # fmt: skip
_IDENTIFIER_MARK: Final = "all-digit text of 13 to 19 digits is refused"
_POSITION_FIELDS: Final = ("kind", "identifier", "incarnation", "base", "sequence", "tail_from")


def components(ref_prefix: str) -> tuple[dict[str, Schema], dict[str, Schema]]:
    """(roots, definitions): roots are Event, ScoredEvent, RememberedEvent, Decision, LedgerRecord.

    References are ``ref_prefix`` plus a definition's name.
    """
    named = {
        "Event": AnyEvent,
        "ScoredEvent": ScoredEvent,
        "RememberedEvent": RememberedEvent,
        "Decision": Decision,
        "LedgerRecord": LedgerRecord,
    }
    schemas, definitions = msgspec.json.schema_components(
        list(named.values()), ref_template=f"{ref_prefix}{{name}}"
    )
    found = {name: _tidy(name, schema, ref_prefix) for name, schema in definitions.items()}
    for name, schema in found.items():
        if name in ("Decision", "Evidence", "LedgerRecord"):
            _say_what_raw_bytes_are(schema)
    roots = {name: _plain(schema, ref_prefix) for name, schema in zip(named, schemas, strict=True)}
    return roots, {**found, **deepcopy(_SHARED)}


def event_schema() -> Schema:
    """Every event, of schema version 1."""
    return _document(
        "Event", f"event:{SCHEMA_VERSION}", "Events",
        "What Weir reads, from Kafka and over HTTP. `type` tells the kinds apart; unknown fields "
        "are refused. Scored types (payment, transfer, withdrawal, top_up) get a decision, the "
        "others are remembered.",
    )  # fmt: skip


def decision_schema() -> Schema:
    """Decisions, of version 1."""
    return _document(
        "Decision", f"decision:{DECISION_VERSION}", "Decision",
        "What Weir publishes for each payment. Over HTTP `evidence` is left out unless asked for.",
    )  # fmt: skip


def ledger_schema() -> Schema:
    """Ledger records, of version 1."""
    return _document(
        "LedgerRecord", f"ledger:{DECISION_VERSION}", "Ledger record",
        "What Weir publishes of remembered events and of claims that were never decided, with "
        "their places in the logs.",
    )  # fmt: skip


def render(document: Schema) -> str:
    """The checked-in text of a contract."""
    return json.dumps(document, indent=2, ensure_ascii=True) + "\n"


def _document(root: str, identity: str, title: str, description: str) -> Schema:
    roots, definitions = components("#/$defs/")
    schema = roots[root]
    schema.pop("discriminator", None)  # a word of OpenAPI, not of JSON Schema
    needed = _reached(schema, definitions)
    return {
        "$schema": DIALECT,
        "$id": f"urn:weir:schema:{identity}",
        "title": title,
        "description": description,
        **schema,
        "$defs": {name: definitions[name] for name in sorted(needed)},
    }


def _reached(schema: Schema, definitions: dict[str, Schema]) -> set[str]:
    """The definitions that ``schema`` refers to, also through others."""
    reached: set[str] = set()
    waiting = [schema]
    while waiting:
        for name in _references(waiting.pop()) - reached:
            reached.add(name)
            waiting.append(definitions[name])
    return reached


def _references(node: object) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"].rpartition("/")[2]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(_references(child) for child in node.values()))
    if isinstance(node, list):
        return set().union(*(_references(child) for child in node))
    return set()


def _tidy(name: str, schema: Schema, ref_prefix: str) -> Schema:
    """A definition of msgspec with what it cannot say: codes, constants, card numbers."""
    tidied: Schema = _plain(schema, ref_prefix)
    properties = tidied.get("properties", {})
    for field, of in _CODE_FIELDS.items():
        if field in properties:
            properties[field] = _coded(properties[field], {"$ref": f"{ref_prefix}{of}"})
    if name == "LogPosition":
        tidied["maxItems"] = len(_POSITION_FIELDS)
        for place, field in zip(tidied["prefixItems"], _POSITION_FIELDS, strict=True):
            place["title"] = field
    return tidied


def _coded(field: Schema, code: Schema) -> Schema:
    if "anyOf" not in field:
        return code
    return {**field, "anyOf": [code, {"type": "null"}]}


def _plain(node: Any, ref_prefix: str) -> Any:
    """``node`` with one-line descriptions, ``const`` for single values, shared identifiers."""
    if isinstance(node, list):
        return [_plain(child, ref_prefix) for child in node]
    if not isinstance(node, dict):
        return node
    if _IDENTIFIER_MARK in str(node.get("description")) and node.get("type") == "string":
        return {"$ref": f"{ref_prefix}Identifier"}
    plain = {key: _plain(child, ref_prefix) for key, child in node.items()}
    if isinstance(plain.get("description"), str):
        text = inspect.cleandoc(plain["description"]).replace("``", "`")
        plain["description"] = " ".join(text.split())
    values = plain.get("enum")
    if isinstance(values, list) and len(values) == 1:
        plain["const"] = plain.pop("enum")[0]
    return plain


def _say_what_raw_bytes_are(schema: Schema) -> None:
    if schema["properties"].get("event") == {}:
        schema["properties"]["event"] = {
            "type": "object",
            "description": "The canonical event; see the schema of events.",
        }
