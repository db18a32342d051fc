"""The few operations through which the archive changes its folder.

A file appears whole or not at all: written under another name, synced, renamed, and its
folder synced. They are an argument, so that a test can stop the work between any two of them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from streams.archive_names import PARTIAL


class Disk(Protocol):
    """What the archive asks of a file system. Every method raises OSError."""

    def make_folder(self, path: Path) -> None: ...

    def write(self, path: Path, body: bytes) -> None:
        """Write a new file, or over what a killed process left of it; not yet durable."""
        ...

    def sync(self, path: Path) -> None:
        """Make the content of a file durable, or the names in a folder."""
        ...

    def rename(self, old: Path, new: Path) -> None: ...

    def remove(self, path: Path) -> None: ...


class RealDisk:
    """The operating system's; only the owner may read what it writes."""

    def make_folder(self, path: Path) -> None:
        path.mkdir(mode=0o700)

    def write(self, path: Path, body: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)

    def sync(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        old.rename(new)

    def remove(self, path: Path) -> None:
        path.unlink()


def make_folders(disk: Disk, path: Path) -> None:
    """Make a folder and those above it, each durable before anything is put into it."""
    if path.is_dir():
        return
    make_folders(disk, path.parent)
    disk.make_folder(path)
    disk.sync(path.parent)


def put(disk: Disk, path: Path, body: bytes) -> None:
    """``path`` holds all of ``body``, durably, or does not exist."""
    make_folders(disk, path.parent)
    draft = path.with_name(f".{path.name}{PARTIAL}")
    disk.write(draft, body)
    disk.sync(draft)
    disk.rename(draft, path)
    disk.sync(path.parent)
