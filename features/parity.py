"""Parity: every served vector and score of a range made again from history, bit for bit."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.catalogue import FEATURE_NAMES, catalogue_digest
from features.proof import causes
from features.proof.causes import Gap
from features.proof.history import Extent, History, HistoryRecord, Span
from features.proof.rebuilder import Batch, Item, Missing, Origin, Rebuilder, Trouble
from features.proof.told import Told, ToBase
from features.proof.witness import Witness, seen_by, told_by
from risk.domain.times import rfc3339

DAMAGED_SHOWN: Final = 20


class Scores(Protocol):
    """A model as parity sees it: vectors (n, F) in catalogue order to calibrated scores (n,)."""

    def score(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]: ...


class Models(Protocol):
    """Models by what a decision's evidence names; None where one is not at hand."""

    def of(self, model_digest: str, calibration_digest: str) -> Scores | None: ...


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A payment whose rebuilt numbers are not the served ones.

    ``feature`` is a feature's name, "score", or "inexact" (the names of inexact features).
    ``records`` are those that the payment saw in the logs of that feature.
    """

    payment_id: str
    tenant: str
    feature: str
    served: float | str | None
    rebuilt: float | str | None
    decision: Origin
    records: list[Witness]


class Unproven(msgspec.Struct, frozen=True, kw_only=True):
    """The first payment of a cause, with the place that is missing where there is one."""

    payment_id: str
    tenant: str
    decision: Origin
    place: Gap | None
    means: str


class ParityReport(msgspec.Struct, frozen=True, kw_only=True):
    """The certificate. ``checked`` is the sum of ``equal``, ``unequal`` and ``unprovable``."""

    from_: str = msgspec.field(name="from")
    to: str
    verdict: str
    checked: int
    equal: int
    unequal: int
    unprovable: dict[str, int]
    first_difference: Difference | None
    first_unprovable: dict[str, Unproven]
    damaged: int
    first_damaged: list[Trouble]
    missing: list[Missing]
    records: int
    void: int
    fallbacks: int
    repeated: int
    ranges: list[Span]
    history_from: str | None
    digests: dict[str, str | dict[str, int]]


class _Found(NamedTuple):
    """A difference before its records are read."""

    order: tuple[int, int]
    item: Item
    feature: str
    served: float | str | None
    rebuilt: float | str | None
    seen: tuple[Origin, ...]


class Parity:
    """Checks the decisions with ``from_ms <= decided_at < to_ms`` of one history."""

    def __init__(
        self, extent: Extent, to_base: ToBase, models: Models, from_ms: int, to_ms: int
    ) -> None:
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
    def checked(self) -> int:
        """How many decisions of the range were met so far."""
        return self._checked

    def take(self, chunk: Sequence[HistoryRecord]) -> None:
        """Check what the next chunk allows to."""
        self._judge(self._rebuilder.take(chunk))

    async def finish(self, history: History) -> ParityReport:
        """The certificate; ``history`` is read again only where a difference was found."""
        self._judge(self._rebuilder.finish())
        first = None
        if self._first is not None:
            first = _difference(self._first, await told_by(history, self._first.seen))
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

    def _wanted(self, told: Told) -> bool:
        """Whether a decision lies in the range and has a vector that this code could make."""
        if not self._range_ms[0] <= told.arrived_at_ms < self._range_ms[1]:
            return False
        self._checked += 1
        evidence = told.decision.evidence if told.decision else None
        assert evidence is not None  # told.py has refused it
        if evidence.digests.catalogue != self._catalogue:
            return not self._unproven(told, causes.CATALOGUE_OLDER)
        if evidence.vector is None:
            return not self._unproven(told, causes.FEATURES_LOST)
        return True
