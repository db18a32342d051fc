"""Brings Redis back to what Kafka says after a restart or a loss, and opens the next epoch.

The steps, each under a fencing token that the scripts contain (design, section 6):

1. take the lock, close the gate, choose the next epoch;
2. write a marker of that epoch to every partition of both topics;
3. restore what stands between the watermarks and the markers: receipts, unfinished claims,
   and records at their recorded sequences;
4. publish claims that survived in Redis to the ledger, so that no neighbour loses them;
5. load the scripts of the new epoch, and open the gate.

A watermark bounds step 3. Redis comes back as a prefix of its own command stream (AOF), and
everything published before an acknowledged offset was decided before that acknowledgement
in the stream. So a state that remembers the acknowledgement remembers those decisions too.

A rebuild is the same with the watermarks put back to the beginning, for a Redis that has lost
what no restart explains. Its own marks move on as it goes: whoever comes after it, if it is
killed, goes on from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from features.connection import Connection
from features.keys import Keys, watermark_field
from features.restore import Batch, Found, ToBase, Unreadable, place_keeper, read_found
from features.scripts import Script, protocol_scripts, recovery_scripts
from features.trips import Argument
from features.truth import TRUTH_TOPICS, Place, Standing, Truth, TruthRecord
from risk.domain.errors import StaleEpoch, Unavailable
from risk.domain.observation import Publication

__all__ = [
    "TRUTH_TOPICS",
    "Place",
    "Recovered",
    "Recovery",
    "Standing",
    "ToBase",
    "Truth",
    "TruthRecord",
]

LOCK_MS: Final = 10_000
WAIT_S: Final = 0.05
CHUNK: Final = 200
# Findings written together: a log that several of them touch, of up to 37 kB, is read and written
# only once. Nobody else waits for Redis meanwhile, as the gate is closed.
WRITE_CHUNK: Final = 5_000
KEYS_AT_ONCE: Final = 1_000  # of one call, which is one fsync; their logs are in memory together
SLICE: Final = 20  # records of one partition before another has its turn
READS_OF_CHUNK: Final = 2  # times a chunk's records are read at most, whatever they tell
Joined = tuple[int, dict[str, Script]]
Progress = Callable[[int], None]
"""Called with how many more records were read."""
_REBUILDING: Final = ":rebuilding"  # ends the marks of a rebuild that has not opened the gate


@dataclass(slots=True)
class Recovered:
    """What a recovery did. ``unreadable`` names what Weir did not write, in Kafka or Redis.

    ``resumed`` says that it went on with a rebuild that had been interrupted.
    """

    epoch: int = 0
    resumed: bool = False
    read: int = 0
    void: int = 0
    restored: int = 0
    claims_saved: int = 0
    unreadable: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Turn:
    """One attempt, known by the token in its scripts. ``whole``: as if nothing were there."""

    scripts: dict[str, Script]
    report: Recovered
    whole: bool = False
    told: Progress | None = None


@dataclass(slots=True)
class _Reading:
    """How far one partition was read: ``offset`` is the last one, its end is the marker."""

    place: Place
    records: AsyncIterator[TruthRecord]
    standing: Standing
    offset: int
    marker: int
    begun: int | None = None
    over: bool = False

    async def next(self) -> TruthRecord | None:
        """The next record; None at the end."""
        record = await anext(self.records, None)
        if record is None:
            self.offset, self.over = self.marker - 1, True
        else:
            self.offset = record.offset
            self.begun = record.offset if self.begun is None else self.begun
        return record

    def done(self) -> float:
        """The share that was read, in offsets."""
        begun = self.begun
        return 0.0 if begun is None else (self.offset - begun) / max(1, self.marker - begun)


class Recovery:
    """Joins the open epoch or makes the next one. One object for each process.

    ``chunk`` findings are written together, and progress is noted after each chunk.
    """

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        truth: Truth,
        to_base: ToBase,
        lock_ms: int = LOCK_MS,
        chunk: int = WRITE_CHUNK,
    ) -> None:
        self._connection = connection
        self._keys = keys
        self._truth = truth
        self._to_base = to_base
        self._lock_ms = lock_ms
        self._chunk = chunk
        self._joining: asyncio.Task[Joined] | None = None
        self.last: Recovered | None = None
        """The report of the last recovery that this object finished."""

    async def join(self) -> Joined:
        """The open epoch with its scripts, after a recovery where that is needed.

        Waits while another process recovers. A caller whose deadline passes only stops
        waiting, the recovery goes on. Raises Unavailable where Redis or Kafka stay away.
        """
        if self._joining is None or self._joining.done():
            self._joining = asyncio.ensure_future(self._join())
            self._joining.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._joining)

    async def rebuild(self, told: Progress | None = None) -> Recovered:
        """Close the gate, restore everything that the topics tell, and open the next epoch.

        Running processes wait meanwhile and join the new epoch. Goes on with a rebuild that was
        interrupted. Raises Unavailable.
        """
        while True:
            report = Recovered()
            turn = await self._take_lock(report, whole=True, told=told)
            if turn is not None:
                with contextlib.suppress(StaleEpoch):
                    await self._recover(turn)
                    return report
            await asyncio.sleep(WAIT_S)  # pragma: no cover - another recovery holds the lock

    async def close(self) -> None:
        """Stop a recovery that is under way; its lock runs out by itself."""
        if self._joining is not None:
            self._joining.cancel()
            await asyncio.gather(self._joining, return_exceptions=True)

    async def _join(self) -> Joined:
        while True:
            joined = await self._open_epoch()
            if joined is not None:
                return joined
            turn = await self._take_lock(Recovered())
            if turn is not None:
                # A lost lock or a restart in between: begin again.
                with contextlib.suppress(StaleEpoch):
                    return await self._recover(turn)
            await asyncio.sleep(WAIT_S)

    async def _open_epoch(self) -> Joined | None:
        """The open epoch, if Redis still knows its scripts."""
        held = await self._connection.call("GET", self._keys.epoch)
        if held is None or not held.isdigit():
            return None
        scripts = protocol_scripts(int(held), self._keys.prefix)
        known = await self._connection.knows(list(scripts.values()))
        return (int(held), scripts) if known else None

    async def _take_lock(
        self, report: Recovered, *, whole: bool = False, told: Progress | None = None
    ) -> _Turn | None:
        token = secrets.token_hex(16)
        taken = await self._connection.call(
            "SET", self._keys.lock, token, "NX", "PX", self._lock_ms
        )
        return _Turn(recovery_scripts(token), report, whole, told) if taken else None

    async def _recover(self, turn: _Turn) -> Joined:
        """One attempt; raises StaleEpoch where the lock or Redis's memory is lost on the way."""
        work = asyncio.ensure_future(self._rebuild(turn))
        hold = asyncio.ensure_future(self._hold(turn))
        try:
            await asyncio.wait((work, hold), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await hold
            joined = await work
        except (StaleEpoch, Unavailable):
            work.cancel()
            await self._give_back(turn)
            raise
        finally:
            work.cancel()
            hold.cancel()
            await asyncio.gather(work, hold, return_exceptions=True)
        if turn.report.epoch:
            self.last = turn.report
        return joined

    async def _hold(self, turn: _Turn) -> None:
        """Keep the lock for as long as the attempt lasts."""
        while True:
            await asyncio.sleep(self._lock_ms / 3000)
            await self._run(turn, "hold", (), self._lock_ms)

    async def _give_back(self, turn: _Turn) -> None:
        """Let the next attempt begin at once; where Redis is away the lock runs out."""
        with contextlib.suppress(Unavailable, StaleEpoch):
            await self._connection.load(turn.scripts["recovery_release"])
            await self._run(turn, "release", ())

    async def _rebuild(self, turn: _Turn) -> Joined:
        for script in turn.scripts.values():
            await self._connection.load(script)
        joined = None if turn.whole else await self._open_epoch()
        if joined is not None:  # another recovery has just finished
            await self._run(turn, "release", ())
            return joined
        # The old epoch ends before anything else, whatever the topics will say of it.
        await self._run(turn, "close", (self._keys.epoch,), 0, 0)
        last = await self._truth.last_epoch()
        epoch = int(await self._run(turn, "close", (self._keys.epoch,), last, 1))
        markers = await self._truth.write_markers(epoch)
        await self._restore(turn, markers)
        await self._save_claims(turn, epoch)
        scripts = protocol_scripts(epoch, self._keys.prefix)
        for script in scripts.values():
            await self._connection.load(script)
        await self._open(turn, epoch, markers)
        turn.report.epoch = epoch
        return epoch, scripts

    async def _restore(self, turn: _Turn, markers: dict[Place, int]) -> None:
        """Bring back everything that stands between the watermarks and the markers.

        Partitions are read side by side, so that the sequences of a log come nearly in order
        and its rollup has few gaps on the way.
        """
        watermarks, rebuilding = await self._watermarks()
        turn.report.resumed = rebuilding
        if turn.whole and not rebuilding:
            watermarks, rebuilding = {}, True
            await self._note(turn, dict.fromkeys(markers, (-1, 0)))
        async with contextlib.AsyncExitStack() as stack:
            readings = []
            for place, marker in markers.items():
                offset, epoch = watermarks.get(place, (-1, None))
                records = await stack.enter_async_context(
                    contextlib.aclosing(self._truth.read(*place, offset + 1, marker))
                )
                readings.append(_Reading(place, records, Standing(epoch), offset, marker))
            while left := [one for one in readings if not one.over]:
                await self._restore_some(turn, left, rebuilding)

    async def _restore_some(self, turn: _Turn, left: list[_Reading], rebuilding: bool) -> None:
        """Take about a chunk of findings, from those partitions that are behind, and write it."""
        findings: list[Found] = []
        met: dict[Place, _Reading] = {}
        read = 0
        while len(findings) < self._chunk and read < READS_OF_CHUNK * self._chunk:
            behind = [one for one in left if not one.over]
            if not behind:
                break
            reading = min(behind, key=_Reading.done)
            met[reading.place] = reading
            for _ in range(SLICE):
                record = await reading.next()
                if record is None:
                    break
                read += 1
                found = self._find(turn.report, reading.place, record, reading.standing)
                findings += [found] if found is not None else []
        await self._write(turn, findings)
        if rebuilding:
            marks = {place: (one.offset, one.standing.epoch) for place, one in met.items()}
            await self._note(turn, marks)
        if turn.told is not None:
            turn.told(read)

    async def _note(self, turn: _Turn, marks: dict[Place, tuple[int, int]]) -> None:
        """Write down how far a rebuild has come; opening the gate replaces every such mark."""
        pairs: list[Argument] = []
        for place, (offset, epoch) in marks.items():
            field = watermark_field(place.topic, place.partition)
            pairs += (field, f"{offset}:{epoch}{_REBUILDING}")
        await self._run(turn, "progress", (self._keys.watermarks,), *pairs)

    def _find(
        self, report: Recovered, place: Place, record: TruthRecord, standing: Standing
    ) -> Found | None:
        if not standing.admits(record):
            report.void += not record.marker
            return None
        report.read += 1
        try:
            return read_found(place.topic, place.partition, record)
        except Unreadable as error:
            report.unreadable.append(f"{place.topic}:{place.partition}@{record.offset}: {error}")
            return None

    async def _write(self, turn: _Turn, findings: Sequence[Found]) -> None:
        batch = Batch(self._keys, findings, self._to_base)
        keys = batch.keys()
        for start in range(0, len(keys), KEYS_AT_ONCE):
            some = keys[start : start + KEYS_AT_ONCE]
            held = dict(zip(some, await self._connection.call("MGET", *some), strict=True))
            writes = batch.writes(held)
            arguments: list[Argument] = []
            for _, value, seconds, settled in writes:
                arguments += (value, seconds, b"1" if settled else b"0")
            names = [key for key, _, _, _ in writes]
            await self._run(turn, "restore", (self._keys.pending, *names), *arguments)
        turn.report.restored += len(findings)

    async def _save_claims(self, turn: _Turn, epoch: int) -> None:
        """Publish what survived unpublished; claims then leave the pending set, decisions stay."""
        pending = await self._connection.call("ZRANGE", self._keys.pending, 0, -1)
        for start in range(0, len(pending), CHUNK):
            keys = pending[start : start + CHUNK]
            raw = await self._connection.call("MGET", *keys)
            publications: list[Publication] = []
            over: list[bytes] = []
            for key, value in zip(keys, raw, strict=True):
                try:
                    kept = place_keeper(value)
                except Unreadable as error:
                    turn.report.unreadable.append(f"{key.decode()}: {error}")
                    continue
                publications += [kept] if kept else []
                over += [key] if value is None or value[:1] != b"D" else []
            # Publishing cannot be fenced by Redis, so look at the lock as late as possible.
            await self._run(turn, "hold", (), self._lock_ms)
            await self._truth.publish_ledger(publications, epoch)
            if over:
                await self._run(turn, "settle", (self._keys.pending,), *over)
            turn.report.claims_saved += len(publications)

    async def _open(self, turn: _Turn, epoch: int, markers: dict[Place, int]) -> None:
        marks: list[Argument] = []
        for place, offset in markers.items():
            marks += (watermark_field(place.topic, place.partition), offset)
        keys = (self._keys.epoch, self._keys.watermarks)
        await self._run(turn, "open", keys, epoch, *marks)

    async def _watermarks(self) -> tuple[dict[Place, tuple[int, int]], bool]:
        """Offset and epoch of the last acknowledged record of each partition.

        True where they are the marks of a rebuild that did not come to its end.
        """
        found: dict[Place, tuple[int, int]] = {}
        rebuilding = False
        held: dict[bytes, bytes] = await self._connection.call("HGETALL", self._keys.watermarks)
        for name, mark in held.items():
            topic, _, partition = name.decode().partition(":")
            text = mark.decode()
            rebuilding = rebuilding or text.endswith(_REBUILDING)
            offset, _, epoch = text.removesuffix(_REBUILDING).partition(":")
            place = Place("decisions" if topic == "decisions" else "ledger", int(partition))
            found[place] = (int(offset), int(epoch))
        return found, rebuilding

    async def _run(
        self, turn: _Turn, step: str, keys: Sequence[bytes], *arguments: Argument
    ) -> Any:
        """One script of this attempt; the lock is always its first key."""
        script = turn.scripts[f"recovery_{step}"]
        return await self._connection.run(script, (self._keys.lock, *keys), *arguments)
