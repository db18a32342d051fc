"""The compiled half of ``features.proof.arena``: rooms, places and what is known of a tail."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compiled import compiled
from features.records import HOLE_RECORD, RECORD_WORDS
from risk.domain.limits import LOG_TTL_S, TAIL_CAP

Ints = NDArray[np.int64]

KEEP: Final = 4096  # places of one log; at least a chunk of history and a tail
PINNED_MAX: Final = 1 << 20  # places of one log, whoever waits for them
SMALLEST: Final = 8  # places of the smallest room
CLASSES: Final = 40
PLACE_WORDS: Final = 16

UNKNOWN: Final = 0
KNOWN: Final = 1
UNRATED: Final = 2  # its amount is not known, because a table of exchange rates is missing
TOLD_VOID: Final = 3  # told by a void record only

STORED: Final = 0
REPEATED: Final = 1
CONFLICT: Final = 2
DROPPED: Final = 3
FULL: Final = 4  # the arrays must grow first

NOBODY: Final = 1 << 62
_TTL_MS: Final = LOG_TTL_S * 1000
_HOLE: Final = np.frombuffer(HOLE_RECORD, dtype="<u4")


class Places(NamedTuple):
    """By place: the nine words, whether and how it is known, whence, and when it arrived.

    All of it lies in one row of ``words``, a line of the processor's cache, behind the nine.
    """

    words: NDArray[np.uint32]
    state: NDArray[np.uint32]
    origin: Ints
    arrived_ms: Ints


class Logs(NamedTuple):
    """By log: where its room begins and of which class it is, and what it holds.

    It holds sequences ``first`` up to ``following``. ``anchor`` is the lowest sequence that
    arrived when history was whole. ``pin`` is the lowest that somebody waits for, or that is not
    folded yet. ``folded`` is the first sequence that is in no rollup. All of ``sound_from`` up to
    ``sound_to`` are held and known.
    """

    start: Ints
    room: Ints  # -1 none yet
    first: Ints
    following: Ints
    newest_ms: Ints
    anchor: Ints
    pin: Ints
    dropped: Ints  # 1: places before first were held once
    folded: Ints
    sound_from: Ints
    sound_to: Ints


class Rooms(NamedTuple):
    """Free rooms by class, as linked lists through the first origin of each; ``next`` unused."""

    free: Ints
    next: Ints


@compiled
def _class_of(places: int) -> int:
    room, size = 0, SMALLEST
    while size < places:
        size *= 2
        room += 1
    return room


@compiled
def _take_room(places: Places, rooms: Rooms, room: int) -> int:
    """Where a free room of a class begins; -1 where the arrays must grow."""
    size = SMALLEST << room
    at = int(rooms.free[room])
    if at >= 0:
        rooms.free[room] = places.origin[at]
    else:
        at = int(rooms.next[0])
        if at + size > len(places.state):
            return -1
        rooms.next[0] = at + size
    for place in range(at, at + size):
        places.state[place] = UNKNOWN
        for word in range(RECORD_WORDS):
            places.words[place, word] = _HOLE[word]
    return at


@compiled
def _give_room(places: Places, rooms: Rooms, room: int, at: int) -> None:
    places.origin[at] = rooms.free[room]
    rooms.free[room] = at


@compiled
def _lay_out(
    places: Places, logs: Logs, rooms: Rooms, log: int, first: int, following: int
) -> bool:
    """Move a log to a room for ``first`` up to ``following``; False where arrays must grow."""
    room = _class_of(following - first + (following - first) // 4)
    at = _take_room(places, rooms, room)
    if at < 0:
        return False
    if logs.room[log] >= 0:
        old = logs.start[log]
        low, high = max(first, logs.first[log]), min(following, logs.following[log])
        for sequence in range(low, high):
            source, target = old + sequence - logs.first[log], at + sequence - first
            for word in range(PLACE_WORDS):
                places.words[target, word] = places.words[source, word]
        _give_room(places, rooms, logs.room[log], old)
        if first > logs.first[log]:
            logs.dropped[log] = 1
    logs.start[log], logs.room[log], logs.first[log] = at, room, first
    logs.sound_from[log] = max(first, logs.sound_from[log])
    return True


@compiled
def _begin_anew(places: Places, logs: Logs, rooms: Rooms, log: int) -> None:
    """Redis had forgotten the log, because nothing happened for its whole lifetime."""
    _give_room(places, rooms, logs.room[log], logs.start[log])
    logs.room[log] = -1
    logs.first[log], logs.following[log], logs.dropped[log] = 0, 0, 0
    logs.anchor[log], logs.newest_ms[log] = NOBODY, 0
    logs.folded[log], logs.pin[log] = 0, 0
    logs.sound_from[log], logs.sound_to[log] = 0, 0


@compiled
def _same(one: NDArray[np.uint32], at: int, other: NDArray[np.uint32], number: int) -> bool:
    differing = 0
    for word in range(RECORD_WORDS):
        differing += one[at, word] != other[number, word]
    return differing == 0


@compiled
def _ensure(places: Places, logs: Logs, rooms: Rooms, log: int, sequence: int) -> int:
    """Make room for a sequence: STORED, or DROPPED where it is too old, or FULL."""
    if logs.room[log] < 0:
        first = max(0, sequence - SMALLEST // 2)
        if not _lay_out(places, logs, rooms, log, first, sequence + 1):
            return FULL
        logs.following[log] = sequence
        return STORED
    first, following = logs.first[log], logs.following[log]
    if sequence < first:
        if logs.dropped[log] or following - sequence > KEEP:
            logs.dropped[log] = 1
            return DROPPED
        lower = max(0, sequence - SMALLEST)
        return STORED if _lay_out(places, logs, rooms, log, lower, following) else FULL
    if sequence < first + (SMALLEST << logs.room[log]):
        return STORED
    kept = min(max(first, sequence + 1 - KEEP), max(first, logs.pin[log]))
    if sequence + 1 - kept > PINNED_MAX:
        kept = sequence + 1 - KEEP
    return STORED if _lay_out(places, logs, rooms, log, kept, sequence + 1) else FULL


class Entries(NamedTuple):
    """Records to put: words (n, 9), rows (n, 5) of log, sequence, state, origin and arrived ms,
    and where the result of each goes.
    """

    words: NDArray[np.uint32]
    rows: Ints
    results: NDArray[np.uint8]


@compiled
def _note_known(places: Places, logs: Logs, log: int, sequence: int) -> None:
    """Extend what is sound by a sequence that became known; far beyond it, begin there anew."""
    end = logs.sound_to[log]
    if end < sequence <= end + TAIL_CAP or sequence < end:
        return
    if sequence > end or logs.sound_from[log] > end:
        logs.sound_from[log] = sequence
    end = sequence + 1
    while end < logs.following[log] and (
        places.state[logs.start[log] + end - logs.first[log]] == KNOWN
    ):
        end += 1
    logs.sound_to[log] = end


@compiled
def _put_one(
    places: Places, logs: Logs, rooms: Rooms, entries: Entries, number: int, cut_ms: int
) -> int:
    rows, words = entries.rows, entries.words
    log, sequence, state, arrived_ms = (
        rows[number, 0], rows[number, 1], rows[number, 2], rows[number, 4],
    )  # fmt: skip
    told = state != TOLD_VOID
    if logs.room[log] >= 0 and told and arrived_ms - logs.newest_ms[log] >= _TTL_MS:
        held = logs.start[log] + sequence - logs.first[log]
        if sequence < logs.first[log] or (
            sequence < logs.following[log]
            and places.state[held] == KNOWN
            and not _same(places.words, held, words, number)
        ):
            _begin_anew(places, logs, rooms, log)
    room = _ensure(places, logs, rooms, log, sequence)
    if room != STORED:
        return room
    at = logs.start[log] + sequence - logs.first[log]
    held_state = places.state[at]
    if not told:
        if held_state == UNKNOWN and sequence < logs.following[log]:
            places.state[at] = TOLD_VOID
        return STORED
    logs.following[log] = max(logs.following[log], sequence + 1)
    logs.newest_ms[log] = max(logs.newest_ms[log], arrived_ms)
    if arrived_ms >= cut_ms:
        logs.anchor[log] = min(logs.anchor[log], sequence)
    if held_state == KNOWN and state == KNOWN:
        return REPEATED if _same(places.words, at, words, number) else CONFLICT
    if held_state in (KNOWN, UNRATED):
        return REPEATED
    for word in range(RECORD_WORDS):
        places.words[at, word] = words[number, word]
    places.state[at] = state
    places.origin[at] = rows[number, 3]
    places.arrived_ms[at] = arrived_ms
    if state == KNOWN:
        _note_known(places, logs, log, sequence)
    return STORED


@compiled
def _fetch(places: Places, logs: Logs, entries: Entries, begin: int) -> None:
    """Look at the places of all entries, so that memory brings many of them at once."""
    rows, last = entries.rows, len(places.state) - 1
    for number in range(begin, len(rows)):
        log = rows[number, 0]
        at = logs.start[log] + max(0, rows[number, 1] - logs.first[log])
        entries.results[number] = places.state[min(at, last)]


@compiled
def put(places: Places, logs: Logs, rooms: Rooms, entries: Entries, begin: int, cut_ms: int) -> int:
    """Put entries from ``begin`` on; returns how far it came (the arrays may have to grow)."""
    _fetch(places, logs, entries, begin)
    for number in range(begin, len(entries.rows)):
        result = _put_one(places, logs, rooms, entries, number, cut_ms)
        if result == FULL:
            return number
        entries.results[number] = result
    return len(entries.rows)


class Seen(NamedTuple):
    """What is known of the tail of one place, in ``see``'s columns."""

    start: int  # of its span in the words
    stop: int
    gap: int  # the first sequence at or above the base that is unknown, -1 none
    below: int  # the same below the base: a hole, unless it is told later
    cut: int  # the first sequence that history may have lost, -1 none
    dropped: int  # the first sequence that is not held any more, -1 none
    unrated: int  # the first sequence whose amount is not known, -1 none
    void: int  # 1 where ``gap`` was told by a void record


