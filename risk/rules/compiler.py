"""A checked tree to one Python function, with unknown kept apart from false.

Kleene logic by two conditions per rule, one that it surely holds and one that it surely does
not: neither means unknown. Missing numbers are NaN, which every comparison answers with no, so
most conditions cost one machine comparison. ``compile`` only ever sees the tree built here.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from risk.domain.findings import NO_LISTS, ListSnapshot, Members
from risk.domain.money import ExchangeRates
from risk.rules.functions import FUNCTIONS, divide, modulo
from risk.rules.syntax import (
    Arithmetic,
    Call,
    Comparison,
    Constant,
    Every,
    Membership,
    Name,
    Negation,
    Node,
    Not,
    Some,
    Type,
    Window,
)
from risk.rules.windows import key_of

Row = Sequence[float | str | None]
Predicate = Callable[[Row], bool | None]

_ROW: Final = "row"
_LISTED_AT: Final = "occurred_at"  # entries expire in the payment's own time
_HELPERS: Final[dict[str, Callable[..., object]]] = {
    **{name: one.call for name, one in FUNCTIONS.items() if one.call is not None},
    "divide": divide,
    "modulo": modulo,
}
_BINARY: Final[dict[str, type[ast.operator]]] = {
    "+": ast.Add, "-": ast.Sub, "*": ast.Mult, "/": ast.Div,
}  # fmt: skip
_COMPARE: Final[dict[str, type[ast.cmpop]]] = {
    "<": ast.Lt, "<=": ast.LtE, ">": ast.Gt, ">=": ast.GtE, "==": ast.Eq, "!=": ast.NotEq,
}  # fmt: skip
_OPPOSITE: Final = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}


@dataclass(frozen=True, slots=True)
class Tables:
    """What literals are resolved with, once, when a rule is compiled."""

    rates: ExchangeRates
    lists: ListSnapshot = field(default=NO_LISTS)


def names_of(tree: Node) -> set[str]:
    """Every field, feature or score that ``tree`` reads."""
    match tree:
        case Name():
            return {tree.name}
        case Negation() | Not():
            return names_of(tree.operand)
        case Arithmetic() | Comparison():
            return names_of(tree.left) | names_of(tree.right)
        case Membership():
            item = names_of(tree.item)
            return item | {_LISTED_AT} if isinstance(tree.among, Name) else item
        case Every() | Some():
            return set().union(*map(names_of, tree.parts))
        case Window():
            return {window_name(tree)}
        case Call():
            own = set(FUNCTIONS[tree.function].context)
            return own.union(*map(names_of, tree.arguments))
    return set()


def lists_of(tree: Node) -> set[str]:
    """The names of the lists that ``tree`` reads."""
    match tree:
        case Membership():
            own = {tree.among.name} if isinstance(tree.among, Name) else set()
            return own | lists_of(tree.item)
        case Negation() | Not():
            return lists_of(tree.operand)
        case Arithmetic() | Comparison():
            return lists_of(tree.left) | lists_of(tree.right)
        case Every() | Some():
            return set().union(*map(lists_of, tree.parts))
        case Call():
            return set().union(*map(lists_of, tree.arguments))
    return set()


def windows_of(tree: Node) -> set[str]:
    """The canonical texts of the windows that ``tree`` reads."""
    return {name for name in names_of(tree) if "(" in name}


def window_name(node: Window) -> str:
    """The canonical text of a window. Raises ValueError for one that was not checked."""
    key = key_of(node, lambda _at, _message, _expected, _word: None)
    if key is None:
        raise ValueError(f"{node.function} over a window that is not of the language")
    return key.text()


def compile_rule(
    tree: Node, types: Mapping[str, Type], slots: Mapping[str, int], tables: Tables
) -> Predicate:
    """``tree``, checked against ``types``, as a function of one row.

    ``slots`` says where in the row a name stands: numbers, moments and flags as float (NaN
    is missing), text as str (None is missing). The function answers True, False, or None for
    unknown.
    """
    builder = _Builder(types, slots, tables)
    answer = ast.IfExp(
        test=builder.holds(tree),
        body=ast.Constant(True),
        orelse=ast.IfExp(
            test=builder.fails(tree), body=ast.Constant(False), orelse=ast.Constant(None)
        ),
    )
    arguments = ast.arguments(
        posonlyargs=[ast.arg(_ROW)], args=[], kwonlyargs=[], kw_defaults=[], defaults=[]
    )
    lambda_ = ast.Expression(ast.Lambda(args=arguments, body=answer))
    code = compile(ast.fix_missing_locations(lambda_), "<rule>", "eval")
    names = {"__builtins__": {}, **_HELPERS, **builder.constants}
    predicate: Predicate = eval(code, names)  # noqa: S307  # our own tree, no builtins
    return predicate


class _Builder:
    """Builds Python conditions of one rule. ``constants`` are the objects they name."""

    def __init__(self, types: Mapping[str, Type], slots: Mapping[str, int], tables: Tables) -> None:
        self._types = types
        self._slots = slots
        self._tables = tables
        self.constants: dict[str, object] = {}

    def holds(self, node: Node) -> ast.expr:
        """True exactly where ``node`` is true."""
        match node:
            case Every():
                return ast.BoolOp(ast.And(), [self.holds(part) for part in node.parts])
            case Some():
                return ast.BoolOp(ast.Or(), [self.holds(part) for part in node.parts])
            case Not():
                return self.fails(node.operand)
            case Call(function="all_of"):
                return self.holds(Every(node.at, node.arguments))
            case Call(function="any_of"):
                return self.holds(Some(node.at, node.arguments))
        return self._atom(node, True)

    def fails(self, node: Node) -> ast.expr:
        """True exactly where ``node`` is false."""
        match node:
            case Every():
                return ast.BoolOp(ast.Or(), [self.fails(part) for part in node.parts])
            case Some():
                return ast.BoolOp(ast.And(), [self.fails(part) for part in node.parts])
            case Not():
                return self.holds(node.operand)
            case Call(function="all_of"):
                return self.fails(Every(node.at, node.arguments))
            case Call(function="any_of"):
                return self.fails(Some(node.at, node.arguments))
        return self._atom(node, False)

    def _atom(self, node: Node, wanted: bool) -> ast.expr:
        """True exactly where ``node`` is ``wanted``; it holds no and, or, not."""
        match node:
            case Constant():
                return ast.Constant(node.value is wanted)
            case Name():
                return _compare(self._slot(node.name), "==", ast.Constant(float(wanted)))
            case Comparison():
                operator = node.operator if wanted else _OPPOSITE[node.operator]
                return self._comparison(operator, node.left, node.right)
            case Membership():
                return self._membership(node, inside=wanted is not node.negated)
            case Call(function="is_missing"):
                return self._missing(node.arguments[0], wanted)
            case Call(function="between"):
                return self._between(node, wanted)
        return ast.Compare(self._value(node), [ast.Is()], [ast.Constant(wanted)])

    def _comparison(self, operator: str, left: Node, right: Node) -> ast.expr:
        a, b = self._value(left), self._value(right)
        if self._is_text(left):
            test = _compare(a, operator, b)
            if operator == "==" and isinstance(right, Constant):  # None equals no literal
                return test
            return _all([test, *self._present(left), *self._present(right)])
        if operator == "!=":  # NaN differs from everything, but "differs" is not known
            return ast.BoolOp(ast.Or(), [_compare(a, "<", b), _compare(a, ">", b)])
        return _compare(a, operator, b)

    def _membership(self, node: Membership, *, inside: bool) -> ast.expr:
        if isinstance(node.among, Name):
            return self._listed(node, self._tables.lists.values[node.among.name], inside)
        values = frozenset(item.value for item in node.among.items)
        among = self._constant(values)
        item = self._value(node.item)
        if inside:  # None and NaN are in no list
            return ast.Compare(item, [ast.In()], [among])
        outside = ast.Compare(item, [ast.NotIn()], [among])
        return _all([outside, *self._present(node.item)])

    def _listed(self, node: Membership, members: Members, inside: bool) -> ast.expr:
        """Whether a text stands on a list when the payment is made; a missing one is unknown."""
        arguments = [self._value(node.item), self._slot(_LISTED_AT)]
        among = ast.Attribute(self._constant(members), "holds", ast.Load())
        stands: ast.expr = ast.Call(among, arguments, [])
        if not inside:
            stands = ast.UnaryOp(ast.Not(), stands)
        return _all([*self._present(node.item), stands])

    def _present(self, node: Node) -> list[ast.expr]:
        """The condition that a value is known; none where it always is."""
        if isinstance(node, Constant):
            return []
        if self._is_text(node):
            return [ast.Compare(self._value(node), [ast.IsNot()], [ast.Constant(None)])]
        return [_compare(self._value(node), "==", self._value(node))]

    def _missing(self, node: Node, wanted: bool) -> ast.expr:
        if isinstance(node, Constant):
            return ast.Constant(not wanted)
        value = self._value(node)
        if self._is_text(node):
            test = ast.Is() if wanted else ast.IsNot()
            return ast.Compare(value, [test], [ast.Constant(None)])
        return _compare(value, "!=" if wanted else "==", self._value(node))

    def _between(self, node: Call, wanted: bool) -> ast.expr:
        value, low, high = node.arguments
        if wanted:
            parts = [self._comparison(">=", value, low), self._comparison("<=", value, high)]
            return ast.BoolOp(ast.And(), parts)
        parts = [self._comparison("<", value, low), self._comparison(">", value, high)]
        return ast.BoolOp(ast.Or(), parts)

    def _value(self, node: Node) -> ast.expr:
        match node:
            case Constant():
                return ast.Constant(node.value)
            case Name():
                return self._slot(node.name)
            case Window():
                return self._slot(window_name(node))
            case Negation():
                return ast.UnaryOp(ast.USub(), self._value(node.operand))
            case Arithmetic():
                return self._arithmetic(node)
            case Call():
                return self._call(node)
        raise TypeError(f"{type(node).__name__} has no value")

    def _arithmetic(self, node: Arithmetic) -> ast.expr:
        left, right = self._value(node.left), self._value(node.right)
        safe = isinstance(node.right, Constant) and node.right.value != 0.0
        if node.operator in "+-*" or (node.operator == "/" and safe):
            return ast.BinOp(left, _BINARY[node.operator](), right)
        return _apply("divide" if node.operator == "/" else "modulo", [left, right])

    def _call(self, node: Call) -> ast.expr:
        function = FUNCTIONS[node.function]
        arguments = [self._slot(name) for name in function.context]
        if function.prepare is None:
            arguments += [self._value(argument) for argument in node.arguments]
            return _apply(function.name, arguments)
        first = len(function.parameters) - function.literals
        arguments += [self._value(argument) for argument in node.arguments[:first]]
        literals = [one.value for one in node.arguments[first:] if isinstance(one, Constant)]
        rates = [self._tables.rates] if function.needs_rates else []
        prepared = self._constant(function.prepare(*rates, *literals))
        return prepared if function.call is None else _apply(function.name, [*arguments, prepared])

    def _slot(self, name: str) -> ast.expr:
        return ast.Subscript(_load(_ROW), ast.Constant(self._slots[name]), ast.Load())

    def _constant(self, value: object) -> ast.expr:
        if isinstance(value, float | int):
            return ast.Constant(value)
        for name, known in self.constants.items():
            if known == value:  # a condition is built twice, as held and as failed
                return _load(name)
        name = f"constant_{len(self.constants)}"
        self.constants[name] = value
        return _load(name)

    def _is_text(self, node: Node) -> bool:
        match node:
            case Constant():
                return node.type is Type.TEXT
            case Name():
                return self._types[node.name] is Type.TEXT
            case Call():
                function = FUNCTIONS[node.function]
                if function.result is None:
                    return self._is_text(node.arguments[0])
                return function.result is Type.TEXT
        return False


def _load(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _apply(helper: str, arguments: list[ast.expr]) -> ast.expr:
    return ast.Call(_load(helper), arguments, [])


def _compare(left: ast.expr, operator: str, right: ast.expr) -> ast.expr:
    return ast.Compare(left, [_COMPARE[operator]()], [right])


def _all(conditions: list[ast.expr]) -> ast.expr:
    return conditions[0] if len(conditions) == 1 else ast.BoolOp(ast.And(), conditions)
