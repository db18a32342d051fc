"""Which condition of a rule held for one payment, and with what values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from risk.rules.compiler import Row, Tables, compile_rule, names_of
from risk.rules.formatter import written
from risk.rules.schema import Schema
from risk.rules.sentences import sentence
from risk.rules.syntax import Call, Every, Node, Not, Some

ANSWERS: Final = {True: "held", False: "failed", None: "unknown"}


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One condition. ``answer`` is held, failed or unknown; ``values`` are null where missing.

    ``parts`` are the conditions that it is made of, in their order.
    """

    text: str
    sentence: str
    answer: str
    values: dict[str, float | str | None]
    parts: list[Condition]


def trace(
    tree: Node, schema: Schema, tables: Tables, slots: Mapping[str, int], row: Row
) -> Condition:
    """``tree`` on ``row``, part by part, as the compiled rule sees it.

    ``slots`` says where in the row each name stands that ``tree`` reads.
    """
    answer = compile_rule(tree, schema.types(), slots, tables)(row)
    parts = [trace(part, schema, tables, slots, row) for part in _parts(tree)]
    values = {} if parts else {name: _plain(row[slots[name]]) for name in sorted(names_of(tree))}
    return Condition(
        text=written(tree),
        sentence=sentence(tree),
        answer=ANSWERS[answer],
        values=values,
        parts=parts,
    )


def lines(condition: Condition, depth: int = 0) -> list[str]:
    """A condition and its parts as indented text."""
    marks = {"held": "+", "failed": "-", "unknown": "?"}
    told = ", ".join(
        f"{name} = {'missing' if value is None else value}"
        for name, value in condition.values.items()
    )
    text = " ".join(condition.text.split())
    head = f"{'  ' * depth}{marks[condition.answer]} {text}: {condition.answer}"
    own = [f"{head} ({told})" if told else head]
    return [*own, *(line for part in condition.parts for line in lines(part, depth + 1))]


def _parts(node: Node) -> tuple[Node, ...]:
    match node:
        case Every() | Some():
            return node.parts
        case Not():
            return (node.operand,)
        case Call(function="any_of" | "all_of"):
            return node.arguments
    return ()


def _plain(value: float | str | None) -> float | str | None:
    return None if isinstance(value, float) and math.isnan(value) else value
