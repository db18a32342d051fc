"""The logs as Redis would hold them after a rebuild, from history alone."""

from __future__ import annotations

from collections.abc import Sequence

from features.log_digest import LogDigest, LogName
from features.logs import Log
from features.proof.history import Extent, HistoryRecord
from features.proof.told import Damaged, ToBase, check_sequences, read_told
from features.truth import Place, Standing


class HeldLogs:
    """Puts every standing record at its recorded sequence; repetitions change nothing.

    ``conflicts`` names records that tell another one's place otherwise, ``damaged`` those that
    cannot be read.
    """

    def __init__(self, extent: Extent, to_base: ToBase) -> None:
        self._to_base = to_base
        self._standing = {span.place: Standing(span.epoch) for span in extent.spans}
        self.logs: dict[LogName, Log] = {}
        self.records = 0
        self.conflicts: list[str] = []
        self.damaged: list[str] = []

    def take(self, chunk: Sequence[HistoryRecord]) -> None:
        """The next records of the history."""
        for record in chunk:
            if self._standing[Place(record.topic, record.partition)].admits(record):
                self._put(record)

    def digest(self) -> LogDigest:
        """The digest of all logs so far."""
        whole = LogDigest()
        for name, log in self.logs.items():
            whole.add(name, log)
        return whole

    def _put(self, record: HistoryRecord) -> None:
        try:
            told = read_told(record, self._to_base)
            if told is not None:
                check_sequences(told)
        except Damaged as error:
            self.damaged.append(f"{record.topic}:{record.partition}@{record.offset}: {error}")
            return
        if told is None:
            return
        self.records += 1
        for place, row in zip(told.positions, told.records, strict=True):
            name = (told.event.tenant, place.kind, place.identifier)
            log = self.logs.setdefault(name, Log(0, 0, 0, bytearray()))
            if place.sequence >= log.following:
                log.incarnation, log.base = place.incarnation, place.base
            if not log.put(place.sequence, row):
                self.conflicts.append(f"{told.event.id} at {place}")
