"""`weir bench`: measures Weir against baselines, on this machine, in the same minutes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

# Each is ``benchmarks/NAME.py``, which has its own options and its own --help.
BENCHMARKS: Final = {
    "stream": "Payments from Kafka to decisions, against vanilla Faust and Quix Streams.",
    "http": "POST /v1/decisions, against an endpoint that only validates and answers.",
    "memory": "Time and bytes for each entity, against sorted sets and tiles.",
    "rules": "Thirty and a thousand rules on varied payments, against CEL and rule-engine.",
    "backtest": "Thirty rules, and one, over a million stored decisions, on one core.",
    "lists": "A value looked up in lists of a hundred to five million entries.",
    "model": "One row, many rows and reasons, against LightGBM's own Python call.",
    "swap": "Another model takes over under load: lost payments, p99 before, during, after.",
    "train": "Training a million rows with fixed settings: time and memory.",
    "rebuild": "Vectors made again from history, on one core.",
    "simulator": "Events a second of the simulated world, on one core.",
    "certificate": "Rough traffic and kills, then every proof that Weir has of itself.",
    "soak": "A million payments through one worker: memory, files, bytes in Redis.",
}


def register(app: typer.Typer) -> None:
    """Add the command group ``bench``."""
    group = typer.Typer(help="Measure against baselines, on this machine.")
    settings = {"allow_extra_args": True, "ignore_unknown_options": True}
    for name, sentence in BENCHMARKS.items():
        # Its options are the benchmark's, and so is --help.
        group.command(name, help=sentence, context_settings=settings, add_help_option=False)(_run)
    app.add_typer(group, name="bench", no_args_is_help=True)


def _run(
    context: typer.Context,
    arguments: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
) -> None:
    """Become the benchmark's process, so that signals and the exit code are its own."""
    root = source_tree()
    path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", f"benchmarks.{context.info_name}", *(arguments or [])]
    sys.stdout.flush()
    os.execve(sys.executable, command, {**os.environ, "PYTHONPATH": path})


def source_tree() -> Path:
    """The folder that holds ``benchmarks``. Raises BadConfiguration where it is not shipped."""
    from risk.domain.errors import BadConfiguration

    root = Path(__file__).resolve().parents[2]
    if not (root / "benchmarks" / "common.py").is_file():
        raise BadConfiguration(
            "benchmarks are not part of the package: run weir bench from a source tree"
            " (git clone, make setup, .venv/bin/weir bench)"
        )
    return root
