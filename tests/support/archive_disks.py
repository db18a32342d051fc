"""File systems that stop the archive's work between any two operations, or lose power there."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from streams.archive_disk import RealDisk


class Stopped(Exception):
    """The process ended here."""


class StoppingDisk(RealDisk):
    """Lets ``steps`` operations pass; the next one is done by half, or not at all.

    ``steps`` None passes all of them; ``passed`` counts.
    """

    def __init__(self, steps: int | None = None) -> None:
        self.passed = 0
        self._steps = steps

    def make_folder(self, path: Path) -> None:
        self._step()
        super().make_folder(path)

    def write(self, path: Path, body: bytes) -> None:
        if self.passed == self._steps:
            super().write(path, body[: len(body) // 2])
        self._step()
        super().write(path, body)

    def sync(self, path: Path) -> None:
        """Nothing is really synced: what that means is played by ``PowerCutDisk``."""
        self._step()

    def rename(self, old: Path, new: Path) -> None:
        self._step()
        super().rename(old, new)

    def remove(self, path: Path) -> None:
        self._step()
        super().remove(path)

    def again(self, steps: int | None) -> None:
        """Another process, on the same machine: count anew."""
        self.passed = 0
        self._steps = steps

    def _step(self) -> None:
        if self.passed == self._steps:
            raise Stopped
        self.passed += 1


class PowerCutDisk(StoppingDisk):
    """A disk whose power fails: ``cut_power`` undoes what was never synced.

    Content that was not synced is torn. Names in a folder that was not synced come and go:
    each of the last changes of a folder, from a random one on, did not happen.
    """

    def __init__(self, steps: int | None, rng: random.Random) -> None:
        super().__init__(steps)
        self._rng = rng
        self._torn: set[Path] = set()
        self._renamed: set[Path] = set()
        self._undo: dict[Path, list[Callable[[], None]]] = {}

    def make_folder(self, path: Path) -> None:
        super().make_folder(path)
        self._change(path.parent, lambda: _clear(path))

    def write(self, path: Path, body: bytes) -> None:
        self._torn.add(path)
        super().write(path, body)
        self._change(path.parent, lambda: path.unlink(missing_ok=True))

    def sync(self, path: Path) -> None:
        super().sync(path)
        self._torn.discard(path)
        self._undo.pop(path, None)
        self._renamed = {one for one in self._renamed if one.parent != path}

    def rename(self, old: Path, new: Path) -> None:
        super().rename(old, new)
        if old in self._torn:
            self._torn.remove(old)
            self._torn.add(new)
        self._renamed.add(new)
        self._change(new.parent, lambda: _back(new, old))

    def remove(self, path: Path) -> None:
        body = path.read_bytes()
        super().remove(path)
        self._change(path.parent, lambda: _restore(path, body))

    @property
    def unsynced_names(self) -> bool:
        """Whether a file has its name, but would lose it without power."""
        return any(path.suffix == ".parquet" for path in self._renamed)

    def cut_power(self) -> None:
        """What a machine finds when it starts again."""
        for path in self._torn:
            if path.exists():
                with path.open("r+b") as file:
                    file.truncate(self._rng.randrange(path.stat().st_size + 1))
        # Folders below first, so that what stood in a folder that never was goes with it.
        for folder in sorted(self._undo, key=lambda one: -len(one.parts)):
            changes = self._undo[folder]
            for undo in reversed(changes[self._rng.randrange(len(changes) + 1) :]):
                undo()

    def _change(self, folder: Path, undo: Callable[[], None]) -> None:
        self._undo.setdefault(folder, []).append(undo)


def _clear(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()
    folder.rmdir()


def _back(new: Path, old: Path) -> None:
    if new.exists():
        new.rename(old)


def _restore(path: Path, body: bytes) -> None:
    if path.parent.is_dir():
        path.write_bytes(body)
