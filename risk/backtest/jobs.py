"""Back-tests as jobs: one at a time, each in a throw-away process, so that nobody else waits."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import structlog

from risk.domain.errors import BadConfiguration, WeirError
from risk.domain.times import parse_rfc3339

WAITING_MAX: Final = 8
KEPT_MAX: Final = 50  # jobs that have ended
STOP_S: Final = 5.0
ERROR_CHARS_MAX: Final = 2_000
BOOK_FILE: Final = "book.yaml"
POLICY_FILE: Final = "policy.json"
REPORT_FILE: Final = "report.json"
PROGRESS_FILE: Final = "progress.json"
# The report is written with both: the second says that a live rule could not be tested.
_DONE: Final = (0, 4)

State = Literal["queued", "running", "done", "failed", "cancelled"]
_LOG = structlog.get_logger("weir.backtest")


class TooMany(WeirError):
    """So many back-tests wait already that no more are taken."""

    code = "BACKTESTS_WAITING"
    operator = "Wait until one has ended, or cancel one: DELETE /v1/backtests/ID."
    http_status = 429


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Records read, of how many; ``total`` is 0 while nobody knows."""

    records: int = 0
    total: int = 0


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One back-test. ``error`` is what stopped a failed one, "" else. Times in ms, 0 not yet."""

    id: str
    state: State
    book: str
    asked_by: str
    asked_at_ms: int
    ended_at_ms: int = 0
    progress: Progress = Progress()
    error: str = ""


@dataclass(slots=True)
class _Running:
    job: Job
    arguments: tuple[str, ...]
    process: asyncio.subprocess.Process | None = field(default=None)
    cancelled: bool = False


class BacktestJobs:
    """The jobs of one process; they end with it. ``folder`` keeps book, progress and report.

    ``command`` is the back-test's command line up to the name of the book, ``environment`` what
    its process gets. Everything is called from one event loop.
    """

    def __init__(
        self,
        folder: Path,
        command: Sequence[str],
        environment: Mapping[str, str],
        now_ms: Callable[[], int],
    ) -> None:
        self._folder = folder
        self._command = tuple(command)
        self._environment = dict(environment)
        self._now_ms = now_ms
        self._held: dict[str, _Running] = {}
        self._waiting: deque[str] = deque()
        self._worker: asyncio.Task[None] | None = None

    def ask(
        self,
        book: tuple[str, str],
        arguments: Sequence[str],
        by: str,
        policy: bytes | None = None,
    ) -> Job:
        """Queue a back-test of the ``book`` with this name and YAML; raises TooMany."""
        if len(self._waiting) >= WAITING_MAX:
            raise TooMany(f"{len(self._waiting)} back-tests wait already")
        self._forget()
        job_id = secrets.token_hex(8)
        folder = self._folder / job_id
        folder.mkdir(parents=True, mode=0o700)
        (folder / BOOK_FILE).write_text(book[1], encoding="utf-8")
        own = [str(folder / BOOK_FILE), "--report", str(folder / REPORT_FILE)]
        own += ["--job", str(folder / PROGRESS_FILE), *arguments]
        if policy is not None:
            (folder / POLICY_FILE).write_bytes(policy)
            own += ["--policy", str(folder / POLICY_FILE)]
        job = Job(id=job_id, state="queued", book=book[0], asked_by=by, asked_at_ms=self._now_ms())
        self._held[job_id] = _Running(job, tuple(own))
        self._waiting.append(job_id)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return job

    def all(self) -> list[Job]:
        """Every job that is kept, the newest first."""
        return [self.job(job_id) for job_id in reversed(self._held)]

    def job(self, job_id: str) -> Job:
        """A job as it stands; raises KeyError."""
        job = self._held[job_id].job
        if job.state != "running":
            return job
        try:
            body = (self._folder / job_id / PROGRESS_FILE).read_bytes()
            found = msgspec.json.decode(body, type=Progress)
        except (OSError, msgspec.DecodeError):
            return job  # it has not begun to read
        return msgspec.structs.replace(job, progress=found)

    def report(self, job_id: str) -> bytes | None:
        """The report of a job that is done, None of any other; raises KeyError."""
        if self._held[job_id].job.state != "done":
            return None
        return (self._folder / job_id / REPORT_FILE).read_bytes()

    def cancel(self, job_id: str) -> Job:
        """End a job that waits or runs; one that has ended stays as it is. Raises KeyError."""
        held = self._held[job_id]
        if held.job.state == "queued":
            self._waiting.remove(job_id)
            self._end(held, "cancelled")
        elif held.job.state == "running":
            held.cancelled = True
            _signal(held.process, signal.SIGTERM)
        return self.job(job_id)

    async def close(self) -> None:
        """End all of them; called when the process stops."""
        for job_id in [*self._waiting, *self._held]:
            self.cancel(job_id)
        if self._worker is not None:
            await self._worker

    async def _work(self) -> None:
        while self._waiting:
            held = self._held[self._waiting.popleft()]
            held.job = msgspec.structs.replace(held.job, state="running")
            try:
                await self._run(held)
            except OSError as error:
                self._end(held, "failed", f"OS_ERROR: {error.strerror}")

    async def _run(self, held: _Running) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            *held.arguments,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # a group of its own; uvloop knows no other way
        )
        held.process = process
        if held.cancelled:  # while the process was being started
            _signal(process, signal.SIGTERM)
        reading = asyncio.create_task(process.communicate())
        while not reading.done():
            await asyncio.wait([reading], timeout=STOP_S)
            if held.cancelled and not reading.done():
                _signal(process, signal.SIGKILL)
        _, told = await reading
        if held.cancelled:
            self._end(held, "cancelled")
        elif process.returncode in _DONE:
            self._end(held, "done")
        else:
            words = told.decode(errors="replace").strip()[-ERROR_CHARS_MAX:]
            self._end(held, "failed", words or f"the process ended with {process.returncode}")

    def _end(self, held: _Running, state: State, error: str = "") -> None:
        progress = self.job(held.job.id).progress
        held.job = msgspec.structs.replace(
            held.job, state=state, error=error, ended_at_ms=self._now_ms(), progress=progress
        )
        _LOG.info("back-test ended", job=held.job.id, state=state)

    def _forget(self) -> None:
        """Make room: the oldest jobs that have ended go, with their files."""
        ended = [one for one, held in self._held.items() if held.job.ended_at_ms]
        for job_id in ended[: max(0, len(ended) - KEPT_MAX + 1)]:
            del self._held[job_id]
            shutil.rmtree(self._folder / job_id, ignore_errors=True)


def _signal(process: asyncio.subprocess.Process | None, number: signal.Signals) -> None:
    if process is not None and process.returncode is None:
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return  # it has just ended


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a caller may ask for besides the book; as the options of `weir rules backtest`."""

    from_: str | None = msgspec.field(name="from", default=None)
    to: str | None = None
    archive: bool = False
    model: str | None = None
    policy: dict[str, Any] | None = None
    capacity: float | None = None
    label_delay_days: float = 10.0
    closed_loop: bool = False

    def arguments(self) -> list[str]:
        """The options. Raises BadConfiguration for what the command would refuse."""
        for name, moment in (("from", self.from_), ("to", self.to)):
            try:
                if moment is not None:
                    parse_rfc3339(moment)
            except ValueError as error:
                raise BadConfiguration(f"{name}: {error}") from None
        if min(self.capacity or 0.0, self.label_delay_days) < 0.0:
            raise BadConfiguration("capacity, label_delay_days: none is below 0")
        found = [f"--label-delay-days={self.label_delay_days}"]
        for name, value in (
            ("from", self.from_),
            ("to", self.to),
            ("model", self.model),
            ("capacity", self.capacity),
        ):
            if isinstance(value, str) and not value.isprintable():
                raise BadConfiguration(f"{name}: use printable characters")
            if value is not None:
                found.append(f"--{name}={value}")
        if self.archive:
            found.append("--archive")
        if self.closed_loop:
            found.append("--closed-loop")
        return found
