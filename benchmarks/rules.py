"""How fast rules are: a book of Weir against CEL (C++) and rule-engine, in the same run."""

from __future__ import annotations

import json
import math
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer

from benchmarks import common
from benchmarks.common_rivals import rivals_python
from benchmarks.rules_book import RULES, SCHEMA, as_cel, as_rule_engine, book, payments, plain
from risk.collector import settle
from risk.domain.errors import Unavailable
from risk.rules.compiler import Tables
from risk.rules.evaluator import CompiledBook
from risk.tables.load import exchange_rates

BATCH: Final = 64  # payments of one walk
FEW: Final = 200  # payments for rule-engine, which is slow
_RIVAL: Final = common.ROOT / "benchmarks" / "rivals" / "rules_engines.py"
_RIVAL_S: Final = 600.0


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; the best of each counts.")] = 5,
    count: Annotated[int, typer.Option("--payments", min=BATCH, help="Varied payments.")] = 2_048,
    seed: Annotated[int, typer.Option(help="Seed of the payments.")] = 1,
    report: Annotated[Path | None, typer.Option(help="Write the result as JSON.")] = None,
) -> None:
    """Measure rules on varied payments, on one core, in CPU time.

    Weir's figure is the whole of ``CompiledBook.evaluate``: rows from events and vectors, every
    rule, findings. The rivals' is that of the evaluation alone, of prepared dictionaries.

    Keys: machine, weir_us_30, best_library, best_library_us_30, ratio_best, weir_us_1000,
    compile_ms_30, compile_ms_1000, libraries (name to us), equal_hits, payments.
    Exit codes: 0, 1 where an engine finds other hits.
    """
    settle()
    machine = common.machine()
    # Every test payment is judged by all engines first: speed of wrong answers is nothing.
    rivals, equal = _rivals(count, seed, rounds)
    weir_30, compile_30 = _weir(30, count, seed, rounds)
    weir_1000, compile_1000 = _weir(1_000, count, seed, max(2, rounds // 2))
    best = min(rivals, key=lambda name: rivals[name])
    found = {
        "machine": machine,
        "weir_us_30": round(weir_30, 2),
        "best_library": best,
        "best_library_us_30": round(rivals[best], 2),
        "ratio_best": round(rivals[best] / weir_30, 2),
        "weir_us_1000": round(weir_1000, 1),
        "compile_ms_30": round(compile_30, 1),
        "compile_ms_1000": round(compile_1000, 1),
        "libraries": {name: round(us, 2) for name, us in rivals.items()},
        "equal_hits": equal,
        "payments": count,
    }
    rows = [
        ["weir, 30 rules", weir_30],
        *([f"{name}, 30 rules", us] for name, us in rivals.items()),
    ]
    common.show("us a payment", ("engine", "us"), [*rows, ["weir, 1,000 rules", weir_1000]])
    common.write_report(report, found)
    if not equal:
        common.say("an engine finds other hits than Weir")
        raise typer.Exit(1)


def _compiled(rules: int) -> CompiledBook:
    return CompiledBook(book(rules), SCHEMA, Tables(exchange_rates(None, "EUR")))


def _weir(rules: int, count: int, seed: int, rounds: int) -> tuple[float, float]:
    """(us a payment, ms to compile)."""
    began_s = time.process_time()
    compiled = _compiled(rules)
    compile_ms = (time.process_time() - began_s) * 1000
    arrivals, matrix, scores = payments(count, seed)
    batches = [slice(start, start + BATCH) for start in range(0, count, BATCH)]
    best_s = math.inf
    for _ in range(rounds + 1):
        began_s = time.process_time()
        for part in batches:
            compiled.evaluate(arrivals[part], matrix[part], scores[part])
        best_s = min(best_s, time.process_time() - began_s)
    return best_s / count * 1e6, compile_ms


def _rivals(count: int, seed: int, rounds: int) -> tuple[dict[str, float], bool]:
    """us a payment of each rival, and whether all of them find the hits of Weir."""
    compiled = _compiled(30)
    arrivals, matrix, scores = payments(count, seed)
    rows = compiled.layout.rows(arrivals, matrix, scores)
    named = [plain(dict(compiled.layout.slots), list(row)) for row in rows]
    asked = {
        "payments": named,
        "cel": [as_cel(rule) for rule in RULES],
        "rule_engine": [as_rule_engine(rule) for rule in RULES],
        "rounds": rounds,
        "few": FEW,
    }
    answered = _answered(asked)
    found = compiled.evaluate(arrivals, matrix, scores)
    hits = np.zeros((count, len(RULES)), np.int64)
    for place, one in enumerate(found):
        for hit in one.hits:
            hits[place, int(hit.rule.rule.removeprefix("rule_"))] = 1
    wanted = {"rule-engine": hits[:FEW].sum(axis=0).tolist()}
    whole: Sequence[int] = hits.sum(axis=0).tolist()
    equal = all(one["hits"] == wanted.get(name, whole) for name, one in answered.items())
    return {name: one["us"] for name, one in answered.items()}, equal


def _answered(asked: dict[str, Any]) -> dict[str, Any]:
    python = rivals_python()
    assert python is not None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "asked.json"
        file.write_text(json.dumps(asked))
        done = subprocess.run(
            [str(python), str(_RIVAL), str(file)],
            capture_output=True,
            text=True,
            timeout=_RIVAL_S,
            check=False,
        )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:]
        raise Unavailable("rivals", " ".join(last) or f"ended with {done.returncode}")
    answered: dict[str, Any] = json.loads(done.stdout)
    return answered


if __name__ == "__main__":
    common.run(main)
