"""Windows that a rule writes out: what is counted, in which log, over which span.

A window has one canonical text, which is also its name in rows, examples and evidence.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from risk.domain.kinds import ATTEMPTS, ENTITY_KINDS, FRAUD_LABELS, RECORD_KIND_CODE
from risk.domain.limits import HORIZON_MS
from risk.rules.syntax import Constant, Type, Window

UNITS_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
WINDOWS_MAX: Final = 64  # of one book
_SPAN: Final = re.compile(r"([1-9][0-9]{0,6})([smhd])")
# Groups of kinds that analysts speak of.
KIND_GROUPS: Final = {"attempt": ATTEMPTS, "fraud": FRAUD_LABELS}
# What may be counted as different: the word, and the field of the record that holds it.
OTHERS: Final = {
    "accounts": "account", "cards": "card", "devices": "device", "ips": "ip",
    "merchants": "counterparty", "beneficiaries": "counterparty", "countries": "country",
    "mccs": "mcc", "channels": "channel", "currencies": "currency",
}  # fmt: skip
_OTHERS_KINDS: Final = {
    "merchants": ("payment", "withdrawal", "top_up"),
    "beneficiaries": ("transfer",),
}
# Its own name is left out of an entity's records, because it is the same in all of them.
_OWN: Final = {"merchant": "counterparty", "beneficiary": "counterparty"}


class WindowFunction(NamedTuple):
    """One function over a window. ``field`` is what stands third, "" for nothing."""

    name: str
    field: str
    result: Type
    sentence: str
    example: str


WINDOW_FUNCTIONS: Final = {
    one.name: one
    for one in (
        WindowFunction("count", "", Type.INTEGER, "How many records; 0 where there are none.",
                       'count(card, "1h", kind="declined") >= 3'),
        WindowFunction("sum", "amount", Type.INTEGER,
                       "Sum of the amounts, in minor units of the base currency.",
                       'sum(account, "3h", amount) > money(2000, "EUR")'),
        WindowFunction("max", "amount", Type.INTEGER,
                       "The largest amount; unknown where there is none.",
                       'amount > 5 * max(account, "14d", amount)'),
        WindowFunction("avg", "amount", Type.NUMBER,
                       "The mean amount; unknown where there is none.",
                       'amount > 5 * avg(account, "14d", amount)'),
        WindowFunction("distinct", "others", Type.INTEGER,
                       "How many different others, as accounts, cards, merchants or countries.",
                       'distinct(device, "2d", accounts) >= 4'),
    )
}  # fmt: skip
# Microseconds that one more window costs a payment with 72 records in the log, rounded up: the
# kernel alone, measured with one window more and less. Reading a log costs nothing more.
COST_US: Final = {"count": 0.4, "sum": 0.4, "max": 0.4, "avg": 0.9, "distinct": 1.0}
WINDOW_SIGNATURE: Final = (
    'count(entity, "span"), sum|max|avg(entity, "span", amount) or'
    ' distinct(entity, "span", others), each with kind="..." where wanted'
)


class WindowKey(NamedTuple):
    """What a window asks for. ``kinds`` are in the order of their codes.

    ``what`` is "amount", a word of ``OTHERS``, or "".
    """

    function: str
    entity: str
    span_ms: int
    what: str
    kinds: tuple[str, ...]

    def text(self) -> str:
        """The one canonical way to write this window.

        >>> WindowKey("count", "card", 7_200_000, "", ("declined",)).text()
        'count(card, "2h", kind="declined")'
        """
        parts = [self.entity, f'"{span_text(self.span_ms)}"', *([self.what] if self.what else [])]
        if self.kinds != default_kinds(self.what):
            words = ", ".join(f'"{kind}"' for kind in self.kinds)
            parts.append(f"kind={words}" if len(self.kinds) == 1 else f"kind=({words})")
        return f"{self.function}({', '.join(parts)})"

    @property
    def result(self) -> Type:
        """The type of its value."""
        return WINDOW_FUNCTIONS[self.function].result


def span_text(span_ms: int) -> str:
    """A span in the largest unit that divides it.

    >>> span_text(86_400_000), span_text(5_400_000)
    ('1d', '90m')
    """
    unit = next(unit for unit in "dhms" if span_ms % UNITS_MS[unit] == 0)
    return f"{span_ms // UNITS_MS[unit]}{unit}"


def default_kinds(what: str) -> tuple[str, ...]:
    """The kinds of record that count where a rule names none.

    >>> default_kinds("beneficiaries")
    ('transfer',)
    """
    return _OTHERS_KINDS.get(what, ATTEMPTS)


def key_of(node: Window, report: Callable[[int, str, str, str], None]) -> WindowKey | None:
    """What ``node`` asks for; each mistake goes to ``report`` (at, message, expected, nearest).

    ``nearest`` gets the wrong word; the caller looks for what is like it.
    """
    wrong: list[bool] = []

    def refuse(at: int, message: str, expected: str = "", word: str = "") -> None:
        wrong.append(True)
        report(at, message, expected, word)

    if node.entity.name not in ENTITY_KINDS:
        refuse(
            node.entity.at,
            f"{node.entity.name} has no log",
            f"one of {', '.join(ENTITY_KINDS)}",
            node.entity.name,
        )
    span_ms = _span(node.span, refuse)
    what = _what(node, refuse)
    kinds = _kinds(node, refuse) if node.kinds else default_kinds(what)
    return None if wrong else WindowKey(node.function, node.entity.name, span_ms, what, kinds)


_Refuse = Callable[..., None]


def _span(span: Constant, refuse: _Refuse) -> int:
    found = _SPAN.fullmatch(span.value) if isinstance(span.value, str) else None
    if found is None:
        refuse(span.at, f"{span.value!r} is no span", 'a number of s, m, h or d, as "90m"')
        return 0
    span_ms = int(found.group(1)) * UNITS_MS[found.group(2)]
    if span_ms > HORIZON_MS:
        refuse(span.at, f"a span of {span.value}", f'at most "{span_text(HORIZON_MS)}"')
    return span_ms


def _what(node: Window, refuse: _Refuse) -> str:
    wanted = WINDOW_FUNCTIONS[node.function].field
    found = node.what
    if not wanted:
        if found is not None:
            refuse(found.at, f"{node.function} takes no {found.name}", WINDOW_SIGNATURE)
        return ""
    allowed = ("amount",) if wanted == "amount" else _others(node.entity.name)
    if found is None or found.name not in allowed:
        at = node.at if found is None else found.at
        word = "" if found is None else found.name
        message = f"{node.function} of {word}" if word else f"{node.function} of nothing"
        refuse(at, message, f"one of {', '.join(allowed)}", word)
        return ""
    return found.name


def _others(entity: str) -> tuple[str, ...]:
    """What the log of ``entity`` can tell apart."""
    own = _OWN.get(entity, entity)
    return tuple(word for word, field in OTHERS.items() if field != own)


def _kinds(node: Window, refuse: _Refuse) -> tuple[str, ...]:
    chosen: set[str] = set()
    for one in node.kinds:
        word = str(one.value)
        if word in KIND_GROUPS:
            chosen.update(KIND_GROUPS[word])
        elif word in RECORD_KIND_CODE:
            chosen.add(word)
        else:
            known = ", ".join([*KIND_GROUPS, *RECORD_KIND_CODE])
            refuse(one.at, f"no record is of kind {word!r}", f"one of {known}", word)
    return tuple(sorted(chosen, key=lambda kind: RECORD_KIND_CODE[kind]))
