"""One digest over all logs of a world, whatever the order in which they are met."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Final

from features.connection import Connection
from features.keys import Keys
from features.logs import Log, fold_at, pack_three, unpack_log
from features.records import HOLE_RECORD, RECORD_BYTES

LogName = tuple[str, str, str]
"""Tenant, kind, identifier."""
_SCANNED: Final = 1000
_MODULUS: Final = 1 << 256


def content(log: Log) -> bytes:
    """What a log says, as bytes: the same for any two logs that no event can tell apart.

    Records that no retry may ask for any more are in the cells of the rollup; holes in front,
    and what the rollup knows of gaps, are left out.
    """
    first = max(log.first, fold_at(log.following))
    records = bytes(log.records[(first - log.first) * RECORD_BYTES :])
    while records.startswith(HOLE_RECORD):
        records = records[RECORD_BYTES:]
    rolled = b""
    if log.rollup is not None:
        rolled = log.rollup.newest_ms.to_bytes(6, "little") + log.rollup.cells.tobytes()
    head = pack_three(log.incarnation, log.base, log.following)
    return b"".join((head, len(rolled).to_bytes(4, "little"), rolled, records))


class LogDigest:
    """The sum of the digests of single logs."""

    def __init__(self) -> None:
        self._sum = 0
        self.logs = 0

    def add(self, name: LogName, log: Log) -> None:
        """Count one log; each only once."""
        tenant, kind, identifier = name
        head = f"{tenant}\x00{kind}\x00{identifier}\x00".encode()
        one = hashlib.sha256(head + content(log)).digest()
        self._sum = (self._sum + int.from_bytes(one)) % _MODULUS
        self.logs += 1

    @property
    def hex(self) -> str:
        """64 hexadecimal digits; all zeros without a log."""
        return f"{self._sum:064x}"


async def held_logs(connection: Connection, keys: Keys) -> AsyncIterator[tuple[LogName, Log]]:
    """Every log that Redis holds of one world, in any order.

    A log that is written meanwhile may be met in either state. Raises Unavailable.
    """
    cursor: bytes | int = 0
    seen: set[bytes] = set()
    while True:
        cursor, found = await connection.call(
            "SCAN", cursor, "MATCH", keys.log("*", "*", "*"), "COUNT", _SCANNED
        )
        names = {key: name for key in found if (name := keys.parse_log(key)) is not None}
        new = [key for key in names if key not in seen]
        seen.update(new)
        for key, value in zip(new, await _values(connection, new), strict=True):
            if value is not None:
                yield names[key], unpack_log(value)
        if int(cursor) == 0:
            return


async def _values(connection: Connection, names: list[bytes]) -> list[bytes | None]:
    if not names:
        return []
    values: list[bytes | None] = await connection.call("MGET", *names)
    return values


async def redis_digest(connection: Connection, keys: Keys) -> LogDigest:
    """The digest of all that Redis holds."""
    digest = LogDigest()
    async for name, log in held_logs(connection, keys):
        digest.add(name, log)
    return digest
