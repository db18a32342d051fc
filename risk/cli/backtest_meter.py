"""How far a back-test has come: a bar on a terminal, or a file that the API reads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from risk.domain.clock import SystemClock

EVERY_S = 0.5
NICENESS = 10  # a job of the API gives way to everything that decides


class Meter:
    """Counts records. ``expect`` adds to what is to be read, a call to what was."""

    def __init__(self, tell: Callable[[int, int], None] = lambda records, total: None) -> None:
        self._tell = tell
        self.records = 0
        self.total = 0

    def expect(self, records: int) -> None:
        """So many more records are to be read."""
        self.total += records

    def __call__(self, records: int) -> None:
        """So many more records were read."""
        self.records += records
        self._tell(self.records, self.total)


@contextmanager
def metered(job: Path | None) -> Iterator[Meter]:
    """A meter for a terminal, or for the job whose progress stands in the file ``job``."""
    if job is not None:
        os.nice(NICENESS)
        yield Meter(_File(job, os.getppid()))
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield Meter()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("reading", total=None)
        yield Meter(lambda records, total: bar.update(task, completed=records, total=total or None))


class _File:
    """Writes the progress now and then, and leaves with the process that asked for it."""

    def __init__(self, path: Path, parent: int) -> None:
        self._path = path
        self._parent = parent
        self._clock = SystemClock()
        self._told_s = 0.0

    def __call__(self, records: int, total: int) -> None:
        if os.getppid() != self._parent:
            raise SystemExit(1)  # nobody is left who could read the report
        now_s = self._clock.monotonic_s()
        if now_s - self._told_s < EVERY_S:
            return
        self._told_s = now_s
        import msgspec

        from risk.backtest.jobs import Progress

        fresh = self._path.with_suffix(".part")
        fresh.write_bytes(msgspec.json.encode(Progress(records=records, total=total)))
        fresh.replace(self._path)
