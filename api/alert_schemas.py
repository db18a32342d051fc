"""The schemas of alerts in the OpenAPI text, made from the class that is published."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from risk.alerts.alert import Alert

Schema = dict[str, Any]
_PREFIX: Final = "Alert"


def alert_schemas(ref: str) -> dict[str, Schema]:
    """Name to schema: a page of alerts, the alert, and its parts (names begin with ``Alert``)."""
    _, found = msgspec.json.schema_components([Alert], ref_template="#{name}")
    names = {name: name if name == "Alert" else _PREFIX + name for name in found}
    text = json.dumps(found)
    for name, public in names.items():
        text = text.replace(f'"#{name}"', f'"{ref}{public}"')
    made = {names[name]: schema for name, schema in json.loads(text).items()}
    for schema in made.values():
        schema.pop("title", None)
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
