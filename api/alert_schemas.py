"""The schemas of alerts in the OpenAPI text, made from the class that is published."""

from __future__ import annotations

from typing import Final

from api.schema_parts import prefixed, schemas_of, untitled
from risk.alerts.alert import Alert
from risk.contracts import Schema

_PREFIX: Final = "Alert"


def alert_schemas(ref: str) -> dict[str, Schema]:
    """Name to schema: a page of alerts, the alert, and its parts (names begin with ``Alert``)."""
    made = untitled(schemas_of([Alert], ref, prefixed(_PREFIX)))
    page: Schema = {
        "type": "object",
        "description": "Alerts, newest first. `complete` is false where older ones stand on the "
        "topic only.",
        "properties": {
            "alerts": {"type": "array", "items": {"$ref": f"{ref}Alert"}},
            "next": {"type": ["string", "null"], "description": "The cursor of the next page."},
            "complete": {"type": "boolean"},
        },
        "required": ["alerts", "next", "complete"],
    }
    return {**made, "Alerts": page}
