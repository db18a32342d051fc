"""The challenger in the shadow: it scores what the champion decided, after the answer.

Doors hand over what they have just published. A queue with a limit lies between: where the
challenger cannot keep up, payments are left out and counted, and no answer ever waits. The scores
go to the topic ``shadow``, not to files: workers on several machines then write to one place, which
ages and is limited like every topic, and the doors need no further library.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from risk.domain.errors import Unavailable
from risk.domain.observation import Arrival, Claimed
from risk.judgement import Versions
from risk.observability.metrics import Metrics

ROWS_MAX: Final = 16_384  # about 16 MB of vectors
BATCH_ROWS: Final = 512
CALL_ROWS: Final = 64  # one call of the model keeps its core for well under a millisecond

Seen = tuple[Arrival, Claimed, float | None]
Keep = Callable[[Sequence[bytes]], Awaitable[None]]


class Challenger(Protocol):
    """What scores in the shadow; ``models.scorer.Scorer`` is one."""

    model_digest: str
    calibration_digest: str

    def score(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]: ...


class ShadowBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Payments that two models scored, a column each; a record of the topic ``shadow``.

    Models are named by the digests of model and calibration. ``amount`` is in base minor units
    (null: unknown), ``at_ms`` the arrival. ``dropped`` payments were left out since the last one.
    """

    version: int = 1
    champion: tuple[str, str]
    challenger: tuple[str, str]
    dropped: int
    tenant: list[str]
    payment_id: list[str]
    account: list[str]
    at_ms: list[int]
    amount: list[int | None]
    channel: list[str]
    country: list[str]
    champion_score: list[float]
    challenger_score: list[float]


class Shadow:
    """Scores with ``challenger()`` what ``saw`` was told; ``keep`` gets the encoded batches."""

    def __init__(
        self,
        challenger: Callable[[], Challenger | None],
        keep: Keep,
        metrics: Metrics,
        rows_max: int = ROWS_MAX,
    ) -> None:
        self._challenger = challenger
        self._keep = keep
        self._metrics = metrics
        self._rows_max = rows_max
        self._queue: list[tuple[Versions, Sequence[Seen]]] = []
        self._rows = 0
        self._dropped = 0

    def saw(self, seen: Sequence[Seen], versions: Versions) -> None:
        """Take over what was decided with ``versions``. Never waits, never raises."""
        if not seen or self._challenger() is None or versions.scoring is None:
            return
        if self._rows + len(seen) > self._rows_max:
            self._drop(len(seen))
            return
        self._queue.append((versions, seen))
        self._rows += len(seen)

    async def turn(self) -> None:
        """Score and keep what waits. What Kafka does not take is counted as left out."""
        queue, self._queue, self._rows = self._queue, [], 0
        challenger = self._challenger()
        if not queue or challenger is None:
            return
        told, self._dropped = self._dropped, 0
        batches = await asyncio.to_thread(_scored, challenger, queue, told)
        if not batches:
            self._dropped += told
            return
        try:
            await self._keep([msgspec.json.encode(batch) for batch in batches])
        except Unavailable:
            self._dropped += told
            self._drop(sum(len(batch.payment_id) for batch in batches))
            return
        rows = sum(len(batch.payment_id) for batch in batches)
        self._metrics.count("weir_shadow_scored_total", rows)

    def _drop(self, count: int) -> None:
        self._dropped += count
        self._metrics.count("weir_shadow_dropped_total", count)


def _scored(
    challenger: Challenger, queue: Sequence[tuple[Versions, Sequence[Seen]]], dropped: int
) -> list[ShadowBatch]:
    named = (challenger.model_digest, challenger.calibration_digest)
    by_champion: dict[tuple[str, str], list[Seen]] = {}
    for versions, seen in queue:
        champion = (versions.digests.model, versions.digests.calibration)
        fit = [one for one in seen if one[1].vector is not None and one[2] is not None]
        # A champion that is its own challenger has nothing to compare.
        if champion != named and fit:
            by_champion.setdefault(champion, []).extend(fit)
    batches = []
    for champion, rows in by_champion.items():
        for start in range(0, len(rows), BATCH_ROWS):
            batches.append(
                _batch((champion, named), rows[start : start + BATCH_ROWS], challenger, dropped)
            )
            dropped = 0
    return batches


def _batch(
    named: tuple[tuple[str, str], tuple[str, str]],
    rows: Sequence[Seen],
    challenger: Challenger,
    dropped: int,
) -> ShadowBatch:
    scores: list[float] = []
    for start in range(0, len(rows), CALL_ROWS):
        matrix = np.array([one[1].vector for one in rows[start : start + CALL_ROWS]], np.float64)
        scores += challenger.score(matrix).tolist()
    events = [one[0].event for one in rows]
    return ShadowBatch(
        champion=named[0],
        challenger=named[1],
        dropped=dropped,
        tenant=[event.tenant for event in events],
        payment_id=[event.id for event in events],
        account=[event.account or "" for event in events],
        at_ms=[one[0].arrived_at_ms for one in rows],
        amount=[one[0].amount_base for one in rows],
        channel=[str(getattr(event, "channel", None) or "") for event in events],
        country=[str(getattr(event, "country", None) or "") for event in events],
        champion_score=[float(one[2] or 0.0) for one in rows],
        challenger_score=scores,
    )
