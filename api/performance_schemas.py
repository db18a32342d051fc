"""The schemas of rule performance in the OpenAPI text, made from the class that is answered."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from risk.books.performance_desk import State
from risk.books.performance_report import Report

Schema = dict[str, Any]
_PREFIX: Final = "RulePerformance"


class PerformanceAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands, and the newest report that there is; ``error`` says what failed."""

    state: State
    computed_at_ms: int
    refreshing: bool
    error: str
    report: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def performance_schemas(ref: str) -> dict[str, Schema]:
    """Name to schema; ``ref`` begins each reference."""
    _, found = msgspec.json.schema_components((Report,), ref_template="#{name}")
    names = {name: _PREFIX + name for name in found}
    text = json.dumps(found)
    for name, public in names.items():
        text = text.replace(f'"#{name}"', f'"{ref}{public}"')
    made: dict[str, Schema] = {names[name]: schema for name, schema in json.loads(text).items()}
    for schema in made.values():
        schema.pop("title", None)
    answer: Schema = {
        "type": "object",
        "description": "`report` is the newest one that was made; a failure may stand beside it.",
        "properties": {
            "state": {"enum": ["computing", "ready", "failed"]},
            "computed_at_ms": {"type": "integer"},
            "refreshing": {"type": "boolean"},
            "error": {"type": "string"},
            "report": {"$ref": f"{ref}{_PREFIX}Report"},
        },
        "required": ["state", "computed_at_ms", "refreshing", "error"],
    }
    return {**made, "RulePerformance": answer}
