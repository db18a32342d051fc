"""Reading a file of entries: every wrong line named, and the whole file or nothing."""

from __future__ import annotations

import csv
import hashlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

from risk.domain.times import parse_rfc3339
from risk.lists.entries import HeldList, NewEntry, checked_entry
from risk.lists.errors import BadList
from risk.lists.keys import NO_LENGTHS, entry_key, lengths_of
from risk.lists.segments import Segment, sorted_segment
from risk.lists.values import BadValue

IMPORT_BYTES_MAX: Final = 256 * 1024 * 1024
LINE_BYTES_MAX: Final = 4_096
PROBLEMS_SHOWN: Final = 20
COLUMNS: Final = ("value", "reason", "expires_at")


@dataclass(slots=True)
class Scanned:
    """What a file holds. ``entries`` counts its lines but the header, equal values included."""

    sha256: str = ""
    size_bytes: int = 0
    entries: int = 0
    problems: int = 0
    shown: list[str] = field(default_factory=list)
    keys: bytearray = field(default_factory=bytearray)
    until_ms: array[int] = field(default_factory=lambda: array("q"))
    lengths: tuple[int, int] = NO_LENGTHS

    def segment(self) -> Segment:
        """The entries, sorted; of equal values the last."""
        until_ms = np.array(self.until_ms, np.int64)
        return sorted_segment(bytes(self.keys), until_ms, self.lengths)

    def _report(self, line: int, text: str) -> None:
        self.problems += 1
        if len(self.shown) < PROBLEMS_SHOWN:
            self.shown.append(f"line {line}: {text}")


class EntryFile:
    """A CSV file with a header: ``value``, and where wanted ``reason`` and ``expires_at``.

    ``reason`` is that of lines without one. An expiry must be after ``earliest_ms``.
    """

    def __init__(self, path: Path, held: HeldList, reason: str, earliest_ms: int) -> None:
        self._path = path
        self._held = held
        self._reason = reason
        self._earliest_ms = earliest_ms
        self._hash = hashlib.sha256()

    def scan(self) -> Scanned:
        """Read and check the whole file; raises BadList with its first problems."""
        found = Scanned()
        try:
            found.size_bytes = self._path.stat().st_size
        except OSError as error:
            raise BadList([f"{self._path}: cannot be read ({error.strerror})"]) from None
        if found.size_bytes > IMPORT_BYTES_MAX:
            raise BadList(
                [f"{self._path.name} has {found.size_bytes} bytes; a file may have"
                 f" {IMPORT_BYTES_MAX}: cut it into several"]
            )  # fmt: skip
        type_name = self._held.type
        for line, entry in self._read():
            if isinstance(entry, str):
                found._report(line, entry)
                continue
            found.entries += 1
            found.keys += entry_key(type_name, entry.value)
            found.until_ms.append(entry.until_ms)
            if type_name == "ip":
                four, six = lengths_of(type_name, entry.value)
                found.lengths = (found.lengths[0] | four, found.lengths[1] | six)
        if found.problems:
            more = found.problems - len(found.shown)
            rest = [f"and {more} more lines"] if more else []
            raise BadList([f"{self._path.name}, {one}" for one in found.shown] + rest)
        found.sha256 = self._hash.hexdigest()
        return found

    def entries(self, sha256: str) -> Iterator[NewEntry]:
        """The entries of the file that was scanned; raises BadList where it has changed since."""
        for line, entry in self._read():
            if isinstance(entry, str):
                raise BadList([f"{self._path.name}, line {line}: {entry}"])
            yield entry
        if self._hash.hexdigest() != sha256:
            raise BadList([f"{self._path.name} was changed while it was read; import it again"])

    def _read(self) -> Iterator[tuple[int, NewEntry | str]]:
        """Each line with its entry, or what is wrong with it; stops where no line can follow."""
        self._hash = hashlib.sha256()
        rows = csv.reader(self._lines(), strict=True)
        begins = 1
        columns: list[str] | None = None
        while True:
            try:
                row = next(rows, None)
            except (BadValue, csv.Error) as error:
                yield begins, str(error)
                return
            if row is None:
                if columns is None:
                    yield 1, "the file is empty; its first line names the columns"
                return
            if columns is None:
                columns = [one.strip().lower() for one in row]
                wrong = _header_problem(columns)
                if wrong:
                    yield begins, wrong
                    return
            elif row:
                yield begins, self._entry(columns, row)
            begins = rows.line_num + 1

    def _entry(self, columns: list[str], row: list[str]) -> NewEntry | str:
        if len(row) != len(columns):
            return f"{len(row)} fields, but the header names {len(columns)}"
        fields = dict(zip(columns, row, strict=True))
        try:
            entry = NewEntry(
                value=fields["value"],
                reason=fields.get("reason") or self._reason,
                expires_at_ms=_expiry(fields.get("expires_at", "")),
            )
            return checked_entry(self._held, entry, self._earliest_ms)
        except BadValue as error:
            return str(error)

    def _lines(self) -> Iterator[str]:
        """Lines as text; raises BadValue for one that cannot be read."""
        with self._path.open("rb") as file:
            first = True
            while raw := file.readline(LINE_BYTES_MAX + 1):
                self._hash.update(raw)
                if len(raw) > LINE_BYTES_MAX:
                    raise BadValue(f"the line is longer than {LINE_BYTES_MAX} bytes")
                try:
                    yield raw.decode("utf-8-sig" if first else "utf-8")
                except UnicodeDecodeError:
                    raise BadValue("the line is not UTF-8") from None
                first = False


def _header_problem(columns: list[str]) -> str:
    unknown = [one for one in columns if one not in COLUMNS]
    if unknown:
        return f"the header names {unknown[0]!r}; columns are {', '.join(COLUMNS)}"
    if "value" not in columns:
        return "the header names no column 'value'"
    return "" if len(set(columns)) == len(columns) else "the header names a column twice"


@lru_cache(maxsize=1024)
def _expiry(text: str) -> int | None:
    if not text.strip():
        return None
    try:
        return parse_rfc3339(text.strip())
    except ValueError:
        raise BadValue(
            f"expires_at: {text[:40]!r} is no time; write 2030-01-31T12:00:00Z"
        ) from None
