"""Importing one file into a data set: rows in, chunks and a report out, resumable at any point."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from risk.domain.clock import Clock
from risk.domain.decoding import Canonical
from risk.domain.ids import digest
from streams.importer.build import EventBuilder, Rejected
from streams.importer.dataset import DatasetWriter, Progress, open_dataset
from streams.importer.mapping import Mapping
from streams.importer.rows import Progress as ShowProgress
from streams.importer.rows import Row, file_digest, read_rows

CHUNK_ROWS: Final = 20_000  # rows between two commits: memory, and what a kill can cost


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of an import found; counts are of the whole file, also of earlier runs.

    ``rows == accepted + rejected + duplicates``; ``events`` also counts what rows bring with them.
    """

    dataset: str
    file: str
    kind: str
    rows: int
    accepted: int
    events: int
    rejected: int
    duplicates: int
    resumed_at_row: int
    seconds: float
    rejected_file: str | None
    first_rejected: list[Rejected]


def import_file(
    path: Path,
    mapping: Mapping,
    folder: Path,
    clock: Clock,
    progress: ShowProgress | None = None,
    chunk_rows: int = CHUNK_ROWS,
) -> ImportReport:
    """Import ``path`` into the data set ``folder``; a complete import is only reported again.

    The same file with the same mapping is one import, wherever the file lies.
    """
    started_s = clock.monotonic_s()
    identity = import_id(path, mapping)
    with open_dataset(folder) as writer:
        state = writer.begin(
            Progress(
                id=identity, kind=mapping.kind, file=path.name, mapping_digest=mapping.digest()
            )
        )
        resumed_at = state.rows
        if not state.complete:
            RowTaker(writer, state, EventBuilder(mapping), chunk_rows).take(
                read_rows(path, mapping, progress)
            )
        # Also when it was complete before: the kill may have come just ahead of this line.
        writer.write_manifest()
        rejected = writer.rejected_path(identity)
        return ImportReport(
            dataset=folder.name,
            file=path.name,
            kind=mapping.kind,
            rows=state.rows,
            accepted=state.rows - state.rejected - state.duplicates,
            events=state.events,
            rejected=state.rejected,
            duplicates=state.duplicates,
            resumed_at_row=resumed_at,
            seconds=round(clock.monotonic_s() - started_s, 3),
            rejected_file=str(rejected) if state.rejected else None,
            first_rejected=_first_rejected(rejected) if state.rejected else [],
        )


def import_id(path: Path, mapping: Mapping) -> str:
    """What an import is known by: the content of the file and the meaning of the mapping."""
    return digest(f"{mapping.kind}:{file_digest(path)}:{mapping.digest()}".encode())[:16]


class RowTaker:
    """Gathers the events of rows into chunks and commits them; ``state`` says where it begins."""

    def __init__(
        self, writer: DatasetWriter, state: Progress, builder: EventBuilder, chunk_rows: int
    ) -> None:
        self._writer = writer
        self._state = state
        self._builder = builder
        self._chunk_rows = chunk_rows
        self._events: list[Canonical] = []
        self._rejected = bytearray()

    def take(self, rows: Iterator[Row]) -> None:
        """Every row that no chunk has yet, then the end."""
        state, skip = self._state, self._state.rows
        for number, row in enumerate(rows):
            if number < skip:
                continue
            state.rows += 1
            self._row(row)
            if state.rows % self._chunk_rows == 0:
                self._commit()
        state.complete = True
        self._commit()

    def _row(self, row: Row) -> None:
        built = self._builder.build(row)
        if isinstance(built, Rejected):
            self._reject(built)
            return
        verdict, fresh = self._writer.claim(built)
        if verdict == "duplicate":
            self._state.duplicates += 1
        elif verdict == "mismatch":
            self._reject(
                Rejected(
                    line=row.line, field="id", code="PAYLOAD_MISMATCH",
                    reason="this id is in the data set with other content",
                )
            )  # fmt: skip
        else:
            self._events.extend(fresh)
            self._state.events += len(fresh)

    def _reject(self, rejected: Rejected) -> None:
        self._state.rejected += 1
        self._rejected += msgspec.json.encode(rejected) + b"\n"

    def _commit(self) -> None:
        self._writer.commit(self._state, self._events, bytes(self._rejected))
        self._events.clear()
        self._rejected.clear()


def _first_rejected(path: Path, limit: int = 10) -> list[Rejected]:
    found = []
    with path.open("rb") as lines:
        for line in lines:
            found.append(msgspec.json.decode(line, type=Rejected))
            if len(found) == limit:
                break
    return found


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """The first rows of a file as events, as ``weir import check`` shows them."""

    rows: int
    events: list[msgspec.Raw]
    rejected: list[Rejected]


def preview(path: Path, mapping: Mapping, rows: int) -> Preview:
    """Build the events of the first ``rows`` rows; nothing is stored."""
    builder = EventBuilder(mapping)
    events: list[msgspec.Raw] = []
    rejected: list[Rejected] = []
    found = list(islice(read_rows(path, mapping), rows))
    for row in found:
        built = builder.build(row)
        if isinstance(built, Rejected):
            rejected.append(built)
        else:
            events.extend(msgspec.Raw(one.body) for one in built)
    return Preview(rows=len(found), events=events, rejected=rejected)
