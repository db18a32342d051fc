"""Stored decisions as columns, one block for each file that they came from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from risk.backtest.columns import Flags, Floats, Text
from risk.domain.outcome import Outcome
from risk.rules.schema import SCORE

OUTCOMES: Final = (Outcome.ALLOW, Outcome.REVIEW, Outcome.BLOCK)
ALLOW, REVIEW, BLOCK = range(3)
UNDECIDED: Final = -1  # of a data set that nobody decided
Bytes = NDArray[np.int8]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Ids:
    """Texts that are seldom read: UTF-8 bytes, and where each of the n ends, (n + 1,) from 0."""

    body: NDArray[np.uint8]
    ends: Ints

    @classmethod
    def of(cls, texts: Sequence[str]) -> Ids:
        """The column of these texts.

        >>> ids = Ids.of(["p-1", "", "ü"])
        >>> [ids.at(row) for row in range(3)]
        ['p-1', '', 'ü']
        """
        bodies = [text.encode() for text in texts]
        ends = np.zeros(len(bodies) + 1, np.int64)
        np.cumsum([len(one) for one in bodies], out=ends[1:])
        return cls(np.frombuffer(b"".join(bodies), np.uint8), ends)

    def at(self, row: int) -> str:
        """The text of a row."""
        return self.body[self.ends[row] : self.ends[row + 1]].tobytes().decode()


def id_key(tenant: str, payment_id: str) -> int:
    """A 64-bit number of a payment, by which its labels and its copies are found."""
    body = f"{tenant}\x00{payment_id}".encode()
    return int.from_bytes(hashlib.blake2b(body, digest_size=8).digest(), "big")


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """n decisions. A number is NaN where missing.

    ``keys`` (n,) uint64 as ``id_key``; ``decided_ms`` (n,); ``outcome`` (n,) as places in
    ``OUTCOMES`` or ``UNDECIDED``; ``has_features`` (n,) false where it was decided without;
    ``features`` (F, n) float64 by ``places``; ``windows`` by text: values, and where they stood
    in the evidence. ``numbers`` and ``texts`` are the fields that rules and lists read, by name.
    """

    name: str
    ids: Ids
    keys: NDArray[np.uint64]
    tenant: Text
    decided_ms: Ints
    outcome: Bytes
    score: Floats
    has_features: Flags
    features: Floats
    places: Mapping[str, int]
    numbers: Mapping[str, Floats]
    texts: Mapping[str, Text]
    windows: Mapping[str, tuple[Floats, Flags]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.decided_ms)

    def knows(self, name: str) -> bool:
        """Whether a rule may read ``name`` here."""
        return (
            name == SCORE
            or name in self.numbers
            or name in self.texts
            or name in self.places
            or name in self.windows
        )

    def held(self, names: Sequence[str]) -> Flags | None:
        """Where every window among ``names`` is known; None where they read none."""
        masks = [self.windows[name][1] for name in names if name in self.windows]
        if not masks:
            return None
        found: Flags = np.logical_and.reduce(masks)
        return found

    def stretch(self, begin: int, end: int, score: Floats) -> Stretch:
        """The columns of the rows from ``begin`` up to ``end``; ``score`` is theirs."""
        return Stretch(self, begin, end, score)

    def amount(self) -> Floats:
        """Amounts in base minor units, NaN without an exchange rate, (n,)."""
        return self.numbers["amount"]


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Implements ``risk.backtest.columns.Columns`` on part of a block."""

    block: Block
    begin: int
    end: int
    score: Floats

    def __len__(self) -> int:
        return self.end - self.begin

    def number(self, name: str) -> Floats:
        """See ``Columns``."""
        of = self.block
        if name == SCORE:
            return self.score
        if name in of.numbers:
            found = of.numbers[name]
        elif name in of.places:
            found = of.features[of.places[name]]
        else:
            found = of.windows[name][0]
        return found[self.begin : self.end]

    def text(self, name: str) -> Text:
        """See ``Columns``."""
        return self.block.texts[name].part(self.begin, self.end)
