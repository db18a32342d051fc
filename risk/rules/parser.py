"""A rule's text to a tree, through Python's own grammar and a whitelist.

``ast.parse`` never runs anything. Whatever the whitelist does not name is refused, and the
tree is rebuilt from plain literals and names, so nothing of Python leaks through.
"""

from __future__ import annotations

import ast
import re
import threading
import warnings
from dataclasses import dataclass
from typing import Final, NoReturn, get_args

from risk.rules.functions import FUNCTIONS
from risk.rules.syntax import (
    DEPTH_MAX,
    NODES_MAX,
    TEXT_BYTES_MAX,
    Arithmetic,
    ArithmeticOperator,
    Call,
    Comparison,
    ComparisonOperator,
    Constant,
    Every,
    Items,
    Membership,
    Name,
    Negation,
    Node,
    Not,
    Refused,
    Some,
    Window,
    problem,
)
from risk.rules.windows import WINDOW_FUNCTIONS, WINDOW_SIGNATURE

NUMBER_MAX: Final = 1e15  # whole numbers are exact in a float64 up to 9e15
_NUMBER: Final = re.compile(r"\d[\d_]*(\.\d[\d_]*)?([eE][+-]?\d+)?")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]|[\ud800-\udfff]")
_LINE_BREAKS: Final = str.maketrans("\t\n\f\r", "    ")
_ARITHMETIC: Final[dict[type[ast.operator], ArithmeticOperator]] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Mod: "%",
}  # fmt: skip
_COMPARISONS: Final[dict[type[ast.cmpop], ComparisonOperator]] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip
_REFUSED: Final = {
    ast.Attribute: "a dot after a value",
    ast.Subscript: "an index",
    ast.Lambda: "lambda",
    ast.IfExp: "if ... else",
    ast.ListComp: "a loop",
    ast.SetComp: "a loop",
    ast.DictComp: "a loop",
    ast.GeneratorExp: "a loop",
    ast.JoinedStr: "an f-string",
    ast.NamedExpr: "an assignment",
    ast.Starred: "a star",
    ast.Await: "await",
    ast.Yield: "yield",
    ast.YieldFrom: "yield",
    ast.Dict: "a dictionary",
    ast.Set: "a set (write round brackets)",
    ast.Slice: "a slice",
}
_WARNINGS_LOCK = threading.Lock()


def parse(text: str) -> Node:
    """The tree of ``text``; raises Refused with line, column and what was expected.

    Total: any text gives a tree or a refusal, in bounded time and memory.
    """
    size = len(text.encode(errors="replace"))
    if size > TEXT_BYTES_MAX:
        _refuse(text, 0, f"the rule has {size} bytes", f"at most {TEXT_BYTES_MAX}")
    control = _CONTROL.search(text)
    if control:
        _refuse(text, control.start(), "a control character", "printable text")
    if "\\" in text:
        _refuse(text, text.index("\\"), "a backslash", "text without escapes")
    flat = text.translate(_LINE_BREAKS)
    start = len(flat) - len(flat.lstrip(" "))
    if start == len(flat):
        _refuse(text, 0, "the rule is empty", "a condition")
    return _Rebuilder(text, flat[start:], start).tree()


def _opens_window(function: str, node: ast.Call) -> bool:
    """Whether a call is one over a window: ``max`` is, where a text stands second."""
    if function not in FUNCTIONS:
        return function in WINDOW_FUNCTIONS
    second = node.args[1] if len(node.args) > 1 else None
    text = isinstance(second, ast.Constant) and isinstance(second.value, str)
    return function in WINDOW_FUNCTIONS and text


def _refuse(text: str, at: int, message: str, expected: str = "", suggestion: str = "") -> NoReturn:
    raise Refused([problem(text, at, message, expected, suggestion)]) from None


