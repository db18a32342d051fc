"""Writes a training set: rows in groups, counted on the way, and a folder whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.catalogue import FEATURE_NAMES, catalogue_digest
from models.trainset import (
    AFTER,
    BEFORE,
    MANIFEST_FILE,
    ROWS_FILE,
    Manifest,
    Maturity,
    RowsFile,
    schema,
)
from risk.domain.errors import AlreadyRunning, BadConfiguration
from risk.domain.event import AnyEvent, Label
from risk.domain.times import rfc3339
from risk.domain.truth import verdicts

GROUP_ROWS: Final = 8192
DAY_MS: Final = 24 * 60 * 60 * 1000
LIBRARIES: Final = ("numba", "numpy", "pyarrow")

Words = tuple[tuple[int, bool], ...]
"""(known at ms, what then stood: is fraud) for each word, in the order of time."""


class Row(NamedTuple):
    """What is told of one payment besides its vector. ``amount_base`` None without a rate.

    ``propensity`` is None unless the payment was let through by chance.
    """

    payment_id: str
    tenant: str
    kind: str
    account: str
    occurred_ms: int
    arrived_ms: int
    amount_base: int | None
    currency: str
    channel: str | None
    country: str | None
    mcc: str | None
    scenario: str | None = None
    score: float | None = None
    outcome: str | None = None
    propensity: float | None = None


class Ranges(NamedTuple):
    """Payments ``from_ms <= t < to_ms``; labels known ``as_of_ms``, told up to ``until_ms``."""

    from_ms: int
    to_ms: int
    delay_ms: int
    as_of_ms: int
    until_ms: int


class Labels:
    """Every word that was said about a payment; memory grows with labels, not with payments."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], dict[str, tuple[int, str]]] = defaultdict(dict)
        self.until_ms = 0

    def add(self, event: Label) -> None:
        """A label counts once, however often it came."""
        word = (event.known_at_ms, event.label)
        self._said[event.tenant, event.payment_id].setdefault(f"{event.label}:{event.id}", word)

    def watch(self, event: AnyEvent, at_ms: int) -> None:
        """Any event of the source; ``at_ms`` is when it came."""
        self.until_ms = max(self.until_ms, at_ms)
        if isinstance(event, Label):
            self.add(event)

    def __len__(self) -> int:
        return len(self._said)

    def words(self, tenant: str, payment_id: str, as_of_ms: int) -> Words:
        """What stood after each word that was known at ``as_of_ms`` (``risk.domain.truth``)."""
        said = self._said.get((tenant, payment_id))
        if said is None:
            return ()
        return verdicts(word for word in said.values() if word[0] <= as_of_ms)


@contextmanager
def making(folder: Path) -> Iterator[Path]:
    """Where to write the files of ``folder``: beside it. It gets its name when the block ends
    well, and what a killed one left is removed by the next.

    Raises BadConfiguration where ``folder`` is there or its parent is not, AlreadyRunning where
    another process makes it.
    """
    if folder.exists():
        raise BadConfiguration(f"--out {folder} is there already; name another folder")
    if not folder.parent.is_dir():
        raise BadConfiguration(f"--out {folder}: there is no folder {folder.parent}; make it first")
    draft = folder.with_name(f".{folder.name}.draft")
    draft.mkdir(exist_ok=True)
    held = os.open(draft, os.O_RDONLY)
    try:
        _lock(held, draft, folder)
        for left in draft.iterdir():
            left.unlink()
        yield draft
        os.fsync(held)
        draft.rename(folder)
        _sync(folder.parent)
    except AlreadyRunning:
        raise
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    finally:
        os.close(held)


def _lock(held: int, draft: Path, folder: Path) -> None:
    """The folder itself is the lock; one that was renamed meanwhile is not the draft any more."""
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mine = os.fstat(held).st_ino == draft.stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        mine = False
    if not mine:
        raise AlreadyRunning(f"another process makes the training set {folder}")


