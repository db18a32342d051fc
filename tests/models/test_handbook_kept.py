"""Vectors of a Handbook world that are kept on disk: made once, found again, made anew if bad."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.catalogue import FEATURE_NAMES
from models.handbook import Protocol
from models.handbook_kept import FOLDER, observe_kept
from models.handbook_run import Observed, Say, first_kept
from risk.domain.money import ExchangeRates
from risk.simulator.handbook import HandbookWorld
from risk.tables.load import exchange_rates

RATES = exchange_rates(None, "EUR")


class Maker:
    """Makes vectors of its own and counts how often it was asked."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(
        self, world: HandbookWorld, protocol: Protocol, rates: ExchangeRates, say: Say
    ) -> Observed:
        self.made += 1
        first = first_kept(world.table(), protocol)
        rows = len(world.table()) - first
        matrix = np.arange(rows * len(FEATURE_NAMES), dtype=np.float64)
        matrix[1] = np.nan
        return Observed(world.table(), first, matrix.reshape(rows, len(FEATURE_NAMES)))


def kept(cache: Path, maker: Maker, seed: int = 5, protocol: Protocol = "one") -> Observed:
    return observe_kept(cache, HandbookWorld(seed, customers=20), protocol, RATES, observe=maker)


def test_a_second_look_finds_the_same_bits(tmp_path: Path) -> None:
    maker = Maker()
    once, again = kept(tmp_path, maker), kept(tmp_path, maker)
    assert maker.made == 1
    assert once.first == again.first
    assert np.array_equal(once.matrix, again.matrix, equal_nan=True)
    assert [path.suffix for path in (tmp_path / FOLDER).iterdir()] == [".npy"]


def test_another_draw_and_another_protocol_are_made(tmp_path: Path) -> None:
    maker = Maker()
    for seed, protocol in ((5, "one"), (6, "one"), (5, "choice")):
        kept(tmp_path, maker, seed, protocol)  # type: ignore[arg-type]  # known protocols
    assert maker.made == 3


@pytest.mark.parametrize(
    "damage", [b"", b"zeros", b"half"], ids=lambda damage: damage.decode() or "empty"
)
def test_a_file_that_cannot_be_read_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    maker = Maker()
    kept(tmp_path, maker)
    (path,) = (tmp_path / FOLDER).iterdir()
    whole = path.read_bytes()
    path.write_bytes({b"": b"", b"zeros": bytes(100), b"half": whole[:1000]}[damage])
    kept(tmp_path, maker)
    assert maker.made == 2
    assert path.read_bytes() == whole


def test_vectors_of_another_width_are_not_taken(tmp_path: Path) -> None:
    maker = Maker()
    kept(tmp_path, maker)
    (path,) = (tmp_path / FOLDER).iterdir()
    with path.open("wb") as file:
        np.save(file, np.zeros((3, 2)))
    kept(tmp_path, maker)
    assert maker.made == 2
