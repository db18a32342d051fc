"""The functions of the rule language over columns: by numpy where every bit is the same.

Each takes the live function (its literals prepared), the columns or single values, and how many
rows there are. What numpy may round otherwise asks the live function itself, once for each
distinct value where that is cheaper.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, Final

import numpy as np

from risk.backtest.columns import Floats, Text
from risk.rules.functions import DAY_MS, HOUR_MS, hour_of, weekday_of
from risk.rules.local_time import local_ms

Live = Callable[..., Any]
_QUARTER_MS: Final = 15 * 60 * 1000  # offsets of local time change at such moments only


def _abs(_live: Live, values: Sequence[Any], _rows: int) -> Any:
    return abs(values[0])


def _least(_live: Live, values: Sequence[Any], _rows: int) -> Any:
    return _plain(reduce(np.minimum, values))


def _greatest(_live: Live, values: Sequence[Any], _rows: int) -> Any:
    return _plain(reduce(np.maximum, values))


def _plain(found: Any) -> Any:
    return found if isinstance(found, np.ndarray) else float(found)


def _ratio(live: Live, values: Sequence[Any], _rows: int) -> Any:
    if not any(isinstance(one, np.ndarray) for one in values):
        return live(*values)
    part, whole = values[:2]
    default = values[2] if len(values) > 2 else math.nan
    without = np.where(np.isnan(part), math.nan, default)
    return np.where(np.equal(whole, 0.0), without, np.divide(part, whole))


def _coalesce(live: Live, values: Sequence[Any], rows: int) -> Any:
    if any(isinstance(one, Text | str) for one in values):
        return _first_text(values, rows)
    if not any(isinstance(one, np.ndarray) for one in values):
        return live(*values)
    found = values[-1]
    for one in reversed(values[:-1]):
        found = np.where(np.isnan(one), found, one)
    return found


def _first_text(values: Sequence[Text | str], rows: int) -> Text:
    words: dict[str, int] = {}
    codes = np.full(rows, -1, np.int32)
    for one in values:
        column = Text(np.zeros(rows, np.int32), (one,)) if isinstance(one, str) else one
        used, inverse = np.unique(column.codes, return_inverse=True)
        places = [
            -1 if code < 0 else words.setdefault(column.words[code], len(words))
            for code in used.tolist()
        ]
        mine = np.array(places, np.int32)[inverse]
        codes = np.where(codes < 0, mine, codes)
    return Text(codes, tuple(words))


def _days_since(_live: Live, values: Sequence[Any], _rows: int) -> Any:
    return (values[0] - values[1]) / DAY_MS


def _hour_of(_live: Live, values: Sequence[Any], _rows: int) -> Any:
    return values[0] // HOUR_MS % 24.0


def _weekday_of(_live: Live, values: Sequence[Any], _rows: int) -> Any:
    return (values[0] // DAY_MS + 3.0) % 7.0


def _local(read: Callable[[Any], Any]) -> Callable[[Live, Sequence[Any], int], Any]:
    def of(_live: Live, values: Sequence[Any], rows: int) -> Floats:
        now, country = values
        column = Text(np.zeros(rows, np.int32), (country,)) if isinstance(country, str) else country
        quarter = np.floor_divide(now, _QUARTER_MS)
        known = (column.codes >= 0) & np.isfinite(now)
        found = np.full(rows, math.nan)
        pairs = np.stack([column.codes[known].astype(np.float64), quarter[known]])
        if pairs.size:
            distinct, inverse = np.unique(pairs, axis=1, return_inverse=True)
            ahead = [
                local_ms(at * _QUARTER_MS, column.words[int(code)]) - at * _QUARTER_MS
                for code, at in distinct.T.tolist()
            ]
            found[known] = now[known] + np.array(ahead)[inverse.ravel()]
        shown: Floats = read(found)
        return shown

    return of


def _by_value(live: Live, values: Sequence[Any], _rows: int) -> Any:
    """One argument: the live function on each distinct value."""
    (item,) = values
    if not isinstance(item, np.ndarray):
        return live(item)
    distinct, inverse = np.unique(item, return_inverse=True)
    return np.array([live(one) for one in distinct.tolist()], np.float64)[inverse]


def _by_row(live: Live, values: Sequence[Any], rows: int) -> Any:
    """The live function on each row that lacks nothing; unknown on the others."""
    columns = [np.broadcast_to(np.asarray(one, np.float64), (rows,)) for one in values]
    known = ~np.isnan(np.stack(columns)).any(axis=0)
    found = np.full(rows, math.nan)
    held = [column[known].tolist() for column in columns]
    found[known] = list(map(live, *held))
    return found


NUMERIC_FUNCTIONS: Final[dict[str, Callable[[Live, Sequence[Any], int], Any]]] = {
    "abs": _abs,
    "min": _least,
    "max": _greatest,
    "round": _by_value,
    "ratio": _ratio,
    "coalesce": _coalesce,
    "days_since": _days_since,
    "hour_of": _hour_of,
    "weekday_of": _weekday_of,
    "local_hour": _local(hour_of),
    "local_weekday": _local(weekday_of),
    "distance_km": _by_row,
}
