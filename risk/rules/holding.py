"""Whom a rule of the action hold suspends, and for how long."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

HeldEntity = Literal["account", "card", "device", "merchant"]
UNITS_MS: Final = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}
LASTS_MAX_MS: Final = 90 * UNITS_MS["d"]


class Holding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Payments of the same ``entity`` are blocked for ``lasts`` (m, h or d) after a hit."""

    entity: HeldEntity
    lasts: Annotated[str, Meta(pattern="^[1-9][0-9]{0,4}[mhd]$")]

    @property
    def lasts_ms(self) -> int:
        """
        >>> Holding(entity="card", lasts="24h").lasts_ms
        86400000
        """
        return int(self.lasts[:-1]) * UNITS_MS[self.lasts[-1]]

    @property
    def list_name(self) -> str:
        """The list on which who is held stands; it is made when it is first needed.

        >>> Holding(entity="card", lasts="24h").list_name
        'held_card'
        """
        return f"held_{self.entity}"
