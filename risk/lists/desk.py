"""The desk where lists are changed: the record first, then what judges, in one order for all.

A change is kept in the SQL store with its note, in one transaction that holds the world's turn;
its entries are on the control topic by then. A second turn makes live what the store says, so
that a change whose process died in between becomes live with the next one.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import msgspec

from risk.domain.errors import BadVersion
from risk.lists.csv_file import EntryFile
from risk.lists.entries import (
    HeldList,
    NewEntry,
    Note,
    checked_actor,
    checked_entries,
    checked_fields,
    list_versions,
    the_list,
)
from risk.lists.errors import BadList, ListInUse
from risk.lists.manifest import (
    LISTS_MAX,
    NAME,
    SENTENCE_CHARS_MAX,
    manifest_body,
    manifest_digest,
)
from risk.lists.segments import (
    GONE_MS,
    SEGMENT_ENTRIES_MAX,
    Segment,
    SegmentRef,
    extended,
    merged,
    read_segment,
    ref_of,
)
from risk.lists.values import EFFECTS, TYPES, BadValue, canonical
from risk.storage.lists import SqlLists, Turn
from risk.versions.version import Kind, Live, Version

ENTRIES_MAX: Final = 5_000_000
ENTRIES_AT_ONCE: Final = 1_000


class Outlet(Protocol):
    """The control topic, as the desk uses it. Each may raise Unavailable."""

    def find(self, kind: Kind, digest: str) -> Version | None:
        """A version that the topic holds, or this machine."""
        ...

    def publish(self, versions: Sequence[Version]) -> None:
        """Put versions on the topic, confirmed; those that it has are left out."""
        ...

    def set_live(self, version: Version, author: str, at_ms: int, reason: str) -> Live:
        """Make a version live everywhere, confirmed."""
        ...

    def live(self) -> Mapping[Kind, Live]:
        """The pointers as they stand."""
        ...


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What an import did. ``entries`` are the different values of the file."""

    list: str
    file: str
    sha256: str
    size_bytes: int
    lines: int
    entries: int
    duplicates: int
    added: int
    updated: int
    removed: int
    total: int
    version: str


