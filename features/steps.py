"""The words in which a feature says how it is computed: steps over tails, the event, results.

A missing input makes a missing result. Nothing here computes; ``features.program`` turns
steps into the table that the kernel runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from features.operations import FACTS, FIELDS, OPERATIONS, RECENT_MAX, SLOTS
from risk.domain.kinds import ATTEMPTS, FRAUD_LABELS, RECORD_KIND_CODE
from risk.domain.limits import HORIZON_MS, TILE_WINDOW_MS_MIN

_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 24 * 60 * _MINUTE_MS
WINDOWS_MS: Final = {
    "5m": 5 * _MINUTE_MS,
    "1h": 60 * _MINUTE_MS,
    "24h": _DAY_MS,
    "7d": 7 * _DAY_MS,
    "30d": HORIZON_MS,
}
UNITS_MS: Final = {"s": 1000, "m": _MINUTE_MS, "h": 60 * _MINUTE_MS, "d": _DAY_MS}
INPUTS: Final = {
    "fact": 0, "divide": 2, "subtract": 2, "is_zero": 1, "seconds": 1, "per_hour": 2, "scale": 1,
}  # fmt: skip
_OWN_ROLE: Final = {"merchant": "counterparty", "beneficiary": "counterparty"}
SPENDING: Final = ("payment", "transfer", "withdrawal")  # attempts that take money out


@dataclass(frozen=True, slots=True)
class Past:
    """Records of some ``kinds`` in the log of ``entity``, in ``(t - window, t]``.

    Records up to 5 s newer than the event count as age 0.
    """

    entity: str
    window: str = "30d"
    kinds: tuple[str, ...] = ATTEMPTS

    @property
    def window_ms(self) -> int:
        # The windows that rules write out themselves are any whole number of a unit.
        return WINDOWS_MS.get(self.window) or int(self.window[:-1]) * UNITS_MS[self.window[-1]]

    @property
    def own_role(self) -> str:
        """The field that its records leave out, because it is the same in all of them."""
        return _OWN_ROLE.get(self.entity, self.entity)

    @property
    def mask(self) -> int:
        """One bit per record kind."""
        return sum(1 << RECORD_KIND_CODE[kind] for kind in self.kinds)


@dataclass(frozen=True, slots=True)
class Step:
    """One operation. Its value is a float64, NaN where it is missing."""

    operation: str
    past: Past | None = None
    field: str = ""
    number: int = 0
    inputs: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        if self.operation not in OPERATIONS:
            raise ValueError(f"unknown operation {self.operation!r}")
        if self.field and self.field not in FACTS:
            raise ValueError(f"unknown field {self.field!r}")
        if len(self.inputs) != INPUTS.get(self.operation, 0):
            raise ValueError(f"{self.operation} needs {INPUTS.get(self.operation, 0)} inputs")
        if (self.past is None) != (self.operation in INPUTS):
            raise ValueError(f"{self.operation} needs the past of an entity, or must not have it")
        if self.operation == "distinct" and self.field == "amount":
            raise ValueError("distinct amounts are not kept")
        if self.operation == "recent_median" and not 0 < self.number <= RECENT_MAX:
            raise ValueError(f"a recent median is of 1 to {RECENT_MAX} amounts")
        if self.operation in ("multiples", "just_under", "scale") and self.number <= 0:
            raise ValueError(f"{self.operation} needs a number above 0")
        if self.past is not None:
            if self.past.entity not in SLOTS:
                raise ValueError(f"no log of {self.past.entity!r} exists")
            if self.field and (self.field not in FIELDS or self.field == self.past.own_role):
                raise ValueError(f"records of {self.past.entity} have no field {self.field!r}")

    @property
    def tiled(self) -> bool:
        """Whether tiles tell what lies before the tail. The kernel decides the same."""
        if self.past is None or self.past.window_ms < TILE_WINDOW_MS_MIN:
            return False
        return self.operation == "count" or (
            self.field == "amount" and self.operation in ("sum", "known", "maximum")
        )

    def over_tails(self) -> list[Step]:
        """Every step over a tail that this one needs, itself among them."""
        found = [self] if self.past is not None else []
        return found + [one for earlier in self.inputs for one in earlier.over_tails()]

    def text(self) -> str:
        """The one canonical way to write this step.

        >>> divide(amount_sum(Past("card", "1h", ("payment",))), fact("amount")).text()
        'divide(sum(amount; card 1h payment), fact(amount, missing -1))'
        """
        words: list[str] = [step.text() for step in self.inputs]
        if self.operation == "fact":
            words.append(f"{self.field}, missing {self.number}")
        elif self.operation == "scale":
            words.append(str(self.number))
        elif self.past is not None:
            what = [self.field] if self.field else []
            what += [str(self.number)] if self.number else []
            where = f"{self.past.entity} {self.past.window} {'|'.join(self.past.kinds)}"
            words.append("; ".join([*what, where]))
        return f"{self.operation}({', '.join(words)})"


def fact(name: str, missing: int = -1) -> Step:
    """A value of the event itself; ``missing`` is the integer that says there is none."""
    return Step("fact", field=name, number=missing)


def count(past: Past) -> Step:
    """How many records; 0 where there are none."""
    return Step("count", past)


def known(past: Past, field: str) -> Step:
    """How many records know ``field``."""
    return Step("known", past, field)


def same(past: Past, field: str) -> Step:
    """How many records have the event's own value of ``field``; missing without one."""
    return Step("same", past, field)


