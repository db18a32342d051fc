"""The folder of an archive, and the one writer that changes it.

``STATE/archive/WORLD/TOPIC/day=YYYY-MM-DD/part-...parquet`` and ``.../TOPIC/holes/``. Whatever
moment a writer is killed at, the names that it left say what is archived.
"""

from __future__ import annotations

import fcntl
import hashlib
from bisect import insort
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from risk.domain.errors import AlreadyRunning
from streams.archive_disk import Disk, RealDisk, make_folders, put
from streams.archive_names import (
    DIGEST_CHARS,
    HOLES,
    PARTIAL,
    ArchiveDamaged,
    Part,
    Span,
    Standing,
    day_of,
    hole_name,
    hole_of,
    next_offset,
    part_of,
    pruned_name,
    pruned_of,
    standing,
)
from streams.archive_rows import (
    FORMAT,
    Epochs,
    Meta,
    TimedRecord,
    digest_of,
    encode,
    meta_of,
    table_of,
)

LOCK: Final = "lock"


class Hole(msgspec.Struct, frozen=True, kw_only=True):
    """Offsets that are not archived and never will be. ``noticed_at`` is RFC 3339."""

    topic: str
    partition: int
    first: int
    last: int
    cause: str
    noticed_at: str

    @property
    def span(self) -> Span:
        return Span(self.partition, self.first, self.last)


@dataclass(slots=True)
class Listing:
    """What the folder of one topic holds. ``strays`` have names that Weir never gives.

    ``pruned`` is the last offset of each partition that was removed on purpose.
    """

    parts: list[Part] = field(default_factory=list)
    holes: list[Span] = field(default_factory=list)
    partials: list[Path] = field(default_factory=list)
    strays: list[Path] = field(default_factory=list)
    pruned: dict[int, int] = field(default_factory=dict)

    def standing(self) -> Standing:
        """Which of the parts stand."""
        return standing(self.parts, self.holes, self.pruned)


def archive_folder(state: Path, world: str) -> Path:
    """The archive of a world."""
    return state / "archive" / world


def topics_in(root: Path) -> list[str]:
    """The short names of the topics that an archive has a folder of."""
    return sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def listing(folder: Path) -> Listing:
    """What the folder of a topic holds; nothing where it does not exist."""
    found = Listing()
    for below in sorted(folder.iterdir()) if folder.is_dir() else ():
        for path in sorted(below.iterdir()) if below.is_dir() else (below,):
            part = part_of(below.name, path.name)
            hole = hole_of(path.name) if below.name == HOLES else None
            pruned = pruned_of(path.name) if below.name == HOLES else None
            if path.name.endswith(PARTIAL):
                found.partials.append(path)
            elif part is not None:
                found.parts.append(part)
            elif hole is not None:
                found.holes.append(hole)
            elif pruned is not None:
                partition, last = pruned
                found.pruned[partition] = max(last, found.pruned.get(partition, -1))
            else:
                found.strays.append(path)
    return found


def read_hole(folder: Path, span: Span) -> Hole:
    """A recorded hole, from its file; what the name says where the content is damaged."""
    try:
        return msgspec.json.decode((folder / HOLES / hole_name(span)).read_bytes(), type=Hole)
    except msgspec.DecodeError:
        return Hole(
            topic=folder.name,
            partition=span.partition,
            first=span.first,
            last=span.last,
            cause="UNREADABLE",
            noticed_at="",
        )


def read_part(folder: Path, part: Part) -> bytes:
    """The bytes of a part, proven by the digest in its name.

    Raises ArchiveDamaged where they are others, FileNotFoundError where it was merged away.
    """
    body = (folder / part.path).read_bytes()
    if hashlib.sha256(body).hexdigest()[:DIGEST_CHARS] != part.digest:
        raise ArchiveDamaged([f"{folder.name}/{part.path}: its bytes are not those written"])
    return body


def claimed(folder: Path, part: Part) -> Meta:
    """The footer of a part, without a look at its pages and its digest.

    Raises ArchiveDamaged where it cannot be read or is another part's, FileNotFoundError.
    """
    try:
        file = pq.ParquetFile(folder / part.path)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise ArchiveDamaged([f"{part.path}: its footer cannot be read ({error})"]) from None
    return checked_meta(file, part)


