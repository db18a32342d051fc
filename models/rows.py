"""The rows of a training set as training and evaluation want them: samples, accounts, segments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.catalogue import FEATURE_NAMES
from models.dataset import Samples
from models.trainset import Trainset
from risk.domain.errors import BadConfiguration

Words = NDArray[np.object_]
NEW_ACCOUNT_DAYS: Final = 30
# Upper ends of the amount bands, in base minor units.
BANDS: Final = (
    (1_000, "up to 10"),
    (5_000, "10 to 50"),
    (20_000, "50 to 200"),
    (100_000, "200 to 1,000"),
)
_MOST: Final = "over 1,000"
UNKNOWN: Final = "unknown"
_SERVED: Final = ("served_score", "served_outcome", "served_propensity")


class Served(NamedTuple):
    """What was answered, a column each: score (NaN without one), outcome ("" unknown), and the
    propensity of what was let through by chance (NaN of all others)."""

    score: NDArray[np.float64]
    outcome: Words
    propensity: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rows:
    """``samples``, and beside each row its payment id, a number of its account, and segments.

    ``segments`` has a word per row under channel, country, amount, mcc and account. ``told`` says
    where the rows come from (the manifest's digest, range, certificate); ``until_ms`` is when
    labels were looked at; ``served`` is None where nothing was. ``scenario`` is the truth of a
    made-up world ("" of honest payments), None of any other: it is for measuring, never a feature.
    """

    samples: Samples
    payment_id: Words
    account: NDArray[np.int64]
    segments: Mapping[str, Words]
    told: Mapping[str, Any]
    until_ms: int
    served: Served | None = None
    scenario: Words | None = None

    def __len__(self) -> int:
        return len(self.samples)


def rows_of(of: Trainset) -> Rows:
    """The rows of a set on disk, in their order."""
    told = ("payment_id", "tenant", "account", "channel", "country", "mcc", "scenario")
    table = of.table([*told, *(name for name in _SERVED if name in of.columns())])
    samples = of.samples()
    names = zip(table["tenant"].to_pylist(), table["account"].to_pylist(), strict=True)
    numbers: dict[tuple[str, str], int] = {}
    account = [numbers.setdefault(name, len(numbers)) for name in names]
    age = samples.matrix[:, FEATURE_NAMES.index("payment_account_age_days")]
    manifest = of.manifest
    return Rows(
        samples=samples,
        payment_id=np.array(table["payment_id"].to_pylist(), dtype=object),
        account=np.array(account, dtype=np.int64),
        segments={
            **{name: _words(table[name].to_pylist()) for name in ("channel", "country", "mcc")},
            "amount": amount_band(samples.amount_base),
            "account": _age_words(age),
        },
        told={
            "source": dict(manifest.source),
            "sha256": manifest.file.sha256,
            "from": manifest.from_,
            "to": manifest.to,
            "labels_as_of": manifest.labels_as_of,
            "catalogue": manifest.catalogue,
            "left_out": dict(manifest.left_out),
            "certificate": manifest.certificate,
        },
        until_ms=of.labels_as_of_ms,
        served=_served(table),
        scenario=_scenario(table["scenario"].to_pylist()),
    )


def _scenario(told: list[str | None]) -> Words | None:
    return np.array([one or "" for one in told], dtype=object) if any(told) else None


def _served(table: Any) -> Served | None:
    outcomes = table["served_outcome"].to_pylist()
    if not any(outcomes):
        return None
    score = table["served_score"].fill_null(float("nan")).to_numpy()
    propensity = np.full(len(score), np.nan)
    if _SERVED[2] in table.column_names:  # sets from before exploration lack it
        propensity = table[_SERVED[2]].fill_null(float("nan")).to_numpy()
    words = np.array([outcome or "" for outcome in outcomes], dtype=object)
    return Served(score, words, propensity)


def amount_band(amount_base: NDArray[np.int64]) -> Words:
    """The band of each amount, in whole units of the base currency.

    >>> amount_band(np.array([-1, 1_000, 1_001, 999_999])).tolist()
    ['unknown', 'up to 10', '10 to 50', 'over 1,000']
    """
    ends = np.array([end for end, _ in BANDS])
    words = np.array([*(word for _, word in BANDS), _MOST], dtype=object)
    found = words[np.searchsorted(ends, amount_base, side="left")]
    return np.asarray(np.where(amount_base < 0, UNKNOWN, found), dtype=object)


def _age_words(age_days: NDArray[np.float64]) -> Words:
    known = np.where(age_days < NEW_ACCOUNT_DAYS, "new", "old")
    return np.asarray(np.where(np.isnan(age_days), UNKNOWN, known), dtype=object)


def _words(values: list[str | None]) -> Words:
    return np.array([UNKNOWN if value is None else value for value in values], dtype=object)


def part_of(rows: Rows, from_ms: int, to_ms: int) -> Rows:
    """The rows of payments with ``from_ms <= occurred_at < to_ms``.

    Raises BadConfiguration where there are none.
    """
    time_ms = rows.samples.time_ms
    kept = np.flatnonzero((time_ms >= from_ms) & (time_ms < to_ms))
    if len(kept) == len(rows):
        return rows
    if len(kept) == 0:
        raise BadConfiguration("there are no payments in this range: look at --from and --to")
    place = {int(row): at for at, row in enumerate(kept)}
    held = rows.samples
    samples = Samples(
        held.matrix[kept],
        held.time_ms[kept],
        held.amount_base[kept],
        {place[row]: words for row, words in held.labels.items() if row in place},
    )
    segments = {name: words[kept] for name, words in rows.segments.items()}
    was = rows.served
    served = was and Served(was.score[kept], was.outcome[kept], was.propensity[kept])
    scenario = None if rows.scenario is None else rows.scenario[kept]
    return replace(
        rows, samples=samples, payment_id=rows.payment_id[kept], account=rows.account[kept],
        segments=segments, served=served, scenario=scenario,
    )  # fmt: skip
