"""A slow, obvious evaluator of rule texts, independent of the compiler, and random texts.

None is unknown, for every type. It walks Python's own tree of the text.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from datetime import datetime
from ipaddress import IPv6Address, ip_address, ip_network
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from risk.domain.money import ExchangeRates
from risk.rules.schema import Schema
from risk.rules.syntax import Type

Known = float | str | bool | None
DAY_MS = 86_400_000.0
HOUR_MS = 3_600_000.0
_ZONES = {"DE": "Europe/Berlin", "US": "America/New_York", "IN": "Asia/Kolkata"}

_SIGNS: dict[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.Mod: operator.mod,
}  # fmt: skip
_TESTS: dict[type[ast.AST], Callable[..., bool]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip


class Oracle:
    """Answers one text for one payment. ``lists`` are named sets of text."""

    def __init__(self, values: Mapping[str, Known], lists: Mapping[str, frozenset[str]]) -> None:
        self._values = values
        self._lists = lists

    def answer(self, text: str) -> bool | None:
        found = self._of(ast.parse(text, mode="eval").body)
        assert found is None or isinstance(found, bool)
        return found

    def _of(self, node: ast.expr) -> Known:
        if isinstance(node, ast.Constant):
            value = node.value
            assert isinstance(value, bool | int | float | str)
            return value if isinstance(value, bool | str) else float(value)
        if isinstance(node, ast.Name):
            return self._values[node.id]
        if isinstance(node, ast.UnaryOp):
            inner = self._of(node.operand)
            if inner is None:
                return None
            return (not inner) if isinstance(node.op, ast.Not) else -float(inner)
        if isinstance(node, ast.BinOp):
            return arithmetic(type(node.op), self._of(node.left), self._of(node.right))
        if isinstance(node, ast.BoolOp):
            parts = [self._of(part) for part in node.values]
            return every(parts) if isinstance(node.op, ast.And) else some(parts)
        if isinstance(node, ast.Compare):
            return self._compare(node)
        assert isinstance(node, ast.Call)
        assert isinstance(node.func, ast.Name)
        if node.func.id in ("count", "avg"):
            return self._values[ast.unparse(node).replace("'", '"')]
        return self._call(node.func.id, node.args)

    def _compare(self, node: ast.Compare) -> bool | None:
        left: ast.expr = node.left
        answers: list[Known] = []
        for test, right in zip(node.ops, node.comparators, strict=True):
            first = self._of(left)
            if isinstance(test, ast.In | ast.NotIn):
                inside = None if first is None else first in self._members(right)
                negated = isinstance(test, ast.NotIn)
                answers.append(None if inside is None else inside is not negated)
            else:
                second = self._of(right)
                known = first is not None and second is not None
                answers.append(_TESTS[type(test)](first, second) if known else None)
            left = right
        return every(answers)

    def _members(self, node: ast.expr) -> set[Known]:
        if isinstance(node, ast.Name):
            return set(self._lists[node.id])
        assert isinstance(node, ast.Tuple | ast.List)
        return {self._of(element) for element in node.elts}

    def _call(self, name: str, arguments: list[ast.expr]) -> Known:
        values = [self._of(argument) for argument in arguments]
        if name == "is_missing":
            return values[0] is None
        if name in ("any_of", "all_of"):
            return (some if name == "any_of" else every)(values)
        if name == "coalesce":
            return next((value for value in values if value is not None), None)
        if name in ("days_since", "local_hour", "local_weekday"):
            values = [self._values["occurred_at"], *values]
        if name == "between":
            x, low, high = values
            above = None if x is None or low is None else x >= low  # type: ignore[operator]
            below = None if x is None or high is None else x <= high  # type: ignore[operator]
            return every([above, below])
        if name == "ratio" and values[1] == 0 and values[0] is not None:
            return values[2] if len(values) > 2 else None
        if name == "ratio":
            return arithmetic(ast.Div, values[0], values[1])
        if None in values:
            return None
        return real(_CALLS[name](*values))


def real(value: Known) -> Known:
    return None if isinstance(value, float) and math.isnan(value) else value


def arithmetic(sign: type[ast.AST], left: Known, right: Known) -> Known:
    if left is None or right is None:
        return None
    assert not isinstance(left, str)
    assert not isinstance(right, str)
    if sign in (ast.Div, ast.Mod) and right == 0:
        return None
    return real(_SIGNS[sign](left, right))


def every(parts: list[Known]) -> bool | None:
    return False if False in parts else None if None in parts else True


def some(parts: list[Known]) -> bool | None:
    return True if True in parts else None if None in parts else False


def _clock(at: Known, country: Known) -> datetime | None:
    """What the clocks of a country show, by the time zone database."""
    assert isinstance(at, float)
    zone = _ZONES.get(str(country))
    return None if zone is None else datetime.fromtimestamp(at / 1000, ZoneInfo(zone))


def _distance(*degrees: float) -> float | None:
    """Along a great circle, by the angle between two vectors."""
    if any(abs(one) > most for one, most in zip(degrees, (90, 180, 90, 180), strict=True)):
        return None
    lat_1, lon_1, lat_2, lon_2 = map(math.radians, degrees)
    a, b = _on_sphere(lat_1, lon_1), _on_sphere(lat_2, lon_2)
    return round(2 * 6371.0088 * math.asin(min(1.0, math.dist(a, b) / 2)), 3)


def _on_sphere(lat: float, lon: float) -> tuple[float, float, float]:
    return math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)


def _inside(text: str, *networks: str) -> bool | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in ip_network(network) for network in networks)


_CALLS: dict[str, Callable[..., Known]] = {
    "abs": abs,
    "min": lambda *v: sorted(v)[0],
    "max": lambda *v: sorted(v)[-1],
    "round": lambda x, digits=0.0: round(x, int(digits)),
    "lower": str.lower,
    "starts_with": lambda x, *prefixes: any(x[: len(p)] == p for p in prefixes),
    "in_cidr": _inside,
    "money": lambda amount, _euro: float(round(amount * 100)),
    "date": lambda text: {"2026-01-31": 1_769_817_600_000.0}[text],
    "days_since": lambda now, then: (now - then) / DAY_MS,
    "hour_of": lambda at: math.floor(at / HOUR_MS) % 24 * 1.0,
    "local_hour": lambda at, land: float(at_.hour) if (at_ := _clock(at, land)) else None,
    "local_weekday": lambda at, land: float(at_.weekday()) if (at_ := _clock(at, land)) else None,
    "distance_km": _distance,
    "weekday_of": lambda at: (math.floor(at / DAY_MS) + 3) % 7 * 1.0,
}

NUMBER_NAMES = ("n_one", "n_two", "amount", "score")
FLAG_NAMES = ("flag_one", "flag_two")
TEXT_NAMES = ("merchant", "device", "ip")
TIME_NAMES = ("account_opened_at", "occurred_at")
TEXTS = ("a", "B", "b", "mrc_1", "10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1", "", "DE", "US", "IN")
WINDOW_NAMES = ('count(card, "1h")', 'avg(account, "3h", amount)')
LISTS = {"trusted": frozenset(("a", "mrc_1"))}
SCHEMA = Schema(
    features=(
        ("n_one", Type.NUMBER),
        ("n_two", Type.INTEGER),
        ("flag_one", Type.BOOLEAN),
        ("flag_two", Type.BOOLEAN),
    ),
    lists=dict.fromkeys(LISTS, "text"),
)
RATES = ExchangeRates(base="EUR", as_of="2026-01-01", source="test", rates_e9={"USD": 900_000_000})
TYPES = SCHEMA.types()
SLOTS = {name: slot for slot, name in enumerate([*TYPES, *WINDOW_NAMES])}

_numbers = st.sampled_from(["0", "1", "2", "0.5", "3", "100", "1e15", "-1"])
_texts = st.sampled_from([f'"{text}"' for text in TEXTS])


_of_two = st.sampled_from(["min", "max", "coalesce", "ratio"])


def _infix(parts: st.SearchStrategy[str], *signs: str) -> st.SearchStrategy[str]:
    return st.builds("({} {} {})".format, parts, st.sampled_from(signs), parts)


def number_texts() -> st.SearchStrategy[str]:
    moments = st.sampled_from([*TIME_NAMES, 'date("2026-01-31")'])
    leaves = st.one_of(
        st.sampled_from(NUMBER_NAMES),
        _numbers,
        st.builds(
            "{}({})".format, st.sampled_from(["days_since", "hour_of", "weekday_of"]), moments
        ),
        st.just('money(12.5, "EUR")'),
        st.sampled_from(WINDOW_NAMES),
        st.builds("local_{}({})".format, st.sampled_from(["hour", "weekday"]), text_texts()),
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            _infix(inner, "+", "-", "*", "/", "%"),
            st.builds("-({})".format, inner),
            st.builds("{}({})".format, st.sampled_from(["abs", "round"]), inner),
            st.builds("round({}, {})".format, inner, st.sampled_from(["0", "2"])),
            st.builds("{}({}, {})".format, _of_two, inner, inner),
            st.builds("ratio({}, {}, {})".format, inner, inner, inner),
            st.builds("distance_km({}, {}, {}, {})".format, inner, inner, inner, inner),
        ),
        max_leaves=6,
    )  # fmt: skip


def text_texts() -> st.SearchStrategy[str]:
    return st.recursive(
        st.one_of(st.sampled_from(TEXT_NAMES), _texts),
        lambda inner: st.one_of(
            st.builds("lower({})".format, inner),
            st.builds("coalesce({}, {})".format, inner, inner),
        ),
        max_leaves=3,
    )


def condition_texts() -> st.SearchStrategy[str]:
    """Well-typed rules over the names above."""
    numbers, texts = number_texts(), text_texts()
    order = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
    moments = st.sampled_from([*TIME_NAMES, 'date("2026-01-31")'])
    word = st.sampled_from(["in", "not in"])
    atoms = st.one_of(
        st.sampled_from([*FLAG_NAMES, "True", "False"]),
        st.builds("{} {} {}".format, numbers, order, numbers),
        st.builds("{} {} {} {} {}".format, numbers, order, numbers, order, numbers),
        st.builds("{} {} {}".format, moments, order, moments),
        st.builds("{} {} {}".format, texts, st.sampled_from(["==", "!="]), texts),
        st.builds("{} {} ({}, {})".format, numbers, word, _numbers, _numbers),
        st.builds("{} {} [{}, {}]".format, texts, word, _texts, _texts),
        st.builds("{} {} trusted".format, texts, word),
        st.builds("between({}, {}, {})".format, numbers, numbers, numbers),
        st.builds('starts_with({}, "m", "10.")'.format, texts),
        st.builds('in_cidr({}, "10.0.0.0/8", "2001:db8::/32")'.format, texts),
        st.builds("is_missing({})".format, st.one_of(numbers, texts, st.sampled_from(FLAG_NAMES))),
    )
    return st.recursive(
        atoms.map("({})".format),
        lambda inner: st.one_of(
            _infix(inner, "and", "or"),
            st.builds("(not {})".format, inner),
            st.builds("{}({}, {})".format, st.sampled_from(["any_of", "all_of"]), inner, inner),
        ),
        max_leaves=6,
    )


def value_sets() -> st.SearchStrategy[dict[str, Known]]:
    """Values for every name, missing ones as None."""
    number = st.sampled_from([None, 0.0, 1.0, -1.0, 2.0, 0.5, 100.0, 1e308, -1e308, 1e-300])
    text = st.sampled_from([None, *TEXTS])
    moment = st.sampled_from([None, 0.0, 1_769_817_600_000.0, 1_769_903_999_999.0])
    flag = st.sampled_from([None, True, False])
    named: dict[str, st.SearchStrategy[Known]] = {
        **dict.fromkeys((*NUMBER_NAMES, *WINDOW_NAMES), number),
        **dict.fromkeys(TEXT_NAMES, text),
        **dict.fromkeys(TIME_NAMES, moment),
        **dict.fromkeys(FLAG_NAMES, flag),
    }
    return st.fixed_dictionaries(named)
