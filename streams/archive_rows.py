"""Records of a partition as the rows of a Parquet file, and back, byte for byte."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Protocol

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from features.truth import Standing
from streams.archive_columns import TYPED, columns_of
from streams.archive_names import ArchiveDamaged
from streams.batch import Record, header
from streams.publish import EPOCH_HEADER
from streams.truth import truth_record

FORMAT: Final = 1
META: Final = b"weir.archive"
# Bounds memory: a decision has some 4 kB, so a group has some 16 MB before compression.
GROUP_ROWS: Final = 4096
EPOCH_MAX: Final = 2**63 - 1  # what a column holds; a header may claim any number
# Level 9 takes a tenth less room than 3 and half the speed, which reading Kafka exceeds anyway.
ZSTD_LEVEL: Final = 9
_RAW: Final = (
    ("partition", pa.int32()),
    ("offset", pa.int64()),
    ("timestamp_ms", pa.int64()),
    ("timestamp_type", pa.int8()),
    ("key", pa.binary()),
    ("value", pa.binary()),
    ("headers", pa.list_(pa.struct([("name", pa.string()), ("value", pa.binary())]))),
    ("epoch", pa.int64()),
    ("marker", pa.bool_()),
    ("void", pa.bool_()),
)
RAW_NAMES: Final = tuple(name for name, _ in _RAW)


class TimedRecord(Record, Protocol):
    """A record that says whose clock its timestamp is: 0 the producer's, 1 the broker's."""

    @property
    def timestamp_type(self) -> int: ...


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says of itself, in its footer.

    ``absent`` offsets of its span were never records (transaction marks, compaction). The
    epochs and ``known`` (see ``Epochs``) are those in force before and after its rows;
    ``last_offset`` and ``last_digest`` name its last row.
    """

    format: int
    topic: str
    partition: int
    first: int
    last: int
    rows: int
    absent: int
    first_ms: int
    last_ms: int
    epoch_before: int
    known_before: bool
    epoch_after: int
    known_after: bool
    last_offset: int
    last_digest: str


class ArchivedRecord(msgspec.Struct, frozen=True, gc=False):
    """A record as Kafka had it, and what its place says of it. A ``streams.batch.Record``.

    ``epoch`` is its header's, None without one. ``void`` is None where a hole hides which
    epoch was in force; markers and records of topics without epochs are never void.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    epoch: int | None
    marker: bool
    void: bool | None


class Epochs:
    """The epoch in force along one partition; the law is ``features.truth.Standing``'s.

    ``known`` is False behind a hole, until a marker is read: a marker may stand in the hole.
    """

    def __init__(self, epoch: int, *, known: bool) -> None:
        self.epoch = epoch
        self.known = known
        self._standing = Standing(epoch)

    def judge(self, record: Record) -> tuple[int | None, bool, bool | None]:
        """Epoch, marker and void of the next record of the partition."""
        if header(record, EPOCH_HEADER) is None:
            return None, False, False
        seen = truth_record(record)
        below = seen.epoch < self.epoch
        stands = self._standing.admits(seen)
        self.epoch = min(max(self.epoch, seen.epoch), EPOCH_MAX)
        self.known = self.known or (seen.marker and not below)
        if seen.marker:
            return min(seen.epoch, EPOCH_MAX), True, False
        void = not stands if self.known or below else None
        return min(seen.epoch, EPOCH_MAX), False, void


def schema_of(topic: str) -> Any:
    """The columns of a topic's files: the raw record, its standing, then the typed ones."""
    return pa.schema([*_RAW, ("problem", pa.string()), *TYPED[topic].fields])


