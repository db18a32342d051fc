"""Static types: every name known, every operand of the right type, before a rule is saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from risk.domain.kinds import ENTITY_KINDS, RECORD_KIND_CODE
from risk.domain.money import ExchangeRates
from risk.lists.values import TYPES
from risk.rules.functions import FUNCTIONS, Function, Parameter
from risk.rules.schema import FIELD_BY_NAME, Schema
from risk.rules.syntax import (
    NUMERIC,
    Arithmetic,
    Call,
    Comparison,
    Constant,
    Items,
    Membership,
    Name,
    Negation,
    Node,
    Not,
    Problem,
    Type,
    Window,
    problem,
)
from risk.rules.windows import KIND_GROUPS, OTHERS, WINDOW_FUNCTIONS, key_of

_ANY_RATES: Final = ExchangeRates(base="EUR", as_of="", source="", rates_e9={})
_A_CONDITION: Final = "a condition, as amount > 0"


def check(text: str, tree: Node, schema: Schema) -> list[Problem]:
    """Everything that is wrong with ``tree``, the parsed ``text``; empty where it may run."""
    checker = _Checker(text, schema)
    checker.condition(tree)
    return checker.problems


def nearest(word: str, known: Mapping[str, object] | Sequence[str]) -> str:
    """The known word most like ``word``, "" where none is.

    >>> nearest("acount", ["account", "amount"])
    'account'
    """
    return next(iter(get_close_matches(word, list(known), n=1, cutoff=0.6)), "")


class _Checker:
    """Walks one tree and gathers problems. None as a type means: already reported."""

    def __init__(self, text: str, schema: Schema) -> None:
        self._text = text
        self._types = schema.types()
        self._lists = schema.lists
        self.problems: list[Problem] = []

    def condition(self, node: Node) -> None:
        """``node`` must be a condition."""
        found = self._type(node)
        if found is not None and found is not Type.BOOLEAN:
            self._report(node.at, f"{a_kind(found)} stands alone", _A_CONDITION)

    def _report(self, at: int, message: str, expected: str = "", suggestion: str = "") -> None:
        self.problems.append(problem(self._text, at, message, expected, suggestion))

    def _type(self, node: Node) -> Type | None:
        match node:
            case Constant():
                return node.type
            case Name():
                return self._name(node)
            case Negation():
                return self._number(node.operand)
            case Arithmetic():
                return self._arithmetic(node)
            case Call():
                return self._call(node)
            case Window():
                return self._window(node)
            case Comparison():
                self._comparison(node)
            case Membership():
                self._membership(node)
            case Not():
                self.condition(node.operand)
            case _:
                for part in node.parts:
                    self.condition(part)
        return Type.BOOLEAN

    def _window(self, node: Window) -> Type:
        def report(at: int, message: str, expected: str, word: str) -> None:
            known = [*ENTITY_KINDS, *OTHERS, *KIND_GROUPS, *RECORD_KIND_CODE]
            others = [one for one in known if one != word]
            self._report(at, message, expected, nearest(word, others))

        key_of(node, report)
        return WINDOW_FUNCTIONS[node.function].result

    def _name(self, node: Name) -> Type | None:
        known = self._types.get(node.name)
        if known is None:
            if node.name in self._lists:
                self._report(node.at, f"{node.name} is a list", f"... in {node.name}")
            elif node.name in WINDOW_FUNCTIONS and node.name not in FUNCTIONS:
                example = WINDOW_FUNCTIONS[node.name].example
                self._report(node.at, f"{node.name} is a function", f"a call, as {example}")
            elif node.name in FUNCTIONS:
                example = FUNCTIONS[node.name].example
                self._report(node.at, f"{node.name} is a function", f"a call, as {example}")
            else:
                words = [*self._types, *self._lists, "True", "False"]
                hint = nearest(node.name, words)
                self._report(node.at, f"unknown name {node.name}", "", hint)
        return known

    def _number(self, node: Node) -> Type | None:
        found = self._type(node)
        if found is None or found in NUMERIC:
            return found
        what = a_kind(found)
        self._report(node.at, f"{what} in arithmetic", "a number")
        return None

    def _arithmetic(self, node: Arithmetic) -> Type:
        left, right = self._number(node.left), self._number(node.right)
        whole = left is right is Type.INTEGER and node.operator != "/"
        return Type.INTEGER if whole else Type.NUMBER

    def _comparison(self, node: Comparison) -> None:
        left, right = self._type(node.left), self._type(node.right)
        if left is None or right is None:
            return
        if Type.BOOLEAN in (left, right):
            at = node.left.at if left is Type.BOOLEAN else node.right.at
            self._report(at, "a condition is compared", "the condition alone, or with 'not'")
        elif left is not right and not (left in NUMERIC and right in NUMERIC):
            self._report(
                node.right.at, f"{left} compared with {right}", self._instead(left, node.right)
            )
        elif left is Type.TEXT and node.operator not in ("==", "!="):
            self._report(node.at, f"text has no order, so no {node.operator}", "== or !=")
        elif isinstance(node.right, Constant):
            self._possible(node.left, node.right)
        elif isinstance(node.left, Constant):
            self._possible(node.right, node.left)

    def _instead(self, wanted: Type, found: Node) -> str:
        if wanted is Type.TEXT and isinstance(found, Constant) and found.integer:
            return f'text, as "{found.value:.0f}"'
        return "a number" if wanted in NUMERIC else a_kind(wanted)

    def _possible(self, side: Node, literal: Constant) -> None:
        """Report a text that the field ``side`` can never hold."""
        field = FIELD_BY_NAME.get(side.name) if isinstance(side, Name) else None
        if field is None or field.values is None or literal.value in field.values:
            return
        hint = nearest(str(literal.value), sorted(field.values))
        few = ", ".join(sorted(field.values)) if len(field.values) < 10 else field.unit
        self._report(literal.at, f"{field.name} is never {literal.value!r}", few, hint)

    def _membership(self, node: Membership) -> None:
        found = self._type(node.item)
        if found is Type.BOOLEAN or found is Type.TIME:
            self._report(node.at, f"{a_kind(found)} before 'in'", "a number or text")
            return
        if isinstance(node.among, Name):
            self._named_list(node.item, node.among)
            if found is not None and found in NUMERIC:
                self._report(node.at, f"{a_kind(found)} before the name of a list", "text")
            return
        self._items(node, node.among, found)

    def _named_list(self, item: Node, among: Name) -> None:
        type_name = self._lists.get(among.name)
        if type_name is None:
            hint = nearest(among.name, sorted(self._lists))
            fix = "a list, or literals in brackets"
            self._report(among.at, f"{among.name} is not a list", fix, hint)
        elif isinstance(item, Name) and self._types.get(item.name) is Type.TEXT:
            fields = TYPES[type_name].fields
            if type_name != "text" and item.name not in fields:
                message = f"{item.name} is never on {among.name}, a list of type {type_name}"
                self._report(among.at, message, " or ".join(fields))

    def _items(self, node: Membership, among: Items, found: Type | None) -> None:
        for item in among.items:
            fits = item.type is Type.TEXT if found is Type.TEXT else item.type in NUMERIC
            if found is not None and not fits:
                self._report(
                    item.at, f"{found} compared with {item.type}", self._instead(found, item)
                )
            elif found is not None:
                self._possible(node.item, item)

    def _call(self, node: Call) -> Type | None:
        function = FUNCTIONS.get(node.function)
        if function is None:
            if node.function in self._types:
                self._report(node.at, f"{node.function} is a value, not a function", node.function)
            else:
                hint = nearest(node.function, [*FUNCTIONS, *WINDOW_FUNCTIONS])
                self._report(node.at, f"unknown function {node.function}", "", hint)
            return None
        parameters = _spread(function, len(node.arguments))
        if parameters is None:
            signature = f"{function.name}({', '.join(_shown(p) for p in function.parameters)})"
            self._report(node.at, f"{len(node.arguments)} arguments", signature)
            return function.result
        found = [
            self._argument(function, parameter, argument)
            for parameter, argument in zip(parameters, node.arguments, strict=True)
        ]
        if None in found:
            return function.result
        self._prepare(function, node)
        return function.result or self._common(node, [one for one in found if one])

    def _argument(self, function: Function, parameter: Parameter, node: Node) -> Type | None:
        found = self._type(node)
        place = f"argument {parameter.name} of {function.name}"
        if found is None:
            return None
        if parameter.literal and not isinstance(node, Constant):
            self._report(node.at, f"{place} is not written out", "a literal")
            return None
        flag = function.name == "is_missing" and isinstance(node, Name)
        if found not in parameter.types and not (flag and found is Type.BOOLEAN):
            wanted = Type.NUMBER if Type.NUMBER in parameter.types else parameter.types[0]
            self._report(node.at, f"{place} is {a_kind(found)}", a_kind(wanted))
            return None
        return found

    def _common(self, node: Call, found: list[Type]) -> Type | None:
        kinds = set(found)
        if kinds <= set(NUMERIC):
            return Type.NUMBER if Type.NUMBER in kinds else Type.INTEGER
        if len(kinds) > 1:
            mixed = " and ".join(sorted(kinds))
            self._report(node.at, f"{node.function} of {mixed}", "arguments of one type")
            return None
        return found[0]

    def _prepare(self, function: Function, node: Call) -> None:
        """Report literals that the function itself cannot take."""
        if function.prepare is None:
            return
        first = len(function.parameters) - function.literals
        literals = [one for one in node.arguments[first:] if isinstance(one, Constant)]
        rates = [_ANY_RATES] if function.needs_rates else []
        try:
            function.prepare(*rates, *(one.value for one in literals))
        except ValueError as error:
            self._report(literals[0].at, str(error))


def a_kind(kind: Type) -> str:
    """``kind`` as a noun of a sentence.

    >>> a_kind(Type.INTEGER), a_kind(Type.BOOLEAN), a_kind(Type.TEXT)
    ('an integer', 'a condition', 'text')
    """
    words = {Type.BOOLEAN: "a condition", Type.TEXT: "text", Type.INTEGER: "an integer"}
    return words.get(kind, f"a {kind}")


def _spread(function: Function, count: int) -> tuple[Parameter, ...] | None:
    """A parameter for each of ``count`` arguments, None where the count does not fit."""
    parameters = function.parameters
    needed = sum(not parameter.optional for parameter in parameters)
    if count < needed or (count > len(parameters) and not parameters[-1].repeated):
        return None
    return parameters[:count] + parameters[-1:] * (count - len(parameters))


def _shown(parameter: Parameter) -> str:
    text = parameter.name + ("..." if parameter.repeated else "")
    return f"[{text}]" if parameter.optional else text
