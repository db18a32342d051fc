"""Where versions are kept on this machine: one file each, named by its digest."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

import msgspec

from risk.domain.errors import BadVersion
from risk.versions.version import KINDS, Kind, Live, Version

_DIGEST_CHARS: Final = 64
_HEX: Final = frozenset("0123456789abcdef")


class VersionStore:
    """The folder ``root``: ``KIND/DIGEST`` are versions, ``live.json`` the live pointers.

    Files are written whole or not at all. Whatever is read is checked against its digest.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, version: Version) -> bool:
        """Keep ``version``; False where it is kept already. Raises BadVersion."""
        version.check()
        path = self._path(version.kind, version.digest)
        if path.exists():
            return False
        self._write(path, msgspec.msgpack.encode(version))
        return True

    def get(self, kind: Kind, digest: str) -> Version | None:
        """The version, None where it is not here. Raises BadVersion where its file is damaged."""
        path = self._path(kind, digest)
        try:
            found = msgspec.msgpack.decode(path.read_bytes(), type=Version)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise BadVersion(f"{path}: damaged ({error}); remove the file") from None
        if (found.kind, found.digest) != (kind, digest):
            raise BadVersion(f"{path}: holds {found.kind} {found.digest[:12]}; remove the file")
        try:
            found.check()
        except BadVersion as error:
            raise BadVersion(f"{path}: {error}; remove the file") from None
        return found

    def all(self) -> list[tuple[Kind, str]]:
        """Kind and digest of every version, in order of kind and digest."""
        return [
            (kind, path.name)
            for kind in KINDS
            for path in sorted((self._root / kind).glob("*"))
            if _is_digest(path.name)
        ]

    def live(self) -> dict[Kind, Live]:
        """The live pointers that were last seen; empty where there are none, or damaged ones."""
        try:
            found = msgspec.json.decode((self._root / "live.json").read_bytes(), type=list[Live])
        except (FileNotFoundError, msgspec.DecodeError):
            return {}
        return {one.kind: one for one in found}

    def set_live(self, live: Live) -> None:
        """Note that ``live`` is what judges now."""
        held = self.live() | {live.kind: live}
        ordered = [held[kind] for kind in KINDS if kind in held]
        self._write(self._root / "live.json", msgspec.json.encode(ordered))

    def _path(self, kind: Kind, digest: str) -> Path:
        if kind not in KINDS or not _is_digest(digest):
            raise BadVersion(f"no version can be called {kind} {digest!r}")
        return self._root / kind / digest

    @staticmethod
    def _write(path: Path, body: bytes) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        with fresh.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)


def _is_digest(text: str) -> bool:
    return len(text) == _DIGEST_CHARS and _HEX.issuperset(text)