def table_of(topic: str, records: Sequence[TimedRecord], epochs: Epochs) -> Any:
    """The rows of consecutive ``records``, in their order; moves ``epochs`` on."""
    typed = TYPED[topic]
    raw: list[tuple[Any, ...]] = []
    values: list[tuple[Any, ...]] = []
    for record in records:
        epoch, marker, void = epochs.judge(record)
        found, problem = columns_of(typed, record.value)
        headers = [{"name": name, "value": value} for name, value in record.headers]
        raw.append(
            (
                record.partition,
                record.offset,
                record.timestamp,
                record.timestamp_type,
                record.key,
                record.value,
                headers,
                epoch,
                marker,
                void,
                problem,
            )
        )
        values.append(found)
    schema = schema_of(topic)
    columns = [*zip(*raw, strict=True), *zip(*values, strict=True)]
    return pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)],
        schema=schema,
    )


def digest_of(record: TimedRecord) -> str:
    """A digest of everything that Kafka holds of a record."""
    parts = [str(record.offset), str(record.timestamp), str(record.timestamp_type)]
    raw = msgspec.msgpack.encode((parts, record.key, record.value, tuple(record.headers)))
    return hashlib.sha256(raw).hexdigest()


def encode(topic: str, tables: Iterable[Any], meta: Meta) -> bytes:
    """The bytes of a file with the rows of ``tables``, in groups of about ``GROUP_ROWS``."""
    schema = schema_of(topic)
    sink = pa.BufferOutputStream()
    repeated = [field.name for field in schema if pa.types.is_dictionary(field.type)]
    with pq.ParquetWriter(
        sink,
        schema,
        compression="zstd",
        compression_level=ZSTD_LEVEL,
        use_dictionary=[*repeated, "timestamp_type", "headers.list.element.name",
                        "headers.list.element.value"],
        write_statistics=["partition", "offset", "timestamp_ms"],
        write_page_checksum=True,
    ) as writer:  # fmt: skip
        for group in _groups(tables):
            writer.write_table(group, row_group_size=GROUP_ROWS)
        writer.add_key_value_metadata({META: msgspec.json.encode(meta)})
    return bytes(sink.getvalue())


def open_file(body: bytes, name: str) -> Any:
    """A file's reader; ArchiveDamaged where the bytes are no Parquet file."""
    try:
        return pq.ParquetFile(pa.BufferReader(body), page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise ArchiveDamaged([f"{name}: its footer cannot be read ({error})"]) from None


def meta_of(file: Any, name: str) -> Meta:
    """What a file says of itself; ArchiveDamaged where it says nothing that is ours."""
    try:
        return msgspec.json.decode((file.metadata.metadata or {})[META], type=Meta)
    except (KeyError, msgspec.DecodeError):
        raise ArchiveDamaged([f"{name}: its footer is not one that Weir wrote"]) from None


def records_of(file: Any, topic: str, name: str) -> Iterator[ArchivedRecord]:
    """The records of a file in offset order. ``topic`` is the full name they get."""
    try:
        for batch in file.iter_batches(GROUP_ROWS, columns=list(RAW_NAMES)):
            columns = [
                _headers(batch.column(one)) if one == "headers" else batch.column(one).to_pylist()
                for one in RAW_NAMES
            ]
            for row in zip(*columns, strict=True):
                yield ArchivedRecord(topic, *row)
    except (pa.ArrowException, OSError) as error:
        raise ArchiveDamaged([f"{name}: a page cannot be read ({error})"]) from None


def _headers(column: Any) -> list[tuple[tuple[str, bytes], ...]]:
    """The headers of each row; four times as fast as a dictionary for each of them."""
    ends = column.offsets.to_pylist()
    named = column.values
    pairs = list(zip(named.field(0).to_pylist(), named.field(1).to_pylist(), strict=True))
    return [tuple(pairs[start:end]) for start, end in itertools.pairwise(ends)]


def _groups(tables: Iterable[Any]) -> Iterator[Any]:
    """The rows of ``tables`` again, small ones put together."""
    held: list[Any] = []
    rows = 0
    for table in tables:
        held.append(table)
        rows += table.num_rows
        if rows >= GROUP_ROWS:
            yield pa.concat_tables(held).combine_chunks().unify_dictionaries()
            held, rows = [], 0
    if held:
        yield pa.concat_tables(held).combine_chunks().unify_dictionaries()
