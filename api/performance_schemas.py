"""The schemas of rule performance in the OpenAPI text, made from the class that is answered."""

from __future__ import annotations

from typing import Final

import msgspec

from api.schema_parts import prefixed, schemas_of, untitled
from risk.books.performance_desk import State
from risk.books.performance_report import Report
from risk.contracts import Schema

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
    made = untitled(schemas_of([Report], ref, prefixed(_PREFIX)))
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
