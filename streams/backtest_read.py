"""Reads stored decisions and labels for a back-test: from the topics, or from the archive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import pyarrow as pa

from features.catalogue import FEATURE_NAMES, catalogue_digest
from features.proof.history import History, HistoryRecord
from features.proof.standing import standing
from risk.backtest.block import Block
from risk.backtest.builder import BlockBuilder, ToBase
from risk.domain.decision import decode_decision, decode_ledger
from risk.domain.event import AnyEvent, Label
from risk.domain.limits import TIME_MS_MAX, TIME_MS_MIN
from risk.domain.times import parse_rfc3339
from risk.domain.truth import RANKS
from streams.archive_names import ArchiveDamaged, Part, day_of
from streams.archive_rows import open_file
from streams.archive_store import listing, read_part
from streams.backtest_cache import cache_name, load_block, store_block, stored_of
from streams.history import AFTER_MS, CLOCKS_MS
from streams.topics import LIVE_WORLD

BLOCK_ROWS: Final = 50_000  # of decisions that come from topics; with 131 features 50 MB
_EVENTS: Final[msgspec.json.Decoder[AnyEvent]] = msgspec.json.Decoder(AnyEvent)
Words = dict[tuple[str, str], list[tuple[int, str]]]


class Progress(Protocol):
    """Is told how many records are to be read, and how many were."""

    def expect(self, records: int) -> None: ...

    def __call__(self, records: int) -> None: ...


class Silent:
    """Tells nobody."""

    def expect(self, records: int) -> None:
        """Nothing."""

    def __call__(self, records: int) -> None:
        """Nothing."""


SILENT: Final = Silent()


class _Peek(msgspec.Struct):
    """When a decision was made; most that lie outside of a range need not be read whole."""

    decided_at: str = ""


class _Remembered(msgspec.Struct):
    """What kind of record the ledger tells of."""

    record: str = ""
    arrived_at: str = ""


_PEEK: Final = msgspec.json.Decoder(_Peek)
_REMEMBERED: Final = msgspec.json.Decoder(_Remembered)


@dataclass(slots=True)
class Gathered:
    """What was read. ``folders`` hold blocks, in the order of the topic.

    ``until_ms`` is the last arrival that was met, ``left_out`` counts by cause. ``newest`` is when
    the newest decision was made, and the digest of the policy that it names.
    """

    folders: list[Path] = field(default_factory=list)
    words: Words = field(default_factory=dict)
    until_ms: int = TIME_MS_MIN
    left_out: dict[str, int] = field(default_factory=dict)
    newest: tuple[int, str] = (-1, "")

    def __iter__(self) -> Iterator[Block]:
        """Block after block, memory-mapped."""
        for folder in self.folders:
            yield load_block(folder).block

    def leave_out(self, cause: str, count: int = 1) -> None:
        """Count what has no row."""
        if count:
            self.left_out[cause] = self.left_out.get(cause, 0) + count

    def take(self, folder: Path) -> None:
        """Add a stored block."""
        block, left_out, newest = load_block(folder)
        self.folders.append(folder)
        self.newest = max(self.newest, newest)
        for cause, count in left_out.items():
            self.leave_out(cause, count)
        if len(block):
            self.until_ms = max(self.until_ms, int(block.decided_ms.max()))

    def note(self, body: bytes) -> None:
        """A standing record of the ledger: labels are kept."""
        try:
            peek = _REMEMBERED.decode(body)
            self.until_ms = max(self.until_ms, parse_rfc3339(peek.arrived_at))
            if peek.record not in RANKS:
                return
            event = _EVENTS.decode(decode_ledger(body).event)
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
            self.leave_out("damaged")
            return
        if isinstance(event, Label):
            word = (event.known_at_ms, event.label)
            said = self.words.setdefault((event.tenant, event.payment_id), [])
            if word not in said:
                said.append(word)


async def gather_topics(
    history: History,
    times: tuple[int, int],
    to_base: ToBase,
    scratch: Path,
    progress: Progress = SILENT,
) -> Gathered:
    """The decisions of ``from_ms <= decided_at < to_ms``, and every label that history has.

    Blocks are kept in ``scratch``, which the caller removes.
    """
    found = Gathered()
    spill = _Spill(found, scratch, to_base)
    async with aclosing(standing(history)) as chunks:
        async for chunk in chunks:
            found.leave_out("void", chunk.void)
            for record in chunk.records:
                if record.topic == "ledger":
                    found.note(record.value)
                elif (decided_ms := _decided_ms(record)) is None:
                    found.leave_out("damaged")
                else:
                    found.until_ms = max(found.until_ms, decided_ms)
                    if times[0] <= decided_ms < times[1]:
                        spill.add(record.value)
            progress(chunk.read)
    spill.flush()
    return found


def _decided_ms(record: HistoryRecord) -> int | None:
    try:
        return parse_rfc3339(_PEEK.decode(record.value).decided_at)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        return None


class _Spill:
    """Decisions that become blocks on disk, so many rows each."""

    def __init__(self, found: Gathered, folder: Path, to_base: ToBase) -> None:
        self._found = found
        self._folder = folder
        self._to_base = to_base
        self._builder = BlockBuilder(FEATURE_NAMES, catalogue_digest(), to_base)

    def add(self, body: bytes) -> None:
        _add(self._builder, body)
        if len(self._builder) >= BLOCK_ROWS:
            self.flush()

    def flush(self) -> None:
        folder = self._folder / f"block-{len(self._found.folders):06}"
        store_block(folder, stored_of(self._builder, folder.name))
        self._found.take(folder)
        self._builder = BlockBuilder(FEATURE_NAMES, catalogue_digest(), self._to_base)


def _add(builder: BlockBuilder, body: bytes) -> None:
    try:
        decision = decode_decision(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        builder.leave_out("damaged")
        return
    builder.add(decision)


def gather_archive(
    root: Path,
    times: tuple[int, int],
    to_base: ToBase,
    cache: Path,
    progress: Progress = SILENT,
) -> Gathered:
    """The decisions of archived days that may lie in the range, and the labels since then.

    Each file becomes a block in ``cache``, once. Raises ArchiveDamaged where files overlap or
    are not what their names say. Offsets that are gone count as left out.
    """
    found = Gathered()
    first, last = _days(root.name, times)
    parts = _parts(root / "decisions", first, last, found)
    progress.expect(sum(_offsets(part) for part in parts))
    for part in parts:
        folder = cache / cache_name(part.digest, catalogue_digest())
        if not (folder / "meta.json").is_file():
            _store(root / "decisions", part, folder, to_base)
        found.take(folder)
        progress(_offsets(part))
    for part in _parts(root / "ledger", first, "~", found):
        for body in _values(root / "ledger", part, labels=True):
            found.note(body)
    return found


def _offsets(part: Part) -> int:
    return part.span.last - part.span.first + 1


def _days(world: str, times: tuple[int, int]) -> tuple[str, str]:
    """Records are archived by the day of their publication; only the live world's has a clock."""
    if world != LIVE_WORLD:
        return "", "~"
    begin_ms = max(TIME_MS_MIN, times[0] - CLOCKS_MS)
    return day_of(begin_ms), day_of(min(TIME_MS_MAX - 1, times[1] + AFTER_MS))


