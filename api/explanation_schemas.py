"""The schemas of an explanation in the OpenAPI text, made from the class that is answered."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from models.explaining import Explanation

Schema = dict[str, Any]
_PREFIX: Final = "Explanation"


def explanation_schemas(ref: str) -> dict[str, Schema]:
    """Name to schema: the explanation and its parts (names begin with ``Explanation``)."""
    _, found = msgspec.json.schema_components([Explanation], ref_template="#{name}")
    names = {name: name if name == _PREFIX else _PREFIX + name for name in found}
    text = json.dumps(found)
    for name, public in names.items():
        text = text.replace(f'"#{name}"', f'"{ref}{public}"')
    made = {names[name]: schema for name, schema in json.loads(text).items()}
    for schema in made.values():
        schema.pop("title", None)
    return made
