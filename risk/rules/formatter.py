"""A tree back to text, in the one canonical way: ``parse(written(tree))`` is ``tree`` again."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from risk.rules.parser import parse
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
    Refused,
    Some,
    Window,
)

LINE_CHARS: Final = 88
_OR, _AND, _NOT, _TEST, _SUM, _PRODUCT, _SIGN, _ATOM = range(1, 9)
_OF_SIGN: Final = {"+": _SUM, "-": _SUM, "*": _PRODUCT, "/": _PRODUCT, "%": _PRODUCT}


def formatted(text: str) -> str:
    """``text`` as canonical text; raises Refused.

    A rule so long that its canonical text would pass the limit stays as it is.

    >>> formatted("amount>10  and(mcc in ('5411','5812'))")
    'amount > 10 and mcc in ("5411", "5812")'
    """
    made = written(parse(text))
    try:
        parse(made)
    except Refused:
        return text
    return made


def written(tree: Node) -> str:
    """The canonical text of ``tree``: one line, or one for each part where that is too long."""
    whole = _at_least(tree, 0)
    if len(whole) <= LINE_CHARS or not isinstance(tree, Every | Some) or _chain(tree):
        return whole
    word, level = ("and", _AND) if isinstance(tree, Every) else ("or", _OR)
    return f"\n{word} ".join(_at_least(part, level + 1) for part in tree.parts)


def literal(value: Constant) -> str:
    """A literal as a rule writes it.

    >>> literal(Constant(0, 5.0, integer=True)), literal(Constant(0, 'say "hi"'))
    ('5', '\\'say "hi"\\'')
    """
    if isinstance(value.value, str):
        quote = "'" if '"' in value.value else '"'
        return f"{quote}{value.value}{quote}"
    if isinstance(value.value, bool):
        return str(value.value)
    return f"{value.value:.0f}" if value.integer else repr(value.value)


def _at_least(node: Node, level: int) -> str:
    """``node``, in brackets where it binds less than ``level``."""
    text, own = _text(node)
    return text if own >= level else f"({text})"


def _text(node: Node) -> tuple[str, int]:
    """The text of ``node`` and how strongly it binds."""
    match node:
        case Constant():
            return literal(node), _ATOM
        case Name():
            return node.name, _ATOM
        case Negation():
            return f"-{_at_least(node.operand, _SIGN)}", _SIGN
        case Arithmetic():
            own = _OF_SIGN[node.operator]
            left, right = _at_least(node.left, own), _at_least(node.right, own + 1)
            return f"{left} {node.operator} {right}", own
        case Comparison():
            return _comparison((node,)), _TEST
        case Membership():
            word = "not in" if node.negated else "in"
            item = _at_least(node.item, _SUM)
            return f"{item} {word} {_among(node.among)}", _TEST
        case Not():
            return f"not {_at_least(node.operand, _NOT)}", _NOT
        case Every():
            chain = _chain(node)
            if chain:
                return _comparison(chain), _TEST
            return " and ".join(_at_least(part, _AND + 1) for part in node.parts), _AND
        case Some():
            return " or ".join(_at_least(part, _OR + 1) for part in node.parts), _OR
        case Call():
            inner = ", ".join(_at_least(argument, 0) for argument in node.arguments)
            return f"{node.function}({inner})", _ATOM
    return _window(node), _ATOM


def _chain(node: Every | Some) -> tuple[Comparison, ...]:
    """The comparisons of ``a < b < c``, which share their operands; none for anything else."""
    parts = [part for part in node.parts if isinstance(part, Comparison)]
    shared = all(one.right == two.left for one, two in pairwise(parts))
    whole = isinstance(node, Every) and len(parts) == len(node.parts)
    return tuple(parts) if whole and shared else ()


def _comparison(chain: tuple[Comparison, ...]) -> str:
    text = _at_least(chain[0].left, _SUM)
    for one in chain:
        text += f" {one.operator} {_at_least(one.right, _SUM)}"
    return text


def _among(among: Items | Name) -> str:
    if isinstance(among, Name):
        return among.name
    return _bracketed(among.items)


def _bracketed(items: tuple[Constant, ...]) -> str:
    inner = ", ".join(map(literal, items))
    return f"({inner},)" if len(items) == 1 else f"({inner})"


def _window(node: Window) -> str:
    parts = [node.entity.name, literal(node.span)]
    if node.what is not None:
        parts.append(node.what.name)
    if len(node.kinds) == 1:
        parts.append(f"kind={literal(node.kinds[0])}")
    elif node.kinds:
        parts.append(f"kind={_bracketed(node.kinds)}")
    return f"{node.function}({', '.join(parts)})"
