"""An archiver in a process of its own, to be killed; preloaded, so that it starts at once."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from multiprocessing.process import BaseProcess
from pathlib import Path

from risk.domain.clock import SystemClock
from streams.archive import ARCHIVED, Archiver
from streams.archive_disk import RealDisk
from streams.archive_store import open_archive
from streams.topics import Topics


class DeadlyDisk(RealDisk):
    """Ends its own process by SIGKILL before one of its operations."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def write(self, path: Path, body: bytes) -> None:
        if self._left == 1:
            super().write(path, body[: len(body) // 3])
        self._step()
        super().write(path, body)

    def sync(self, path: Path) -> None:
        self._step()
        super().sync(path)

    def rename(self, old: Path, new: Path) -> None:
        self._step()
        super().rename(old, new)

    def remove(self, path: Path) -> None:
        self._step()
        super().remove(path)

    def _step(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def start(kafka: str, world: str, root: Path, steps: int) -> BaseProcess:
    """Start it; it dies at file operation ``steps``, and never by itself where that is 0."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_archive, args=(kafka, world, root, steps), daemon=True)
    process.start()
    return process


def _archive(kafka: str, world: str, root: Path, steps: int) -> None:
    asyncio.run(_run(kafka, world, root, steps))


async def _run(kafka: str, world: str, root: Path, steps: int) -> None:
    with open_archive(root, ARCHIVED, DeadlyDisk(steps)) as writer:
        archiver = Archiver(kafka, Topics(world), writer, SystemClock(), every_s=0.02)
        await archiver.run(asyncio.Event(), once=False)
