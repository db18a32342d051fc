"""How a feature is declared: once, with everything that anybody needs to know of it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final, Literal

from features.steps import Step
from risk.domain.kinds import ENTITY_KINDS

Dtype = Literal["integer", "decimal", "flag", "code"]
Exactness = Literal["always", "tiles", "within the tail"]

MISSING: Final = math.nan
WINDOW_WORDS: Final = {
    "5m": "5 minutes", "1h": "hour", "24h": "24 hours", "7d": "7 days", "30d": "30 days",
}  # fmt: skip
# Ages inside a window and outside of it, for examples.
INSIDE: Final = {"5m": "2m", "1h": "20m", "24h": "5h", "7d": "3d", "30d": "12d"}
OUTSIDE: Final = {"5m": "6m", "1h": "2h", "24h": "2d", "7d": "8d", "30d": "31d"}
_NAME: Final = re.compile("[a-z][a-z0-9]*(_[a-z0-9]+)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSpec:
    """One feature: a pure function of the event and the tails of its entities.

    ``entity`` is the log that is read, or "payment" where only the event is. ``window_ms``
    is None for features that look back as far as 30 days without being a window's total.
    ``default`` is the value where the feature is missing: the event lacks the entity or the
    field, or there is nothing to divide by. Every value is a float64.

    ``example`` is a story and the value it gives (``features.examples``); a test runs it.
    ``monotone`` is what a model must respect: 1 where more of it never means less risk, -1
    where more of it never means more. Neither enters the digest of the catalogue.
    """

    name: str
    entity: str
    window_ms: int | None
    dtype: Dtype
    unit: str
    sentence: str
    step: Step
    example: str
    default: float = MISSING
    version: int = 1
    owner: str = "risk"
    monotone: Literal[-1, 0, 1] = 0

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"feature name {self.name!r} is not of the form entity_what_window")
        if self.entity not in (*ENTITY_KINDS, "payment"):
            raise ValueError(f"{self.name}: no such entity {self.entity!r}")
        if not self.unit or not self.sentence.endswith("."):
            raise ValueError(f"{self.name}: a feature has a unit and one whole sentence")
        if " -> " not in self.example:
            raise ValueError(f"{self.name}: a feature has an example that says its value")

    @property
    def exactness(self) -> Exactness:
        """Within the tail: flagged inexact where the window starts before the tail does.

        Tiles: the old edge of such a window is rounded to the nearest edge of a tile.
        """
        steps = self.step.over_tails()
        if not steps:
            return "always"
        return "tiles" if all(step.tiled for step in steps) else "within the tail"

    @property
    def declared(self) -> list[str | int]:
        """All that decides the value's bits and its type: name, version, default, steps, dtype."""
        return [self.name, self.version, repr(self.default), self.computation, self.dtype]

    @property
    def computation(self) -> str:
        """The steps as canonical text."""
        return self.step.text()