class TrainsetWriter:
    """Takes rows with their vectors, in the order in which they are to stand."""

    def __init__(self, folder: Path, labels: Labels, ranges: Ranges) -> None:
        self._folder = folder
        self._labels = labels
        self._ranges = ranges
        self._schema = schema()
        self._writer: Any = pq.ParquetWriter(folder / ROWS_FILE, self._schema, compression="zstd")
        self._rows: list[Row] = []
        self._vectors: list[NDArray[np.float64]] = []
        self._days: dict[int, Counter[str]] = defaultdict(Counter)
        self._scenarios: Counter[str] = Counter()

    def __enter__(self) -> TrainsetWriter:
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

    def add(self, rows: Sequence[Row], matrix: NDArray[np.float64]) -> None:
        """``matrix`` (n, F) has a row for each of ``rows``."""
        for start in range(0, len(rows), GROUP_ROWS):
            self._rows += rows[start : start + GROUP_ROWS]
            self._vectors.append(matrix[start : start + GROUP_ROWS])
            if len(self._rows) >= GROUP_ROWS:
                self._flush()

    def _flush(self) -> None:
        rows, matrix = self._rows, np.concatenate(self._vectors)
        as_of_ms = self._ranges.as_of_ms
        words = [self._labels.words(row.tenant, row.payment_id, as_of_ms) for row in rows]
        for row, said in zip(rows, words, strict=True):
            self._count(row, said)
        told = [list(column) for column in zip(*rows, strict=True)]
        last = [said[-1] if said else None for said in words]
        after: list[list[Any]] = [
            [word is not None and word[1] for word in last],
            [word and word[0] for word in last],
            [[{"known_at": at, "fraud": bad} for at, bad in said] or None for said in words],
            told[12],
            told[13],
            told[14],
        ]
        arrays = [pa.array(told[place], kind) for place, (_, kind) in enumerate(BEFORE)]
        arrays += [pa.array(np.ascontiguousarray(column)) for column in matrix.T]
        arrays += [pa.array(column, kind) for column, (_, kind) in zip(after, AFTER, strict=True)]
        table = pa.Table.from_arrays(arrays, schema=self._schema)
        self._writer.write_table(table, row_group_size=len(rows))
        self._rows, self._vectors = [], []

    def _count(self, row: Row, said: Words) -> None:
        known_ms = min(self._ranges.as_of_ms, self._ranges.until_ms)
        day = self._days[row.occurred_ms // DAY_MS]
        day["payments"] += 1
        day["mature"] += row.occurred_ms + self._ranges.delay_ms <= known_ms
        day["labelled"] += bool(said)
        day["frauds"] += bool(said) and said[-1][1]
        if row.scenario is not None:
            self._scenarios[row.scenario] += 1

    def total(self, what: str) -> int:
        """Sum over the days of payments, mature, labelled or frauds; all rows once closed."""
        return sum(day[what] for day in self._days.values())

    def manifest(
        self,
        source: Mapping[str, Any],
        rates: str,
        left_out: Mapping[str, int],
        certificate: dict[str, Any] | None,
    ) -> Manifest:
        """Write the manifest of the rows, which must be closed, and return it.

        Raises BadConfiguration where there are no rows, or no label was known of any.
        """
        if not self.total("payments"):
            raise BadConfiguration(_nothing(left_out))
        if not self.total("labelled"):
            raise BadConfiguration(
                f"no label of these {self.total('payments')} payments was known at"
                f" {rfc3339(self._ranges.as_of_ms)}: nothing could be learned; import or send"
                " labels, or allow a longer --label-delay-days"
            )
        path, of = self._folder / ROWS_FILE, self._ranges
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        manifest = Manifest(
            source=dict(source),
            from_=rfc3339(of.from_ms),
            to=rfc3339(of.to_ms),
            label_delay_days=of.delay_ms / DAY_MS,
            labels_as_of=rfc3339(of.as_of_ms),
            labels_until=rfc3339(of.until_ms),
            catalogue=catalogue_digest(),
            features=FEATURE_NAMES,
            rates=rates,
            rows=self.total("payments"),
            labelled=self.total("labelled"),
            frauds=self.total("frauds"),
            left_out=dict(sorted(left_out.items())),
            maturity=[self._maturity(day) for day in sorted(self._days)],
            scenarios=dict(sorted(self._scenarios.items())),
            certificate=certificate,
            libraries={name: importlib.metadata.version(name) for name in LIBRARIES},
            file=RowsFile(name=ROWS_FILE, bytes=path.stat().st_size, sha256=sha256),
        )
        with (self._folder / MANIFEST_FILE).open("wb") as out:
            out.write(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
            out.flush()
            os.fsync(out.fileno())
        return manifest

    def _maturity(self, day: int) -> Maturity:
        count = self._days[day]
        known_ms = min(self._ranges.as_of_ms, self._ranges.until_ms)
        return Maturity(
            day=rfc3339(day * DAY_MS)[:10],
            age_days=max(0.0, round((known_ms - (day + 1) * DAY_MS) / DAY_MS, 3)),
            payments=count["payments"],
            mature=count["mature"],
            share=count["mature"] / count["payments"],
            labelled=count["labelled"],
            frauds=count["frauds"],
        )


def _nothing(left_out: Mapping[str, int]) -> str:
    if not left_out:
        return "there are no payments in this range: look at --from and --to"
    causes = ", ".join(f"{cause} {count}" for cause, count in sorted(left_out.items()))
    return f"no payment of this range has a vector that could be proven: {causes}"


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
