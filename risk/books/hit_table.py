"""Hits of one version of a book, kept as patterns: few distinct ones, however many payments."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from risk.rules.book import Book

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]
SUMS: Final = (
    "hits", "stopped", "mature", "fraud", "good", "amount_minor", "fraud_minor", "good_minor",
    "fraud_stopped", "good_stopped", "fraud_stopped_minor", "good_stopped_minor",
)  # fmt: skip


class Pattern(NamedTuple):
    """What a book said of a payment: places of its rules, in order."""

    acting: tuple[int, ...]
    shadow: tuple[int, ...] = ()
    unknown: tuple[int, ...] = ()
    failed: tuple[int, ...] = ()


class Judged(NamedTuple):
    """A decided payment. ``key`` and ``account`` are 64-bit numbers; ``amount`` NaN: unknown."""

    key: int
    account: int
    decided_ms: int
    amount: float
    stopped: bool
    pattern: Pattern


class Sums(NamedTuple):
    """``table`` (P, len(SUMS)) adds up the payments of each pattern; the rest is of all.

    ``last_ms`` (P,); ``account`` and ``pattern`` (n,) of each payment.
    """

    table: Floats
    last_ms: Ints
    account: NDArray[np.uint64]
    pattern: Ints
    payments: int
    mature: int
    frauds: int
    first_ms: int
    newest_ms: int


class HitTable:
    """Takes the payments that ``book`` judged, in any order."""

    def __init__(self, book: Book) -> None:
        self.book: Final = book
        self.places: Final = {rule.id: place for place, rule in enumerate(book.rules)}
        self._patterns: dict[Pattern, int] = {}
        self._key, self._account = array("Q"), array("Q")
        self._decided, self._amount = array("q"), array("d")
        self._stopped, self._pattern = array("b"), array("l")

    def __len__(self) -> int:
        return len(self._key)

    def add(self, one: Judged) -> None:
        """One more payment."""
        self._key.append(one.key)
        self._account.append(one.account)
        self._decided.append(one.decided_ms)
        self._amount.append(one.amount)
        self._stopped.append(one.stopped)
        self._pattern.append(self._patterns.setdefault(one.pattern, len(self._patterns)))

    @property
    def patterns(self) -> Sequence[Pattern]:
        """The distinct patterns, in the order in which they were met."""
        return list(self._patterns)

    def sums(self, frauds: NDArray[np.uint64], mature_until_ms: int) -> Sums:
        """Added up by pattern. ``frauds`` (k,) are the keys that stand as fraud, sorted.

        A payment is mature where it was decided at or before ``mature_until_ms``.
        """
        decided = np.array(self._decided, np.int64)
        pattern = np.array(self._pattern, np.int64)
        amount = np.nan_to_num(np.array(self._amount, np.float64))
        stopped = np.array(self._stopped, np.bool_)
        mature = decided <= mature_until_ms
        known = mature & _among(np.array(self._key, np.uint64), frauds)
        good = mature & ~known
        every = np.ones(len(decided), np.bool_)
        counted: dict[str, Flags | Floats] = {
            "hits": every, "stopped": stopped, "mature": mature, "fraud": known, "good": good,
            "amount_minor": amount, "fraud_minor": amount * known, "good_minor": amount * good,
            "fraud_stopped": known & stopped, "good_stopped": good & stopped,
            "fraud_stopped_minor": amount * (known & stopped),
            "good_stopped_minor": amount * (good & stopped),
        }  # fmt: skip
        size = len(self._patterns)
        columns = [np.bincount(pattern, counted[name], minlength=size) for name in SUMS]
        last_ms = np.full(size, -1, np.int64)
        np.maximum.at(last_ms, pattern, decided)
        return Sums(
            table=np.stack(columns, axis=1),
            last_ms=last_ms,
            account=np.array(self._account, np.uint64),
            pattern=pattern,
            payments=len(decided),
            mature=int(mature.sum()),
            frauds=int(known.sum()),
            first_ms=int(decided.min(initial=np.iinfo(np.int64).max)),
            newest_ms=int(decided.max(initial=-1)),
        )


def _among(keys: NDArray[np.uint64], chosen: NDArray[np.uint64]) -> Flags:
    if not len(chosen):
        return np.zeros(len(keys), np.bool_)
    places = np.minimum(np.searchsorted(chosen, keys), len(chosen) - 1)
    found: Flags = chosen[places] == keys
    return found
