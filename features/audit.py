"""Audit of one feature of one payment: which events made it, and why the others did not."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from typing import Final, NamedTuple

import msgspec
import numpy as np

from features.catalogue import FEATURE_NAMES, feature
from features.operations import FIELD_AMOUNT, FIELDS
from features.program import compile_program
from features.proof.arena import Arena
from features.proof.arena_kernel import KNOWN, UNRATED
from features.proof.causes import Gap
from features.proof.history import Extent, History, HistoryRecord
from features.proof.in_tiles import FallenRecords, Folded
from features.proof.origin import Origin, unpack_origin
from features.proof.rebuilder import Asked, Batch, Item, Rebuilder
from features.proof.told import ToBase
from features.proof.witness import Content, contents
from features.records import AMOUNT_UNKNOWN, RECORD_WORDS, Facts, unpack
from features.steps import Past, Step
from risk.domain.errors import BadConfiguration
from risk.domain.limits import HORIZON_MS, SKEW_MS_MAX

BEFORE_TAIL_SHOWN: Final = 20
FOLDED_SHOWN: Final = 1_000
_OWN: Final = ("same", "at_most_own", "oldest_same_age", "distinct_other")  # compare with the event


class _Column(NamedTuple):
    step: Step
    default: float = math.nan


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """One place of a log that the feature reads.

    ``counted_in`` are the steps of the feature that used the record; ``left_out`` says for each
    other step why not. ``age_ms`` is against the payment, negative for a newer record.
    """

    log: str
    sequence: int
    age_ms: int | None
    counted_in: list[str]
    left_out: dict[str, str]
    origin: Origin | None
    says: Content | None = None


class AuditReport(msgspec.Struct, frozen=True, kw_only=True):
    """What made a value. ``rebuilt`` is None also where the feature is missing (NaN).

    ``before_tail`` counts places of the logs that lie before the tails; the newest of them are
    among ``records``. ``tiles`` says by step what records before the tails add to the counted
    ones, or the largest amount where it lies there; ``folded`` names these records (the newest
    ``FOLDED_SHOWN`` of them; ``folded_count`` has all). ``unprovable`` is the cause where the
    value cannot be made again.
    """

    payment_id: str
    tenant: str
    feature: str
    sentence: str
    steps: list[str]
    served: float | None
    rebuilt: float | None
    equal: bool
    inexact: bool
    decided_at: str
    decision: Origin
    unprovable: str | None
    gap: Gap | None
    before_tail: int
    records: list[Examined]
    tiles: dict[str, float]
    folded: list[Folded] = []
    folded_count: int = 0


class Audit:
    """Looks for one payment in a history and examines one feature of it.

    Raises BadConfiguration for an unknown feature.
    """

    def __init__(
        self, extent: Extent, to_base: ToBase, payment_id: str, name: str, tenant: str = "main"
    ) -> None:
        if name not in FEATURE_NAMES:
            raise BadConfiguration(f"there is no feature {name!r}; see `weir features list`")
        self._payment = (tenant, payment_id)
        self._spec = feature(name)
        self._extent = extent
        self._to_base = to_base
        self._rebuilder = Rebuilder(extent, to_base, self._wanted)
        self._item: Item | None = None
        self.found: AuditReport | None = None

    def take(self, chunk: Sequence[HistoryRecord]) -> bool:
        """Take the next chunk; True where the payment has been found and judged."""
        return any(self._judge(batch) for batch in self._rebuilder.take(chunk))

    async def finish(self, history: History) -> AuditReport:
        """The report, with what the records say, for which ``history`` is read again.

        Raises BadConfiguration where history has no decision on the payment.
        """
        if self.found is None:
            self._judge(self._rebuilder.finish())
        if self.found is None:
            tenant, payment_id = self._payment
            raise BadConfiguration(
                f"history has no authoritative decision on payment {payment_id} of {tenant}"
            )
        examined = self.found.records
        said = await contents(history, [one.origin for one in examined if one.origin])
        records = [
            msgspec.structs.replace(one, says=said.get(one.origin) if one.origin else None)
            for one in examined
        ]
        report = msgspec.structs.replace(self.found, records=records)
        steps = [step for step in _steps(self._spec.step) if step.tiled]
        if self._item is None or not steps or not report.before_tail:
            return report
        kinds = {step.past.entity for step in steps if step.past is not None}
        fallen = FallenRecords(self._extent, self._to_base, self._item, kinds)
        await fallen.read(history)
        found = fallen.named(steps, _left_out)
        return msgspec.structs.replace(
            report, folded=found[-FOLDED_SHOWN:], folded_count=len(found)
        )

    def _wanted(self, item: Item) -> bool:
        return (item.decision.tenant, item.decision.payment_id) == self._payment

    def _judge(self, batch: Batch) -> bool:
        for item, cause, gap in batch.unprovable:
            self.found = self.found or self._report(item, None, cause, gap)
        if batch.ready and self.found is None:
            rebuilt, flags = self._rebuilder.vectors(batch)
            column = FEATURE_NAMES.index(self._spec.name)
            value = (float(rebuilt[0, column]), bool(flags[0, column]))
            report = self._report(batch.ready[0], value, None, None)
            self.found = msgspec.structs.replace(report, tiles=self._tiles(batch))
            self._item = batch.ready[0]
        return self.found is not None

    def _report(
        self, item: Item, value: tuple[float, bool] | None, cause: str | None, gap: Gap | None
    ) -> AuditReport:
        evidence, column = item.evidence, FEATURE_NAMES.index(self._spec.name)
        vector = evidence.vector
        served = vector[column] if vector is not None and column < len(vector) else None
        rebuilt = None if value is None or np.isnan(value[0]) else value[0]
        steps = [step for step in _steps(self._spec.step) if step.past is not None]
        before, records = 0, []
        for at, position in zip(item.asked, item.told.positions, strict=True):
            own = [step for step in steps if step.past and step.past.entity == position.kind]
            if own:
                name = f"{position.kind} {position.identifier}"
                before += at.tail_from
                records += list(self._examine(item, at, name, position.kind, own))
        return AuditReport(
            payment_id=item.decision.payment_id,
            tenant=item.decision.tenant,
            feature=self._spec.name,
            sentence=self._spec.sentence,
            steps=[step.text() for step in steps],
            served=served,
            rebuilt=rebuilt,
            equal=value is not None and served == rebuilt,
            inexact=value is not None and value[1],
            decided_at=item.decision.decided_at,
            decision=item.place,
            unprovable=cause,
            gap=gap,
            before_tail=before,
            records=records,
            tiles={},
        )

    def _tiles(self, batch: Batch) -> dict[str, float]:
        """What the first payment of a batch sees in tiles, by step; nothing where it is zero."""
        item, found = batch.ready[0], {}
        arena = self._rebuilder.arena
        steps = [step for step in _steps(self._spec.step) if step.tiled]
        values, _ = self._rebuilder.vectors(
            batch, compile_program([_Column(step) for step in steps])
        )
        for step, value in zip(steps, values[0].tolist(), strict=True):
            past, seen = step.past, []
            for at, position in zip(item.asked, item.told.positions, strict=True):
                if past is not None and past.entity == position.kind:
                    held = (
                        _held(arena, at.log, sequence, position.kind)
                        for sequence in range(at.tail_from, at.sequence)
                    )
                    seen += [one[0] for one in held if one]
            used = [one.amount_base for one in seen if not _why_not(step, item.told.facts, one)]
            here = float(sum(used) if step.operation == "sum" else len(used))
            if step.operation == "maximum":
                here = float(max(used, default=-1))
            if not np.isnan(value) and value != here:
                found[step.text()] = value if step.operation == "maximum" else value - here
        return found

    def _examine(
        self, item: Item, at: Asked, name: str, kind: str, steps: list[Step]
    ) -> Iterator[Examined]:
        """Every place of the tail, and the newest before it, oldest first."""
        arena = self._rebuilder.arena
        for sequence in range(max(0, at.tail_from - BEFORE_TAIL_SHOWN), at.sequence):
            found = _held(arena, at.log, sequence, kind)
            if found is None:
                why = dict.fromkeys((step.text() for step in steps), "no record is known here")
                yield Examined(
                    log=name, sequence=sequence, age_ms=None, counted_in=[], left_out=why,
                    origin=None,
                )  # fmt: skip
                continue
            of, origin = found
            reasons = {step.text(): _why_not(step, item.told.facts, of) for step in steps}
            if sequence < at.tail_from:
                early = f"before the tail, which begins at {at.tail_from}"
                reasons = {
                    step.text(): f"{early}: it counts through tiles" if step.tiled else early
                    for step in steps
                }
            yield Examined(
                log=name,
                sequence=sequence,
                age_ms=item.told.facts.time_ms - of.time_ms,
                counted_in=[text for text, why in reasons.items() if not why],
                left_out={text: why for text, why in reasons.items() if why},
                origin=origin,
            )


def _held(arena: Arena, log: int, sequence: int, kind: str) -> tuple[Facts, Origin] | None:
    if not arena.logs.first[log] <= sequence < arena.logs.following[log]:
        return None
    at = arena.at(log, sequence)
    if arena.places.state[at] not in (KNOWN, UNRATED):
        return None
    origin = unpack_origin(int(arena.places.origin[at]))
    return unpack(arena.places.words[at, :RECORD_WORDS].tobytes(), kind), origin


def _steps(step: Step) -> Iterator[Step]:
    """Every step of a computation, once, inputs first."""
    seen: dict[Step, None] = {}

    def walk(one: Step) -> None:
        for earlier in one.inputs:
            walk(earlier)
        seen.setdefault(one)

    walk(step)
    return iter(seen)


def _why_not(step: Step, event: Facts, record: Facts) -> str:
    """Why a step leaves a record out; "" where it uses it."""
    past = step.past
    assert past is not None
    age_ms = event.time_ms - record.time_ms
    if age_ms < -SKEW_MS_MAX:
        return f"newer than the payment by more than {SKEW_MS_MAX // 1000} s"
    if age_ms >= HORIZON_MS:
        return "older than any window"
    if not past.mask >> record.kind & 1:
        return "of another kind"
    if max(age_ms, 0) >= past.window_ms:
        return f"outside the window of {past.window}"
    return _field_says(step, past, event, record)


def _left_out(step: Step, event: Facts, record: Facts) -> str:
    assert step.past is not None
    return _field_says(step, step.past, event, record)


def _field_says(step: Step, past: Past, event: Facts, record: Facts) -> str:
    if not step.field:
        return ""
    field = FIELDS[step.field]
    own, value, missing = _value(event, field), _value(record, field), _missing(field)
    if value == missing:
        return f"its {step.field} is not known"
    if step.operation in _OWN and own == missing:
        return f"the payment's own {step.field} is not known"
    if step.operation in ("same", "oldest_same_age") and value != own:
        return f"another {step.field}"
    if step.operation == "distinct_other" and value == own:
        return f"the payment's own {step.field}"
    if step.operation == "just_under" and not 0 <= step.number - 1 - value < step.number // 10:
        return f"its {step.field} is not just under {step.number}"
    if step.operation == "at_most" and value > step.number:
        return f"its {step.field} is above {step.number}"
    if step.operation == "at_most_own" and value > own:
        return f"its {step.field} is above the payment's"
    return ""


def _missing(field: int) -> int:
    return -1 if field == FIELD_AMOUNT else 0


def _value(of: Facts, field: int) -> int:
    """A field of ``features.operations.FIELDS``; -1 for an amount without a rate, else 0."""
    values = (*of.hashes, of.country, of.mcc, of.channel, of.currency, of.amount_base, of.lat,
              of.lon)  # fmt: skip
    value = values[field]
    return -1 if field == FIELD_AMOUNT and value == AMOUNT_UNKNOWN else value


async def examine(history: History, audit: Audit) -> AuditReport:
    """Run ``audit`` over as much of ``history`` as it needs."""
    async with aclosing(history.chunks()) as chunks:
        async for chunk in chunks:
            if audit.take(chunk):
                break
    return await audit.finish(history)
