"""Reads the records of a history as columns: nearly all in compiled code, the others one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.catalogue import FEATURE_NAMES
from features.proof import scan_event
from features.proof import scan_record as at
from features.proof.arena import Arena
from features.proof.columns import OWN, Columns, columns_of, impossible, packed
from features.proof.fact_columns import fact_columns
from features.proof.history import HistoryRecord
from features.proof.scan import PADDING
from features.proof.told import Damaged, ToBase, Told, check_sequences, read_told
from features.records import AMOUNT_UNKNOWN, Facts
from features.vectors import fact_row
from risk.domain.codes import CURRENCIES, CURRENCY_INDEX
from risk.domain.errors import WeirError
from risk.domain.event import Payment, Refund
from risk.domain.kinds import RECORD_KIND_CODE
from risk.domain.limits import AMOUNT_BASE_MAX, AMOUNT_MINOR_MAX, TIME_MS_MAX, TIME_MS_MIN

Ints = NDArray[np.int64]
Trouble = Callable[[HistoryRecord, str], None]

_PAYMENT_TYPES: Final = 4
_REFUND: Final = RECORD_KIND_CODE["refund"]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CURRENCY_OF: Final = {CURRENCY_INDEX[code]: code for code in CURRENCIES}


class Scanned(NamedTuple):
    """Records that tell of an event, in their order; ``kept`` (n,) says which of those read.

    ``words`` (m, 9), ``logs`` (m,) and ``at`` are of their places, ``counts`` (n,) says how many
    each has. ``decided`` says which are decisions, and ``facts`` has a row for each of these.
    ``unrated`` (n,): its amount is not known, because a table of exchange rates is missing.
    """

    kept: Ints
    words: NDArray[np.uint32]
    logs: Ints
    at: Ints
    slots: Ints
    counts: Ints
    arrived_ms: Ints
    time_ms: Ints
    decided: NDArray[np.bool_]
    unrated: NDArray[np.bool_]
    facts: Ints


class Reader:
    """Reads for one arena. ``trouble`` is told of damaged records, and why they are."""

    def __init__(self, arena: Arena, to_base: ToBase, trouble: Trouble) -> None:
        self._arena = arena
        self._to_base = to_base
        self._trouble = trouble
        self._tools = at.tools()
        self.fallbacks = 0
        self.slow = 0

    def read(self, records: Sequence[HistoryRecord]) -> Scanned:
        """What ``records`` tell; decisions that are not authoritative tell nothing."""
        values = [record.value for record in records]
        begins = np.zeros(len(values) + 1, np.int64)
        np.cumsum([len(value) for value in values], out=begins[1:])
        buf = np.frombuffer(b"".join([*values, PADDING]), np.uint8)
        decided = np.array([record.topic == "decisions" for record in records], np.bool_)
        rows = np.zeros((len(values), at.COLUMNS), np.int64)
        at.scan(buf, begins, decided, rows, self._tools)
        rows[_odd(rows, decided), at.STATUS] = at.SLOW
        logs = self._arena.number_rows(buf, rows)
        unrated = self._rate(buf, rows)
        slow = self._read_slowly(records, rows, logs, unrated)
        return self._columns(rows, (logs, decided, unrated), slow)

    def _rate(self, buf: NDArray[np.uint8], rows: Ints) -> NDArray[np.bool_]:
        """Fill in the amounts in the base currency; where the table for one is missing."""
        unrated = np.zeros(len(rows), np.bool_)
        kinds = rows[:, scan_event.KIND]
        paid = (rows[:, at.STATUS] == at.READ) & ((kinds <= _PAYMENT_TYPES) | (kinds == _REFUND))
        of = np.flatnonzero(paid)
        wanted = rows[of][:, [scan_event.AMOUNT, scan_event.CURRENCY, at.RATES, at.RATES + 1]]
        amounts: list[int] = []
        rates = (b"", "")
        for place, (amount, currency, begin, end) in zip(of.tolist(), wanted.tolist(), strict=True):
            raw = buf[begin:end].tobytes()
            if raw != rates[0]:
                rates = (raw, raw.decode())
            money = Refund(
                id="", occurred_at=_EPOCH, account="", amount_minor=amount,
                currency=_CURRENCY_OF[currency],
            )  # fmt: skip
            try:
                base = self._to_base(money, rates[1])
            except WeirError:
                base, unrated[place] = None, True
            amounts.append(AMOUNT_UNKNOWN if base is None else min(base, AMOUNT_BASE_MAX))
        rows[of, scan_event.BASE] = amounts
        return unrated

    def _read_slowly(
        self,
        records: Sequence[HistoryRecord],
        rows: Ints,
        logs: Ints,
        unrated: NDArray[np.bool_],
    ) -> dict[int, Told]:
        """Fill the rows that compiled code has left; what they tell, by row."""
        found: dict[int, Told] = {}
        for place in np.flatnonzero(rows[:, at.STATUS] == at.SLOW).tolist():
            self.slow += 1
            try:
                told = read_told(records[place], self._to_base)
                if told is not None:
                    check_sequences(told)
            except Damaged as error:
                self._trouble(records[place], str(error))
                continue
            if told is None:
                self.fallbacks += 1
                continue
            of, row = columns_of([told]), rows[place]
            row[:OWN] = of.own[0]
            row[at.STATUS], row[at.ARRIVED] = at.READ, told.arrived_at_ms
            row[at.PLACES] = len(of.slots)
            places = row[at.PLACE :].reshape(at.KINDS, at.PLACE_COLUMNS)[: len(of.slots)]
            places[:, 0], places[:, 1:] = of.slots, of.at
            logs[place, : len(of.slots)] = self._arena.numbers(told.event.tenant, told.names)
            unrated[place] = told.unrated
            found[place] = told
        return found

    def _columns(
        self,
        rows: Ints,
        of: tuple[Ints, NDArray[np.bool_], NDArray[np.bool_]],
        slow: dict[int, Told],
    ) -> Scanned:
        kept = np.flatnonzero(rows[:, at.STATUS] == at.READ)
        if len(kept) < len(rows):
            slow = {int(np.searchsorted(kept, place)): told for place, told in slow.items()}
            rows = rows[kept]
        logs, decided, unrated = of[0][kept], of[1][kept], of[2][kept]
        counts, places = _places(rows)
        held = np.arange(at.KINDS) < counts[:, None]
        columns = Columns(
            *map(np.ascontiguousarray, (rows[:, :OWN], counts, places[:, 0], places[:, 1:]))
        )
        words, hashes = packed(columns, logs[held], self._arena.hashes)
        facts = fact_columns(rows[decided], hashes[decided])
        order = np.cumsum(decided) - 1
        for place, told in slow.items():
            if decided[place] and isinstance(told.event, Payment):
                own = Facts(*told.own, tuple(hashes[place].tolist()), 0)
                facts[order[place]] = fact_row(told.event, own)
        return Scanned(
            kept, words, logs[held], columns.at, columns.slots, columns.counts,
            rows[:, at.ARRIVED], rows[:, scan_event.TIME], decided, unrated, facts,
        )  # fmt: skip


def _odd(rows: Ints, decided: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Rows (n,) whose numbers are beyond a limit; why is said by ``features.proof.told``.

    A vector of another length is no fault where its catalogue is another one.
    """
    time_ms, vector = rows[:, scan_event.TIME], rows[:, at.VECTOR]
    odd: NDArray[np.bool_] = decided & (vector != -1) & (vector != len(FEATURE_NAMES))
    odd |= (time_ms < TIME_MS_MIN) | (time_ms >= TIME_MS_MAX)
    odd |= rows[:, scan_event.AMOUNT] > AMOUNT_MINOR_MAX
    counts, places = _places(rows)
    odd |= impossible(Columns(rows, counts, places[:, 0], places[:, 1:]))
    return odd


def _places(rows: Ints) -> tuple[Ints, Ints]:
    """How many places each row has, and these: slot, and the four numbers of ``Columns.at``."""
    counts = rows[:, at.PLACES]
    places = rows[:, at.PLACE :].reshape(-1, at.KINDS, at.PLACE_COLUMNS)
    return counts, places[np.arange(at.KINDS) < counts[:, None]]
