"""A checked rule over columns of payments: the answers of its compiled function, by numpy.

It mirrors ``risk.rules.compiler`` condition by condition; the differential test proves that both
answer alike. What numpy might round otherwise goes through the very same Python functions.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from risk.backtest.columns import Columns, Flags, Floats, Text
from risk.backtest.vector_functions import NUMERIC_FUNCTIONS
from risk.domain.findings import Members, Texts
from risk.rules.compiler import Tables, compile_rule, names_of, window_name
from risk.rules.functions import FUNCTIONS, divide, modulo
from risk.rules.syntax import (
    Arithmetic,
    Call,
    Comparison,
    Constant,
    Every,
    Items,
    Membership,
    Name,
    Negation,
    Node,
    Not,
    Some,
    Type,
    Window,
)

LISTED_AT: Final = "occurred_at"  # entries expire by the time of the payment
Value = Floats | Text | float | str | bool
_TESTS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_OPPOSITE: Final = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
_SIGNS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul,
}  # fmt: skip


class Answers(NamedTuple):
    """Of each payment: the rule holds; it does not. Neither means unknown. Each (n,).

    ``failed`` rows could not be answered at all, which the live function reports as a failure.
    """

    holds: Flags
    fails: Flags
    failed: Flags


class VectorRule:
    """One rule. Not for several threads: it remembers what it found out about words."""

    def __init__(self, tree: Node, types: Mapping[str, Type], tables: Tables) -> None:
        """Raises what ``compile_rule`` raises for a rule that was not checked."""
        self.names: Final = sorted(names_of(tree))
        self._tree = tree
        self._tables = tables
        self._types = types
        slots = {name: place for place, name in enumerate(self.names)}
        self._predicate = compile_rule(tree, types, slots, tables)
        self._known: dict[tuple[int, int], tuple[tuple[str, ...], Any]] = {}

    def answers(self, columns: Columns) -> Answers:
        """The answer for every row of ``columns``, as the live function gives it."""
        reading = _Reading(self._tables, columns, self._known)
        nothing = np.zeros(len(columns), np.bool_)
        try:
            with np.errstate(all="ignore"):
                holds = reading.whole(reading.holds(self._tree))
                fails = reading.whole(reading.fails(self._tree))
        except (ArithmeticError, ValueError, OSError):
            return self._row_by_row(columns)  # one row is odd; the live function says which
        return Answers(holds, fails & ~holds, nothing)

    def _row_by_row(self, columns: Columns) -> Answers:
        from risk.rules.evaluator import RULE_FAILURES

        held = [self._listed(columns, name) for name in self.names]
        found = np.zeros((3, len(columns)), np.bool_)
        rows = zip(*held, strict=True) if held else [()] * len(columns)
        for place, row in enumerate(rows):
            try:
                answer = self._predicate(row)
            except RULE_FAILURES:
                found[2, place] = True
                continue
            if answer is not None:
                found[0 if answer else 1, place] = True
        return Answers(found[0], found[1], found[2])

    def _listed(self, columns: Columns, name: str) -> list[float | str | None]:
        if self._types.get(name) is Type.TEXT:
            text = columns.text(name)
            return [None if code < 0 else text.words[code] for code in text.codes.tolist()]
        return list(columns.number(name).tolist())


class _Reading:
    """Conditions of one rule over one stretch of columns: masks, or one bool for all rows."""

    def __init__(
        self,
        tables: Tables,
        columns: Columns,
        known: dict[tuple[int, int], tuple[tuple[str, ...], Any]],
    ) -> None:
        self._tables = tables
        self._columns = columns
        self._known = known

    def whole(self, mask: Flags | bool) -> Flags:
        """``mask`` with a value for each row."""
        if isinstance(mask, np.ndarray):
            return mask
        return np.full(len(self._columns), mask, np.bool_)

    def holds(self, node: Node) -> Flags | bool:
        """Where ``node`` is true."""
        match node:
            case Every():
                return _all([self.holds(part) for part in node.parts])
            case Some():
                return _any([self.holds(part) for part in node.parts])
            case Not():
                return self.fails(node.operand)
            case Call(function="all_of"):
                return _all([self.holds(part) for part in node.arguments])
            case Call(function="any_of"):
                return _any([self.holds(part) for part in node.arguments])
        return self._atom(node, True)

    def fails(self, node: Node) -> Flags | bool:
        """Where ``node`` is false."""
        match node:
            case Every():
                return _any([self.fails(part) for part in node.parts])
            case Some():
                return _all([self.fails(part) for part in node.parts])
            case Not():
                return self.holds(node.operand)
            case Call(function="all_of"):
                return _any([self.fails(part) for part in node.arguments])
            case Call(function="any_of"):
                return _all([self.fails(part) for part in node.arguments])
        return self._atom(node, False)

    def _atom(self, node: Node, wanted: bool) -> Flags | bool:
        match node:
            case Constant():
                return node.value is wanted
            case Name():
                return np.asarray(self._columns.number(node.name) == float(wanted))
            case Comparison():
                sign = node.operator if wanted else _OPPOSITE[node.operator]
                return self._comparison(sign, node.left, node.right)
            case Membership():
                return self._membership(node, inside=wanted is not node.negated)
            case Call(function="is_missing"):
                return self._missing(node.arguments[0], wanted)
            case Call(function="between"):
                value, low, high = node.arguments
                if wanted:
                    return _all(
                        [self._comparison(">=", value, low), self._comparison("<=", value, high)]
                    )
                return _any([self._comparison("<", value, low), self._comparison(">", value, high)])
            case Call():
                return self._told(node, wanted)
        raise TypeError(f"{type(node).__name__} is no condition")

    def _told(self, node: Call, wanted: bool) -> Flags | bool:
        """Conditions that are a function of one text: asked once for each word."""
        ask = self._prepared(node)
        item = self._value(node.arguments[0])
        if isinstance(item, str):
            return bool(ask(item) is wanted)
        assert isinstance(item, Text)
        table = self._by_word(
            node, item, lambda word: {True: 1, False: 0, None: -1}[ask(word)], missing=-1
        )
        return np.asarray(table[item.codes] == int(wanted))

    def _by_word(self, node: Node, item: Text, ask: Callable[[str], int], *, missing: int) -> Any:
        """What ``ask`` says of each word; ``missing`` is last, where the code of no word points."""
        key = (id(node), id(item.words))
        if key not in self._known:
            table = np.array([*map(ask, item.words), missing], np.int32)
            self._known[key] = (item.words, table)
        return self._known[key][1]

    def _comparison(self, sign: str, left: Node, right: Node) -> Flags | bool:
        a: Any = self._value(left)
        b: Any = self._value(right)
        if isinstance(a, Text | str):
            return self._same_text(right, a, b) if sign == "==" else self._other_text(right, a, b)
        if sign == "!=":  # NaN differs from everything, but "differs" is not known
            return _any([_mask(operator.lt(a, b)), _mask(operator.gt(a, b))])
        return _mask(_TESTS[sign](a, b))

    def _same_text(self, node: Node, a: Text | str, b: Text | str) -> Flags | bool:
        if isinstance(a, str) and isinstance(b, str):
            return a == b
        if isinstance(a, str):
            a, b = b, a
        assert isinstance(a, Text)
        if isinstance(b, str):
            literal = b
            one = self._by_word(node, a, lambda word: int(word == literal), missing=0)
            return np.asarray(one[a.codes] == 1)
        # The words of ``b`` may be made anew for each stretch, so nothing is remembered of them.
        places = {word: place for place, word in enumerate(b.words)}
        table = np.array([*(places.get(word, -2) for word in a.words), -2], np.int32)
        return np.asarray(table[a.codes] == b.codes)

    def _other_text(self, node: Node, a: Text | str, b: Text | str) -> Flags | bool:
        present = [one.codes >= 0 for one in (a, b) if isinstance(one, Text)]
        return _all([_not(self._same_text(node, a, b)), *present])

    def _membership(self, node: Membership, *, inside: bool) -> Flags | bool:
        item = self._value(node.item)
        if isinstance(node.among, Name):
            return self._listed(node, item, self._tables.lists.values[node.among.name], inside)
        if isinstance(item, Text):
            values = _values(node.among)
            table = self._by_word(node, item, lambda word: int(word in values), missing=0)
            within: Flags | bool = np.asarray(table[item.codes] == 1)
            return within if inside else _all([_not(within), item.codes >= 0])
        if isinstance(item, str):
            return (item in _values(node.among)) is inside
        within = _any([_mask(item == one.value) for one in node.among.items])
        return within if inside else _all([_not(within), _not(_unknown(item))])

    def _listed(
        self, node: Membership, item: Value, members: Members, inside: bool
    ) -> Flags | bool:
        if isinstance(item, str):
            item = Text(np.zeros(len(self._columns), np.int32), (item,))
        assert isinstance(item, Text)
        present = item.codes >= 0
        if isinstance(members, Texts):
            table = self._by_word(node, item, lambda word: int(word in members.values), missing=0)
            within = np.asarray(table[item.codes] == 1)
        else:
            at_ms = self._columns.number(LISTED_AT)
            within = standing(members, item, at_ms)
        return within if inside else present & ~within

    def _missing(self, node: Node, wanted: bool) -> Flags | bool:
        if isinstance(node, Constant):
            return not wanted
        value = self._value(node)
        if isinstance(value, Text):
            return np.asarray((value.codes < 0) == wanted)
        if isinstance(value, str):
            return not wanted
        return _unknown(value) if wanted else _not(_unknown(value))

    def _value(self, node: Node) -> Value:
        match node:
            case Constant():
                return node.value
            case Name():
                return self._named(node.name)
            case Window():
                return self._columns.number(window_name(node))
            case Negation():
                return -self._number(node.operand)
            case Arithmetic():
                return self._arithmetic(node)
            case Call():
                return self._call(node)
        raise TypeError(f"{type(node).__name__} has no value")

    def _named(self, name: str) -> Value:
        try:
            return self._columns.number(name)
        except KeyError:
            return self._columns.text(name)

    def _number(self, node: Node) -> Floats | float:
        value = self._value(node)
        assert isinstance(value, np.ndarray | float)
        return value

    def _arithmetic(self, node: Arithmetic) -> Floats | float:
        left, right = self._number(node.left), self._number(node.right)
        if node.operator in _SIGNS:
            made: Floats | float = _SIGNS[node.operator](left, right)
            return made
        if isinstance(left, float) and isinstance(right, float):
            return divide(left, right) if node.operator == "/" else modulo(left, right)
        made = np.divide(left, right) if node.operator == "/" else np.mod(left, right)
        return np.where(np.equal(right, 0.0), math.nan, made)

    def _call(self, node: Call) -> Value:
        function = FUNCTIONS[node.function]
        first = len(function.parameters) - function.literals
        if function.prepare is not None and function.call is None:
            prepared = self._prepared(node)()
            assert isinstance(prepared, float | int)
            return float(prepared)
        arguments = node.arguments if function.prepare is None else node.arguments[:first]
        context = [self._columns.number(name) for name in function.context]
        values: list[Value] = [*context, *map(self._value, arguments)]
        if any(isinstance(one, Text | str) for one in values) and node.function != "coalesce":
            return self._of_text(node, values)
        return self._applied(node, values)

    def _of_text(self, node: Call, values: list[Value]) -> Value:
        if node.function == "lower":
            (item,) = values
            if isinstance(item, str):
                return item.lower()
            assert isinstance(item, Text)
            words = self._lowered(node, item)
            return Text(words[0][item.codes], words[1])
        return self._applied(node, values)

    def _applied(self, node: Call, values: list[Value]) -> Value:
        live, rows = self._prepared(node), len(self._columns)
        made: Value = NUMERIC_FUNCTIONS[node.function](live, values, rows)
        return made

    def _lowered(self, node: Node, item: Text) -> tuple[Any, tuple[str, ...]]:
        key = (id(node), id(item.words))
        if key not in self._known:
            lowered = Text.of([word.lower() for word in item.words] + [None])
            self._known[key] = (item.words, (lowered.codes, lowered.words))
        found: tuple[Any, tuple[str, ...]] = self._known[key][1]
        return found

    def _prepared(self, node: Call) -> Callable[..., Any]:
        """The live function with its literals prepared, as the compiler does it."""
        function = FUNCTIONS[node.function]
        if function.prepare is None:
            assert function.call is not None
            return function.call
        first = len(function.parameters) - function.literals
        literals = [one.value for one in node.arguments[first:] if isinstance(one, Constant)]
        rates = [self._tables.rates] if function.needs_rates else []
        prepared = function.prepare(*rates, *literals)
        call = function.call
        if call is None:
            return lambda: prepared
        return lambda *values: call(*values, prepared)


def standing(members: Members, item: Text, at_ms: Floats) -> Flags:
    """Which texts stand on a list when their payment is made, shape (n,)."""
    found = np.zeros(len(item.codes), np.bool_)
    rows = np.flatnonzero(item.codes >= 0)
    words, holds = item.words, members.holds
    codes, times = item.codes[rows].tolist(), at_ms[rows].tolist()
    found[rows] = [holds(words[code], at) for code, at in zip(codes, times, strict=True)]
    return found


def _values(among: Items) -> frozenset[object]:
    return frozenset(item.value for item in among.items)


def _mask(found: Any) -> Flags | bool:
    """A comparison of two literals is a bool of Python or of numpy."""
    return found if isinstance(found, np.ndarray) else bool(found)


def _unknown(value: Any) -> Flags | bool:
    return _mask(np.isnan(value))


def _not(mask: Flags | bool) -> Flags | bool:
    return ~mask if isinstance(mask, np.ndarray) else not mask


def _all(masks: list[Flags | bool]) -> Flags | bool:
    found = masks[0]
    for mask in masks[1:]:
        found = _mask(found & mask)
    return found


def _any(masks: list[Flags | bool]) -> Flags | bool:
    found = masks[0]
    for mask in masks[1:]:
        found = _mask(found | mask)
    return found
