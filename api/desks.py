"""What people do over HTTP beside the payments: each desk is given where its process has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from models.explaining import Explanation
from risk.backtest.jobs import BacktestJobs
from risk.books.desk import BookDesk
from risk.books.performance_desk import PerformanceDesk
from risk.domain.errors import Unavailable
from risk.lists.desk import ListDesk

T = TypeVar("T")


class Explaining(Protocol):
    """Explains published decisions; raises BadConfiguration for an unknown input, Unavailable
    where a version that judged is missing."""

    async def explain(self, body: bytes, inputs: Sequence[str]) -> Explanation: ...


@dataclass(frozen=True, slots=True)
class Desks:
    """None for what this process does not serve; its routes then answer 503."""

    books: BookDesk | None = None
    lists: ListDesk | None = None
    backtests: BacktestJobs | None = None
    performance: PerformanceDesk | None = None
    explanations: Explaining | None = None


def present(desk: T | None, name: str) -> T:
    """``desk``; raises Unavailable where it is not given."""
    if desk is None:
        raise Unavailable(name, f"this process serves no {name}")
    return desk
