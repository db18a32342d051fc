"""A training set from what a world really served: vectors made again and found equal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.catalogue import FEATURE_NAMES
from features.parity import Models, Parity
from features.proof import causes
from features.proof.certificate import ParityReport
from features.proof.history import Extent, History, HistoryRecord
from features.proof.rebuilder import Item
from features.proof.standing import standing
from features.proof.told import ToBase
from features.records import AMOUNT_UNKNOWN
from models.trainset import Manifest
from models.trainset_events import Asked, ranges_of, row_of
from models.trainset_writer import GROUP_ROWS, Labels, Ranges, Row, TrainsetWriter, making
from risk.domain.decision import decode_ledger
from risk.domain.errors import BadConfiguration
from risk.domain.event import AnyEvent, Label, Payment
from risk.domain.limits import TIME_MS_MAX, TIME_MS_MIN
from risk.domain.times import parse_rfc3339, rfc3339
from risk.policy import propensity_of

UNEQUAL: Final = "UNEQUAL"
SORT_BYTES: Final = "512MB"  # beyond it the sort of the rows goes to disk
_UNSORTED: Final = "unsorted.parquet"
_EVENTS: Final[msgspec.json.Decoder[AnyEvent]] = msgspec.json.Decoder(AnyEvent)
_TOLD: Final = pa.schema(
    [
        ("payment_id", pa.string()), ("tenant", pa.string()), ("kind", pa.string()),
        ("account", pa.string()), ("occurred_ms", pa.int64()), ("arrived_ms", pa.int64()),
        ("amount_base", pa.int64()), ("currency", pa.string()), ("channel", pa.string()),
        ("country", pa.string()), ("mcc", pa.string()), ("scenario", pa.string()),
        ("score", pa.float64()), ("outcome", pa.string()), ("propensity", pa.float64()),
        ("vector", pa.binary()),
    ]
)  # fmt: skip
Progress = Callable[[int], None]


class Means(NamedTuple):
    """What a proof needs besides the history."""

    to_base: ToBase
    models: Models
    rates: str


class _Peek(msgspec.Struct):
    """When a record of either topic arrived, and whether it counts."""

    arrived_at: str = ""
    decided_at: str = ""
    authoritative: bool = True
    record: str = ""


_PEEK: Final = msgspec.json.Decoder(_Peek)


async def write_from_world(
    told: Mapping[str, Any],
    histories: tuple[History, History],
    asked: Asked,
    means: Means,
    out: Path,
    progress: Progress = lambda records: None,
) -> tuple[Manifest, ParityReport]:
    """The training set of a world at ``out``, with the certificate of its range.

    ``histories`` are one for the labels, that goes on for the label delay, and one for the
    decisions. Memory grows with labels and logs, not with payments. A decision whose vector is
    not equal to the rebuilt one is left out and counted. Raises BadConfiguration.
    """
    survey, history = histories
    check_reach(history.extent, asked)
    with making(out) as draft:
        labels, ranges = await _survey(survey, asked)
        with _Unsorted(draft / _UNSORTED) as unsorted:
            check = Parity(
                history.extent, means.to_base, means.models,
                ranges.from_ms, ranges.to_ms, unsorted.add,
            )  # fmt: skip
            async for chunk in history.chunks():
                check.take(chunk)
                progress(len(chunk))
            found = await check.finish(history)
        with TrainsetWriter(draft, labels, ranges) as writer:
            for rows, matrix in _sorted(draft / _UNSORTED, draft):
                writer.add(rows, matrix)
        (draft / _UNSORTED).unlink()
        certificate: dict[str, Any] = msgspec.to_builtins(found)
        manifest = writer.manifest(told, means.rates, left_out(found, unsorted.count), certificate)
    return manifest, found


def check_reach(extent: Extent, asked: Asked) -> None:
    """Raise BadConfiguration where history does not hold the beginning of what was asked for."""
    cut_ms = extent.cut_ms
    if cut_ms is not None and asked.from_ms is not None and asked.from_ms < cut_ms:
        raise BadConfiguration(
            f"--from {rfc3339(asked.from_ms)}: history begins at {rfc3339(cut_ms)}, what is older"
            " was removed by retention; take a later --from, or read the archive with --archive"
        )


def left_out(found: ParityReport, proven: int) -> dict[str, int]:
    """Decisions of the range without a row, by cause.

    A model that is not at hand leaves the vector proven.
    """
    counts = {
        cause: count for cause, count in found.unprovable.items() if cause != causes.MODEL_UNKNOWN
    }
    unequal = found.checked - proven - sum(counts.values())
    return counts | ({UNEQUAL: unequal} if unequal else {})


async def _survey(history: History, asked: Asked) -> tuple[Labels, Ranges]:
    """The labels that stand, and the range of the decisions that do."""
    labels = Labels()
    first_ms, last_ms = TIME_MS_MAX, TIME_MS_MIN
    async with aclosing(standing(history)) as chunks:
        async for chunk in chunks:
            for record in chunk.records:
                peek = _peek(record)
                if peek is None or not peek.authoritative:
                    continue
                at_ms = parse_rfc3339(peek.decided_at or peek.arrived_at)
                labels.until_ms = max(labels.until_ms, at_ms)
                if record.topic == "decisions":
                    first_ms, last_ms = min(first_ms, at_ms), max(last_ms, at_ms)
                else:
                    _watch(labels, record)
    if last_ms < first_ms:
        raise BadConfiguration("nothing was decided in this range: look at --from and --to")
    return labels, ranges_of(asked, (first_ms, last_ms), labels.until_ms)


def _peek(record: HistoryRecord) -> _Peek | None:
    try:
        return _PEEK.decode(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None  # parity counts and names it


def _watch(labels: Labels, record: HistoryRecord) -> None:
    try:
        event = _EVENTS.decode(decode_ledger(record.value).event)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return  # parity counts and names it; Weir's own decisions are no label
    if isinstance(event, Label):
        labels.add(event)


class _Unsorted:
    """Proven decisions in the order in which they were proven, on disk."""

    def __init__(self, path: Path) -> None:
        self._writer: Any = pq.ParquetWriter(path, _TOLD, compression="zstd")
        self._rows: list[tuple[Any, ...]] = []
        self.count = 0

    def __enter__(self) -> _Unsorted:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._writer.close()

    def add(self, items: Sequence[Item], matrix: NDArray[np.float64]) -> None:
        """See ``features.parity.Proven``."""
        self.count += len(items)
        self._rows += [
            (*_row(item), vector.tobytes()) for item, vector in zip(items, matrix, strict=True)
        ]
        if len(self._rows) >= GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        columns = list(zip(*self._rows, strict=True)) or [()] * len(_TOLD)
        arrays = [pa.array(column, of.type) for column, of in zip(columns, _TOLD, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=_TOLD))
        self._rows = []


def _row(item: Item) -> Row:
    event, amount = item.told.event, item.told.facts.amount_base
    assert isinstance(event, Payment)
    row = row_of(event, item.told.arrived_at_ms, None if amount == AMOUNT_UNKNOWN else amount)
    decision = item.decision
    return row._replace(
        score=decision.score,
        outcome=decision.outcome.value,
        propensity=propensity_of(decision.reasons),
    )


def _sorted(path: Path, scratch: Path) -> Iterator[tuple[list[Row], NDArray[np.float64]]]:
    """Rows by arrival, each payment once: a decision may have been published twice."""
    with duckdb.connect() as database:
        database.execute(f"SET memory_limit = '{SORT_BYTES}'")
        database.execute("SET threads = 1")
        database.execute("SET temp_directory = ?", [str(scratch.parent / f"{scratch.name}.sort")])
        database.execute(
            "SELECT * FROM read_parquet(?) ORDER BY arrived_ms, tenant, payment_id", [str(path)]
        )
        before: tuple[str, str] | None = None
        while found := database.fetchmany(GROUP_ROWS):
            rows: list[Row] = []
            vectors: list[bytes] = []
            for *told, vector in found:
                row = Row(*told)
                name = (row.tenant, row.payment_id)
                if name != before:
                    rows.append(row)
                    vectors.append(vector)
                before = name
            matrix = np.frombuffer(b"".join(vectors), np.float64)
            yield rows, matrix.reshape(len(rows), len(FEATURE_NAMES))
