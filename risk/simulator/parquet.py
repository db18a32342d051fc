"""Events as flat columns of Parquet, with the truth beside each payment."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from risk.domain.decoding import canonical
from risk.domain.event import Payment
from risk.simulator.summary import Told

_MOMENT: Final = pa.timestamp("ms", tz="UTC")
_TEXT: Final = pa.string()
# Event fields by their names; null where an event has no such field.
FIELDS: Final = (
    ("id", _TEXT), ("occurred_at", _MOMENT), ("tenant", _TEXT), ("account", _TEXT),
    ("card", _TEXT), ("merchant", _TEXT), ("beneficiary", _TEXT), ("device", _TEXT),
    ("ip", _TEXT), ("payment_id", _TEXT), ("amount_minor", pa.int64()), ("currency", _TEXT),
    ("mcc", _TEXT), ("terminal", _TEXT), ("ip_prefix", _TEXT), ("channel", _TEXT),
    ("country", _TEXT), ("card_country", _TEXT), ("ip_country", _TEXT), ("bin", _TEXT),
    ("lat", pa.float64()), ("lon", pa.float64()), ("email_hash", _TEXT), ("phone_hash", _TEXT),
    ("account_opened_at", _MOMENT), ("kyc_level", pa.int8()), ("succeeded", pa.bool_()),
    ("result", _TEXT), ("reason", _TEXT), ("label", _TEXT), ("known_at", _MOMENT),
)  # fmt: skip
SCHEMA: Final = pa.schema(
    [
        pa.field("type", _TEXT),
        *(pa.field(name, kind) for name, kind in FIELDS),
        pa.field("fraud", pa.bool_()),
        pa.field("scenario", _TEXT),
        pa.field("episode", pa.int64()),
    ]
)
ROWS: Final = 20_000  # in memory at a time, and in a row group


class ParquetFile:
    """Writes rows in groups. ``fraud`` is null for events that are not payments; ``scenario`` and
    ``episode`` are null where there is no fraud."""

    def __init__(self, path: Path) -> None:
        self._writer: Any = pq.ParquetWriter(path, SCHEMA, compression="zstd")
        self._rows: list[Told] = []

    def __enter__(self) -> ParquetFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None and self._rows:
                self._flush()
        finally:
            self._writer.close()

    def write(self, told: Told) -> None:
        self._rows.append(told)
        if len(self._rows) >= ROWS:
            self._flush()

    def _flush(self) -> None:
        events = [canonical(told.event).event for told in self._rows]
        columns: list[list[Any]] = [[event.kind for event in events]]
        columns += [[getattr(event, name, None) for event in events] for name, _ in FIELDS]
        columns.append(
            [
                told.scenario is not None if isinstance(told.event, Payment) else None
                for told in self._rows
            ]
        )
        columns.append([told.scenario for told in self._rows])
        columns.append([told.episode for told in self._rows])
        arrays = [
            pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)
        ]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA))
        self._rows.clear()