def distinct(past: Past, field: str) -> Step:
    """How many different known values of ``field``; exact over the 20-bit hashes."""
    return Step("distinct", past, field)


def amount_sum(past: Past) -> Step:
    """Sum of the known amounts, in minor units of the base currency."""
    return Step("sum", past, "amount")


def amount_mean(past: Past) -> Step:
    """Mean of the known amounts."""
    return divide(amount_sum(past), known(past, "amount"))


def amount_maximum(past: Past) -> Step:
    """Largest known amount; missing where there is none."""
    return Step("maximum", past, "amount")


def amount_spread(past: Past) -> Step:
    """Population standard deviation of the known amounts; missing for fewer than two.

    Amounts are clamped to ``limits.AMOUNT_SQUARED_CLAMP``, so squares stay in 64 bits.
    """
    return Step("spread", past, "amount")


def amounts_at_most(past: Past, amount_minor: int) -> Step:
    """How many known amounts are at most ``amount_minor``."""
    return Step("at_most", past, "amount", amount_minor)


def amounts_at_most_own(past: Past) -> Step:
    """How many known amounts are at most the event's own."""
    return Step("at_most_own", past, "amount")


def newest_age(past: Past) -> Step:
    """Milliseconds since the newest record; missing where there is none."""
    return Step("newest_age", past)


def oldest_age(past: Past) -> Step:
    """Milliseconds since the oldest record; missing where there is none."""
    return Step("oldest_age", past)


def oldest_same_age(past: Past, field: str) -> Step:
    """Milliseconds since the oldest record with the event's own value of ``field``."""
    return Step("oldest_same_age", past, field)


def last_differs(past: Past, field: str) -> Step:
    """1 where the newest record that knows ``field`` has another value than the event."""
    return Step("last_differs", past, field)


def near_hour(past: Past) -> Step:
    """How many records lie at most one hour of the day (UTC) from the event's."""
    return Step("near_hour", past)


def distance(past: Past) -> Step:
    """Kilometres from the newest record with a place; see ``features.kernel`` for its error."""
    return Step("distance", past, "lat")


def place_age(past: Past) -> Step:
    """Milliseconds since the newest record with a place."""
    return Step("place_age", past, "lat")


def divide(above: Step, below: Step) -> Step:
    """``above / below``; missing where ``below`` is 0."""
    return Step("divide", inputs=(above, below))


def subtract(left: Step, right: Step) -> Step:
    """``left - right``."""
    return Step("subtract", inputs=(left, right))


def is_zero(of: Step) -> Step:
    """1 where ``of`` is 0, else 0."""
    return Step("is_zero", inputs=(of,))


def seconds(of: Step) -> Step:
    """Milliseconds as seconds."""
    return Step("seconds", inputs=(of,))


def per_hour(of: Step, age_ms: Step) -> Step:
    """``of`` divided by ``age_ms`` in hours; less than one minute counts as one minute."""
    return Step("per_hour", inputs=(of, age_ms))


def scale(of: Step, number: int) -> Step:
    """``of`` times ``number``."""
    return Step("scale", number=number, inputs=(of,))


def distinct_other(past: Past, field: str) -> Step:
    """How many different known values of ``field`` other than the event's own.

    Missing where the event has none.
    """
    return Step("distinct_other", past, field)


def same_weekday(past: Past) -> Step:
    """How many records fall on the event's day of the week (UTC)."""
    return Step("same_weekday", past)


def multiples(past: Past, number: int) -> Step:
    """How many amounts above 0, in their own currency, are a multiple of ``number``."""
    return Step("multiples", past, number=number)


def just_under(past: Past, threshold_minor: int) -> Step:
    """How many known amounts are below ``threshold_minor``, by a tenth of it at most."""
    return Step("just_under", past, "amount", threshold_minor)


def recent_median(past: Past, size: int) -> Step:
    """Median of the ``size`` known amounts that came last (by sequence), or of all if fewer.

    Exact within any tail that still holds so many.
    """
    return Step("recent_median", past, "amount", size)


def labelled_run(entity: str, window: str = "30d") -> Step:
    """Attempts in a row whose account was labelled as fraud afterwards, the newest such row.

    Records of labels name no payment, so an account stands for it. Attempts after the run
    that have no label yet do not end it.
    """
    return _run("run_length", entity, window)


def labelled_run_age(entity: str, window: str = "30d") -> Step:
    """Milliseconds since the first attempt of that row; missing where there is none."""
    return _run("run_age", entity, window)


def clean_after_run(entity: str, window: str = "30d") -> Step:
    """Attempts after that row that had as long to be labelled as its newest one, and were not.

    How long is the time from the row's newest attempt to the newest label of its account.
    Missing where there is no row.
    """
    return _run("run_clean", entity, window)


def _run(operation: str, entity: str, window: str) -> Step:
    labels = Past(entity, window, FRAUD_LABELS)
    past = Past(entity, window, (*ATTEMPTS, *FRAUD_LABELS))
    return Step(operation, past, "account", labels.mask)


def gone(entity: str, window: str, into: tuple[str, ...], out: tuple[str, ...]) -> Step:
    """What went ``out`` in the hour after the newest record of ``into``, over its amount.

    Missing without such a record in the window, or where its amount is 0 or unknown.
    """
    return Step("gone", Past(entity, window, (*into, *out)), number=Past(entity, window, into).mask)
