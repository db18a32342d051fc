"""The records that a payment saw only through tiles, named by what the topics say of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Final, NamedTuple

import msgspec

from features.proof.history import Extent, History, HistoryRecord
from features.proof.origin import Origin
from features.proof.rebuilder import Item
from features.proof.told import Damaged, ToBase, read_told
from features.proof.witness import Content, content
from features.records import Facts
from features.steps import Step
from features.truth import Standing
from risk.domain.limits import SKEW_MS_MAX

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
WHOLE_DAYS_AFTER: Final = 2  # days behind the newest folded record, hours are joined
DAYS_KEPT: Final = 31

LeftOut = Callable[[Step, Facts, Facts], str]
"""Why a step leaves a record out for the field that it reads; "" where it uses it."""


class Folded(msgspec.Struct, frozen=True, kw_only=True):
    """A record before the tail that counts in a tile of ``counted_in``, steps of the feature."""

    log: str
    sequence: int
    age_ms: int
    counted_in: list[str]
    origin: Origin
    says: Content


class _Fallen(NamedTuple):
    sequence: int
    of: Facts
    origin: Origin
    says: Content


class _Log(NamedTuple):
    tail_from: int
    following: int
    fallen: dict[int, _Fallen]
    tail_ms: dict[int, int]


class FallenRecords:
    """Reads a history once more for what stands before the tails of one payment's logs."""

    def __init__(self, extent: Extent, to_base: ToBase, item: Item, kinds: set[str]) -> None:
        self._to_base = to_base
        self._tenant = item.told.event.tenant
        self._event = item.told.facts
        self._standing = {(one.topic, one.partition): Standing(one.epoch) for one in extent.spans}
        self._logs = {
            (place.kind, place.identifier): _Log(place.tail_from, place.sequence, {}, {})
            for place in item.told.positions
            if place.kind in kinds
        }

    async def read(self, history: History) -> None:
        """Take all of ``history``."""
        async with aclosing(history.chunks()) as chunks:
            async for chunk in chunks:
                self._take(chunk)

    def named(self, steps: Sequence[Step], left_out: LeftOut) -> list[Folded]:
        """The records that tiles count in ``steps``, by log and sequence.

        A tile is an hour, or a day where all of it lies two days behind the newest folded
        record. It belongs to a window if at least half of it does, and counts unless it holds
        a record that is too new for the payment: the rule of ``features.rollup_kernel``.
        """
        found: list[Folded] = []
        for (kind, identifier), log in self._logs.items():
            uses: dict[int, list[str]] = defaultdict(list)
            for step in steps:
                if step.past is not None and step.past.entity == kind:
                    for sequence in self._counted(log, step, left_out):
                        uses[sequence].append(step.text())
            for sequence in sorted(uses):
                one = log.fallen[sequence]
                found.append(
                    Folded(
                        log=f"{kind} {identifier}",
                        sequence=sequence,
                        age_ms=self._event.time_ms - one.of.time_ms,
                        counted_in=uses[sequence],
                        origin=one.origin,
                        says=one.says,
                    )
                )
        return found

    def _counted(self, log: _Log, step: Step, left_out: LeftOut) -> list[int]:
        past = step.past
        assert past is not None
        since_ms = self._event.time_ms - past.window_ms
        until_ms = self._event.time_ms + SKEW_MS_MAX
        oldest_ms = log.tail_ms[min(log.tail_ms)] if log.tail_ms else until_ms
        if past.window_ms < DAY_MS or since_ms >= oldest_ms or not log.fallen:
            return []
        newest_ms = max(one.of.time_ms for one in log.fallen.values())
        days_until, kept_from = (
            (newest_ms - days * DAY_MS) // DAY_MS * DAY_MS for days in (WHOLE_DAYS_AFTER, DAYS_KEPT)
        )
        tiles: dict[tuple[int, int], list[_Fallen]] = defaultdict(list)
        for one in log.fallen.values():
            width_ms = DAY_MS if one.of.time_ms < days_until else HOUR_MS
            begin_ms = one.of.time_ms // width_ms * width_ms
            inside = kept_from <= begin_ms <= until_ms and begin_ms + width_ms // 2 > since_ms
            if inside and past.mask >> one.of.kind & 1:
                tiles[begin_ms, one.of.kind].append(one)
        return [
            one.sequence
            for held in tiles.values()
            if all(one.of.time_ms <= until_ms for one in held)
            for one in held
            if not left_out(step, self._event, one.of)
        ]

    def _take(self, chunk: Sequence[HistoryRecord]) -> None:
        for record in chunk:
            if not self._standing[record.topic, record.partition].admits(record):
                continue
            try:
                told = read_told(record, self._to_base)
            except Damaged:
                continue  # the proof has counted it
            if told is None or told.event.tenant != self._tenant:
                continue
            for place in told.positions:
                log = self._logs.get((place.kind, place.identifier))
                if log is None or place.sequence >= log.following:
                    continue
                if place.sequence >= log.tail_from:
                    log.tail_ms[place.sequence] = told.time_ms
                elif place.sequence not in log.fallen:
                    origin = Origin(record.topic, record.partition, record.offset)
                    log.fallen[place.sequence] = _Fallen(
                        place.sequence, told.facts, origin, content(record)
                    )
