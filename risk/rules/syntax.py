"""The words of the rule language: types, places, problems and the tree of a parsed rule.

The tree holds nothing of the analyst's but names that the checker must know, and literals.
``at`` is an offset in characters into the rule's text.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

TEXT_BYTES_MAX: Final = 4 * 1024  # CPython itself fails on far longer ones
NODES_MAX: Final = 500
DEPTH_MAX: Final = 20


class Type(StrEnum):
    """What a value is. An integer may stand wherever a number may. Times are moments."""

    NUMBER = "number"
    INTEGER = "integer"
    TEXT = "text"
    BOOLEAN = "boolean"
    TIME = "time"


NUMERIC: Final = (Type.NUMBER, Type.INTEGER)
ArithmeticOperator = Literal["+", "-", "*", "/", "%"]
ComparisonOperator = Literal["<", "<=", ">", ">=", "==", "!="]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a rule, where, and what would be right.

    Lines and columns start at 1; columns count characters.
    """

    line: int
    column: int
    message: str
    expected: str = ""
    suggestion: str = ""

    def __str__(self) -> str:
        text = f"line {self.line}, column {self.column}: {self.message}"
        if self.expected:
            text += f"; expected {self.expected}"
        return text + (f"; did you mean {self.suggestion}?" if self.suggestion else "")


class Refused(Exception):
    """A rule's text is not of the language. ``problems`` has at least one entry."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def problem(text: str, at: int, message: str, expected: str = "", suggestion: str = "") -> Problem:
    """A Problem at character ``at`` of ``text``.

    >>> str(problem("a and\\n  b", 8, "unknown name b", suggestion="c"))
    'line 2, column 3: unknown name b; did you mean c?'
    """
    before = text[: max(0, min(at, len(text)))]
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    return Problem(line, column, message, expected, suggestion)


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal: float for numbers, str for text, bool for True and False."""

    at: int
    value: float | str | bool
    integer: bool = False

    @property
    def type(self) -> Type:
        if isinstance(self.value, bool):
            return Type.BOOLEAN
        if isinstance(self.value, str):
            return Type.TEXT
        return Type.INTEGER if self.integer else Type.NUMBER


@dataclass(frozen=True, slots=True)
class Name:
    """A feature, a field of the payment, the score, or (right of ``in``) a list."""

    at: int
    name: str


@dataclass(frozen=True, slots=True)
class Items:
    """Literals in parentheses or brackets, right of ``in``."""

    at: int
    items: tuple[Constant, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """``-operand``."""

    at: int
    operand: Node


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """``left operator right`` on numbers."""

    at: int
    operator: ArithmeticOperator
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Comparison:
    """``left operator right``; chains are taken apart into ``Every``."""

    at: int
    operator: ComparisonOperator
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Membership:
    """``item in among``, or ``item not in among`` where ``negated``."""

    at: int
    item: Node
    among: Items | Name
    negated: bool


@dataclass(frozen=True, slots=True)
class Not:
    """``not operand``."""

    at: int
    operand: Node


@dataclass(frozen=True, slots=True)
class Every:
    """``a and b and c``."""

    at: int
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """``a or b or c``."""

    at: int
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """``function(arguments)``."""

    at: int
    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """``function(entity, "span", what, kind="...")``: over the log of an entity of the payment.

    ``kinds`` is empty where none is named.
    """

    at: int
    function: str
    entity: Name
    span: Constant
    what: Name | None = None
    kinds: tuple[Constant, ...] = ()


Node = (
    Constant | Name | Negation | Arithmetic | Comparison | Membership
    | Not | Every | Some | Call | Window
)  # fmt: skip
