"""What a run says of its own proof: what `weir prove` and `weir archive run` wrote down."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

if TYPE_CHECKING:
    from risk.settings import Settings

N = TypeVar("N")


class JudgedCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Decisions of this run that were judged again, byte for byte."""

    checked: int = 0
    equal: int = 0
    unequal: int = 0
    unprovable: dict[str, int] = {}


class ParityCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Decisions of this run, proven while it ran; ``unprovable`` by cause."""

    checked: int = 0
    equal: int = 0
    unequal: int = 0
    damaged: int = 0
    unprovable: dict[str, int] = {}
    judgements: JudgedCounts | None = None


class ArchiveCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that were archived since the archiver started; ``lag`` records waited at its last word.

    ``holes``, ``damaged`` and ``missing`` are of the whole archive of the world.
    """

    rows: int = 0
    lag: int = 0
    holes: int = 0
    damaged: int = 0
    missing: int = 0


class _ParityNote(msgspec.Struct, frozen=True):
    at: str
    problem: str
    certificate: ParityCounts


class _ArchiveNote(msgspec.Struct, frozen=True):
    at: str
    problem: str
    archive: ArchiveCounts


class Proof(msgspec.Struct, frozen=True):
    """The proof of a run as far as it is now. ``problems`` are for red letters."""

    parity: ParityCounts
    archive: ArchiveCounts
    problems: list[str]


class ProofNotes:
    """Reads the notes of a world; what was written before ``since`` (RFC 3339) does not count."""

    def __init__(self, settings: Settings, since: str) -> None:
        from risk.bootstrap import archive_note, proof_note

        self._parity, self._archive = proof_note(settings), archive_note(settings)
        self._since = since

    def read(self, given_up: list[str]) -> Proof:
        """What stands there now, and what keeps away."""
        parity = _read(self._parity, _ParityNote)
        archive = _read(self._archive, _ArchiveNote)
        problems = [
            note.problem
            for note in (parity, archive)
            if note is not None and note.at >= self._since and note.problem
        ]
        return Proof(
            parity.certificate if parity and parity.at >= self._since else ParityCounts(),
            archive.archive if archive and archive.at >= self._since else ArchiveCounts(),
            [*problems, *given_up],
        )


def _read(path: Path, of: type[N]) -> N | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=of)
    except (OSError, msgspec.DecodeError):
        return None


def evidence_bytes(kafka: Path, topic: str) -> int:
    """Bytes of a topic's segments in an embedded broker's folder."""
    return sum(
        file.stat().st_size
        for file in kafka.rglob("*.log")
        if file.parent.name.rpartition("-")[0] == topic
    )
