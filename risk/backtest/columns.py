"""Payments as columns: numbers with NaN for missing, texts as codes of a dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int32]
Flags = NDArray[np.bool_]
MISSING: Final = -1


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """A column of texts. ``codes`` (n,) are places in ``words``, ``MISSING`` where there is none.

    Parts of one column share the very same ``words``, so that what was found out about them is
    found out once.
    """

    codes: Codes
    words: tuple[str, ...]

    @classmethod
    def of(cls, values: Sequence[str | None]) -> Text:
        """The column of these texts; words stand in the order in which they come first.

        >>> column = Text.of(["b", None, "a", "b"])
        >>> column.codes.tolist(), column.words
        ([0, -1, 1, 0], ('b', 'a'))
        """
        places: dict[str, int] = {}
        codes = [
            MISSING if value is None else places.setdefault(value, len(places)) for value in values
        ]
        return cls(np.array(codes, np.int32), tuple(places))

    def part(self, begin: int, end: int) -> Text:
        """The rows from ``begin`` up to but without ``end``."""
        return Text(self.codes[begin:end], self.words)

    def at(self, row: int) -> str | None:
        """The text of a row."""
        code = int(self.codes[row])
        return None if code == MISSING else self.words[code]


class Columns(Protocol):
    """What rules read of payments, by name: fields, features, the score and windows."""

    def __len__(self) -> int: ...

    def number(self, name: str) -> Floats:
        """Numbers, moments in milliseconds and flags as 0.0 and 1.0; NaN where missing."""
        ...

    def text(self, name: str) -> Text: ...


@dataclass(frozen=True, slots=True)
class Held:
    """Columns that are in memory. Raises KeyError for one that is not there."""

    rows: int
    numbers: dict[str, Floats]
    texts: dict[str, Text]

    def __len__(self) -> int:
        return self.rows

    def number(self, name: str) -> Floats:
        """See ``Columns``."""
        return self.numbers[name]

    def text(self, name: str) -> Text:
        """See ``Columns``."""
        return self.texts[name]
