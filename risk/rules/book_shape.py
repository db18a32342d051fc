"""Content to a book; where it has another shape: the place, the key, what would be right."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
import yaml
from msgspec import inspect

from risk.domain.errors import BadBook
from risk.rules.alerting import RateRule
from risk.rules.book import Book, Rule
from risk.rules.checker import nearest

_STEP: Final = re.compile(r"\.(\w+)|\[(\d+)\]")
_KEY: Final = re.compile(r"Object (contains unknown|missing required) field `(.*)`")
_VALUE: Final = re.compile(r"Invalid enum value (.*)")
_PARTS: Final = (("rules", "rule", Rule), ("rate_rules", "rate rule", RateRule))

Step = str | int


def book_of(content: Any, root: yaml.Node | None = None) -> Book:
    """``content`` as a book; raises BadBook with the first problem of each rule.

    ``root`` is the YAML that it was read from, for lines and columns.
    """
    try:
        return msgspec.convert(content, Book)
    except msgspec.ValidationError as error:
        if content is None:
            raise BadBook(["the book is empty; it has a name and rules"]) from None
        found = [_line(*one, root) for one in _problems(content)]
        raise BadBook(found or [_line("", [], str(error), Book, root)]) from None


def _problems(content: Any) -> Iterator[tuple[str, list[Step], str, type]]:
    """Who, where in the content, what and in which type: one for each rule that is none."""
    for part, kind, wanted in _PARTS:
        rules = content.get(part) if isinstance(content, dict) else None
        for place, one in enumerate(rules if isinstance(rules, list) else ()):
            try:
                msgspec.convert(one, wanted)
            except msgspec.ValidationError as error:
                name = one.get("id") if isinstance(one, dict) else None
                yield f"{kind} {name or place + 1}: ", [part, place], str(error), wanted


def _line(who: str, begin: Sequence[Step], error: str, wanted: type, root: yaml.Node | None) -> str:
    message, _, path = error.partition(" - at `$")
    steps: list[Step] = [name or int(number) for name, number in _STEP.findall(path)]
    names = (f".{one}" if isinstance(one, str) else f", number {one + 1}" for one in steps)
    where = "".join(names).lstrip(".") + ": " if steps else ""
    return f"{_place(root, [*begin, *steps])}{who}{where}{_plain(message, wanted, steps)}"


def _place(node: yaml.Node | None, steps: Sequence[Step]) -> str:
    """Line and column of the deepest part that ``steps`` lead to, "" without YAML."""
    for step in steps:
        inner = _inside(node, step)
        if inner is None:
            break
        node = inner
    if node is None:
        return ""
    return f"line {node.start_mark.line + 1}, column {node.start_mark.column + 1}: "


def _inside(node: yaml.Node | None, step: Step) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
        return node.value[step]  # type: ignore[no-any-return]
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == step), None)
    return None


def _plain(message: str, wanted: type, steps: Sequence[Step]) -> str:
    """What msgspec says, with the keys or values that would be right."""
    kinds = [inspect.type_info(wanted)]
    for step in steps:
        kinds = [inner for kind in kinds for inner in _types(kind, step)]
    if key := _KEY.fullmatch(message):
        if key[1] == "missing required":
            return f"the key {key[2]} is missing"
        known = [one.name for kind in kinds for one in getattr(kind, "fields", ())]
        return f"there is no key {key[2]}{_hint(key[2], known)}"
    if value := _VALUE.fullmatch(message):
        known = [str(one) for kind in kinds for one in getattr(kind, "values", ())]
        return f"{value[1]} is none of {', '.join(known)}{_hint(value[1].strip(chr(39)), known)}"
    return message


def _hint(word: str, known: Sequence[str]) -> str:
    near = nearest(word, known)
    return f"; did you mean {near}?" if near else ""


def _types(kind: inspect.Type, step: Step) -> list[inspect.Type]:
    """The types that a value of ``kind`` may have behind ``step``."""
    found: list[inspect.Type] = []
    if isinstance(kind, inspect.StructType):
        found = [one.type for one in kind.fields if one.name == step]
    if isinstance(kind, inspect.VarTupleType):
        found = [kind.item_type]
    return [one for inner in found for one in getattr(inner, "types", (inner,))]