def _parts(folder: Path, first: str, last: str, found: Gathered) -> Sequence[Part]:
    standing = listing(folder).standing()
    if standing.overlaps:
        raise ArchiveDamaged([f"{folder.name}: {a} and {b} overlap" for a, b in standing.overlaps])
    gone = sum(span.last - span.first + 1 for span in standing.missing)
    found.leave_out(f"gone_from_{folder.name}", gone)
    return [part for part in standing.parts if first <= part.day <= last]


def _store(folder: Path, part: Part, into: Path, to_base: ToBase) -> None:
    builder = BlockBuilder(FEATURE_NAMES, catalogue_digest(), to_base)
    for body in _values(folder, part, labels=False):
        _add(builder, body)
    store_block(into, stored_of(builder, into.name))


def _values(folder: Path, part: Part, *, labels: bool) -> Iterator[bytes]:
    """The bytes of the records that stand; with ``labels`` of those that tell of one."""
    name = str(part.path)
    file = open_file(read_part(folder, part), name)
    columns = ["value", "marker", "void", *(["record"] if labels else [])]
    try:
        for batch in file.iter_batches(8192, columns=columns):
            held: list[dict[str, Any]] = batch.to_pylist()
            for row in held:
                if row["marker"] or row["void"] or row["value"] is None:
                    continue
                if not labels or row["record"] in RANKS:
                    yield row["value"]
    except (pa.ArrowException, OSError) as error:
        raise ArchiveDamaged([f"{name}: a page cannot be read ({error})"]) from None
