"""Reports of how rules perform, for people who ask: made in a process of its own, and kept."""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec
import structlog

from risk.books.performance_report import Report
from risk.domain.errors import WeirError
from risk.observability.metrics import Metrics

FRESH_MS: Final = 60_000  # a younger report is not made anew
WAITING_MAX: Final = 4
KEPT_MAX: Final = 32
RULES_SHOWN_MAX: Final = 200  # as labels of metrics, those with the most hits
RUN_S_MAX: Final = 1_800.0
ERROR_CHARS_MAX: Final = 2_000
NICENESS: Final = 10
# The report is written with all of them: 1 says that a decision differs, 4 that versions miss.
_TOLD: Final = (0, 1, 4)
_LOG = structlog.get_logger("weir.performance")

State = Literal["computing", "ready", "failed"]


class TooMany(WeirError):
    """So many reports are being made or wait that no more are taken."""

    code = "REPORTS_WAITING"
    operator = "Ask again in a minute; ask for few different ranges."
    http_status = 429


class Asked(NamedTuple):
    """The options of `weir rules performance`; two that are equal share one report."""

    begin: str | None = None
    end: str | None = None
    label_delay_days: float = 10.0
    archive: bool = False

    def arguments(self) -> list[str]:
        """As they stand on the command line, each in one word."""
        found = [f"--label-delay-days={self.label_delay_days}"]
        found += [] if self.begin is None else [f"--from={self.begin}"]
        found += [] if self.end is None else [f"--to={self.end}"]
        return [*found, "--archive"] if self.archive else found


class Told(NamedTuple):
    """``report`` is the JSON of the newest one, None where none was made; ``error`` the failure.

    ``refreshing``: a newer one is being made.
    """

    state: State
    computed_at_ms: int
    refreshing: bool
    report: bytes | None
    error: str


@dataclass(slots=True)
class _Held:
    computed_at_ms: int = 0
    report: bytes | None = None
    error: str = ""
    task: asyncio.Task[None] | None = field(default=None)

    @property
    def busy(self) -> bool:
        return self.task is not None and not self.task.done()


class PerformanceDesk:
    """Reports by what was asked. One process at a time makes them, at low priority.

    ``command`` is `weir rules performance` up to its options. Called from one event loop.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        now_ms: Callable[[], int],
        metrics: Metrics | None = None,
    ) -> None:
        self._command = tuple(command)
        self._environment = dict(environment)
        self._now_ms = now_ms
        self._metrics = metrics
        self._held: dict[Asked, _Held] = {}
        self._turn = asyncio.Lock()

    def ask(self, asked: Asked) -> Told:
        """What is known; begins to make a report where there is none that is fresh.

        Raises TooMany.
        """
        held = self._held.get(asked)
        fresh = held is not None and self._now_ms() - held.computed_at_ms < FRESH_MS
        if not fresh and not (held is not None and held.busy):
            if sum(one.busy for one in self._held.values()) >= WAITING_MAX:
                raise TooMany(f"{WAITING_MAX} reports are being made or wait already")
            held = held or self._room(asked)
            held.task = asyncio.create_task(self._make(asked, held))
        assert held is not None
        state: State = "failed" if held.error else "ready" if held.report else "computing"
        return Told(state, held.computed_at_ms, held.busy, held.report, held.error)

    async def close(self) -> None:
        """End what runs; called when the process stops."""
        tasks = [one.task for one in self._held.values() if one.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _room(self, asked: Asked) -> _Held:
        done = [one for one, held in self._held.items() if not held.busy]
        for one in done[: max(0, len(self._held) - KEPT_MAX + 1)]:
            del self._held[one]
        return self._held.setdefault(asked, _Held())

    async def _make(self, asked: Asked, held: _Held) -> None:
        async with self._turn:
            with tempfile.TemporaryDirectory(prefix="weir-performance-") as folder:
                file = Path(folder) / f"{secrets.token_hex(4)}.json"
                try:
                    report, error = await self._run(asked, file)
                except OSError as failed:
                    report, error = None, f"OS_ERROR: {failed.strerror}"
        held.computed_at_ms, held.error = self._now_ms(), error
        if report is None:
            _LOG.warning("no report of how rules perform", reason=error)
            return
        held.report = report
        if self._metrics is not None and asked == Asked(archive=asked.archive):
            show(self._metrics, msgspec.json.decode(report, type=Report))

    async def _run(self, asked: Asked, file: Path) -> tuple[bytes | None, str]:
        process = await asyncio.create_subprocess_exec(
            *self._command, *asked.arguments(), "--report", str(file),
            env=self._environment, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
            async with asyncio.timeout(RUN_S_MAX):
                _, told = await process.communicate()
        except TimeoutError:
            return None, f"it took longer than {RUN_S_MAX:.0f} s; ask for a shorter range"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode in _TOLD and file.is_file():
            return await asyncio.to_thread(file.read_bytes), ""
        words = told.decode(errors="replace").strip()[-ERROR_CHARS_MAX:]
        return None, words or f"the process ended with {process.returncode}"


def show(metrics: Metrics, report: Report) -> None:
    """Set the gauges of the rules of the newest version, those with the most hits.

    A precision or recall that is not known is NaN.
    """
    rules = sorted(report.versions[0].rules, key=lambda one: (-one.hits, one.rule))
    for one in rules[:RULES_SHOWN_MAX]:
        precision = float("nan") if one.precision is None else one.precision
        recall = float("nan") if one.recall is None else one.recall
        cost_us = float("nan") if one.cost_us is None else one.cost_us
        metrics.set("weir_rule_reported_hits", one.hits, rule=one.rule)
        metrics.set("weir_rule_precision", precision, rule=one.rule)
        metrics.set("weir_rule_recall", recall, rule=one.rule)
        metrics.set("weir_rule_cost_seconds", cost_us / 1e6, rule=one.rule)
