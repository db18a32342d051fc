"""Schemas of the OpenAPI text made from the classes that are answered, under public names."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

import msgspec

from risk.contracts import Schema


def schemas_of(
    kinds: Iterable[type], ref: str, public: Callable[[str], str] = str
) -> dict[str, Schema]:
    """Public name to schema of ``kinds`` and of all that they hold.

    ``public`` gives the name of a class its name in the text; ``ref`` begins each reference,
    also those of discriminators.
    """
    _, found = msgspec.json.schema_components(kinds, ref_template="#{name}")
    text = json.dumps(found)
    for name in found:
        text = text.replace(f'"#{name}"', f'"{ref}{public(name)}"')
    return {public(name): schema for name, schema in json.loads(text).items()}


def untitled(schemas: dict[str, Schema]) -> dict[str, Schema]:
    """``schemas`` without the names of classes as titles."""
    for schema in schemas.values():
        schema.pop("title", None)
    return schemas


def prefixed(prefix: str) -> Callable[[str], str]:
    """Names that begin with ``prefix``; it stands before those that do not."""
    return lambda name: name if name.startswith(prefix) else prefix + name
