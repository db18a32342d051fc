"""Turns a history into logs, and decisions into tails: everything a vector was made from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features import kernel
from features.operations import FACTS, SLOTS
from features.program import Program, catalogue_program
from features.proof import causes
from features.proof.arena import Arena
from features.proof.arena_kernel import CONFLICT, KNOWN, REPEATED, TOLD_VOID, UNRATED, Ints
from features.proof.causes import Gap
from features.proof.columns import OWN, Columns, packed
from features.proof.fallen import Fallen, Latest
from features.proof.history import Extent, HistoryRecord
from features.proof.origin import Origin, pack_origin, unpack_origin
from features.proof.reading import Reader
from features.proof.told import ToBase, Told, read_told
from features.records import RECORD_WORDS
from features.truth import Standing, TruthTopic
from risk.collector import collecting_later
from risk.domain.decision import Decision, Evidence, decode_decision
from risk.domain.limits import FUTURE_MS_MAX, HORIZON_MS, LOG_TTL_S

# A place that a payment saw is waited for this long on the clock of publications: claims that
# nobody finished are published after seconds, after an outage of every process when it ends.
WAIT_MS: Final = 60 * 60 * 1000
# Below its base a place is a hole unless it was published before the epoch began; partitions
# are read side by side, so it is met after this long at the latest.
SETTLE_MS: Final = 60 * 1000
# Records in one pass. It bounds what is held at once; 512 took a fifteenth more time.
AT_ONCE: Final = 2048


class Asked(NamedTuple):
    """One place of a payment, as numbers."""

    log: int
    tail_from: int
    sequence: int
    base: int
    slot: int
    incarnation: int


class Item:
    """A decision whose vector is to be made again.

    ``places`` are rows of ``Asked``; ``facts`` is what its vector takes from the payment
    itself. Its body is decoded when somebody asks for what stands there.
    """

    __slots__ = (
        "_decision", "_to_base", "_told", "arrived_at_ms", "facts", "origin", "places", "record",
        "time_ms", "unrated",
    )  # fmt: skip

    def __init__(
        self,
        record: HistoryRecord,
        to_base: ToBase,
        places: Ints,
        facts: Ints,
        times_ms: tuple[int, int],
        unrated: bool,
    ) -> None:
        self.record = record
        self.places = places
        self.facts = facts
        self.time_ms, self.arrived_at_ms = times_ms
        self.unrated = unrated
        self.origin = pack_origin(record)
        self._to_base = to_base
        self._told: Told | None = None
        self._decision: Decision | None = None

    @property
    def told(self) -> Told:
        """All that its record tells."""
        if self._told is None:
            self._told = read_told(self.record, self._to_base)
            assert self._told is not None  # it was read before
        return self._told

    @property
    def decision(self) -> Decision:
        """The decision as it was published."""
        if self._decision is None:
            self._decision = decode_decision(self.record.value)
        return self._decision

    @property
    def published_ms(self) -> int:
        """When it was published."""
        return self.record.timestamp_ms

    @property
    def asked(self) -> list[Asked]:
        """Its places, as numbers."""
        return [Asked(*row) for row in self.places.tolist()]

    @property
    def place(self) -> Origin:
        """Where the decision stands."""
        return Origin(self.record.topic, self.record.partition, self.record.offset)

    @property
    def evidence(self) -> Evidence:
        """Its evidence, without which ``read_told`` refuses a decision."""
        evidence = self.decision.evidence
        assert evidence is not None
        return evidence


@dataclass(frozen=True, slots=True)
class Batch:
    """Decisions whose tails are whole, in no order, and those whose tails never will be.

    ``spans`` (n, slots, 3) point into the arena until the next chunk is taken.
    ``outside`` are places of ``ready`` whose oldest records history does not hold: none of
    them is young enough for a feature, but the flags of inexactness may depend on them.
    """

    ready: list[Item]
    spans: Ints
    outside: frozenset[int]
    unprovable: list[tuple[Item, str, Gap | None]]


@dataclass(slots=True)
class _Part:
    """How far one partition was read, up to when, and which of its records stand."""

    following: int
    standing: Standing
    read_ms: int = 0


class _Doubt(NamedTuple):
    """A row of ``Asked``, the row of ``Seen`` that doubts it, and how far back it looks."""

    asked: list[int]
    seen: list[int]
    back_ms: int


class Trouble(NamedTuple):
    """What is wrong with a record of the topics itself."""

    origin: Origin
    reason: str


class Missing(NamedTuple):
    """Offsets ``first`` to ``last`` that a partition should have and history does not."""

    topic: TruthTopic
    partition: int
    first: int
    last: int


@dataclass(slots=True)
class Tally:
    """What was met on the way."""

    records: int = 0
    void: int = 0
    fallbacks: int = 0
    repeated: int = 0
    damaged: list[Trouble] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)


Wanted = Callable[[Item], bool]


class Rebuilder:
    """Takes the chunks of one history in their order. ``wanted`` chooses the decisions."""

    def __init__(self, extent: Extent, to_base: ToBase, wanted: Wanted) -> None:
        self.extent = extent
        self.arena = Arena(extent.cut_ms, clocked=extent.clocked)
        self.fallen = Fallen(self.arena, whole=extent.cut_ms is None)
        self.tally = Tally()
        self._to_base = to_base
        self._reader = Reader(self.arena, to_base, self._trouble)
        self._wanted = wanted
        self._parts: dict[tuple[TruthTopic, int], _Part] = {
            span.place: _Part(span.first, Standing(span.epoch)) for span in extent.spans
        }
        self._waiting: list[Item] = []
        self._epoch = 0

    def take(self, chunk: Sequence[HistoryRecord]) -> Iterator[Batch]:
        """Put what ``chunk`` tells at its places; the decisions that can be judged now.

        Judge each batch before asking for the next.
        """
        for part in _without_pauses(chunk):
            for begin in range(0, len(part), AT_ONCE):
                with collecting_later():
                    batch = self._take(part[begin : begin + AT_ONCE])
                yield batch

    def _take(self, chunk: Sequence[HistoryRecord]) -> Batch:
        self.fallen.advance(_asked(self._waiting))
        met, stands = self._admitted(chunk)
        return self._resolve(self._waiting + self._place(met, stands), ended=False)

    def extend(self, extent: Extent) -> None:
        """History has grown: the same partitions, to be read on from where they ended."""
        begun = {span.place: span for span in self.extent.spans}
        spans = [span._replace(first=begun[span.place].first) for span in extent.spans]
        self.extent = extent._replace(spans=tuple(spans))

    @property
    def waiting(self) -> int:
        """Decisions that wait for a place which they saw and nobody has told yet."""
        return len(self._waiting)

    def finish(self) -> Batch:
        """The decisions that still wait for something, now that nothing more comes."""
        for span in self.extent.spans:
            following = self._parts[span.place].following
            if following < span.end:
                self.tally.missing.append(Missing(*span.place, following, span.end - 1))
        return self._resolve(self._waiting, ended=True)

    def vectors(
        self, batch: Batch, program: Program | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """Vectors and flags of inexactness, both (n, F), of the ready decisions of ``batch``.

        The kernel and the facts are those of ``features.vectors``; so is the program, where
        none of other features is given.
        """
        program = program or catalogue_program()
        rows = [item.facts for item in batch.ready] or [np.empty(0, np.int64)]
        facts = np.concatenate(rows).reshape(-1, len(FACTS))
        tiles = self.fallen.tiles(_asked(batch.ready), _owners(batch.ready), len(facts))
        return kernel.run(program, kernel.Batch(self.arena.words, batch.spans, facts, *tiles))

    def spans_before(self, batch: Batch) -> Ints:
        """Where the records before the tails of ``batch`` stand that are in no rollup yet."""
        return self.fallen.spans(_asked(batch.ready), _owners(batch.ready), batch.spans)

    def latest_folded(self, item: Item) -> Latest | None:
        """Of all folded records of the logs that ``item`` saw beyond its tails, the last."""
        found = [
            last
            for at in item.asked
            if at.tail_from > 0 and (last := self.fallen.latest(at.log)) is not None
        ]
        return max(found, default=None)

    def _admitted(self, chunk: Sequence[HistoryRecord]) -> tuple[list[HistoryRecord], list[bool]]:
        """The records of events that were not read before, and whether each stands."""
        met: list[HistoryRecord] = []
        stands: list[bool] = []
        parts, tally = self._parts, self.tally
        for record in chunk:
            topic, partition, offset, at_ms, epoch, marker, _ = record
            part = parts[topic, partition]
            if offset != part.following:
                if offset < part.following:
                    continue
                missing = Missing(topic, partition, part.following, offset - 1)
                tally.missing.append(missing)
            part.following = offset + 1
            part.read_ms = max(part.read_ms, at_ms)
            if not marker and epoch == part.standing.epoch:
                met.append(record)
                stands.append(True)
                continue
            stand = part.standing.admits(record)
            if not marker:
                met.append(record)
                stands.append(stand)
                tally.void += not stand
        tally.records += len(met)
        met_epochs = [part.standing.epoch for part in parts.values() if part.read_ms]
        self._epoch = max(self._epoch, *met_epochs, 0)
        return met, stands

    def _place(self, met: list[HistoryRecord], stands: list[bool]) -> list[Item]:
        """Put records into the arena; the decisions among them that are wanted."""
        if not met:
            return []
        of = self._reader.read(met)
        self.tally.fallbacks = self._reader.fallbacks
        if not len(of.kept):
            return []
        standing = np.array(stands, np.bool_)[of.kept]
        states = np.where(standing, np.where(of.unrated, UNRATED, KNOWN), TOLD_VOID)
        kept = of.kept.tolist()
        origins = [pack_origin(met[place]) for place in kept]
        told = np.column_stack((states, np.array(origins, np.int64), of.arrived_ms))
        incarnation, base, sequence, tail_from = of.at.T
        rows = np.empty((len(of.logs), 5), np.int64)
        rows[:, 0], rows[:, 1] = of.logs, sequence
        rows[:, 2:] = np.repeat(told, of.counts, axis=0)
        self._put(of.words, rows)
        asked = np.column_stack((of.logs, tail_from, sequence, base, of.slots, incarnation))
        ends = np.cumsum(of.counts)
        chosen = np.flatnonzero(standing & of.decided)
        columns = (
            of.kept[chosen], ends[chosen] - of.counts[chosen], ends[chosen],
            np.cumsum(of.decided)[chosen] - 1, of.time_ms[chosen], of.arrived_ms[chosen],
            of.unrated[chosen],
        )  # fmt: skip
        items: list[Item] = []
        for place, begin, end, row, time_ms, arrived_ms, unrated in zip(
            *(column.tolist() for column in columns), strict=True
        ):
            item = Item(
                met[place], self._to_base, asked[begin:end], of.facts[row],
                (time_ms, arrived_ms), unrated,
            )  # fmt: skip
            if self._wanted(item):
                items.append(item)
        return items

    def _put(self, words: NDArray[np.uint32], rows: Ints) -> None:
        results = self.arena.put(words, rows)
        self.fallen.put(words, rows)
        self.tally.repeated += int(np.count_nonzero(results == REPEATED))
        for at in np.flatnonzero(results == CONFLICT):
            log, sequence, _, origin, _ = rows[at].tolist()
            held = unpack_origin(int(self.arena.places.origin[self.arena.at(log, sequence)]))
            reason = (
                f"sequence {sequence} of its log {self.arena.name(log)} is told otherwise"
                f" at {held.topic}:{held.partition}@{held.offset}"
            )
            self.tally.damaged.append(Trouble(unpack_origin(origin), reason))

    def _resolve(self, items: list[Item], *, ended: bool) -> Batch:
        """Judge which tails are whole; the others wait on, unless that has no end."""
        waited = bool(self._waiting)
        self._waiting = []
        asked = _asked(items)
        owner = _owners(items)
        seen = self.arena.see(asked)
        spans = np.full((len(items), len(SLOTS), 3), (-1, -1, 0), np.int64)
        spans[owner, asked[:, 4], 0] = seen[:, 0]
        spans[owner, asked[:, 4], 1] = seen[:, 1]
        spans[owner, asked[:, 4], 2] = asked[:, 1] > 0
        ready = np.ones(len(items), bool)
        outside: set[int] = set()
        unprovable: list[tuple[Item, str, Gap | None]] = []
        doubtful: dict[int, list[_Doubt]] = defaultdict(list)
        for row in np.flatnonzero((seen[:, 2:7] >= 0).any(axis=1)):
            doubtful[int(owner[row])].append(
                _Doubt(asked[row].tolist(), seen[row].tolist(), HORIZON_MS)
            )
        fallen, before, known = self.fallen.see(asked)
        for row in np.flatnonzero((known[:, 2:7] >= 0).any(axis=1)):
            # The tile in which a window begins holds records that are older than the window.
            doubtful[int(owner[fallen[row]])].append(
                _Doubt(before[row].tolist(), known[row].tolist(), HORIZON_MS + _DAY_MS)
            )
        for place, item in enumerate(items):
            if item.unrated:
                ready[place] = False
                unprovable.append((item, causes.RATES_UNKNOWN, None))
        for place, of in doubtful.items():
            item = items[place]
            if not ready[place]:
                continue
            verdict = self._verdict(item, of, ended=ended)
            ready[place] = verdict is None
            if verdict is None:
                outside |= {place} if any(doubt.seen[4] >= 0 for doubt in of) else set()
            elif verdict[0] == _WAIT:
                self._waiting.append(item)
            else:
                unprovable.append((item, *verdict))
        if waited or self._waiting:
            self.arena.pin(_asked(self._waiting))
        chosen = np.flatnonzero(ready)
        new_place = {int(old): new for new, old in enumerate(chosen)}
        return Batch(
            [items[place] for place in chosen],
            spans[chosen],
            frozenset(new_place[place] for place in outside),
            unprovable,
        )

    def _verdict(
        self, item: Item, doubts: list[_Doubt], *, ended: bool
    ) -> tuple[str, Gap | None] | None:
        """A cause, or _WAIT, or None where the vector can be made from what is there."""
        waited_ms = self._now_ms() - item.published_ms
        waits = False
        for asked, (_, _, gap, below, cut, dropped, unrated, void), back_ms in doubts:
            if dropped >= 0:
                return causes.TOO_LATE, self._gap(asked, dropped)
            if unrated >= 0:
                return causes.RATES_UNKNOWN, self._gap(asked, unrated)
            if cut >= 0 and not self._too_old(item, back_ms):
                return causes.RETENTION, self._gap(asked, cut)
            if below >= 0 and self.tally.missing:
                # What history lost itself may have stood there.
                return causes.HOLE, self._gap(asked, below)
            if gap >= 0:
                over = waited_ms > WAIT_MS or (ended and asked[5] < self._epoch)
                if over:
                    return (causes.VOID if void else causes.HOLE), self._gap(asked, gap)
                if ended:
                    return causes.PENDING, self._gap(asked, gap)
                waits = True
            waits = waits or (below >= 0 and not ended and waited_ms <= SETTLE_MS)
        return (_WAIT, None) if waits else None

    def _now_ms(self) -> int:
        """Up to when every partition has been read."""
        return min(
            (
                self._parts[span.place].read_ms
                for span in self.extent.spans
                if self._parts[span.place].following < span.end
            ),
            default=max((part.read_ms for part in self._parts.values()), default=0),
        )

    def _too_old(self, item: Item, back_ms: int) -> bool:
        """Whether what is cut off is older than any feature of ``item`` looks back.

        A record happened at most FUTURE_MS_MAX after it arrived, where the wall clock is the
        clock; and it was published after that.
        """
        cut_ms = self.extent.cut_ms
        if cut_ms is None or not self.extent.clocked:
            return False
        return item.time_ms - back_ms >= cut_ms + FUTURE_MS_MAX

    def _gap(self, asked: list[int], sequence: int) -> Gap:
        _, kind, identifier = self.arena.name(asked[0])
        return Gap(kind, identifier, sequence, asked[3], asked[5])

    def _trouble(self, record: HistoryRecord, reason: str) -> None:
        origin = Origin(record.topic, record.partition, record.offset)
        self.tally.damaged.append(Trouble(origin, reason))


_WAIT: Final = "WAIT"
_DAY_MS: Final = 24 * 60 * 60 * 1000
_PAUSE_MS: Final = LOG_TTL_S * 1000 // 2


def _asked(items: Sequence[Item]) -> Ints:
    """The places of all items, rows of ``Asked``."""
    if not items:
        return np.empty((0, len(Asked._fields)), np.int64)
    return np.concatenate([item.places for item in items])


def _owners(items: Sequence[Item]) -> Ints:
    """Which item each row of ``_asked`` belongs to."""
    return np.repeat(np.arange(len(items)), [len(item.places) for item in items])


def warm() -> None:
    """Compile what makes tails and vectors, or load it from numba's cache."""
    kernel.warm()
    arena, number = Arena(None), np.zeros((1, 4), np.int64)
    logs = np.array(arena.numbers("main", [("account", "warm")]), np.int64)
    Reader(arena, lambda event, digest: None, lambda record, reason: None).read(
        [HistoryRecord("ledger", 0, 0, 0, 1, False, b"{}")]
    )
    words = np.zeros((1, RECORD_WORDS), np.uint32)
    one = np.ones(1, np.int64)
    packed(Columns(np.zeros((1, OWN), np.int64), one, one, number), logs, logs)
    arena.put(words, np.array([[0, 0, KNOWN, 0, 0]], np.int64))
    arena.see(number)


def _without_pauses(chunk: Sequence[HistoryRecord]) -> Iterator[Sequence[HistoryRecord]]:
    """``chunk`` cut where a log may have been forgotten, so that nobody waits across that."""
    begin = 0
    for number, record in enumerate(chunk):
        if abs(record.timestamp_ms - chunk[begin].timestamp_ms) >= _PAUSE_MS:
            yield chunk[begin:number]
            begin = number
    yield chunk[begin:]
