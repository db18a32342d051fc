"""A rule as a sentence that somebody reads who does not read rules."""

from __future__ import annotations

import re
from typing import Final

from risk.rules.formatter import literal
from risk.rules.functions import FUNCTIONS
from risk.rules.holding import Holding
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
    Window,
)
from risk.rules.windows import UNITS_MS

_SIGNS: Final = {
    "<": "is less than", "<=": "is at most", ">": "is more than", ">=": "is at least",
    "==": "is", "!=": "is not",
}  # fmt: skip
_ARITHMETIC: Final = {
    "+": "plus", "-": "minus", "*": "times", "/": "divided by", "%": "modulo",
}  # fmt: skip
_UNITS: Final = {"s": "second", "m": "minute", "h": "hour", "d": "day"}
_ACTIONS: Final = {
    "allow": "Allow", "review": "Review", "block": "Block", "alert": "Raise an alert for",
    "tag": "Tag", "limit": "Limit", "hold": "Block",
}  # fmt: skip
_SPAN: Final = re.compile(r"(\d+)([smhd])")
_CALLS: Final = {
    "abs": "the size of {0}", "round": "{0} rounded", "ratio": "{0} divided by {1}",
    "lower": "{0} in small letters", "days_since": "the days since {0}",
    "hour_of": "the hour (UTC) of {0}", "weekday_of": "the weekday (UTC) of {0}",
    "local_hour": "the local hour in {0}", "local_weekday": "the local weekday in {0}",
    "money": "{0} {1}", "date": "{0}", "is_missing": "{0} is missing",
    "between": "{0} is from {1} to {2}",
    "distance_km": "the km from ({0}, {1}) to ({2}, {3})",
}  # fmt: skip
_LISTED: Final = {
    "min": "the least of {}", "max": "the greatest of {}",
    "coalesce": "the first known of {}", "any_of": "at least one of: {}",
    "all_of": "all of: {}",
}  # fmt: skip


def rule_sentence(action: str, tree: Node, hold: Holding | None = None) -> str:
    """What a rule does, and when; ``hold`` is whom it suspends.

    >>> from risk.rules.parser import parse
    >>> rule_sentence("block", parse('card_declines_1h >= 4 and amount > money(50, "EUR")'))
    'Block the payment when card declines (1 hour) is at least 4 and amount is more than 50 EUR.'
    >>> rule_sentence("hold", parse("amount > 5"), Holding(entity="card", lasts="24h"))
    'Block the payment when amount is more than 5. Its card is suspended for 24 hours.'
    """
    told = f"{_ACTIONS[action]} the payment when {sentence(tree)}."
    if hold is None:
        return told
    return f"{told} Its {hold.entity} is suspended for {span_words(hold.lasts)}."


def sentence(node: Node) -> str:
    """A condition or a value in words."""
    match node:
        case Constant():
            return literal(node)
        case Name():
            return spoken(node.name)
        case Negation():
            return f"minus {sentence(node.operand)}"
        case Arithmetic():
            words = _ARITHMETIC[node.operator]
            return f"{_bracketed(node.left)} {words} {_bracketed(node.right)}"
        case Comparison():
            return f"{sentence(node.left)} {_SIGNS[node.operator]} {sentence(node.right)}"
        case Membership():
            word = "is none of" if node.negated else "is one of"
            among = node.among
            if isinstance(among, Name):
                word = "is not on the list" if node.negated else "is on the list"
            return f"{sentence(node.item)} {word} {_among(among)}"
        case Not():
            return f"it is not so that {_bracketed(node.operand)}"
        case Every():
            return " and ".join(map(_bracketed, node.parts))
        case Some():
            return " or ".join(map(_bracketed, node.parts))
        case Window():
            return _window(node)
    return _call(node)


def spoken(name: str) -> str:
    """The name of a value in words; a window at its end in brackets.

    >>> spoken("card_declines_24h"), spoken("amount")
    ('card declines (24 hours)', 'amount')
    """
    *words, last = name.split("_")
    span = span_words(last) if words else ""
    return f"{' '.join(words)} ({span})" if span else name.replace("_", " ")


def span_words(span: str) -> str:
    """A span in words, "" where it is none.

    >>> span_words("90m"), span_words("1d"), span_words("ip")
    ('90 minutes', '1 day', '')
    """
    found = _SPAN.fullmatch(span)
    if found is None:
        return ""
    count, unit = found.groups()
    assert unit in UNITS_MS
    return f"{count} {_UNITS[unit]}{'' if count == '1' else 's'}"


def _bracketed(node: Node) -> str:
    text = sentence(node)
    return f"({text})" if isinstance(node, Every | Some | Arithmetic) else text


def _among(among: Items | Name) -> str:
    if isinstance(among, Name):
        return among.name
    return ", ".join(map(literal, among.items))


def _call(node: Call) -> str:
    parts = [sentence(argument) for argument in node.arguments]
    if node.function in _CALLS:
        # A literal's quotes are of the language, not of the sentence.
        plain = [part.strip('"') for part in parts] if node.function in ("money", "date") else parts
        return _CALLS[node.function].format(*plain)
    if node.function in _LISTED:
        return _LISTED[node.function].format("; ".join(parts))
    words = {"starts_with": "begins with", "in_cidr": "lies in"}
    assert node.function in FUNCTIONS
    return f"{parts[0]} {words[node.function]} {' or '.join(parts[1:])}"


def _window(node: Window) -> str:
    kinds = " or ".join(str(one.value) for one in node.kinds)
    what = node.what.name if node.what is not None else ""
    words = {
        "count": f"the number of {kinds or 'payment'} records",
        "sum": f"the sum of {kinds + ' ' if kinds else ''}amounts",
        "max": f"the largest {kinds + ' ' if kinds else ''}amount",
        "avg": f"the mean {kinds + ' ' if kinds else ''}amount",
        "distinct": f"the number of different {what}",
    }[node.function]
    of = f" of {kinds}" if kinds and node.function == "distinct" else ""
    span = span_words(str(node.span.value))
    return f"{words}{of} of this {node.entity.name} in the last {span}"
