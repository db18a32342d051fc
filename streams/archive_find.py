"""Finds archived decisions by payment: what Redis and the topics have forgotten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import duckdb
import msgspec

from risk.domain.clock import Clock
from risk.domain.decision import decode_decision
from risk.domain.ids import fingerprint
from streams.archive_names import day_of
from streams.archive_store import listing

REACH_MS: Final = 180 * 24 * 60 * 60 * 1000
MEMORY: Final = "256MB"
_QUERY: Final = """\
SELECT tenant, payment_id, value FROM read_parquet(?, union_by_name = true) AS held
WHERE authoritative AND NOT marker AND void IS NOT TRUE
  AND EXISTS (SELECT 1 FROM wanted WHERE wanted.tenant = held.tenant
              AND wanted.payment_id = held.payment_id)
ORDER BY partition, "offset"
"""


class ArchivedDecisions:
    """The decisions in the archive at ``root``, at most 180 days old. Blocking."""

    def __init__(self, root: Path, clock: Clock, reach_ms: int | None = REACH_MS) -> None:
        self._root = root
        self._clock = clock
        self._reach_ms = reach_ms

    def find(self, wanted: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], bytes]:
        """The bytes of the decision that stands, by tenant and payment id, where one is there.

        One pass over the columns of ids, whatever the number of ``wanted``. Bytes that were
        changed are not believed.
        """
        folder = self._root / "decisions"
        since = "" if self._reach_ms is None else day_of(self._clock.now_ms() - self._reach_ms)
        parts = [part for part in listing(folder).standing().parts if part.day >= since]
        if not parts or not wanted:
            return {}
        found: dict[tuple[str, str], bytes] = {}
        with duckdb.connect() as database:
            database.execute(f"SET memory_limit = '{MEMORY}'")
            database.execute("SET threads = 1")
            database.execute("CREATE TABLE wanted (tenant VARCHAR, payment_id VARCHAR)")
            database.executemany("INSERT INTO wanted VALUES (?, ?)", [list(one) for one in wanted])
            files = [str(folder / part.path) for part in parts]
            rows: list[Any] = database.execute(_QUERY, [files]).fetchall()
        for tenant, payment_id, value in rows:
            if (tenant, payment_id) not in found and _sound(value, tenant, payment_id):
                found[tenant, payment_id] = value
        return found


def _sound(value: bytes, tenant: str, payment_id: str) -> bool:
    """Whether a decision holds the very event that its fingerprint names."""
    try:
        decision = decode_decision(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    evidence = decision.evidence
    return (
        evidence is not None
        and (decision.tenant, decision.payment_id) == (tenant, payment_id)
        and fingerprint(bytes(evidence.event)).hex() == evidence.fingerprint
    )
