"""The Handbook world as Parquet, straight from its columns: the rows that its events would give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from risk.simulator.handbook import CHANNEL, CURRENCY, LABEL, LABEL_DELAY_MS, HandbookWorld
from risk.simulator.handbook_law import SCENARIOS
from risk.simulator.parquet import ROWS, SCHEMA
from risk.simulator.summary import Summary

_BLOCK: Final = 10 * ROWS  # rows made at a time
Progress = Callable[[float], None]


def write(world: HandbookWorld, path: Path, progress: Progress = lambda share: None) -> Summary:
    """Write every event of ``world`` to ``path``, in the order and columns of ``ParquetFile``.

    ``progress`` is told the share done. Returns what was written, counted.
    """
    rows, is_label = _sequence(world)
    columns = _Columns(world)
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for start in range(0, len(rows), _BLOCK):
            block = slice(start, start + _BLOCK)
            writer.write_table(columns.table(rows[block], is_label[block]), row_group_size=ROWS)
            progress(min(1.0, (start + _BLOCK) / len(rows)))
    return _summary(world)


def _sequence(world: HandbookWorld) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Payment numbers in the order of the events, and which of them stand for the label."""
    table = world.table()
    labelled = np.flatnonzero(table.fraud)
    rows = np.concatenate([labelled, table.number])
    is_label = np.arange(len(rows)) < len(labelled)
    time_ms = table.time_ms[rows] + is_label * LABEL_DELAY_MS
    order = np.argsort(time_ms, kind="stable")  # labels stand first, so equal times keep them so
    return rows[order], is_label[order]


class _Columns:
    """Blocks of rows as Arrow tables; every name is made once."""

    def __init__(self, world: HandbookWorld) -> None:
        customers, terminals = range(world.law.customers), range(world.law.terminals)
        self._world = world
        self._accounts = pa.array([world.account_id(one) for one in customers])
        self._cards = pa.array([world.card_id(one) for one in customers])
        self._merchants = pa.array([world.merchant_id(one) for one in terminals])
        self._terminals = pa.array([world.terminal_id(one) for one in terminals])

    def table(self, rows: NDArray[np.int64], is_label: NDArray[np.bool_]) -> Any:
        """The events of payments ``rows``, or of their labels, in ``SCHEMA``."""
        world, payments = self._world, self._world.table()
        time_ms = payments.time_ms[rows] + is_label * LABEL_DELAY_MS
        customer, terminal = pa.array(payments.customer[rows]), pa.array(payments.terminal[rows])
        paid_at = _or_null(payments.terminal[rows], is_label)
        scenario = payments.scenario[rows]
        degrees = world.degrees()[payments.terminal[rows]]
        numbers = list(zip(rows.tolist(), is_label.tolist(), strict=True))
        known = {
            "type": _one_of(("payment", "label"), is_label),
            "id": [world.label_id(n) if late else world.payment_id(n) for n, late in numbers],
            "occurred_at": pa.array(time_ms),
            "tenant": _one_of(("main",), np.zeros_like(rows)),
            "account": self._accounts.take(customer),
            "card": self._cards.take(customer),
            "merchant": self._merchants.take(terminal),
            "payment_id": [world.payment_id(n) if late else None for n, late in numbers],
            "amount_minor": _or_null(payments.amount_minor[rows], is_label),
            "currency": _one_of((CURRENCY, None), is_label),
            "channel": _one_of((CHANNEL, None), is_label),
            "terminal": self._terminals.take(paid_at),
            "lon": _or_null(degrees[:, 0], is_label),
            "lat": _or_null(degrees[:, 1], is_label),
            "label": _one_of((None, LABEL), is_label),
            "known_at": _or_null(time_ms, ~is_label),
            "fraud": _or_null(scenario > 0, is_label),
            "scenario": _one_of((None, *SCENARIOS), np.where(is_label, 0, scenario)),
        }
        return pa.Table.from_arrays(
            [_typed(known.get(field.name), field.type, len(rows)) for field in SCHEMA],
            schema=SCHEMA,
        )


def _typed(column: Any, kind: Any, length: int) -> Any:
    if column is None:
        return pa.nulls(length, kind)
    return pa.array(column, kind) if isinstance(column, list) else column.cast(kind)


def _or_null(values: NDArray[Any], null: NDArray[np.bool_]) -> Any:
    return pa.array(values, mask=null)


def _one_of(values: tuple[str | None, ...], which: NDArray[Any]) -> Any:
    return pa.array(values, pa.string()).take(pa.array(which.astype(np.int64)))


def _summary(world: HandbookWorld) -> Summary:
    table = world.table()
    summary = Summary()
    frauds = int(table.fraud.sum())
    summary.by_type = Counter(
        {kind: n for kind, n in (("payment", len(table)), ("label", frauds)) if n}
    )
    summary.payments = len(table)
    for code, name in enumerate(SCENARIOS, 1):
        if found := int((table.scenario == code).sum()):
            summary.fraud_payments[name] = found
    if len(table):
        summary.first_ms = int(table.time_ms[0])
        last_label_ms = table.time_ms[table.fraud].max(initial=0) + LABEL_DELAY_MS
        summary.last_ms = int(max(table.time_ms[-1], last_label_ms if frauds else 0))
    return summary
