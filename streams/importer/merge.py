"""The events of a data set in event-time order, read from many sorted chunks at once."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import ExitStack
from heapq import heappop, heappush
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import msgspec
import zstandard

from risk.domain.errors import BadConfiguration
from risk.domain.event import AnyEvent
from streams.importer.dataset import Manifest, sort_ms

OPEN_MAX: Final = 64  # chunks read side by side; more are first merged into longer runs
_DECODER: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


class Timed(NamedTuple):
    """An event, its bytes, and when it is released."""

    at_ms: int
    body: bytes
    event: AnyEvent


class _Run(NamedTuple):
    """A sorted file; ``order`` decides between equal times."""

    first_ms: int
    order: int
    last_ms: int
    path: Path


def ordered(folder: Path, manifest: Manifest, open_max: int = OPEN_MAX) -> Iterator[Timed]:
    """All events by time; those of equal time in the order in which they were imported.

    Chunks are opened when their time comes, so memory is bounded by how many overlap, and that by
    ``open_max``. A chunk that is not the one imported is BadConfiguration.
    """
    runs = []
    for chunk in manifest.chunks:
        path = folder / chunk.file
        if not path.is_file():
            raise BadConfiguration(f"{path} is gone; import the data set again")
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != chunk.sha256:
                raise BadConfiguration(f"{path} was changed; import the data set again")
        runs.append(_Run(chunk.first_ms, chunk.number, chunk.last_ms, path))
    with TemporaryDirectory(prefix="merge-", dir=folder) as scratch:
        level = 0
        while _overlap(runs) > open_max:
            level += 1
            runs = [
                _merge_into(Path(scratch) / f"{level}-{at}.jsonl.zst", at, runs[at : at + open_max])
                for at in range(0, len(runs), open_max)
            ]
        yield from _merged(runs)


def _overlap(runs: list[_Run]) -> int:
    """The largest number of runs that are open at the same time."""
    edges = sorted([(run.first_ms, 1) for run in runs] + [(run.last_ms + 1, -1) for run in runs])
    most = now = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    return most


def _merge_into(path: Path, order: int, runs: list[_Run]) -> _Run:
    with zstandard.open(path, "wb") as file:
        for timed in _merged(runs):
            file.write(timed.body + b"\n")
    return _Run(min(run.first_ms for run in runs), order, max(run.last_ms for run in runs), path)


def _merged(runs: list[_Run]) -> Iterator[Timed]:
    waiting = sorted(runs, reverse=True)
    heap: list[tuple[int, int, Timed, Iterator[Timed]]] = []
    with ExitStack() as stack:
        while waiting or heap:
            while waiting and (not heap or waiting[-1].first_ms <= heap[0][0]):
                run = waiting.pop()
                lines = _read(run.path, stack)
                first = next(lines)
                heappush(heap, (first.at_ms, run.order, first, lines))
            _, order, timed, lines = heappop(heap)
            yield timed
            following = next(lines, None)
            if following is not None:
                heappush(heap, (following.at_ms, order, following, lines))


def _read(path: Path, stack: ExitStack) -> Iterator[Timed]:
    raw = zstandard.open(path, "rb")
    stack.callback(raw.close)
    with io.BufferedReader(raw, 64 * 1024) as lines:
        for line in lines:
            body = line.rstrip(b"\n")
            event = _DECODER.decode(body)
            yield Timed(sort_ms(event), body, event)
