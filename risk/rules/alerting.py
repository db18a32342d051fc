"""How a rule raises alerts, and rate rules over decisions: what stands in a book, and their text.

A rate rule compares ``rate(SUBJECT, "SPAN")``, the number of decisions of one subject in the last
span, with a number or with ``NUMBER * usual``. What is usual is the median of earlier spans.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Annotated, Final, Literal, NamedTuple, NoReturn

import msgspec
from msgspec import Meta

from risk.domain.outcome import Outcome
from risk.rules.checker import nearest
from risk.rules.syntax import TEXT_BYTES_MAX, Refused, problem

Severity = Literal["low", "medium", "high", "critical"]
SEVERITIES: Final[tuple[Severity, ...]] = ("low", "medium", "high", "critical")
Group = Literal[
    "rule", "payment", "account", "card", "merchant", "device", "ip", "beneficiary", "reason"
]
Subject = Literal["rule", "reason", "merchant", "outcome", "all"]
SUBJECTS: Final[tuple[Subject, ...]] = ("rule", "reason", "merchant", "outcome", "all")

MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
SPAN_MIN_MS: Final = 5 * MINUTE_MS
SLOTS_OF_SPAN: Final = 4  # a span moves on by a quarter of its length
SPAN_UNITS_MS: Final = {"m": MINUTE_MS, "h": 60 * MINUTE_MS}
SUPPRESS_MAX_MS: Final = 7 * DAY_MS
NUMBER_MAX: Final = 1_000_000_000.0

RuleId = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{2,63}$")]
Text = Annotated[str, Meta(min_length=1, max_length=300)]
Within = Annotated[str, Meta(pattern="^[1-9][0-9]{0,4}[mh]$")]
Operator = Literal["<", "<=", ">", ">="]
OPERATORS: Final[dict[Operator, Callable[[float, float], bool]]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip

_TOKENS: Final = re.compile(
    r"\s*(?:(?P<name>[A-Za-z_]\w*)|(?P<number>\d+(?:\.\d+)?)|(?P<text>\"[^\"]*\"|'[^']*')"
    r"|(?P<sign><=|>=|==|!=|[<>(),*])|(?P<other>\S))"
)
_SPAN: Final = re.compile(r"([1-9][0-9]{0,4})([mh])")
_SHAPE: Final = 'rate(rule, "10m") > 5 * usual'


class Alerting(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """How the hits of a rule become alerts.

    Hits with the same value of ``group_by`` raise one alert ``within`` a span (m or h).
    """

    severity: Severity = "medium"
    group_by: Group = "account"
    within: Within = "1h"


class Usual(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What ``usual`` is: the median of ``last`` earlier spans.

    Over ``spans``: those right before the one that is looked at. Over ``days``: those that ended
    at the same time of the day before, the day before that, and so on. At least ``known`` of
    them must lie after the first decision that the publisher of alerts saw.
    """

    over: Literal["spans", "days"] = "spans"
    last: Annotated[int, Meta(ge=3, le=48)] = 24
    known: Annotated[int, Meta(ge=3, le=48)] = 6


