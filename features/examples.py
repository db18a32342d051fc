"""One small example per feature, in plain words, that really runs.

    2h ago payment amount 1000; 1m ago declined; now amount 4000 -> 4

Clauses are parted by semicolons. Each earlier one leaves a record in the log that the feature
reads; the last is the payment, at noon (UTC) of a Wednesday; behind the arrow stands the value,
to six digits, or "missing". Who is not named is the same everywhere (``account-1`` and so on).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from features.records import Facts, facts, pack
from features.spec import FeatureSpec
from features.tails import Tail
from risk.domain.event import Payment, TopUp, Transfer, Withdrawal
from risk.domain.kinds import RECORD_KIND_CODE, entities, record_kind
from risk.domain.observation import Arrival
from risk.domain.times import from_ms

NOW_MS: Final = 1_772_625_600_000  # 2026-03-04T12:00:00Z
_UNIT_MS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_AGO: Final = re.compile(r"(\d+)([smhd]) ago (\w+)((?: \w+ \S+)*)")
_NOW: Final = re.compile(r"now(?: (payment|transfer|withdrawal|top_up))?((?: \w+ \S+)*)")
_NAMES: Final = ("account", "card", "device", "ip", "merchant", "beneficiary")
_WORDS: Final = ("country", "card_country", "ip_country", "channel", "mcc")
_MAKER: Final = {
    "payment": Payment, "transfer": Transfer, "withdrawal": Withdrawal, "top_up": TopUp,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Example:
    """What a feature sees, and the value that it then has, as text."""

    arrival: Arrival
    tails: tuple[Tail, ...]
    value: str


def parse(spec: FeatureSpec) -> Example:
    """The example of ``spec``; ValueError names what cannot be read in it."""
    story, arrow, value = spec.example.rpartition(" -> ")
    *earlier, last = story.split("; ")
    found = _NOW.fullmatch(last)
    if not arrow or found is None:
        raise ValueError(f"{spec.name}: {spec.example!r} does not end in 'now ... -> value'")
    names = {} if spec.entity == "payment" else {spec.entity: f"{spec.entity}-1"}
    payment = _payment(found[1] or "payment", NOW_MS, names | _pairs(spec, found[2]))
    records = b"".join(_record(spec, clause, names) for clause in earlier)
    tails = tuple(
        Tail(kind, records if kind == spec.entity else b"", False) for kind, _ in entities(payment)
    )
    return Example(Arrival(payment, b"", b"", "http", NOW_MS, payment.amount_minor), tails, value)


def shown(value: float) -> str:
    """``value`` as examples write it."""
    return "missing" if math.isnan(value) else f"{value:.6g}"


def _pairs(spec: FeatureSpec, text: str) -> dict[str, str]:
    words = text.split()
    pairs = dict(zip(words[::2], words[1::2], strict=True))
    unknown = set(pairs) - {*_NAMES, *_WORDS, "amount", "at", "opened", "kyc"}
    if unknown:
        raise ValueError(f"{spec.name}: its example knows no {', '.join(sorted(unknown))}")
    return pairs


def _payment(kind: str, time_ms: int, pairs: dict[str, str]) -> Payment:
    fields: dict[str, Any] = dict(_fields(time_ms, {"account": "account-1"} | pairs))
    return _MAKER[kind](id="p-1", occurred_at=from_ms(time_ms), currency="EUR", **fields)


def _fields(time_ms: int, pairs: dict[str, str]) -> Iterator[tuple[str, Any]]:
    yield "amount_minor", int(pairs.get("amount", "0"))
    for name in (*_NAMES, *_WORDS):
        if pairs.get(name, "none") != "none":
            yield name, pairs[name]
    if "at" in pairs:
        lat, lon = pairs["at"].split(",")
        yield "lat", float(lat)
        yield "lon", float(lon)
    if "opened" in pairs:
        yield "account_opened_at", from_ms(time_ms - int(pairs["opened"][:-1]) * _UNIT_MS["d"])
    if "kyc" in pairs:
        yield "kyc_level", int(pairs["kyc"])


def _record(spec: FeatureSpec, clause: str, names: dict[str, str]) -> bytes:
    found = _AGO.fullmatch(clause)
    if found is None or found[3] not in RECORD_KIND_CODE:
        raise ValueError(f"{spec.name}: {clause!r} is not 'AGE ago KIND ...'")
    time_ms = NOW_MS - int(found[1]) * _UNIT_MS[found[2]]
    payment = _payment("payment", time_ms, names | _pairs(spec, found[4]))
    return pack(_left(payment, found[3]), spec.entity)


def _left(payment: Payment, kind: str) -> Facts:
    """What an event of ``kind`` with the payment's fields leaves."""
    of = facts(payment, record_kind(payment), payment.amount_minor)
    return of._replace(kind=RECORD_KIND_CODE[kind])
