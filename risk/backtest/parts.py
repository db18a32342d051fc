"""Figures by segment and by day, and the examples of flips, gathered block by block."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from risk.backtest.block import ALLOW, OUTCOMES, REVIEW, Block, Bytes, Ints
from risk.backtest.columns import Flags
from risk.backtest.judging import Judged
from risk.backtest.report import Example, Examples, Part
from risk.domain.times import rfc3339
from risk.rules.book import Rule

K = TypeVar("K")
DAY_MS: Final = 24 * 60 * 60 * 1000
SEGMENTS: Final = ("type", "channel", "country", "currency", "mcc")
SEGMENTS_MAX: Final = 20  # of one field, those with the most payments
EXAMPLES: Final = 10
_FIGURES: Final = (
    "payments", "stopped_old", "stopped_new", "fraud_caught", "fraud_released", "good_stopped",
    "good_released",
)  # fmt: skip
_DAILY: Final = (*_FIGURES, "reviews_old", "reviews_new")


class Flips(NamedTuple):
    """The rows of a block that count, and how their outcomes change: each (n,)."""

    old: Bytes
    new: Bytes
    mature: Flags
    fraud: Flags

    @property
    def stopped(self) -> Flags:
        """Let through before, and no longer."""
        found: Flags = (self.old == ALLOW) & (self.new != ALLOW)
        return found

    @property
    def released(self) -> Flags:
        """Stopped before, and no longer."""
        found: Flags = (self.old != ALLOW) & (self.new == ALLOW)
        return found

    def masks(self) -> dict[str, Flags]:
        """The rows that each figure of a part counts."""
        fraud, good = self.mature & self.fraud, self.mature & ~self.fraud
        return {
            "payments": np.ones(len(self.old), np.bool_),
            "stopped_old": self.old != ALLOW,
            "stopped_new": self.new != ALLOW,
            "fraud_caught": fraud & self.stopped,
            "fraud_released": fraud & self.released,
            "good_stopped": good & self.stopped,
            "good_released": good & self.released,
            "reviews_old": self.old == REVIEW,
            "reviews_new": self.new == REVIEW,
        }


class PartTally:
    """Takes blocks, and says what happens in each segment and on each day."""

    def __init__(self) -> None:
        self._segments: dict[tuple[str, str], NDArray[np.float64]] = {}
        self._days: dict[int, NDArray[np.float64]] = {}

    def add(self, block: Block, rows: Ints, flips: Flips) -> None:
        """``rows`` of ``block`` count, and ``flips`` are theirs."""
        masks = flips.masks()
        for name in SEGMENTS:
            column = block.texts.get(name)
            if column is None:
                continue
            codes = column.codes[rows]
            words = (*column.words, "missing")
            of = _counted(np.where(codes < 0, len(column.words), codes), masks, _FIGURES)
            for code in np.flatnonzero(of[0]).tolist():
                self._more(self._segments, (name, words[code]), of[:, code])
        days = block.decided_ms[rows] // DAY_MS
        first = int(days.min()) if len(days) else 0
        of = _counted(days - first, masks, _DAILY)
        for place in np.flatnonzero(of[0]).tolist():
            self._more(self._days, first + place, of[:, place])

    @staticmethod
    def _more(held: dict[K, NDArray[np.float64]], key: K, found: NDArray[np.float64]) -> None:
        held[key] = held[key] + found if key in held else found.copy()

    def segments(self) -> list[Part]:
        """By field, then by number of payments."""
        parts = []
        for name in SEGMENTS:
            of = [(word, held) for (field, word), held in self._segments.items() if field == name]
            of.sort(key=lambda one: (-one[1][0], one[0]))
            parts += [_part(f"{name}={word}", held) for word, held in of[:SEGMENTS_MAX]]
        return parts

    def days(self) -> list[Part]:
        """By date."""
        return [_part(_day(number), held) for number, held in sorted(self._days.items())]

    def reviews(self) -> tuple[list[int], list[int]]:
        """Reviews of each day, by date: before, and with the candidate."""
        held = [one for _, one in sorted(self._days.items())]
        old, new = (_DAILY.index(name) for name in ("reviews_old", "reviews_new"))
        return [round(float(one[old])) for one in held], [round(float(one[new])) for one in held]


def _counted(
    codes: NDArray[np.int64], masks: Mapping[str, Flags], names: tuple[str, ...]
) -> NDArray[np.float64]:
    """How many rows of each mask have each code, (names, codes)."""
    size = int(codes.max()) + 1 if len(codes) else 0
    return np.array(
        [np.bincount(codes[masks[name]], minlength=size) for name in names], np.float64
    ).reshape(len(names), size)


def _part(name: str, held: NDArray[np.float64]) -> Part:
    counts = {figure: round(float(held[place])) for place, figure in enumerate(_FIGURES)}
    return Part(name=name, **counts)


def _day(number: int) -> str:
    return rfc3339(number * DAY_MS)[:10]


class ExampleTally:
    """Keeps the flips with the largest amounts, each way."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)
        self._held: dict[str, list[tuple[float, str, Example]]] = {"stopped": [], "released": []}

    def add(self, block: Block, rows: Ints, flips: Flips, judged: Judged) -> None:
        """``judged`` and ``flips`` are of ``rows`` of ``block``."""
        amounts = np.nan_to_num(block.amount()[rows], nan=-1.0)
        for way, mask in (("stopped", flips.stopped), ("released", flips.released)):
            places = np.flatnonzero(mask)
            order = np.lexsort((block.keys[rows[places]], -amounts[places]))
            for place in places[order[:EXAMPLES]].tolist():
                example = self._example(block, int(rows[place]), flips, judged, place)
                self._held[way].append((-float(amounts[place]), example.payment_id, example))
            self._held[way].sort(key=lambda one: one[:2])
            del self._held[way][EXAMPLES:]

    def examples(self) -> Examples:
        """Ten each way, the largest amounts first."""
        stopped, released = ([one[2] for one in self._held[way]] for way in self._held)
        return Examples(stopped=stopped, released=released)

    def _example(self, block: Block, row: int, flips: Flips, judged: Judged, place: int) -> Example:
        amount, score = float(block.amount()[row]), float(judged.score[place])
        hits = judged.hits[:, place].tolist()
        return Example(
            payment_id=block.ids.at(row),
            decided_at=rfc3339(int(block.decided_ms[row])),
            account=block.texts["account"].at(row) or "",
            amount_minor=None if math.isnan(amount) else int(amount),
            old=str(OUTCOMES[flips.old[place]].value),
            new=str(OUTCOMES[flips.new[place]].value),
            rules=[
                rule.id
                for rule, hit in zip(self._rules, hits, strict=True)
                if hit and rule.state == "live"
            ],
            score=None if math.isnan(score) else score,
            fraud=bool(flips.fraud[place]) if flips.mature[place] else None,
        )
