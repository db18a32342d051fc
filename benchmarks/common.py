"""What every benchmark shares: rounds, medians, the machine, the report and the table."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from risk.cli.__main__ import explain, prepare_environment

ROOT: Final = Path(__file__).resolve().parents[1]
LIBRARIES: Final = (
    *("faust-streaming", "aiokafka", "redis", "hiredis", "lightgbm", "numpy", "numba"),
    *("msgspec", "orjson", "uvloop", "fastapi", "uvicorn"),
)
console: Final = Console(stderr=True)


def run(command: Callable[..., None]) -> None:
    """The door of a benchmark: options from ``command``, errors as one line and a code."""
    prepare_environment()
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    try:
        app(prog_name=f"weir bench {Path(sys.argv[0]).stem}")
    except Exception as problem:
        explained = explain(problem)
        if explained is None:
            raise
        print(explained[0], file=sys.stderr)
        sys.exit(explained[1])


def say(line: str) -> None:
    """A line of progress, on standard error."""
    console.print(line, highlight=False, soft_wrap=True, markup=False)


def interleaved(contestants: Sequence[str], rounds: int) -> Iterator[tuple[int, str]]:
    """(round, contestant), each contestant once a round, begun by another each time.

    Machines get slower and faster over minutes: whoever always went first would gain.

    >>> [name for _, name in interleaved(("a", "b", "c"), 2)]
    ['a', 'b', 'c', 'b', 'c', 'a']
    """
    for number in range(rounds):
        shift = number % len(contestants)
        for name in (*contestants[shift:], *contestants[:shift]):
            yield number, name


@dataclass(slots=True)
class Series:
    """One number a round for each name; a higher index is a later round."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        """Note the value of the next round."""
        self.values.setdefault(name, []).append(value)

    def median(self, name: str) -> float | None:
        """The median over the rounds, None where nothing was measured."""
        found = self.values.get(name)
        return statistics.median(found) if found else None

    def span(self, name: str) -> list[float] | None:
        """[lowest, highest] over the rounds."""
        found = self.values.get(name)
        return [min(found), max(found)] if found else None

    def ratio(self, name: str, other: str) -> float | None:
        """The median of ``name / other`` round by round: what both shared cancels out."""
        pairs = zip(self.values.get(name, ()), self.values.get(other, ()), strict=False)
        ratios = [one / two for one, two in pairs if two]
        return round(statistics.median(ratios), 3) if ratios else None

    def ratios(self, name: str, other: str) -> list[float]:
        """``name / other`` of every round."""
        pairs = zip(self.values.get(name, ()), self.values.get(other, ()), strict=False)
        return [round(one / two, 3) for one, two in pairs if two]


def machine() -> dict[str, Any]:
    """What the numbers were measured on; asked before the measuring, for the load."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "system": f"{platform.system()} {platform.release()}",
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in LIBRARIES},
        "commit": _commit(),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _commit() -> str:
    """The commit of the source tree; ``+`` where files differ from it, "" without git."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except OSError:
        return ""
    return done.stdout.strip()


def write_report(path: Path | None, content: Mapping[str, Any]) -> None:
    """Write ``content`` as JSON, where a file was named."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        body = msgspec.json.format(msgspec.json.encode(dict(content)), indent=2)
        path.write_bytes(body + b"\n")


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table on standard output; numbers to the right."""
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*(text(cell) for cell in row))
    Console().print(table)


def text(cell: Any) -> str:
    """A number as a person reads it; "-" for nothing."""
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:,.3g}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
