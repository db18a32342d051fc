"""What a process can say of its parts: ready, degraded, or down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class PartState:
    """One part. "degraded" still decides (and says so in each decision), "down" does not."""

    part: str
    state: Literal["ready", "degraded", "down"]
    reason: str = ""
