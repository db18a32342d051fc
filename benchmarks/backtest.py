"""A book over a million stored decisions, on one core: from columns on disk to the report."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks import common, rules_book
from features.catalogue import FEATURE_NAMES, catalogue_digest
from risk.backtest.block import Block, Ids, id_key
from risk.backtest.builder import BlockBuilder
from risk.backtest.columns import Text
from risk.backtest.judging import Candidate
from risk.backtest.report import Report, Signed, Source
from risk.backtest.run import Asked, Backtest, delay_ms
from risk.backtest.truth import Labels
from risk.domain.decision import Digests, LogPosition, decode_decision
from risk.domain.decoding import canonical
from risk.domain.limits import TIME_MS_MAX, TIME_MS_MIN
from risk.domain.money import ExchangeRates
from risk.domain.observation import Arrival, Claimed
from risk.judgement import Constants, Judgement, Versions
from risk.policy import Policy
from risk.rules.book import Book
from risk.rules.compiler import Tables
from risk.rules.evaluator import CompiledBook
from streams.backtest_cache import Stored, load_block, store_block

TEMPLATE_ROWS: Final = 20_000
FILE_ROWS: Final = 100_000
FRAUD_SHARE: Final = 0.01
RATES: Final = ExchangeRates(base="EUR", as_of="2026-01-01", source="bench", rates_e9={})
PEAK: Final = Path("/proc/self/status")
PEAK_RESET: Final = Path("/proc/self/clear_refs")  # 5 forgets the highest memory so far
_DAY_MS: Final = 24 * 60 * 60 * 1000
_NONE: Final = Digests(
    catalogue=catalogue_digest(), model="", calibration="", book="", lists="", policy="", rates=""
)


def backtest(
    decisions: Annotated[int, typer.Option(min=1_000, help="Stored decisions.")] = 1_000_000,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; the median counts.")] = 3,
    seed: Annotated[int, typer.Option(help="Of the payments.")] = 1,
    report: Annotated[Path | None, typer.Option("--report", help="JSON.")] = None,
) -> None:
    """Time a back-test of thirty rules and of one over stored columns.

    Keys: decisions, features, seconds_30, seconds_1 (of the processor), wall_seconds_30,
    wall_seconds_1, peak_mb (mapped columns included), columns_mb, store_us (JSON to columns, once
    a decision), hits_30, flips_30, cores, machine.
    """
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core, as the target says
    with tempfile.TemporaryDirectory(prefix="weir-bench-backtest-") as folder:
        common.say(f"writing the columns of {decisions:,} decisions")
        store_us, words = _write(Path(folder), decisions, seed)
        size = sum(file.stat().st_size for file in Path(folder).rglob("*.npy"))
        many, one = rules_book.book(30), rules_book.book(1)
        times: dict[int, list[float]] = {30: [], 1: []}
        walls: dict[int, list[float]] = {30: [], 1: []}
        PEAK_RESET.write_text("5")
        found: Report | None = None
        for _ in range(rounds):
            for count, book in ((1, one), (30, _acting(many))):
                began, began_cpu = time.perf_counter(), time.process_time()
                found = _run(Path(folder), book, words, decisions)
                walls[count].append(time.perf_counter() - began)
                times[count].append(time.process_time() - began_cpu)
                common.say(f"{count} rules: {times[count][-1]:.2f} s, wall {walls[count][-1]:.2f}")
        peak_mb = _peak_mb()
    assert found is not None
    told: dict[str, Any] = {
        "decisions": decisions,
        "features": len(FEATURE_NAMES),
        "seconds_30": round(float(np.median(times[30])), 3),
        "seconds_1": round(float(np.median(times[1])), 3),
        "wall_seconds_30": round(float(np.median(walls[30])), 3),
        "wall_seconds_1": round(float(np.median(walls[1])), 3),
        "peak_mb": peak_mb,
        "columns_mb": round(size / 1e6),
        "store_us": round(store_us, 1),
        "hits_30": sum(found.hits.values()),
        "flips_30": sum(found.flips.values()),
        "cores": 1,
    }
    common.write_report(report, told | {"machine": common.machine()})
    rows = [[name, value] for name, value in told.items()]
    common.show(f"Back-test of {decisions:,} stored decisions", ("", ""), rows)


def _peak_mb() -> int:
    """The most memory since the reset, in MB."""
    (line,) = (one for one in PEAK.read_text().splitlines() if one.startswith("VmHWM"))
    return round(int(line.split()[1]) / 1024)


def _acting(book: Book) -> Book:
    """Every third rule blocks and every third reviews, so that outcomes flip both ways."""
    actions = ("block", "review", "tag")
    rules = tuple(
        msgspec.structs.replace(rule, action=actions[place % 3])
        for place, rule in enumerate(book.rules)
    )
    return msgspec.structs.replace(book, rules=rules)


def _run(folder: Path, book: Book, words: Any, decisions: int) -> Report:
    candidate = Candidate(book, rules_book.SCHEMA, Tables(RATES), Policy())
    signed = Signed(
        book=book.digest(), lists="", policy="", model="", calibration="", catalogue="", rates=""
    )
    asked = Asked(
        Source(kind="archive", name="bench"), signed, TIME_MS_MIN, TIME_MS_MAX, 10.0,
        "stored outcomes", 500.0,
    )  # fmt: skip
    labels = Labels(words, TIME_MS_MAX, delay_ms(10.0))
    test = Backtest(candidate, asked, labels)
    for place in sorted(folder.iterdir()):
        test.add(load_block(place).block)
    found = test.report({})
    assert found.payments == decisions
    return found


def _write(folder: Path, decisions: int, seed: int) -> tuple[float, Any]:
    """Files of columns, as the cache of an archive has them; microseconds a decision, labels."""
    template, store_us = _template(seed)
    words = {}
    rng = np.random.default_rng(seed)
    for number, begin in enumerate(range(0, decisions, FILE_ROWS)):
        block = _varied(template, min(FILE_ROWS, decisions - begin), begin, rng)
        store_block(folder / f"{number:05}", Stored(block, {}, (-1, "")))
        for row in np.flatnonzero(rng.random(len(block)) < FRAUD_SHARE).tolist():
            at_ms = int(block.decided_ms[row]) + _DAY_MS
            words["main", block.ids.at(row)] = [(at_ms, "chargeback")]
    return store_us, words


def _template(seed: int) -> tuple[Block, float]:
    """Varied payments that an empty book decided, read back from the bytes of their decisions."""
    arrivals, matrix, scores = rules_book.payments(TEMPLATE_ROWS, seed)
    rules = CompiledBook(Book(name="Empty", rules=()), rules_book.SCHEMA, Tables(RATES))
    constants = Constants(FEATURE_NAMES, catalogue_digest(), "", "weir", {})
    judgement = Judgement(constants, Versions(_Given(scores), rules, Policy(), _NONE))
    position = (LogPosition("account", "a", 1, 0, 1, 0),)
    claims = [
        (_whole(arrival), Claimed(position, row, ()))
        for arrival, row in zip(arrivals, matrix, strict=True)
    ]
    bodies = [one.body for one in judgement.judge(claims)]
    amounts = {one.event.id: one.amount_base for one in arrivals}
    builder = BlockBuilder(FEATURE_NAMES, catalogue_digest(), lambda event, _: amounts[event.id])
    began = time.perf_counter()
    for body in bodies:
        builder.add(decode_decision(body))
    block = builder.block("template")
    assert not builder.left_out
    return block, (time.perf_counter() - began) / TEMPLATE_ROWS * 1e6


class _Given:
    """A model with the scores of the payments."""

    model_digest = calibration_digest = ""

    def __init__(self, scores: list[float]) -> None:
        self._scores = np.array(scores)

    def score(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._scores[: len(matrix)]

    def reasons(self, matrix: NDArray[np.float64]) -> list[list[Any]]:
        return [[] for _ in matrix]


def _whole(arrival: Arrival) -> Arrival:
    told = canonical(arrival.event)
    return msgspec.structs.replace(
        arrival, event=told.event, body=told.body, fingerprint=told.fingerprint
    )


def _varied(template: Block, rows: int, begin: int, rng: np.random.Generator) -> Block:
    """``rows`` of the template, drawn again: fields, vectors and accounts each on their own."""
    fields, vectors = (rng.integers(0, len(template), rows) for _ in range(2))
    ids = [f"p-{begin + number}" for number in range(rows)]
    decided = template.decided_ms[0] + (begin + np.arange(rows)) * 2_000
    texts = {
        name: Text(column.codes[fields], tuple(f"{word}" for word in column.words))
        for name, column in template.texts.items()
    }
    account = template.texts["account"]
    tile = tuple(f"{word}-{begin}" for word in account.words)
    texts["account"] = Text(rng.integers(0, len(tile), rows).astype(np.int32), tile)
    numbers = {name: column[fields] for name, column in template.numbers.items()}
    numbers["occurred_at"] = decided.astype(np.float64)
    return Block(
        name=str(begin),
        ids=Ids.of(ids),
        keys=np.array([id_key("main", one) for one in ids], np.uint64),
        tenant=Text(np.zeros(rows, np.int32), ("main",)),
        decided_ms=decided,
        outcome=template.outcome[fields],
        score=template.score[fields],
        has_features=np.ones(rows, np.bool_),
        features=np.ascontiguousarray(template.features[:, vectors]),
        places=template.places,
        numbers=numbers,
        texts=texts,
    )


if __name__ == "__main__":
    common.run(backtest)