@dataclass(frozen=True, slots=True)
class _Rebuilder:
    """Rebuilds the tree of ``flat``, which starts at character ``start`` of ``text``."""

    text: str
    flat: str
    start: int

    def tree(self) -> Node:
        body = self._python()
        self._measure(body)
        rest = self.flat.encode()[body.end_col_offset or 0 :].decode().strip(" )")
        if rest:
            at = self.start + self.flat.rindex(rest)
            _refuse(self.text, at, "text after the condition", "no comments in a rule")
        return self._node(body)

    def _python(self) -> ast.expr:
        try:
            # The tokenizer warns of "1or 2" and the like; what is legal must not depend on
            # the filters of the process. Filters are global, hence the lock.
            with _WARNINGS_LOCK, warnings.catch_warnings():
                warnings.simplefilter("error")
                return ast.parse(self.flat, mode="eval").body
        except SyntaxError as error:
            # Offset 0 stands for the end of the text.
            at = self.start + (error.offset - 1 if error.offset else len(self.flat))
            _refuse(self.text, at, f"not an expression: {error.msg}", "a condition")
        except (MemoryError, RecursionError, ValueError):
            _refuse(self.text, 0, "nested too deeply", f"depth of at most {DEPTH_MAX}")

    def _measure(self, body: ast.expr) -> None:
        """Refuse trees that are too large or too deep, before any recursion over them."""
        nodes = 0
        level: list[ast.AST] = [body]
        for _depth in range(DEPTH_MAX):
            nodes += len(level)
            if nodes > NODES_MAX:
                _refuse(self.text, 0, f"more than {NODES_MAX} parts", "a shorter rule")
            level = [
                child
                for node in level
                for child in ast.iter_child_nodes(node)
                if isinstance(child, ast.expr)
            ]
        if level:
            at = self._at(level[0])
            _refuse(self.text, at, "nested too deeply", f"depth of at most {DEPTH_MAX}")

    def _at(self, node: ast.AST) -> int:
        """The offset of ``node`` in characters of the text (Python counts bytes)."""
        prefix = self.flat.encode()[: getattr(node, "col_offset", 0)]
        return self.start + len(prefix.decode())

    def _segment(self, node: ast.expr) -> str:
        return self.flat.encode()[node.col_offset : node.end_col_offset].decode()

    def _node(self, node: ast.expr) -> Node:
        match node:
            case ast.BoolOp():
                parts = tuple(self._node(value) for value in node.values)
                kind = Every if isinstance(node.op, ast.And) else Some
                return kind(self._at(node), parts)
            case ast.Compare():
                return self._comparison(node)
            case ast.BinOp():
                return self._arithmetic(node)
            case ast.UnaryOp():
                return self._unary(node)
            case ast.Call():
                return self._call(node)
            case ast.Name():
                return self._name(node)
            case ast.Constant():
                return self._constant(node)
        return self._unknown(node)

    def _unknown(self, node: ast.expr) -> NoReturn:
        if isinstance(node, ast.List | ast.Tuple):
            _refuse(self.text, self._at(node), "a list stands alone", "a list only right of 'in'")
        what = _REFUSED.get(type(node), type(node).__name__)
        _refuse(
            self.text,
            self._at(node),
            f"{what} is not part of the rule language",
            "names, literals, comparisons, and, or, not, in, + - * / %, functions",
        )

    def _comparison(self, node: ast.Compare) -> Node:
        at = self._at(node)
        operands = [node.left, *node.comparators]
        if isinstance(node.ops[0], ast.In | ast.NotIn) and len(node.ops) == 1:
            among = self._among(node.comparators[0])
            negated = isinstance(node.ops[0], ast.NotIn)
            return Membership(at, self._node(node.left), among, negated)
        parts: list[Node] = []
        for place, operator in enumerate(node.ops):
            sign = _COMPARISONS.get(type(operator))
            if sign is None:
                word = "is" if isinstance(operator, ast.Is | ast.IsNot) else "in"
                fix = "== or is_missing(...)" if word == "is" else "'in' once, with 'and'"
                _refuse(self.text, self._at(operands[place]), f"{word!r} does not fit here", fix)
            left, right = operands[place], operands[place + 1]
            parts.append(Comparison(self._at(left), sign, self._node(left), self._node(right)))
        return parts[0] if len(parts) == 1 else Every(at, tuple(parts))

    def _among(self, node: ast.expr) -> Items | Name:
        if isinstance(node, ast.Name):
            return self._name(node)
        if not isinstance(node, ast.List | ast.Tuple):
            _refuse(
                self.text,
                self._at(node),
                "this is no list",
                'literals in round brackets with a comma, as ("a", "b"), or the name of a list',
            )
        if not node.elts:
            _refuse(self.text, self._at(node), "the list is empty", "one literal or more")
        items: list[Constant] = []
        for element in node.elts:
            item = self._literal(element)
            if item is None:
                _refuse(self.text, self._at(element), "not a literal", "a number or text")
            items.append(item)
        return Items(self._at(node), tuple(items))

    def _literal(self, node: ast.expr) -> Constant | None:
        if isinstance(node, ast.Constant):
            return self._constant(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            inner = self._literal(node.operand)
            if inner is not None and isinstance(inner.value, float):
                return Constant(self._at(node), -inner.value, inner.integer)
        return None

    def _arithmetic(self, node: ast.BinOp) -> Node:
        sign = _ARITHMETIC.get(type(node.op))
        if sign is None:
            _refuse(
                self.text,
                self._at(node.right),
                f"the operator {type(node.op).__name__} is not part of the rule language",
                "one of " + " ".join(get_args(ArithmeticOperator)),
            )
        return Arithmetic(self._at(node), sign, self._node(node.left), self._node(node.right))

    def _unary(self, node: ast.UnaryOp) -> Node:
        if isinstance(node.op, ast.Not):
            return Not(self._at(node), self._node(node.operand))
        if isinstance(node.op, ast.USub):
            return self._literal(node) or Negation(self._at(node), self._node(node.operand))
        _refuse(self.text, self._at(node), "an operator without effect", "- or not")

    def _call(self, node: ast.Call) -> Node:
        if not isinstance(node.func, ast.Name):
            _refuse(self.text, self._at(node), "a call on a value", "the name of a function")
        function = self._name(node.func).name
        if _opens_window(function, node):
            return self._window(function, node)
        if node.keywords:
            at = self._at(node.keywords[0])
            _refuse(self.text, at, "an argument with a name", "arguments in their order")
        return Call(self._at(node), function, tuple(self._node(a) for a in node.args))

    def _window(self, function: str, node: ast.Call) -> Window:
        at, arguments = self._at(node), node.args
        names = [a for a in (arguments[:1] + arguments[2:]) if isinstance(a, ast.Name)]
        if not 2 <= len(arguments) <= 3 or len(names) != len(arguments) - 1:
            _refuse(self.text, at, f"{function} over a window", WINDOW_SIGNATURE)
        span = self._literal(arguments[1])
        if span is None:
            fix = 'the span written out, as "90m"'
            _refuse(self.text, self._at(arguments[1]), "a span that is computed", fix)
        entity, *what = [self._name(name) for name in names]
        kinds: tuple[Constant, ...] = ()
        for keyword in node.keywords:
            if keyword.arg != "kind" or kinds:
                fix = 'kind="..." at most once'
                _refuse(self.text, self._at(keyword), "an argument with a name", fix)
            kinds = self._kinds(keyword.value)
        return Window(at, function, entity, span, what[0] if what else None, kinds)

    def _kinds(self, node: ast.expr) -> tuple[Constant, ...]:
        if isinstance(node, ast.Tuple | ast.List):
            among = self._among(node)
            assert isinstance(among, Items)
            return among.items
        one = self._literal(node)
        if one is None:
            _refuse(self.text, self._at(node), "not a literal", 'a kind of record, as "declined"')
        return (one,)

    def _name(self, node: ast.Name) -> Name:
        # Python folds look-alike letters (NFKC); a reviewer must see what is compared.
        if self._segment(node) != node.id or not node.id.isascii():
            _refuse(self.text, self._at(node), "a name with unusual letters", "plain letters")
        return Name(self._at(node), node.id)

    def _constant(self, node: ast.Constant) -> Constant:
        at, segment, value = self._at(node), self._segment(node), node.value
        if isinstance(value, bool):
            return Constant(at, value)
        if isinstance(value, str):
            if segment not in (f'"{value}"', f"'{value}'"):
                _refuse(self.text, at, "an unusual text literal", 'one text in quotes, "..."')
            return Constant(at, value)
        if isinstance(value, int | float):
            if not _NUMBER.fullmatch(segment) or not value <= NUMBER_MAX:
                _refuse(self.text, at, "an unusual number", f"a decimal of at most {NUMBER_MAX:g}")
            return Constant(at, float(value), isinstance(value, int))
        if value is None:
            _refuse(self.text, at, "None is not a value", "is_missing(name)")
        _refuse(self.text, at, f"a literal of kind {type(value).__name__}", "a number or text")
