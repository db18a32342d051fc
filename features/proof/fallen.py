"""What a proof knows of the records before the tails: rollups that it makes from the topics.

The arena holds the newest places of a log; what lies further behind is folded here, before the
arena drops it. A place that nobody had told by then is a gap, and is folded when it is told.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features import folded
from features.proof.arena import Arena
from features.proof.arena_kernel import KNOWN, TOLD_VOID, UNRATED, Ints
from features.records import RECORD_WORDS
from features.rollup_kernel import CELL_WORDS
from features.rollups import Rollup

KEPT: Final = 3072  # places of a log that are not folded yet: payments may still ask for them
STEP: Final = 512
_GAP, _BELOW, _CUT, _DROPPED, _UNRATED = range(2, 7)  # columns of ``Seen``


class Latest(NamedTuple):
    """The folded record of a log that arrived last: when, and where it stands."""

    arrived_ms: int
    origin: int


class Fallen:
    """The rollups of one arena. Ask for ``tiles`` before the next records are put."""

    def __init__(self, arena: Arena, *, whole: bool, kept: int = KEPT, step: int = STEP) -> None:
        self._arena = arena
        self._kept = kept
        self._step = step
        self._whole = whole
        self._rollups: dict[int, Rollup] = {}
        self._unrated: dict[int, int] = {}
        self._latest: dict[int, Latest] = {}
        self._touched: Ints = np.empty(0, np.int64)

    def put(self, words: NDArray[np.uint32], rows: Ints) -> None:
        """Records were put into the arena, as ``Arena.put`` takes them."""
        at_folded = self._arena.logs.folded[rows[:, 0]]
        late = (rows[:, 1] < at_folded) & (rows[:, 2] != TOLD_VOID)
        for at in np.flatnonzero(late).tolist():
            log, sequence, state, origin, arrived_ms = rows[at].tolist()
            self._of(log).tell(sequence, words[at].tobytes())
            if state == UNRATED:
                self._unrated.setdefault(log, sequence)
            self._arrived(log, arrived_ms, origin)
        self._touched = rows[:, 0]

    def advance(self, waiting: Ints) -> None:
        """Fold what lies far behind, but nothing that rows of log, tail_from ... wait for."""
        logs = self._arena.logs
        of = self._touched
        far = of[logs.following[of] - logs.folded[of] > self._kept + self._step]
        if not len(far):
            return
        behind = np.unique(far).tolist()
        lowest: dict[int, int] = {}
        for log, tail_from in waiting[:, :2].tolist():
            lowest[log] = min(tail_from, lowest.get(log, tail_from))
        for log in behind:
            keep = int(logs.following[log]) - self._kept
            self._fold(log, min(keep, lowest.get(log, keep)))

    def _fold(self, log: int, keep: int) -> None:
        logs, places = self._arena.logs, self._arena.places
        if keep <= logs.folded[log]:
            return
        rollup = self._of(log)
        begin = max(int(logs.first[log]), int(logs.folded[log]))
        at = int(logs.start[log]) + begin - int(logs.first[log])
        count = max(0, keep - begin)
        states = places.state[at : at + count]
        unrated = np.flatnonzero(states == UNRATED)
        if len(unrated):
            self._unrated.setdefault(log, begin + int(unrated[0]))
        told = np.flatnonzero((states == KNOWN) | (states == UNRATED))
        if len(told):
            last = at + int(told[np.argmax(places.arrived_ms[at + told])])
            self._arrived(log, int(places.arrived_ms[last]), int(places.origin[last]))
        rollup.fold(begin, places.words[at : at + count, :RECORD_WORDS].tobytes(), keep)
        logs.folded[log] = logs.pin[log] = keep

    def _arrived(self, log: int, arrived_ms: int, origin: int) -> None:
        held = self._latest.get(log)
        if held is None or held.arrived_ms < arrived_ms:
            self._latest[log] = Latest(arrived_ms, origin)

    def _of(self, log: int) -> Rollup:
        """The rollup of a log; a new one where Redis had forgotten the log in between."""
        held = self._rollups.get(log)
        if held is None or held.folded != self._arena.logs.folded[log]:
            held = self._rollups[log] = Rollup()
            self._unrated.pop(log, None)
            self._latest.pop(log, None)
        return held

    def see(self, asked: Ints) -> tuple[Ints, Ints, Ints]:
        """Which rows of ``Asked`` have something before their tails; rows that ask for it, and
        rows of ``Seen`` that say what of it is not known.
        """
        logs = self._arena.logs
        truncated = np.flatnonzero(asked[:, 1] > 0)
        rows = asked[truncated]
        of, ends = rows[:, 0], rows[:, 1].copy()
        # One place stands for all those before the first that is held.
        first = np.where(logs.room[of] < 0, ends, logs.first[of])
        rows[:, 1] = np.minimum(np.maximum(logs.folded[of], first - 1), ends)
        rows[:, 2] = ends
        seen = self._arena.see(rows)
        for at in np.flatnonzero(logs.folded[of] > 0).tolist():
            self._see_folded(rows[at], seen[at], int(ends[at]))
        return truncated, rows, seen

    def _see_folded(self, row: Ints, seen: Ints, tail_from: int) -> None:
        log, base = int(row[0]), int(row[3])
        logs = self._arena.logs
        if logs.folded[log] > tail_from:
            seen[_DROPPED] = tail_from
        seen[_UNRATED] = max(int(seen[_UNRATED]), self._unrated.get(log, -1))
        anchor = 0 if self._whole else int(logs.anchor[log])
        for low, high in self._of(log).gaps:
            if low < anchor:
                seen[_CUT] = low
            elif low < base:
                seen[_BELOW] = low
            if high > max(base, anchor):
                seen[_GAP] = max(low, base, anchor)

    def tiles(self, asked: Ints, owner: Ints, items: int) -> folded.Tiles:
        """``cells`` and ``tiles`` of the kernel's batch of ``items``; ``owner`` of each row."""
        logs = self._arena.logs
        truncated = np.flatnonzero(asked[:, 1] > 0)
        truncated = truncated[np.lexsort((asked[truncated, 1], asked[truncated, 0]))]
        of, ends = asked[truncated, 0], asked[truncated, 1]
        first = logs.first[of]
        begins = np.maximum(logs.folded[of], first)
        ends = np.maximum(begins, np.minimum(ends, logs.following[of]))
        rows = np.empty((len(truncated), folded.ASKED), np.int64)
        parts, held, last = [np.empty((0, CELL_WORDS), np.uint32)], 0, -1
        for at, log in enumerate(of.tolist()):
            if log != last:
                rollup = self._of(log) if logs.folded[log] else Rollup()
                parts.append(rollup.cells)
                begin, held, last = held, held + len(rollup.cells), log
            rows[at, :3] = begin, held, rollup.newest_ms
        rows[:, 3] = logs.start[of] + begins - first
        rows[:, 4] = logs.start[of] + ends - first
        cells = np.concatenate(parts)
        cells.flags.writeable = False
        slots = np.column_stack((owner[truncated], asked[truncated, 4]))
        return folded.tiles(self._arena.words, cells, rows, slots, items)

    def spans(self, asked: Ints, owner: Ints, spans: Ints) -> Ints:
        """Where the records before the tails stand that are not folded, as spans of items."""
        found = np.full_like(spans, -1)
        found[:, :, 2] = 0
        truncated = np.flatnonzero(asked[:, 1] > 0)
        logs, of = self._arena.logs, asked[truncated, 0]
        first = logs.first[of]
        begins = np.maximum(logs.folded[of], first)
        ends = np.maximum(begins, np.minimum(asked[truncated, 1], logs.following[of]))
        at = (owner[truncated], asked[truncated, 4])
        found[(*at, 0)] = logs.start[of] + begins - first
        found[(*at, 1)] = logs.start[of] + ends - first
        return found

    def latest(self, log: int) -> Latest | None:
        """The folded record of a log that arrived last."""
        return self._latest.get(log) if self._arena.logs.folded[log] else None
