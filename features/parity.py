"""Parity: every served vector and score of a range made again from history, bit for bit."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from features.catalogue import FEATURE_NAMES, catalogue_digest
from features.judging import Judging
from features.proof import causes
from features.proof.bits import same_bits, served_vectors
from features.proof.causes import CAUSES, Gap
from features.proof.certificate import Difference, ParityReport, Unproven
from features.proof.history import Extent, History, HistoryRecord
from features.proof.rebuilder import Batch, Item, Rebuilder
from features.proof.told import ToBase
from features.proof.windows import known_windows, rebuilt_windows
from features.proof.witness import Sight, seen_by, told_by
from risk.domain.times import rfc3339

DAMAGED_SHOWN: Final = 20


class Scores(Protocol):
    """A model as parity sees it: vectors (n, F) in catalogue order to calibrated scores (n,)."""

    def score(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]: ...


class Models(Protocol):
    """Models by what a decision's evidence names; None where one is not at hand."""

    def of(self, model_digest: str, calibration_digest: str) -> Scores | None: ...


class ParityState(NamedTuple):
    """Counts of a parity that is under way. ``judged`` are checked and not ``waiting``."""

    judged: int
    unequal: int
    unprovable: dict[str, int]
    damaged: int
    waiting: int


class _Found(NamedTuple):
    """A difference before its records are read."""

    item: Item
    feature: str
    served: float | str | None
    rebuilt: float | str | None
    seen: tuple[Sight, ...]


Proven = Callable[[Sequence[Item], NDArray[np.float64]], None]


