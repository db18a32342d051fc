"""Says how far the running archiver is: metrics, and a note in the state folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from risk.bootstrap import archive_note
from risk.domain.times import rfc3339
from risk.observability.metrics import Metrics
from streams.archive import ArchiveState

if TYPE_CHECKING:
    from risk.domain.clock import Clock
    from risk.settings import Settings
    from streams.archive import Archiver, ArchiveReport


class ArchiveStatus:
    """Told again and again by ``tell``; ``problem`` is why rows cannot be proven, else None."""

    def __init__(self, archiver: Archiver, settings: Settings, clock: Clock) -> None:
        self._archiver = archiver
        self._file = archive_note(settings)
        self._clock = clock
        self._rows: dict[str, int] = {}
        self.metrics = Metrics()
        self.problem: str | None = None

    async def tell(self) -> None:
        """Write down where the archiver is now; nothing while it waits for Kafka."""
        state = self._archiver.state
        if state is not None:
            self._tell(state)

    def ended(self, found: ArchiveReport) -> None:
        """The last word of an archiver that has put all it read into files."""
        missing = sum(len(spans) for spans in found.missing.values())
        self._tell(ArchiveState(found.rows, 0, len(found.holes), len(found.damaged), missing))

    def _tell(self, state: ArchiveState) -> None:
        now_ms = self._clock.now_ms()
        for topic, rows in state.rows.items():
            new = rows - self._rows.get(topic, 0)
            self.metrics.count("weir_archive_rows_total", new, topic=topic)
            self._rows[topic] = rows
        self.metrics.set("weir_archive_lag", state.lag)
        self.metrics.set("weir_archive_holes", state.holes)
        self.metrics.set("weir_archive_damaged", state.damaged + state.missing)
        if not state.lag:
            self.metrics.set("weir_archive_written_seconds", now_ms / 1000)
        if state.damaged or state.missing:
            self.problem = (
                f"archive: {state.damaged} files cannot be proven, {state.missing} runs of offsets"
                " are gone; weir archive verify names them"
            )
        counts = {**state._asdict(), "rows": sum(state.rows.values())}
        note = {"at": rfc3339(now_ms), "problem": self.problem or "", "archive": counts}
        fresh = self._file.with_name(f".{self._file.name}.new")
        fresh.write_bytes(msgspec.json.encode(note) + b"\n")
        fresh.replace(self._file)
