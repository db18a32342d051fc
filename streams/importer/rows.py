"""Rows of a CSV, CSV.gz or Parquet file, one at a time, with bounded memory."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final, NamedTuple, Protocol, cast

from risk.domain.errors import BadConfiguration
from streams.importer.mapping import FileRule, Mapping, suggestion
from streams.importer.values import Cell

LINE_CHARS_MAX: Final = 1_000_000  # a longer line is cut, so a file without line ends is harmless
PARQUET_BATCH_ROWS: Final = 4_096


class CsvReader(Protocol):
    """What ``csv.reader`` returns."""

    line_num: int

    def __next__(self) -> list[str]: ...


class Row(NamedTuple):
    """A row: its line (CSV) or number (Parquet), and its cells in the order of the columns asked
    for; ``problem`` says why it is none."""

    line: int
    cells: Sequence[Cell]
    problem: str = ""


Progress = Callable[[int, int], None]  # (done, total) in bytes for CSV, in rows for Parquet


def is_parquet(path: Path) -> bool:
    return path.suffix.lower() in (".parquet", ".pq")


def file_digest(path: Path) -> str:
    """SHA-256 of the file, in hex."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadConfiguration(f"{path}: cannot be read ({error.strerror})") from None


def read_rows(path: Path, mapping: Mapping, progress: Progress | None = None) -> Iterator[Row]:
    """Rows with the cells of ``mapping.columns()``, in that order.

    A missing column or a damaged file is BadConfiguration; a damaged row has a ``problem``.
    """
    wanted = mapping.columns()
    if is_parquet(path):
        return _parquet_rows(path, wanted, progress)
    return _csv_rows(path, mapping.file, wanted, progress)


def _csv_rows(
    path: Path, form: FileRule, wanted: dict[str, str], progress: Progress | None
) -> Iterator[Row]:
    with ExitStack() as stack:
        try:
            raw = stack.enter_context(path.open("rb"))
        except OSError as error:
            raise BadConfiguration(f"{path}: cannot be read ({error.strerror})") from None
        total = path.stat().st_size
        zipped = raw.peek(2)[:2] == b"\x1f\x8b"
        body = cast("IO[bytes]", stack.enter_context(gzip.GzipFile(fileobj=raw))) if zipped else raw
        encoding = "utf-8-sig" if form.encoding == "utf-8" else form.encoding
        text = io.TextIOWrapper(body, encoding, errors="surrogateescape", newline="")
        stack.callback(text.detach)
        reader = csv.reader(
            iter(lambda: text.readline(LINE_CHARS_MAX), ""),
            delimiter=form.delimiter,
            quotechar=form.quote,
        )
        try:
            header = list(form.columns) or next(reader, [])
            places = _places(path, header, wanted)
            for number, row in enumerate(_csv_body(reader, len(header), places)):
                if progress is not None and number % 1000 == 0:
                    progress(raw.tell(), total)
                yield row
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise BadConfiguration(
                f"{path}: the gzip stream is damaged after line {reader.line_num} ({error}); "
                "fetch the file again, rows already imported count as duplicates then"
            ) from None
        if progress is not None:
            progress(total, total)


def _csv_body(reader: CsvReader, width: int, places: list[int]) -> Iterator[Row]:
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(reader.line_num, (), f"is not CSV: {error}")
            continue
        if len(cells) == width:
            yield Row(reader.line_num, [cells[place] for place in places])
        elif cells:
            yield Row(reader.line_num, (), f"has {len(cells)} columns, the header has {width}")


def _parquet_rows(path: Path, wanted: dict[str, str], progress: Progress | None) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise BadConfiguration(f"{path}: is not a Parquet file: {error}") from None
    with file:
        _places(path, list(file.schema_arrow.names), wanted)
        total, number = file.metadata.num_rows, 0
        try:
            for batch in file.iter_batches(PARQUET_BATCH_ROWS, columns=list(wanted)):
                columns = [batch.column(name).to_pylist() for name in wanted]
                for place in range(batch.num_rows):
                    number += 1
                    yield Row(number, [column[place] for column in columns])
                if progress is not None:
                    progress(number, total)
        except (pyarrow.ArrowException, OSError) as error:
            raise BadConfiguration(f"{path}: is damaged after row {number}: {error}") from None


def _places(path: Path, header: list[str], wanted: dict[str, str]) -> list[int]:
    """Where each wanted column stands; BadConfiguration names the first that is not there."""
    for column, key in wanted.items():
        if header.count(column) != 1:
            how = "stands twice in" if column in header else "is not a column of"
            raise BadConfiguration(
                f"{key}: {column!r} {how} {path.name}; {suggestion(column, header)}"
            )
    return [header.index(column) for column in wanted]
