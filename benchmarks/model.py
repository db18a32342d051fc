"""`weir bench model`: one row, many rows and reasons, against LightGBM's own Python call."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks import common, common_parts
from features.catalogue import FEATURE_NAMES
from models.native import NativeModel
from risk.collector import settle

BATCH: Final = 64  # payments of one walk
Matrix = NDArray[np.float64]


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds in turns; medians count.")] = 5,
    rows: Annotated[int, typer.Option(min=BATCH, help="Varied rows.")] = 2_048,
    seed: Annotated[int, typer.Option(help="Seed of the rows.")] = 1,
    trees: Annotated[int, typer.Option(min=1, help="Trees of the model.")] = 300,
    quick: Annotated[bool, typer.Option(help="A small model: does it run?")] = False,
    report: Annotated[Path | None, typer.Option(help="Write the result as JSON.")] = None,
) -> None:
    """Score varied rows on one core, in CPU time.

    Keys: machine, single_us (one row through the single-row fast call), score_us (the same, checked
    and calibrated), predict_us (``Booster.predict`` of one row), ratio_single (predict_us over
    single_us, median of the rounds), batch_us_per_row (64 rows in one call, calibrated),
    reasons_us (three reasons of one row), ranges, trees, features, rows, equal (the two give the
    same raw scores).
    Exit codes: 0, 1 where they differ.
    """
    import lightgbm

    settle()
    machine = common.machine()
    bundle = common_parts.model(trees, quick=quick)
    scorer = bundle.scorer()
    scorer.warm()
    text = bundle.files["model.txt"].decode()
    native, booster = NativeModel(text), lightgbm.Booster(model_str=text)
    matrix = varied(seed, rows)
    theirs = np.asarray(booster.predict(matrix, raw_score=True, num_threads=1))
    equal = bool(np.array_equal(scorer.raw(matrix), theirs))
    ones = [matrix[place : place + 1] for place in range(rows)]
    few = ones[: max(BATCH, rows // 8)]
    batches = [matrix[place : place + BATCH] for place in range(0, rows - BATCH + 1, BATCH)]

    def by_booster(row: Matrix) -> None:
        booster.predict(row, num_threads=1)

    contestants: dict[str, Callable[[], float]] = {
        "single": lambda: _us(native.raw_row, ones, 1),
        "score": lambda: _us(scorer.score, ones, 1),
        "predict": lambda: _us(by_booster, few, 1),
        "batch": lambda: _us(scorer.score, batches, BATCH),
        "reasons": lambda: _us(scorer.reasons, few, 1),
    }
    series = common.Series()
    for _, name in common.interleaved(tuple(contestants), rounds):
        series.add(name, contestants[name]())
    found = {
        "machine": machine,
        "single_us": series.median("single"),
        "score_us": series.median("score"),
        "predict_us": series.median("predict"),
        "ratio_single": series.ratio("predict", "single"),
        "batch_us_per_row": series.median("batch"),
        "reasons_us": series.median("reasons"),
        "ranges": {name: series.span(name) for name in contestants},
        "trees": trees,
        "features": len(FEATURE_NAMES),
        "rows": rows,
        "equal": equal,
    }
    lines = [[name, series.median(name), series.span(name)] for name in contestants]
    common.show("us of CPU a row", ("what", "median", "range"), lines)
    common.write_report(report, found)
    if not equal:
        common.say("the two calls give other scores")
        raise typer.Exit(1)


def varied(seed: int, rows: int) -> Matrix:
    """Rows (n, F) that differ in every value, a tenth of them missing."""
    rng = np.random.default_rng(seed)
    matrix = np.round(rng.lognormal(1.0, 2.0, (rows, len(FEATURE_NAMES))), 3)
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    return matrix


def _us(work: Callable[[Matrix], object], parts: list[Matrix], each: int) -> float:
    """CPU microseconds a row."""
    began_s = time.process_time()
    for part in parts:
        work(part)
    return (time.process_time() - began_s) * 1e6 / (len(parts) * each)


if __name__ == "__main__":
    common.run(main)
