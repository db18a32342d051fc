"""Values of a feature for decisions that were made without it: Parquet, a file for each day.

``ROOT/FEATURE/DEFINITION/day=YYYY-MM-DD.parquet``. DEFINITION is a digest of all that decides
the value, so another computation under the old name has nothing stored. A file is there whole
or not at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from features.operations import KERNEL_VERSION
from features.records import RECORD_BYTES
from features.spec import FeatureSpec
from risk.domain.errors import BadConfiguration
from risk.domain.limits import AMOUNT_SQUARED_CLAMP, HORIZON_MS, SKEW_MS_MAX

GROUP_ROWS: Final = 65_536
_NOTE: Final = b"weir"
_SCHEMA: Final = pa.schema(
    [
        ("tenant", pa.string()), ("payment_id", pa.string()),
        ("decided_at", pa.timestamp("ms", tz="UTC")), ("value", pa.float64()),
        ("inexact", pa.bool_()),
    ]
)  # fmt: skip


class Value(NamedTuple):
    """The feature of one decision; NaN where missing."""

    tenant: str
    payment_id: str
    decided_ms: int
    value: float
    inexact: bool


class DayNote(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a stored day. ``closed``: nothing can be decided in it any more."""

    day: str
    computed: int
    unprovable: dict[str, int]
    closed: bool


def bounds() -> list[int]:
    """What decides the bits of every feature, as the digest of the catalogue has it."""
    return [KERNEL_VERSION, RECORD_BYTES, SKEW_MS_MAX, HORIZON_MS, AMOUNT_SQUARED_CLAMP]


def definition(spec: FeatureSpec) -> str:
    """SHA-256, in hex, of all that decides the bits of one feature."""
    return hashlib.sha256(json.dumps([bounds(), spec.declared]).encode()).hexdigest()


class DayStore:
    """The stored days of one feature of a world."""

    def __init__(self, root: Path, spec: FeatureSpec) -> None:
        self.spec = spec
        self.definition = definition(spec)
        self.folder = root / spec.name / self.definition[:16]

    def notes(self) -> dict[str, DayNote]:
        """What is stored, by day. Raises BadConfiguration where a file cannot be read."""
        return {
            path.stem.removeprefix("day="): _note(path)
            for path in sorted(self.folder.glob("day=*.parquet"))
        }

    def read(self, day: str) -> Iterator[Value]:
        """The values of one day, by time, tenant and payment; nothing where it is not stored."""
        path = self._path(day)
        if not path.exists():
            return
        table = pq.read_table(path)
        order = [("decided_at", "ascending"), ("tenant", "ascending"), ("payment_id", "ascending")]
        for row in table.sort_by(order).to_pylist():
            yield Value(
                row["tenant"],
                row["payment_id"],
                round(row["decided_at"].timestamp() * 1000),
                row["value"],
                row["inexact"],
            )

    def writing(self, day: str) -> DayWriter:
        """A writer of a day; what is stored of it stands until ``close``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return DayWriter(self._path(day), day)

    def _path(self, day: str) -> Path:
        return self.folder / f"day={day}.parquet"


class DayWriter:
    """Takes values in any order; memory holds at most a row group."""

    def __init__(self, path: Path, day: str) -> None:
        self._path = path
        self._day = day
        self._draft = path.with_name(f".{path.name}.draft")
        self._writer: Any = pq.ParquetWriter(self._draft, _SCHEMA, compression="zstd")
        self._values: list[Value] = []
        self._computed = 0

    def add(self, values: Sequence[Value]) -> None:
        """Values of decisions that were not given before."""
        self._values += values
        self._computed += len(values)
        if len(self._values) >= GROUP_ROWS:
            self._flush()

    def close(self, unprovable: dict[str, int], *, closed: bool) -> DayNote:
        """The file gets its name, in the place of an older one."""
        self._flush()
        note = DayNote(
            day=self._day,
            computed=self._computed,
            unprovable=dict(sorted(unprovable.items())),
            closed=closed,
        )
        self._writer.add_key_value_metadata({_NOTE.decode(): msgspec.json.encode(note).decode()})
        self._writer.close()
        self._draft.replace(self._path)
        return note

    def drop(self) -> None:
        """Leave what was stored before."""
        self._writer.close()
        self._draft.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._values:
            columns = list(zip(*self._values, strict=True))
            arrays = [
                pa.array(column, of.type) for column, of in zip(columns, _SCHEMA, strict=True)
            ]
            self._writer.write_table(pa.Table.from_arrays(arrays, schema=_SCHEMA))
            self._values = []


def _note(path: Path) -> DayNote:
    try:
        note: DayNote = msgspec.json.decode(pq.read_metadata(path).metadata[_NOTE], type=DayNote)
    except (OSError, KeyError, TypeError, pa.ArrowException, msgspec.DecodeError) as error:
        raise BadConfiguration(
            f"{path} cannot be read ({error}); remove it and run `weir backfill` again"
        ) from None
    return note
