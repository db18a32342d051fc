"""The file made from columns is the file that the events would make, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from risk.simulator.handbook import HandbookWorld
from risk.simulator.handbook_parquet import write
from risk.simulator.parquet import ParquetFile
from risk.simulator.summary import Summary


class _Truth:
    """The truth of a world without episodes."""

    def __init__(self, world: HandbookWorld) -> None:
        self._truth = world.truth

    def scenario(self, payment_id: str) -> str | None:
        return self._truth.scenario(payment_id)

    def episode(self, payment_id: str) -> int | None:
        return None


def by_event(world: HandbookWorld, path: Path) -> Summary:
    summary = Summary()
    with ParquetFile(path) as file:
        for told in summary.watch(world.events(), _Truth(world)):
            file.write(told)
    return summary


@pytest.mark.parametrize(
    "days, customers, terminals",
    [
        (60, 400, 2_000),  # more than one group of rows, and labels after the last payment
        (5, 3, 2),  # nobody pays
        (1, 4, 600),
    ],
)
def test_the_same_bytes_and_counts(
    tmp_path: Path, days: int, customers: int, terminals: int
) -> None:
    world = HandbookWorld(5, days=days, customers=customers, terminals=terminals)
    shares: list[float] = []
    fast = write(world, tmp_path / "fast.parquet", shares.append)
    slow = by_event(world, tmp_path / "slow.parquet")
    assert (tmp_path / "fast.parquet").read_bytes() == (tmp_path / "slow.parquet").read_bytes()
    assert (fast.by_type, fast.payments, fast.scenarios(), fast.first_ms, fast.last_ms) == (
        slow.by_type, slow.payments, slow.scenarios(), slow.first_ms, slow.last_ms,
    )  # fmt: skip
    assert shares == sorted(shares)
    assert shares == [] or shares[-1] == 1.0
