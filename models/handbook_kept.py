"""The vectors of a Handbook world on disk, so that another look need not make them again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from features.catalogue import FEATURE_NAMES, catalogue_digest
from models.handbook import Protocol
from models.handbook_run import Observed, Say, first_kept, observe_world
from risk.domain.money import ExchangeRates
from risk.simulator.handbook import HandbookWorld
from risk.simulator.handbook_law import Table

FOLDER: Final = "handbook"
Observe = Callable[[HandbookWorld, Protocol, ExchangeRates, Say], Observed]


def observe_kept(
    cache: Path,
    world: HandbookWorld,
    protocol: Protocol,
    rates: ExchangeRates,
    say: Say = lambda stage, share: None,
    observe: Observe = observe_world,
) -> Observed:
    """``observe_world``, from ``cache`` where its vectors are; else they are kept there.

    The file is named after all that decides its numbers, and is there whole or not at all. One
    that cannot be read is made anew. Up to 0.7 GB for a whole draw; it may be deleted any time.
    """
    table = world.table()
    path = cache / FOLDER / f"{_name(world, table, protocol, rates)}.npy"
    try:
        matrix = np.load(path, mmap_mode="r", allow_pickle=False)
        if matrix.ndim == 2 and matrix.shape[1] == len(FEATURE_NAMES) and len(matrix):
            return Observed(table, first_kept(table, protocol), matrix)
    except (FileNotFoundError, ValueError, EOFError):
        pass  # not there, or not a file of ours
    seen = observe(world, protocol, rates, say)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    with unfinished.open("wb") as file:
        np.save(file, seen.matrix, allow_pickle=False)
    unfinished.replace(path)
    return seen


def _name(world: HandbookWorld, table: Table, protocol: Protocol, rates: ExchangeRates) -> str:
    sha = hashlib.sha256(f"{protocol} {catalogue_digest()} {rates.digest()}".encode())
    sha.update(world.payment_id(0).encode())
    for column in (table.time_ms, table.customer, table.terminal, table.amount_minor):
        sha.update(np.ascontiguousarray(column).tobytes())
    sha.update(table.scenario.tobytes())
    return sha.hexdigest()[:32]