def checked_meta(file: Any, part: Part) -> Meta:
    """The footer of a part; raises ArchiveDamaged where it is another part's, or a newer one."""
    meta = meta_of(file, str(part.path))
    if meta.format != FORMAT:
        raise ArchiveDamaged([f"{part.path}: format {meta.format}, this Weir reads {FORMAT}"])
    if Span(meta.partition, meta.first, meta.last) != part.span:
        raise ArchiveDamaged([f"{part.path}: its footer names other offsets"])
    return meta


class ArchiveWriter:
    """Adds to the archive of one world; made by ``open_archive``. Not for two threads at once."""

    def __init__(self, root: Path, topics: Sequence[str], disk: Disk) -> None:
        self._root = root
        self._disk = disk
        self.damaged: list[str] = []
        self.missing: dict[str, list[Span]] = {}
        """Offsets of each topic that were archived once, and whose files are gone."""
        self._parts: dict[tuple[str, int], list[Part]] = defaultdict(list)
        self._holes: dict[tuple[str, int], list[Span]] = defaultdict(list)
        for topic in topics:
            self._settle(topic)

    def folder(self, topic: str) -> Path:
        """The folder of a topic by its short name."""
        return self._root / topic

    def next_offset(self, topic: str, partition: int) -> int:
        """Where archiving goes on."""
        place = topic, partition
        return next_offset(Standing(self._parts[place]), self._holes[place], partition)

    def last_meta(self, topic: str, partition: int) -> Meta | None:
        """What the last part of a partition says of itself; None without a readable one."""
        parts = self._parts[topic, partition]
        return self._claimed(topic, parts[-1]) if parts else None

    def _claimed(self, topic: str, part: Part) -> Meta | None:
        try:
            return claimed(self.folder(topic), part)
        except ArchiveDamaged as error:
            self.damaged += [problem for problem in error.problems if problem not in self.damaged]
            return None

    def epochs(self, topic: str, partition: int, at: int | None = None) -> Epochs:
        """What is known of the epoch in force before offset ``at``, or where archiving goes on."""
        following = self.next_offset(topic, partition) if at is None else at
        if following == 0:
            return Epochs(0, known=True)
        before = [one for one in self._parts[topic, partition] if one.span.last < following]
        meta = self._claimed(topic, before[-1]) if before else None
        if meta is None:
            return Epochs(0, known=False)
        follows = before[-1].span.last + 1 == following
        return Epochs(meta.epoch_after, known=meta.known_after and follows)

    def partitions(self, topic: str) -> list[int]:
        """The partitions of a topic that have a standing part."""
        return sorted(place for name, place in self._parts if name == topic)

    def parts(self, topic: str, partition: int) -> Sequence[Part]:
        """The standing parts of a partition by offset."""
        return self._parts[topic, partition]

    def holes(self, topic: str) -> list[Hole]:
        """Every recorded hole of a topic, by partition and offset."""
        spans = [
            span for place, found in self._holes.items() if place[0] == topic for span in found
        ]
        return [read_hole(self.folder(topic), span) for span in sorted(spans)]

    def add(
        self, topic: str, span: Span, records: Sequence[TimedRecord], epochs: Epochs
    ) -> tuple[Part, int]:
        """Archive ``records``, all that Kafka has of ``span`` and all of one day.

        Durable when it returns; the part and its bytes. Moves ``epochs`` on.
        """
        before = epochs.epoch, epochs.known
        table = table_of(topic, records, epochs)
        times = [record.timestamp for record in records]
        meta = Meta(
            format=FORMAT,
            topic=records[0].topic,
            partition=span.partition,
            first=span.first,
            last=span.last,
            rows=len(records),
            absent=span.last - span.first + 1 - len(records),
            first_ms=min(times),
            last_ms=max(times),
            epoch_before=before[0],
            known_before=before[1],
            epoch_after=epochs.epoch,
            known_after=epochs.known,
            last_offset=records[-1].offset,
            last_digest=digest_of(records[-1]),
        )
        body = encode(topic, [table], meta)
        part = self.put_part(topic, day_of(times[0]), span, body)
        insort(self._parts[topic, span.partition], part, key=lambda one: one.span)
        return part, len(body)

    def put_part(self, topic: str, day: str, span: Span, body: bytes) -> Part:
        """Write a part, durably."""
        part = Part(span, day, hashlib.sha256(body).hexdigest()[:DIGEST_CHARS])
        put(self._disk, self.folder(topic) / part.path, body)
        return part

    def add_hole(self, hole: Hole) -> None:
        """Record offsets that cannot be archived any more, durably."""
        path = self.folder(hole.topic) / HOLES / hole_name(hole.span)
        put(self._disk, path, msgspec.json.encode(hole))
        self._holes[hole.topic, hole.partition].append(hole.span)

    def replace(self, topic: str, members: Sequence[Part], merged: Part) -> None:
        """Let ``merged``, which was put, stand for ``members``, and remove these."""
        read_part(self.folder(topic), merged)
        for member in members:
            self._disk.remove(self.folder(topic) / member.path)
        parts = self._parts[topic, merged.span.partition]
        place = parts.index(members[0])
        parts[place : place + len(members)] = [merged]

    def prune(self, topic: str, parts: Sequence[Part], note: bytes) -> None:
        """Remove the first standing parts of a partition, for good; ``note`` says why.

        That they are gone on purpose is durable before the first of them goes, so a prune that
        is killed is finished by whoever opens the archive next.
        """
        partition, last = parts[-1].span.partition, parts[-1].span.last
        put(self._disk, self.folder(topic) / HOLES / pruned_name(partition, last), note)
        for part in parts:
            self._disk.remove(self.folder(topic) / part.path)
        del self._parts[topic, partition][: len(parts)]

    def look_again(self) -> None:
        """Find out anew what is missing."""
        for topic in self.missing:
            self.missing[topic] = listing(self.folder(topic)).standing().missing

    def _settle(self, topic: str) -> None:
        """Finish what a killed writer left; raises ArchiveDamaged where no law explains it."""
        folder = self.folder(topic)
        found = listing(folder)
        # What a killed writer renamed may not be durable yet, and later parts rely on it.
        for path in (self._root, folder, *(one for one in _below(folder) if one.is_dir())):
            if path.is_dir():
                self._disk.sync(path)
        for path in found.partials:
            self._disk.remove(path)
        for part in found.standing().pruned:
            self._disk.remove(folder / part.path)
            found.parts.remove(part)
        for merged in {id(new): new for _, new in found.standing().superseded}.values():
            self._finish_merge(folder, found, merged)
        said = found.standing()
        if said.overlaps:
            raise ArchiveDamaged(
                [
                    f"{topic}: {one} and {other} overlap; move one away"
                    for one, other in said.overlaps
                ]
            )
        self.missing[topic] = said.missing
        for part in said.parts:
            self._parts[topic, part.span.partition].append(part)
        for hole in sorted(found.holes):
            self._holes[topic, hole.partition].append(hole)

    def _finish_merge(self, folder: Path, found: Listing, merged: Part) -> None:
        """Remove the members of a merged part, or the part itself where it is damaged."""
        members = [old for old, new in found.standing().superseded if new == merged]
        try:
            read_part(folder, merged)
        except ArchiveDamaged as error:
            rest = [part for part in found.parts if part != merged]
            if _covers(members, merged.span):
                self._disk.remove(folder / merged.path)
                found.parts = rest
            else:
                self.damaged += error.problems
            return
        for member in members:
            self._disk.remove(folder / member.path)
            found.parts.remove(member)


@contextmanager
def open_archive(
    root: Path, topics: Sequence[str], disk: Disk | None = None
) -> Iterator[ArchiveWriter]:
    """The writer of an archive, made where there is none.

    Raises AlreadyRunning while another one writes, ArchiveDamaged where files overlap.
    """
    real = disk or RealDisk()
    make_folders(real, root)
    with (root / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(f"another `weir archive run` writes to {root.name!r}") from None
        yield ArchiveWriter(root, topics, real)


def _below(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _covers(members: Sequence[Part], span: Span) -> bool:
    """Whether ``members`` are all of ``span``."""
    following = span.first
    for member in sorted(members, key=lambda part: part.span):
        if member.span.first > following:
            return False
        following = max(following, member.span.last + 1)
    return following > span.last