class ListDesk:
    """Every change of lists, by whichever door. Methods block; they raise BadList or Unavailable.

    ``reserved`` are names that rules know already. In a world without the wall clock
    (``timeless``) an expiry may lie in the past. ``entries_max`` bounds each list.
    """

    def __init__(
        self,
        store: SqlLists,
        outlet: Outlet,
        reserved: Collection[str],
        now_ms: Callable[[], int],
        *,
        timeless: bool = False,
        entries_max: int = ENTRIES_MAX,
    ) -> None:
        self.store = store
        self._outlet = outlet
        self._reserved = reserved
        self._now_ms = now_ms
        self._timeless = timeless
        self._entries_max = entries_max

    # -- changing ------------------------------------------------------------------------

    def create(
        self, name: str, type_name: str, effect: str, by: str, fields: Sequence[str] = (),
        sentence: str = "",
    ) -> Live:  # fmt: skip
        """Make an empty list."""
        by = checked_actor(by)
        made = self._new(name, type_name, effect, fields, sentence, by)
        with self._turn() as turn:
            held = turn.all()
            if any(one.name == name for one in held):
                raise BadList([f"name: there is a list {name} already"])
            if len(held) >= LISTS_MAX:
                raise BadList([f"there are {LISTS_MAX} lists, which is the most"])
            turn.put(made)
            note = _note(made, "create", by, made.created_at_ms, sentence)
            self._note(turn, [msgspec.structs.replace(note, entries=0)])
        return self.publish()

    def drop(self, name: str, by: str, reason: str) -> Live:
        """Remove a list with its entries; raises ListInUse where the live book names it."""
        by = checked_actor(by)
        readers = self._readers(name)
        with self._turn() as turn:
            held = the_list(turn.all(), name)
            if readers:
                raise ListInUse(name, readers)
            count = turn.count(name)
            turn.drop(name)
            note = _note(held, "drop", by, self._now_ms(), reason)
            self._note(turn, [msgspec.structs.replace(note, entries=count)])
        return self.publish()

    def add(self, name: str, entries: Sequence[NewEntry], by: str) -> Live:
        """Put entries on a list; one that stands there is written anew."""
        by = checked_actor(by)
        self._few(len(entries))
        with self._turn() as turn:
            held = the_list(turn.all(), name)
            at_ms = self._now_ms()
            checked = checked_entries(held, entries, self._earliest_ms(at_ms))
            turn.add(name, checked, by, at_ms)
            self._room(turn, name)
            pairs = [(one.value, one.until_ms) for one in checked]
            self._extend(turn, held, [Segment.of(held.type, pairs)], by, at_ms)
            self._note(turn, [
                msgspec.structs.replace(
                    _note(held, "add", by, at_ms, one.reason),
                    value=one.value, expires_at_ms=one.expires_at_ms,
                )
                for one in checked
            ])  # fmt: skip
        return self.publish()

    def remove(self, name: str, values: Sequence[str], by: str, reason: str) -> Live:
        """Take values off a list; raises BadList where one of them does not stand there."""
        by = checked_actor(by)
        self._few(len(values))
        with self._turn() as turn:
            held = the_list(turn.all(), name)
            wanted = list(dict.fromkeys(_canonical(held, one) for one in values))
            if turn.remove(name, wanted) != len(wanted):
                there = self.store.found(name, wanted)
                missing = next(one for one in wanted if one not in there)
                raise BadList([f"value: {missing!r} is not on the list {name}"])
            at_ms = self._now_ms()
            gone = Segment.of(held.type, ((one, GONE_MS) for one in wanted))
            self._extend(turn, held, [gone], by, at_ms)
            note = _note(held, "remove", by, at_ms, reason)
            self._note(turn, [msgspec.structs.replace(note, value=one) for one in wanted])
        return self.publish()

    def import_file(
        self, name: str, path: Path, by: str, reason: str, *, replace: bool = False
    ) -> Imported:
        """Put every line of a CSV file on a list, or nothing. ``replace``: nothing else stays."""
        by = checked_actor(by)
        held = the_list(self.store.all(), name)
        at_ms = self._now_ms()
        file = EntryFile(path, held, reason, self._earliest_ms(at_ms))
        found = file.scan()
        segment = found.segment()
        slices = _slices(segment)
        # Large and immutable: on the topic before anybody has to wait for the turn.
        self._outlet.publish([_version(one, by, at_ms) for one in slices if len(slices) > 1])
        with self._turn() as turn:
            held = the_list(turn.all(), name)
            before = turn.count(name)
            if replace:
                turn.clear(name)
                held = msgspec.structs.replace(held, segments=())
            kept = turn.count(name)
            turn.add(name, file.entries(found.sha256), by, at_ms)
            total = self._room(turn, name)
            self._extend(turn, held, slices, by, at_ms)
            note = _note(held, "replace" if replace else "import", by, at_ms, reason)
            noted = msgspec.structs.replace(note, entries=segment.entries, file=found.sha256)
            self._note(turn, [noted])
        live = self.publish()
        added = total - kept
        return Imported(
            list=name, file=path.name, sha256=found.sha256, size_bytes=found.size_bytes,
            lines=found.entries, entries=segment.entries,
            duplicates=found.entries - segment.entries, added=added,
            updated=segment.entries - added, removed=before if replace else 0, total=total,
            version=live.digest,
        )  # fmt: skip

    def publish(self, *, anew: bool = False) -> Live:
        """Make live what the store says, where something else is live.

        ``anew``: also where another store made what is live, which is then lost.
        """
        with self.store.turn() if anew else self._turn() as turn:
            lists = list_versions(turn.all())
            body = manifest_body(lists)
            held = self._outlet.live().get("lists")
            at_ms = self._now_ms()
            version = Version.of("lists", body, "weir", at_ms)
            if held is not None and held.digest == version.digest:
                return held
            last = self.store.notes(limit=1)
            author = last[0].actor if last else "weir"
            reason = f"{last[0].action} {last[0].list}" if last else ""
            return self._outlet.set_live(version, author, at_ms, reason)

    # -- reading -------------------------------------------------------------------------

    def is_live(self) -> bool:
        """Whether what the store says is what judges."""
        held = self._outlet.live().get("lists")
        lists = list_versions(self.store.all())
        return (held.digest if held else manifest_digest({})) == manifest_digest(lists)

    # -- parts of a change ---------------------------------------------------------------

    def _new(
        self, name: str, type_name: str, effect: str, fields: Sequence[str], sentence: str, by: str
    ) -> HeldList:
        if not NAME.fullmatch(name):
            raise BadList([f"name: {name!r} must fit {NAME.pattern}, as stolen_cards"])
        if name in self._reserved or keyword.iskeyword(name):
            raise BadList([f"name: {name} has a meaning in rules already; take another"])
        if type_name not in TYPES:
            raise BadList([f"type: {type_name!r} is none of {', '.join(TYPES)}"])
        found = next((one for one in EFFECTS if one == effect), None)
        if found is None:
            raise BadList([f"effect: {effect!r} is none of {', '.join(EFFECTS)}"])
        if len(sentence) > SENTENCE_CHARS_MAX or (sentence and not sentence.isprintable()):
            raise BadList([f"sentence: at most {SENTENCE_CHARS_MAX} printable characters"])
        return HeldList(
            name=name, type=type_name, effect=found,
            fields=checked_fields(type_name, found, fields),
            sentence=sentence, segments=(), author=by, created_at_ms=self._now_ms(),
        )  # fmt: skip

    @contextmanager
    def _turn(self) -> Iterator[Turn]:
        """The world's turn; raises BadList where another store made the lists that judge."""
        with self.store.turn() as turn:
            held = self._outlet.live().get("lists")
            known = held is None or held.digest == manifest_digest({})
            if held is not None and not known and not self.store.made(held.digest):
                raise BadList([
                    f"version {held.digest[:12]} of the lists judges, and this SQL store did not"
                    " make it: its lists would be lost. Restore the store, or begin with what it"
                    " has: `weir lists publish --anew`"
                ])  # fmt: skip
            yield turn

    def _extend(
        self, turn: Turn, held: HeldList, segments: Sequence[Segment], by: str, at_ms: int
    ) -> None:
        """Put ``segments`` behind the chain of ``held``, on the topic and in the store."""
        chain: tuple[SegmentRef, ...] = held.segments
        fresh = []
        for segment in segments:
            chain, made = extended(chain, segment, self._segment)
            fresh.append(made)
        if sum(ref.entries for ref in chain) > 2 * turn.count(held.name) + SEGMENT_ENTRIES_MAX:
            known = {ref_of(one).digest: one for one in fresh}
            every = [known.get(ref.digest) or self._segment(ref.digest) for ref in chain]
            fresh = _slices(merged(every, whole=True))
            chain = tuple(map(ref_of, fresh))
        self._outlet.publish([_version(one, by, at_ms) for one in fresh])
        turn.put(msgspec.structs.replace(held, segments=chain))

    def _segment(self, digest: str) -> Segment:
        found = self._outlet.find("entries", digest)
        if found is None:
            raise BadVersion(f"entries {digest[:12]} of a list are not on the control topic")
        return read_segment(found.body)

    def _note(self, turn: Turn, notes: list[Note]) -> None:
        version = manifest_digest(list_versions(turn.all()))
        turn.note([msgspec.structs.replace(one, version=version) for one in notes])

    def _room(self, turn: Turn, name: str) -> int:
        total = turn.count(name)
        if total > self._entries_max:
            most = self._entries_max
            raise BadList([f"list {name}: {total} entries; a list may have {most}"])
        return total

    def _readers(self, name: str) -> list[str]:
        """The rules of the live book that name the list."""
        from risk.rules.book import Book
        from risk.rules.compiler import lists_of
        from risk.rules.parser import parse

        pointer = self._outlet.live().get("book")
        found = None if pointer is None else self._outlet.find("book", pointer.digest)
        if found is None:
            return []
        book = msgspec.json.decode(found.body, type=Book)
        acting = [rule for rule in book.rules if rule.state != "retired"]
        return [rule.id for rule in acting if name in lists_of(parse(rule.when))]

    def _earliest_ms(self, now_ms: int) -> int:
        return 0 if self._timeless else now_ms

    @staticmethod
    def _few(count: int) -> None:
        if not 0 < count <= ENTRIES_AT_ONCE:
            raise BadList([f"{count} entries; 1 to {ENTRIES_AT_ONCE} at once, more by import"])


def _version(segment: Segment, by: str, at_ms: int) -> Version:
    return Version.of("entries", segment.body(), by, at_ms)


def _slices(segment: Segment) -> list[Segment]:
    """``segment`` in parts that travel; at least one where it is not empty."""
    step = SEGMENT_ENTRIES_MAX
    return [
        Segment(segment.keys[at : at + step], segment.until_ms[at : at + step], segment.lengths)
        for at in range(0, segment.entries, step)
    ]


def _canonical(held: HeldList, value: str) -> str:
    try:
        return canonical(held.type, value)
    except BadValue as error:
        raise BadList([f"list {held.name}, value: {error}"]) from None


def _note(held: HeldList, action: str, by: str, at_ms: int, reason: str) -> Note:
    return Note(
        list=held.name, action=action, actor=by, at_ms=at_ms, reason=reason[:300], version=""
    )