class RateRule(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A rule over how often something is decided, for each subject by itself.

    ``only`` names the subjects that are looked at (all, where it is empty); ``outcome`` counts
    those decisions only. A comparison with ``usual`` needs ``at_least`` decisions: in the span
    for a spike, usually for a silence. One alert of a subject is raised ``within`` a span.
    """

    id: RuleId
    name: Text
    when: str
    sentence: Text
    owner: Text
    severity: Severity = "high"
    state: Literal["draft", "live", "retired"] = "draft"
    only: tuple[Text, ...] = ()
    outcome: Outcome | None = None
    usual: Usual = Usual()
    at_least: Annotated[int, Meta(ge=1, le=1_000_000)] = 20
    within: Within = "1h"


class RateTest(NamedTuple):
    """What the text of a rate rule says. ``factor`` multiplies usual, or stands alone."""

    subject: Subject
    span_ms: int
    sign: Operator
    factor: float
    usual: bool

    @property
    def silence(self) -> bool:
        """Whether it looks for too few decisions."""
        return self.sign in ("<", "<=")

    @property
    def slot_ms(self) -> int:
        """By how much the span moves on."""
        return self.span_ms // SLOTS_OF_SPAN

    def holds(self, count: int, usual: float) -> bool:
        """Whether ``count`` decisions in the span are what is looked for."""
        return OPERATORS[self.sign](count, self.factor * usual if self.usual else self.factor)


def within_ms(text: str) -> int:
    """A span as "90m" or "2h" in milliseconds; raises ValueError for another text.

    >>> within_ms("90m")
    5400000
    """
    found = _SPAN.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no span; write minutes or hours, as 10m or 24h")
    return int(found[1]) * SPAN_UNITS_MS[found[2]]


def read_rate(text: str) -> RateTest:
    """What ``text`` says; raises Refused with line, column and what was expected.

    >>> read_rate('rate(merchant, "1h") < 0.1 * usual').silence
    True
    """
    return _Reader(text).test()


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


class _Reader:
    """Reads the one sentence that a rate rule is, token by token."""

    def __init__(self, text: str) -> None:
        self._text = text
        if len(text.encode(errors="replace")) > TEXT_BYTES_MAX:
            self._refuse(0, "the rule is too long", f"at most {TEXT_BYTES_MAX} bytes")
        self._tokens = [
            _Token(kind, found[kind], found.start(kind))
            for found in _TOKENS.finditer(text)
            if (kind := found.lastgroup)
        ]
        self._next = 0

    def test(self) -> RateTest:
        """The whole text."""
        self._word("rate", ("rate",))
        self._sign("(", ("(",))
        subject = self._subject()
        self._sign(",", (",",))
        span_ms = self._span()
        self._sign(")", (")",))
        sign = self._sign("one of < <= > >=", tuple(OPERATORS))
        factor, usual = self._threshold()
        rest = self._peek()
        if rest is not None:
            self._refuse(rest.at, "text after the condition", f"nothing more, as in {_SHAPE}")
        if usual and factor == 0.0:
            self._refuse(0, "0 * usual is always 0", "another factor")
        return RateTest(subject, span_ms, sign, factor, usual)  # type: ignore[arg-type]

    def _subject(self) -> Subject:
        return self._word(  # type: ignore[return-value]
            "a subject: " + ", ".join(SUBJECTS), SUBJECTS
        )

    def _span(self) -> int:
        token = self._take('a span in quotes, as "10m"', "text")
        inside = token.text[1:-1]
        try:
            span_ms = within_ms(inside)
        except ValueError as error:
            self._refuse(token.at, str(error))
        if span_ms < SPAN_MIN_MS or span_ms > DAY_MS or DAY_MS % span_ms:
            self._refuse(
                token.at,
                f"a span of {inside}",
                "5 minutes to 24 hours that go into a day without rest, as 5m, 10m, 15m, 1h, 6h",
            )
        return span_ms

    def _threshold(self) -> tuple[float, bool]:
        token = self._peek()
        if token is not None and token.kind == "name":
            self._word("usual", ("usual",))
            return (self._number(), True) if self._follows("*") else (1.0, True)
        number = self._number()
        if self._follows("*"):
            self._word("usual", ("usual",))
            return number, True
        return number, False

    def _number(self) -> float:
        token = self._take("a number or usual", "number")
        if float(token.text) > NUMBER_MAX:
            self._refuse(token.at, "the number is too large", f"at most {NUMBER_MAX:g}")
        return float(token.text)

    def _follows(self, sign: str) -> bool:
        token = self._peek()
        found = token is not None and token.text == sign
        self._next += found
        return found

    def _sign(self, expected: str, signs: tuple[str, ...]) -> str:
        token = self._take(expected, "sign")
        if token.text not in signs:
            self._refuse(token.at, f"{token.text!r} does not fit here", expected)
        return token.text

    def _word(self, expected: str, words: tuple[str, ...]) -> str:
        token = self._take(expected, "name")
        if token.text not in words:
            self._refuse(
                token.at, f"unknown name {token.text}", expected, nearest(token.text, words)
            )
        return token.text

    def _take(self, expected: str, kind: str) -> _Token:
        token = self._peek()
        if token is None:
            self._refuse(len(self._text), "the rule ends here", expected)
        if token.kind != kind:
            self._refuse(token.at, f"{token.text} does not fit here", expected)
        self._next += 1
        return token

    def _peek(self) -> _Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _refuse(self, at: int, message: str, expected: str = "", suggestion: str = "") -> NoReturn:
        raise Refused([problem(self._text, at, message, expected, suggestion)]) from None
