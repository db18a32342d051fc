"""A data set: chunks of events, and a ledger that says what of which file is in them.

``STATE/datasets/NAME/`` holds ``ledger.sqlite`` (progress and seen ids; the truth while files are
imported), ``chunks/NNNNNN.jsonl.zst`` (canonical events, by event time within a chunk),
``rejected/*.jsonl`` and ``manifest.json`` (counts and digests, written when an import ends).

A chunk becomes part of the data set with the commit that also moves the progress, so an import
that is killed at any point goes on with the first row that is in no chunk.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import msgspec
import zstandard

from risk.domain.decoding import Canonical
from risk.domain.errors import AlreadyRunning, BadConfiguration
from risk.domain.event import AnyEvent, Label
from risk.domain.kinds import event_key

MANIFEST_VERSION: Final = 1
_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,31}$")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS imports (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, file TEXT NOT NULL, mapping_digest TEXT NOT NULL,
    rows INTEGER NOT NULL DEFAULT 0, events INTEGER NOT NULL DEFAULT 0,
    rejected INTEGER NOT NULL DEFAULT 0, duplicates INTEGER NOT NULL DEFAULT 0,
    rejected_bytes INTEGER NOT NULL DEFAULT 0, complete INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS chunks (
    number INTEGER PRIMARY KEY, events INTEGER NOT NULL, first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL, sha256 TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS seen (
    key BLOB PRIMARY KEY, fingerprint BLOB NOT NULL
) WITHOUT ROWID;
"""


class Chunk(msgspec.Struct, frozen=True):
    """A run of events in event-time order; times are the first and the last one's."""

    number: int
    events: int
    first_ms: int
    last_ms: int
    sha256: str

    @property
    def file(self) -> str:
        return f"chunks/{self.number:06d}.jsonl.zst"


class Progress(msgspec.Struct, kw_only=True):
    """How far one file is imported. ``rows`` were read; each is an event or more, rejected, or a
    duplicate."""

    id: str
    kind: str
    file: str
    mapping_digest: str
    rows: int = 0
    events: int = 0
    rejected: int = 0
    duplicates: int = 0
    rejected_bytes: int = 0
    complete: bool = False


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a data set. ``digest`` is over the digests of the chunks, in order."""

    version: int
    name: str
    events: int
    first_ms: int | None
    last_ms: int | None
    digest: str
    imports: list[Progress]
    chunks: list[Chunk]


def sort_ms(event: AnyEvent) -> int:
    """When an event is released: a label when it is known, all others when they occurred."""
    return event.known_at_ms if isinstance(event, Label) else event.occurred_at_ms


def dataset_folder(state: Path, name: str) -> Path:
    """The folder of a data set; BadConfiguration where ``name`` cannot be one."""
    if not _NAME.match(name):
        raise BadConfiguration(f"--dataset {name!r}: use 1 to 32 small letters, digits and hyphens")
    return state / "datasets" / name


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a data set whose imports are complete."""
    try:
        manifest = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise BadConfiguration(
            f"there is no data set {folder.name!r}; make it with `weir import payments`"
        ) from None
    except msgspec.DecodeError as error:
        raise BadConfiguration(f"{folder / 'manifest.json'} is damaged: {error}") from None
    if manifest.version != MANIFEST_VERSION:
        raise BadConfiguration(f"data set {folder.name!r} has another format; import it again")
    return manifest