@compiled
def see(places: Places, logs: Logs, asked: Ints, whole: bool, out: Ints) -> None:
    """Look at tails. ``asked`` rows: log, tail_from, sequence, base; ``out`` rows: ``Seen``.

    ``whole`` says that history begins with the first record, so nothing can be cut.
    """
    for number in range(len(asked)):
        log, low, high, base = (
            asked[number, 0], asked[number, 1], asked[number, 2], asked[number, 3],
        )  # fmt: skip
        first = logs.first[log]
        out[number, 2:7] = -1
        out[number, 7] = 0
        start = logs.start[log] - first
        if logs.room[log] < 0:
            first, start = high, 0
        out[number, 0] = start + max(low, min(first, high))
        out[number, 1] = start + max(low, min(max(logs.following[log], first), high))
        if logs.sound_from[log] <= low and high <= logs.sound_to[log]:
            continue
        for sequence in range(low, high):
            held = first <= sequence < logs.following[log]
            state = places.state[start + sequence] if held else UNKNOWN
            if state == KNOWN:
                continue
            if state == UNRATED:
                column = 6
            elif sequence < first and logs.dropped[log]:
                column = 5
            elif not whole and sequence < logs.anchor[log]:
                column = 4
            else:
                column = 2 if sequence >= base else 3
                if column == 2 and out[number, 2] < 0 and state == TOLD_VOID:
                    out[number, 7] = 1
            if out[number, column] < 0:
                out[number, column] = sequence
