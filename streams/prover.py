"""Proves each decision soon after it was published, and says loudly where that fails."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import structlog

from features.judging import JudgedState, Judging, VersionsByDigest
from features.parity import Models, Parity, ParityState, prove
from features.proof.certificate import ParityReport
from features.proof.told import ToBase
from risk.domain.clock import Clock
from risk.domain.limits import TIME_MS_MAX
from risk.domain.times import rfc3339
from risk.observability.metrics import Metrics
from streams.history import KafkaHistory, continued, open_history
from streams.topics import Topics

_LOG = structlog.get_logger("weir.prover")
DAY_MS: Final = 86_400_000
DAY_AFTER_MS: Final = 10 * 60_000
_NOTHING: Final = ParityState(0, 0, {}, 0, 0)


class Means(NamedTuple):
    """What a proof needs besides history. Without ``versions`` nothing is judged again."""

    to_base: ToBase
    models: Models
    versions: VersionsByDigest | None = None
    judge_every: int = 1


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What the last turn found, for whoever asks whether the proof stands."""

    at: str
    verdict: str
    problem: str
    certificate: ParityReport


class Prover:
    """Follows the decisions of a world from ``from_ms`` on (by ``decided_at``).

    Each ``turn`` checks what has come since the one before; every decision once. The first
    turn reads the history that the tails reach back into. A difference stands until the
    process ends: somebody has to look at it.
    """

    def __init__(
        self,
        bootstrap: str,
        topics: Topics,
        means: Means,
        clock: Clock,
        metrics: Metrics,
        from_ms: int,
    ) -> None:
        self._bootstrap = bootstrap
        self._topics = topics
        self._means = means
        self._judging = self._judge(from_ms, TIME_MS_MAX - 1)
        self._judged = JudgedState()
        self._clock = clock
        self._metrics = metrics
        self._from_ms = from_ms
        self._history: KafkaHistory | None = None
        self._parity: Parity | None = None
        self._told = _NOTHING
        self._begun_ms = clock.now_ms()
        self._day_ms: int | None = None
        self.problem: str | None = None
        """Why the proof does not stand; None while it does."""

    async def turn(self) -> ParityState:
        """Check what has been published since the last turn. Raises Unavailable."""
        history, parity = await self._next()
        now_ms = self._clock.now_ms()
        if self._judging is not None:
            self._judging.look_again()
        async with aclosing(history.chunks()) as chunks:
            async for chunk in chunks:
                parity.take(chunk)
                if self._judging is not None:
                    await self._judging.take(chunk)
        self._history = history
        state = parity.state
        self._tell(state)
        self._tell_judged(self._judging.state if self._judging else JudgedState())
        self._metrics.set("weir_parity_proven_seconds", now_ms / 1000)
        return state

    async def certificate(self) -> ParityReport:
        """The certificate of all turns so far. Raises ValueError before the first."""
        if self._parity is None:
            raise ValueError("nothing was proven yet")
        whole = await open_history(self._bootstrap, self._topics, self._from_ms)
        report = await self._parity.report(whole)
        return report if self._judging is None else self._judging.added_to(report)

    async def note(self, file: Path) -> None:
        """Write down what was found so far, whole or not at all."""
        self._write(file, await self.certificate(), self.problem or "")

    async def note_day(self, folder: Path) -> Path | None:
        """Prove the whole of yesterday (UTC) anew and keep its certificate; the file, once a day.

        Only some minutes after the day has ended and this process has begun: what was decided
        before midnight may be published a little later, and starting is busy enough. A day
        that has its certificate is left alone, as is one in which nothing was decided.
        """
        now_ms = self._clock.now_ms()
        if now_ms - self._begun_ms < DAY_AFTER_MS:
            return None
        end_ms = (now_ms - DAY_AFTER_MS) // DAY_MS * DAY_MS
        begin_ms = end_ms - DAY_MS
        file = folder / f"{rfc3339(begin_ms)[:10]}.json"
        if begin_ms == self._day_ms or file.exists():
            return None
        history = await open_history(self._bootstrap, self._topics, begin_ms, end_ms)
        means = self._means
        check = Parity(history.extent, means.to_base, means.models, begin_ms, end_ms)
        report = await prove(history, check, self._judge(begin_ms, end_ms))
        self._day_ms = begin_ms
        if report.verdict == "empty":
            return None
        problem = ""
        judged = report.judgements.unequal if report.judgements else 0
        if report.unequal or report.damaged or judged:
            problem = self.problem = (
                f"parity of {file.stem}: {report.unequal} decisions differ from history,"
                f" {report.damaged} records are damaged, {judged} are judged otherwise"
            )
            count = report.unequal + report.damaged + judged
            _LOG.error("a day differs from history", count=count)
        self._write(file, report, problem)
        return file

    def _write(self, file: Path, report: ParityReport, problem: str) -> None:
        held = Note(
            at=rfc3339(self._clock.now_ms()),
            verdict=report.verdict,
            problem=problem,
            certificate=report,
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_name(f".{file.name}.new")
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(held), indent=1) + b"\n")
        fresh.replace(file)

    async def _next(self) -> tuple[KafkaHistory, Parity]:
        """What is to be read now. What a failed turn had read already is passed over."""
        if self._history is None:
            history = await open_history(self._bootstrap, self._topics, self._from_ms)
        else:
            history = await continued(self._history)
        if self._parity is None:
            means = self._means
            self._parity = Parity(
                history.extent, means.to_base, means.models, self._from_ms, TIME_MS_MAX - 1
            )
        else:
            self._parity.extend(history.extent)
        return history, self._parity

    def _judge(self, from_ms: int, to_ms: int) -> Judging | None:
        versions = self._means.versions
        if versions is None or not self._means.judge_every:
            return None
        return Judging(versions, from_ms, to_ms, self._means.judge_every)

    def _tell_judged(self, state: JudgedState) -> None:
        old, self._judged = self._judged, state
        for result, now, before in zip(state._fields, state, old, strict=True):
            self._metrics.count("weir_parity_judged_total", now - before, result=result)
        if state.unequal > old.unequal:
            self.problem = self._told_problem()
            _LOG.error("decisions are judged otherwise than published", count=state.unequal)
        elif state.unprovable > old.unprovable:
            _LOG.warning("decisions cannot be judged again", count=state.unprovable)

    def _tell(self, state: ParityState) -> None:
        """Count what is new, and log what must be looked at."""
        old, self._told = self._told, state
        count = self._metrics.count
        count("weir_parity_checked_total", max(0, state.judged - old.judged))
        count("weir_parity_unequal_total", max(0, state.unequal - old.unequal))
        count("weir_parity_damaged_total", max(0, state.damaged - old.damaged))
        for cause, number in state.unprovable.items():
            new = max(0, number - old.unprovable.get(cause, 0))
            count("weir_parity_unprovable_total", new, cause=cause)
        self._metrics.set("weir_parity_waiting", state.waiting)
        if state.unequal > old.unequal or state.damaged > old.damaged:
            self.problem = self._told_problem()
            _LOG.error("decisions differ from history", count=state.unequal + state.damaged)
        elif sum(state.unprovable.values()) > sum(old.unprovable.values()):
            _LOG.warning("decisions cannot be proven", count=sum(state.unprovable.values()))

    def _told_problem(self) -> str:
        """What differs from history is often judged otherwise as well: both are told."""
        parts: list[str] = []
        if self._told.unequal or self._told.damaged:
            parts += [
                f"{self._told.unequal} decisions differ from history",
                f"{self._told.damaged} records are damaged or gone",
            ]
        if self._judged.unequal:
            parts.append(f"{self._judged.unequal} decisions are judged otherwise than published")
        return "parity: " + ", ".join(parts)