class Parity:
    """Checks the decisions with ``from_ms <= decided_at < to_ms`` of one history.

    ``proven`` is given, as they are found, decisions and their rebuilt vectors (n, F) where
    these equal the served ones; their scores may differ or be unprovable nevertheless.
    """

    def __init__(
        self,
        extent: Extent,
        to_base: ToBase,
        models: Models,
        from_ms: int,
        to_ms: int,
        proven: Proven = lambda items, matrix: None,
    ) -> None:
        self._proven = proven
        self._range_ms = (from_ms, to_ms)
        self._models = models
        self._rebuilder = Rebuilder(extent, to_base, self._wanted)
        self._catalogue = catalogue_digest()
        self._checked = 0
        self._equal = 0
        self._unequal = 0
        self._causes: Counter[str] = Counter()
        self._first_unproven: dict[str, Unproven] = {}
        self._first: _Found | None = None
        self._models_used: Counter[str] = Counter()

    @property
    def state(self) -> ParityState:
        """What was found so far; the decisions that wait are neither equal nor unprovable yet."""
        tally = self._rebuilder.tally
        return ParityState(
            judged=self._equal + self._unequal + sum(self._causes.values()),
            unequal=self._unequal,
            unprovable=dict(self._causes),
            damaged=len(tally.damaged) + len(tally.missing),
            waiting=self._rebuilder.waiting,
        )

    def extend(self, extent: Extent) -> None:
        """History has grown; go on with ``take``."""
        self._rebuilder.extend(extent)

    def take(self, chunk: Sequence[HistoryRecord]) -> None:
        """Check what the next chunk allows to."""
        for batch in self._rebuilder.take(chunk):
            self._judge(batch)

    async def finish(self, history: History) -> ParityReport:
        """The certificate; ``history`` is read again only where a difference was found."""
        self._judge(self._rebuilder.finish())
        return await self.report(history)

    async def report(self, history: History) -> ParityReport:
        """The certificate of what was judged so far."""
        first = None
        if self._first is not None:
            found = self._first
            first = Difference(
                payment_id=found.item.decision.payment_id,
                tenant=found.item.decision.tenant,
                feature=found.feature,
                served=found.served,
                rebuilt=found.rebuilt,
                decision=found.item.place,
                records=await told_by(history, found.seen),
            )
        tally, extent = self._rebuilder.tally, self._rebuilder.extent
        return ParityReport(
            from_=rfc3339(self._range_ms[0]),
            to=rfc3339(self._range_ms[1]),
            verdict=self._verdict(),
            checked=self._checked,
            equal=self._equal,
            unequal=self._unequal,
            unprovable=dict(sorted(self._causes.items())),
            first_difference=first,
            first_unprovable=self._first_unproven,
            damaged=len(tally.damaged),
            first_damaged=tally.damaged[:DAMAGED_SHOWN],
            missing=tally.missing,
            records=tally.records,
            void=tally.void,
            fallbacks=tally.fallbacks,
            repeated=tally.repeated,
            ranges=list(extent.spans),
            history_from=None if extent.cut_ms is None else rfc3339(extent.cut_ms),
            digests={"catalogue": self._catalogue, "models": dict(self._models_used)},
        )

    def _verdict(self) -> str:
        tally = self._rebuilder.tally
        if self._unequal or tally.damaged:
            return "different"
        if self._causes or tally.missing:
            return "unprovable"
        return "equal" if self._checked else "empty"

    def _wanted(self, item: Item) -> bool:
        """Whether a decision lies in the range and has a vector that this code could make."""
        if not self._range_ms[0] <= item.told.arrived_at_ms < self._range_ms[1]:
            return False
        self._checked += 1
        if item.evidence.digests.catalogue != self._catalogue:
            self._unproven(item, causes.CATALOGUE_OLDER, None)
        elif item.evidence.vector is None:
            self._unproven(item, causes.FEATURES_LOST, None)
        elif item.evidence.windows and not known_windows(item):
            self._unproven(item, causes.WINDOWS_UNKNOWN, None)
        else:
            return True
        return False

    def _unproven(self, item: Item, cause: str, gap: Gap | None) -> None:
        self._causes[cause] += 1
        if cause not in self._first_unproven:
            self._first_unproven[cause] = Unproven(
                payment_id=item.decision.payment_id,
                tenant=item.decision.tenant,
                decision=item.place,
                place=gap,
                means=CAUSES[cause],
            )

    def _judge(self, batch: Batch) -> None:
        for item, cause, gap in batch.unprovable:
            self._unproven(item, cause, gap)
        if not batch.ready:
            return
        rebuilt, flags = self._rebuilder.vectors(batch)
        served = served_vectors(batch.ready)
        same = same_bits(served, rebuilt)
        wrong = {int(row) for row in np.flatnonzero(~np.all(same, axis=1))}
        for row in sorted(wrong):
            column = int(np.flatnonzero(~same[row])[0])
            self._differs(
                batch.ready[row],
                FEATURE_NAMES[column],
                _plain(served[row, column]),
                _plain(rebuilt[row, column]),
            )
        windows = rebuilt_windows(self._rebuilder, batch)
        for row in sorted(windows.wrong.keys() - wrong):
            self._differs(batch.ready[row], *windows.wrong[row])
        wrong |= windows.wrong.keys()
        wrong |= self._other_flags(batch, flags, windows.inexact, wrong)
        kept = [row for row in range(len(batch.ready)) if row not in wrong]
        self._proven([batch.ready[row] for row in kept], rebuilt[kept])
        self._judge_scores(batch, rebuilt, wrong)

    def _other_flags(
        self,
        batch: Batch,
        flags: NDArray[np.uint8],
        windows: dict[int, list[str]],
        wrong: set[int],
    ) -> set[int]:
        """Decisions whose inexact features and windows are told otherwise, besides ``wrong``."""
        flagged: NDArray[np.bool_] = np.any(flags, axis=1)
        found = set()
        for row, item in enumerate(batch.ready):
            named = item.evidence.inexact
            if (
                row in wrong
                or row in batch.outside
                or not (named or flagged[row] or row in windows)
            ):
                continue
            rebuilt = [FEATURE_NAMES[column] for column in np.flatnonzero(flags[row])]
            rebuilt += windows.get(row, [])
            if rebuilt != named:
                found.add(row)
                self._differs(item, "inexact", ", ".join(named), ", ".join(rebuilt))
        return found

    def _judge_scores(self, batch: Batch, rebuilt: NDArray[np.float64], wrong: set[int]) -> None:
        """Score the rebuilt vectors of the others, with the model that each decision names."""
        by_model: dict[tuple[str, str], list[int]] = defaultdict(list)
        for row, item in enumerate(batch.ready):
            if row not in wrong:
                digests = item.evidence.digests
                by_model[digests.model, digests.calibration].append(row)
        for (model, calibration), rows in by_model.items():
            self._models_used[model or "none"] += len(rows)
            scores: list[float | None] = [None] * len(rows)
            if model:
                scorer = self._models.of(model, calibration)
                if scorer is None:
                    for row in rows:
                        self._unproven(batch.ready[row], causes.MODEL_UNKNOWN, None)
                    continue
                scores = [float(score) for score in scorer.score(rebuilt[rows])]
            for row, score in zip(rows, scores, strict=True):
                item = batch.ready[row]
                if _equal(item.decision.score, score):
                    self._equal += 1
                else:
                    self._differs(item, "score", item.decision.score, score)

    def _differs(
        self, item: Item, name: str, served: float | str | None, rebuilt: float | str | None
    ) -> None:
        self._unequal += 1
        first = self._first
        if first is None or _order(item) < _order(first.item):
            seen = seen_by(self._rebuilder.arena, item, name)
            self._first = _Found(item, name, served, rebuilt, seen)


def _order(item: Item) -> tuple[int, int]:
    return item.published_ms, item.origin


def _equal(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.hex() == other.hex()


def _plain(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)


async def prove(history: History, parity: Parity, judging: Judging | None = None) -> ParityReport:
    """Run ``parity`` over the whole of ``history``, and judge again where that is asked for."""
    async with aclosing(history.chunks()) as chunks:
        async for chunk in chunks:
            parity.take(chunk)
            if judging is not None:
                await judging.take(chunk)
    report = await parity.finish(history)
    return report if judging is None else judging.added_to(report)
