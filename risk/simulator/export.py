"""Worlds as files: lines of JSON, plain or compressed, or flat columns of Parquet."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Final, Protocol, cast

import msgspec

from risk.domain.decoding import encode_event
from risk.domain.errors import BadConfiguration
from risk.simulator.summary import Told

SUFFIXES: Final = (".jsonl", ".jsonl.zst", ".jsonl.gz", ".parquet")
_ENCODER: Final = msgspec.json.Encoder()


class Writer(Protocol):
    """Takes events in order."""

    def write(self, told: Told) -> None: ...


def check_target(path: Path, *, force: bool) -> None:
    """Raise BadConfiguration where ``path`` cannot be written: unknown suffix, no folder, or a
    file that is there already and may not be replaced."""
    if not any(path.name.endswith(suffix) and path.name != suffix for suffix in SUFFIXES):
        raise BadConfiguration(f"--out {path}: end the name in {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise BadConfiguration(f"--out {path}: there is no folder {path.parent}; make it first")
    if path.is_dir():
        raise BadConfiguration(f"--out {path}: this is a folder; name a file in it")
    for one in _files(path):
        if one.exists() and not force:
            raise BadConfiguration(f"--out {one}: the file exists; add --force to replace it")


def truth_file(path: Path) -> Path | None:
    """Where the truth about the events in ``path`` stands; None where it is in ``path`` itself."""
    return None if path.name.endswith(".parquet") else path.with_name(f"{path.name}.truth.jsonl")


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """A writer of the kind that the suffix of ``path`` names.

    Lines of JSON are canonical events, one a line, and the truth is a file of its own: a line
    ``{payment_id, scenario, episode}`` for each fraud.
    """
    with replacing(path) as parts, ExitStack() as stack:
        yield _open(path, parts, stack)


@contextmanager
def replacing(path: Path) -> Iterator[list[Path]]:
    """Where to write the files of ``path``: beside them.

    They get their names when the block ends well, and are removed when it does not.
    """
    files = _files(path)
    parts = [file.with_name(f".{file.name}.{os.getpid()}.part") for file in files]
    try:
        yield parts
        for part, file in zip(reversed(parts), reversed(files), strict=True):
            part.replace(file)
    finally:
        for part in parts:
            with suppress(FileNotFoundError):
                part.unlink()


def _files(path: Path) -> list[Path]:
    truth = truth_file(path)
    return [path] if truth is None else [path, truth]


def _open(path: Path, parts: list[Path], stack: ExitStack) -> Writer:
    if path.name.endswith(".parquet"):
        from risk.simulator.parquet import ParquetFile

        return stack.enter_context(ParquetFile(parts[0]))
    lines = stack.enter_context(_compressed(path.suffix, parts[0], stack))
    return _Lines(lines, stack.enter_context(parts[1].open("wb")))


def _compressed(suffix: str, part: Path, stack: ExitStack) -> IO[bytes]:
    """Bytes depend on the events alone: no name and no date is written."""
    if suffix == ".zst":
        import zstandard

        return cast("IO[bytes]", zstandard.open(part, "wb"))
    raw = stack.enter_context(part.open("wb"))
    if suffix == ".gz":
        return cast("IO[bytes]", gzip.GzipFile("", "wb", 6, raw, mtime=0))
    return raw


class _Lines:
    """Canonical events, one a line; the truth of the frauds beside."""

    def __init__(self, events: IO[bytes], truth: IO[bytes]) -> None:
        self._events = events
        self._truth = truth

    def write(self, told: Told) -> None:
        event, scenario, episode = told
        self._events.write(encode_event(event) + b"\n")
        if scenario is not None:
            line = {"payment_id": event.id, "scenario": scenario, "episode": episode}
            self._truth.write(_ENCODER.encode(line) + b"\n")
