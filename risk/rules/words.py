"""The names that have a meaning in rules, so that nothing else may be called like them."""

from __future__ import annotations

from risk.rules.functions import FUNCTIONS
from risk.rules.schema import Schema
from risk.rules.windows import WINDOW_FUNCTIONS


def reserved_names(schema: Schema) -> frozenset[str]:
    """Fields, score, features and functions."""
    return frozenset((*schema.types(), *FUNCTIONS, *WINDOW_FUNCTIONS))
