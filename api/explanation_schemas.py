"""The schemas of an explanation in the OpenAPI text, made from the class that is answered."""

from __future__ import annotations

from typing import Final

from api.schema_parts import prefixed, schemas_of, untitled
from models.explaining import Explanation
from risk.contracts import Schema

_PREFIX: Final = "Explanation"


def explanation_schemas(ref: str) -> dict[str, Schema]:
    """Name to schema: the explanation and its parts (names begin with ``Explanation``)."""
    return untitled(schemas_of([Explanation], ref, prefixed(_PREFIX)))