class DatasetWriter:
    """Adds files to a data set. One writer at a time; made by ``open_dataset``."""

    def __init__(self, folder: Path, ledger: sqlite3.Connection) -> None:
        self.folder = folder
        self._ledger = ledger

    def begin(self, progress: Progress) -> Progress:
        """Start or go on with an import; the progress that is really in the data set."""
        self._ledger.execute(
            "INSERT OR IGNORE INTO imports (id, kind, file, mapping_digest) VALUES (?, ?, ?, ?)",
            (progress.id, progress.kind, progress.file, progress.mapping_digest),
        )
        found = next(one for one in self._imports() if one.id == progress.id)
        rejected = self.rejected_path(progress.id)
        if rejected.exists():
            os.truncate(rejected, found.rejected_bytes)
        self._ledger.execute("BEGIN IMMEDIATE")
        return found

    def rejected_path(self, import_id: str) -> Path:
        return self.folder / "rejected" / f"{import_id}.jsonl"

    def claim(
        self, events: Sequence[Canonical]
    ) -> tuple[Literal["new", "duplicate", "mismatch"], list[Canonical]]:
        """Whether the events of a row are new, and which of them are to be kept.

        The first event decides. One that is there with the same bytes is a duplicate, with other
        bytes a mismatch. Nothing is claimed unless the row is new.
        """
        fresh: list[tuple[bytes, Canonical]] = []
        for place, one in enumerate(events):
            key = _seen_key(one.event)
            row = self._ledger.execute(
                "SELECT fingerprint FROM seen WHERE key = ?", (key,)
            ).fetchone()
            if row is None:
                fresh.append((key, one))
            elif row[0] != one.fingerprint:
                return "mismatch", []
            elif place == 0:
                return "duplicate", []
        self._ledger.executemany(
            "INSERT INTO seen (key, fingerprint) VALUES (?, ?)",
            [(key, one.fingerprint) for key, one in fresh],
        )
        return "new", [one for _, one in fresh]

    def commit(self, progress: Progress, events: list[Canonical], rejected: bytes) -> None:
        """Make ``events`` a chunk, append ``rejected`` lines and move the progress, at once."""
        if rejected:
            path = self.rejected_path(progress.id)
            path.parent.mkdir(exist_ok=True)
            with path.open("ab") as file:
                file.write(rejected)
                file.flush()
                os.fsync(file.fileno())
        progress.rejected_bytes += len(rejected)
        if events:
            self._add_chunk(events)
        self._ledger.execute(
            "UPDATE imports SET rows = ?, events = ?, rejected = ?, duplicates = ?, "
            "rejected_bytes = ?, complete = ? WHERE id = ?",
            (
                progress.rows, progress.events, progress.rejected, progress.duplicates,
                progress.rejected_bytes, progress.complete, progress.id,
            ),
        )  # fmt: skip
        self._ledger.execute("COMMIT")
        self._ledger.execute("BEGIN IMMEDIATE")

    def _add_chunk(self, events: list[Canonical]) -> None:
        timed = sorted(((sort_ms(one.event), one.body) for one in events), key=_first)
        (newest,) = self._ledger.execute("SELECT coalesce(max(number), 0) FROM chunks").fetchone()
        body = compressed(b"".join(line + b"\n" for _, line in timed))
        chunk = Chunk(
            newest + 1, len(timed), timed[0][0], timed[-1][0], hashlib.sha256(body).hexdigest()
        )
        write_whole(self.folder / chunk.file, body)
        self._ledger.execute(
            "INSERT INTO chunks VALUES (?, ?, ?, ?, ?)", msgspec.structs.astuple(chunk)
        )

    def write_manifest(self) -> None:
        """Publish what is committed; safe to repeat."""
        chunks = [
            Chunk(*row)
            for row in self._ledger.execute(
                "SELECT number, events, first_ms, last_ms, sha256 FROM chunks ORDER BY number"
            )
        ]
        manifest = Manifest(
            version=MANIFEST_VERSION,
            name=self.folder.name,
            events=sum(chunk.events for chunk in chunks),
            first_ms=min((chunk.first_ms for chunk in chunks), default=None),
            last_ms=max((chunk.last_ms for chunk in chunks), default=None),
            digest=hashlib.sha256("".join(one.sha256 for one in chunks).encode()).hexdigest(),
            imports=self._imports(),
            chunks=chunks,
        )
        text = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
        write_whole(self.folder / "manifest.json", text)

    def _imports(self) -> list[Progress]:
        rows = self._ledger.execute(
            "SELECT id, kind, file, mapping_digest, rows, events, rejected, duplicates, "
            "rejected_bytes, complete FROM imports ORDER BY rowid"
        )
        names = Progress.__struct_fields__
        return [
            msgspec.convert(dict(zip(names, row, strict=True)), Progress, strict=False)
            for row in rows
        ]


@contextmanager
def open_dataset(folder: Path) -> Iterator[DatasetWriter]:
    """The writer of a data set, made if there is none; AlreadyRunning while another one writes."""
    (folder / "chunks").mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(f"another import writes to data set {folder.name!r}") from None
        ledger = sqlite3.connect(folder / "ledger.sqlite", isolation_level=None)
        try:
            ledger.execute("PRAGMA journal_mode = WAL")
            ledger.execute("PRAGMA synchronous = FULL")
            ledger.executescript(_SCHEMA)
            yield DatasetWriter(folder, ledger)
        finally:
            ledger.close()


def compressed(body: bytes) -> bytes:
    """One zstd frame with a small window, so that many chunks can be read side by side."""
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=19)
    return zstandard.ZstdCompressor(compression_params=parameters).compress(body)


def write_whole(path: Path, body: bytes) -> None:
    """``path`` holds the old or the new content, never a part of it."""
    draft = path.with_name(path.name + ".draft")
    with draft.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _first(pair: tuple[int, bytes]) -> int:
    return pair[0]


def _seen_key(event: AnyEvent) -> bytes:
    text = f"{event.tenant}\x00{event_key(event)}".encode()
    return hashlib.blake2b(text, digest_size=16, person=b"weir-import").digest()
