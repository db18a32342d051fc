"""Compiled reading of decisions and ledger records: what ``features.proof.told`` reads of them.

A record that is not written exactly as the encoder writes it is left to that module, so what is
damaged and why is said there alone. Whether numbers are within their limits is left to the
caller: so compiled code that was kept never knows an older limit. Numba's cache looks at this
file only: ``PARTS`` names the text of the others that are compiled into it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compiled import compiled
from features.proof.blake import Hasher, big_endian, blake, hasher
from features.proof.scan import (
    NOT,
    Bytes,
    Ints,
    byte,
    literal,
    literals,
    moment,
    number,
    one_of,
    plain_text,
    same,
    whole,
)
from features.proof.scan_event import (
    ENTITIES,
    ENTITY_STARTS,
    ENTITY_TEXTS,
    EVENT_COLUMNS,
    ID,
    KIND,
    KIND_STARTS,
    KIND_TEXTS,
    RECORD_ID,
    TENANT,
    TYPE,
    event,
)
from risk.domain.kinds import ENTITY_KINDS

# SHA-256 (its start) of blake.py, scan.py and scan_event.py; a test says what it is.
PARTS: Final = "9abbdef5ebd02fd2"

# Columns of a row behind those of its event.
STATUS: Final = EVENT_COLUMNS
ARRIVED: Final = EVENT_COLUMNS + 1
OF_TENANT: Final = EVENT_COLUMNS + 2  # begin and end; so the next two
RATES: Final = EVENT_COLUMNS + 4
CATALOGUE: Final = EVENT_COLUMNS + 6
VECTOR: Final = EVENT_COLUMNS + 8  # its numbers, -1 for null
WINDOWS: Final = EVENT_COLUMNS + 9  # 1 where it has some
PLACES: Final = EVENT_COLUMNS + 10  # how many
PLACE: Final = EVENT_COLUMNS + 11  # of each: slot, incarnation, base, sequence, tail_from
PLACE_COLUMNS: Final = 5
KINDS: Final = len(ENTITY_KINDS)
COLUMNS: Final = PLACE + KINDS * PLACE_COLUMNS

SLOW: Final = 0  # to be read by ``features.proof.told``
READ: Final = 1
FALLBACK: Final = 2  # a decision that is not authoritative

TEXT_MAX: Final = 1024  # bytes of a tenant, of an identifier, and of what names a record
_HEX_DIGITS: Final = 32
_PAYMENT_TYPES: Final = 4
_TEXTS: Final = (
    '{"payment_id":"',
    '","tenant":"',
    '","version":1,"outcome":"',
    ',"score":',
    ',"reasons":[',
    '{"code":"',
    '","sentence":"',
    '","customer":"',
    '"}',
    '],"rule_hits":[',
    '{"rule":"',
    '","action":"',
    '","reason":"',
    '","error":"',
    '],"expected_cost":',
    '{"allow_minor":',
    ',"review_minor":',
    ',"block_minor":',
    ',"degraded":[',
    '],"authoritative":true,"decided_at":"',
    ',"expires_at":"',
    ',"evidence":{"event":',
    ',"fingerprint":"',
    '","door":"',
    ',"arrived_at":"',
    ',"vector":',
    ',"windows":{',
    ',"inexact":[',
    '],"positions":[',
    '],"features_lost":null,"digests":{"catalogue":"',
    '","model":"',
    '","calibration":"',
    '","book":"',
    '","lists":"',
    '","policy":"',
    '","rates":"',
    '"},"rule_errors":[',
    '],"engine":"',
    '","libraries":{',
    '}}}',
    '{"event_id":"',
    '","version":1,"record":"',
    '","pending":false,"event":',
    '","pending":true,"event":',
    '","arrived_at":"',
    ',"positions":[',
    '],"rates":"',
    'null',
    'main',
    'allow"', 'review"', 'block"',
    'stream"', 'http"',
    '"no_model"', '"no_features"', '"no_rules"', '"no_rate"', '"rule_failed"', '"fallback"',
)  # fmt: skip
_T, _S = literals([one.encode() for one in _TEXTS])
(
    _D_ID, _D_TENANT, _D_OUTCOME, _D_SCORE, _D_REASONS, _R_CODE, _R_SENTENCE, _R_CUSTOMER, _R_END,
    _D_HITS, _H_RULE, _H_ACTION, _H_REASON, _H_ERROR, _D_COST, _C_ALLOW, _C_REVIEW, _C_BLOCK,
    _D_DEGRADED, _D_DECIDED, _D_EXPIRES, _E_EVENT, _E_FINGERPRINT, _E_DOOR, _E_ARRIVED, _E_VECTOR,
    _E_WINDOWS, _E_INEXACT, _E_PLACES, _E_CATALOGUE, _E_MODEL, _E_CALIBRATION, _E_BOOK, _E_LISTS,
    _E_POLICY, _E_RATES, _E_ERRORS, _E_ENGINE, _E_LIBRARIES, _E_END, _L_ID, _L_RECORD, _L_EVENT,
    _L_PENDING, _L_ARRIVED, _L_PLACES, _L_RATES, _NULL, _USUAL, _OUTCOMES,
) = range(50)  # fmt: skip
_DOORS: Final = _OUTCOMES + 3
_DEGRADED: Final = _DOORS + 2
_DEGRADED_END: Final = _DEGRADED + 6


class Tools(NamedTuple):
    """What one call uses again."""

    events: Hasher
    records: Hasher
    text: Bytes


def tools() -> Tools:
    """New ones."""
    return Tools(hasher(16, b"weir-event"), hasher(2, b"weir-record"), np.zeros(TEXT_MAX, np.uint8))


@compiled
def _lit(buf: Bytes, at: int, of: int) -> int:
    return literal(buf, at, _T, _S, of)


@compiled
def _value(buf: Bytes, at: int) -> int:
    """A number or null."""
    if at >= 0 and buf[np.uint64(at)] == 110:
        return _lit(buf, at, _NULL)
    return number(buf, at)


@compiled
def _values(buf: Bytes, at: int) -> tuple[int, int]:
    """Numbers and nulls in brackets, and how many; -1 of them for null itself."""
    if at >= 0 and buf[np.uint64(at)] == 110:
        return _lit(buf, at, _NULL), -1
    at, n = byte(buf, at, 91), 0
    if at >= 0 and buf[np.uint64(at)] == 93:
        return at + 1, 0
    while at >= 0:
        at = _value(buf, at)
        n += 1
        if at >= 0 and buf[np.uint64(at)] == 93:
            return at + 1, n
        at = byte(buf, at, 44)
    return NOT, 0


@compiled
def _texts(buf: Bytes, at: int) -> int:
    """Texts up to the bracket that closes them, which is not passed."""
    if at >= 0 and buf[np.uint64(at)] == 93:
        return at
    while at >= 0:
        at = byte(buf, plain_text(buf, byte(buf, at, 34)), 34)
        if at >= 0 and buf[np.uint64(at)] == 93:
            return at
        at = byte(buf, at, 44)
    return NOT


@compiled
def _named(buf: Bytes, at: int, numbers: bool) -> int:
    """Pairs of a name and a text (or a number or null), up to the closing brace."""
    if at >= 0 and buf[np.uint64(at)] == 125:
        return at
    while at >= 0:
        at = byte(buf, byte(buf, plain_text(buf, byte(buf, at, 34)), 34), 58)
        text = byte(buf, plain_text(buf, byte(buf, at, 34)), 34)
        at = _value(buf, at) if numbers else text
        if at >= 0 and buf[np.uint64(at)] == 125:
            return at
        at = byte(buf, at, 44)
    return NOT


@compiled
def _reasons(buf: Bytes, at: int) -> int:
    """Reasons up to the closing bracket."""
    if at >= 0 and buf[np.uint64(at)] == 93:
        return at
    while at >= 0:
        at = plain_text(buf, _lit(buf, at, _R_CODE))
        at = plain_text(buf, _lit(buf, at, _R_SENTENCE))
        at = plain_text(buf, _lit(buf, at, _R_CUSTOMER))
        at = _lit(buf, at, _R_END)
        if at >= 0 and buf[np.uint64(at)] == 93:
            return at
        at = byte(buf, at, 44)
    return NOT


@compiled
def _hits(buf: Bytes, at: int) -> int:
    """Rule hits up to the closing bracket."""
    if at >= 0 and buf[np.uint64(at)] == 93:
        return at
    while at >= 0:
        at = plain_text(buf, _lit(buf, at, _H_RULE))
        at = plain_text(buf, _lit(buf, at, _H_ACTION))
        at = plain_text(buf, _lit(buf, at, _H_REASON))
        failed = _lit(buf, at, _H_ERROR)
        if failed >= 0:
            at = plain_text(buf, failed)
        at = _lit(buf, at, _R_END)
        if at >= 0 and buf[np.uint64(at)] == 93:
            return at
        at = byte(buf, at, 44)
    return NOT


@compiled
def _cost(buf: Bytes, at: int) -> int:
    """The expected cost of a decision, or null."""
    if at >= 0 and buf[np.uint64(at)] == 110:
        return _lit(buf, at, _NULL)
    at = whole(buf, _lit(buf, at, _C_ALLOW))[0]
    at = whole(buf, _lit(buf, at, _C_REVIEW))[0]
    at = whole(buf, _lit(buf, at, _C_BLOCK))[0]
    return byte(buf, at, 125)


@compiled
def _degraded(buf: Bytes, at: int) -> int:
    if at >= 0 and buf[np.uint64(at)] == 93:
        return at
    while at >= 0:
        at = one_of(buf, at, _T, _S, _DEGRADED, _DEGRADED_END)[0]
        if at >= 0 and buf[np.uint64(at)] == 93:
            return at
        at = byte(buf, at, 44)
    return NOT


@compiled
def _event(buf: Bytes, at: int, row: Ints, of: Tools) -> int:
    """An event and the fingerprint that proves it; the place of the quote behind that."""
    begin = at
    end = event(buf, at, row) if at >= 0 else NOT
    at = _lit(buf, end, _E_FINGERPRINT)
    if at < 0:
        return NOT
    blake(of.events, buf, begin, end)
    state = of.events.state
    for place in range(_HEX_DIGITS):
        digit = int(buf[np.uint64(at + place)])
        value = digit - 48 if 48 <= digit <= 57 else digit - 87 if 97 <= digit <= 102 else NOT
        word = state[place // 16] >> np.uint64(8 * (place // 2 % 8))
        if value != np.int64(word >> np.uint64(4 if place % 2 == 0 else 0) & np.uint64(15)):
            return NOT
    return at + _HEX_DIGITS


@compiled
def _places(buf: Bytes, at: int, row: Ints) -> int:
    """The places of the event's entities, all of them and in order, up to the bracket."""
    n = 0
    for kind in range(KINDS):
        begin, end = row[ENTITIES + 2 * kind], row[ENTITIES + 2 * kind + 1]
        if end == 0:
            continue
        if end - begin > TEXT_MAX:
            return NOT
        if n > 0:
            at = byte(buf, at, 44)
        at = literal(buf, at, ENTITY_TEXTS, ENTITY_STARTS, kind)
        if at < 0 or not same(buf, begin, end, at, at + int(end - begin)):
            return NOT
        at = byte(buf, at + int(end - begin), 34)
        column = PLACE + n * PLACE_COLUMNS
        row[column] = kind
        for place in range(1, PLACE_COLUMNS):
            at, row[column + place] = whole(buf, byte(buf, at, 44))
        at = byte(buf, at, 93)
        n += 1
    row[PLACES] = n
    return at if at >= 0 and buf[np.uint64(at)] == 93 else NOT


@compiled
def _of_tenant(buf: Bytes, row: Ints) -> bool:
    """Whether record and event name one tenant; the event leaves out the usual one."""
    begin, end = row[OF_TENANT], row[OF_TENANT + 1]
    if row[TENANT] > 0:
        return same(buf, begin, end, row[TENANT], row[TENANT + 1])
    return bool(_lit(buf, begin, _USUAL) == end)


@compiled
def _digest(buf: Bytes, at: int, of: int) -> int:
    return plain_text(buf, _lit(buf, at, of))


@compiled
def _decision(buf: Bytes, at: int, row: Ints, of: Tools) -> int:
    own = _lit(buf, at, _D_ID)
    own_end = plain_text(buf, own)
    tenant = _lit(buf, own_end, _D_TENANT)
    tenant_end = plain_text(buf, tenant)
    at = one_of(buf, _lit(buf, tenant_end, _D_OUTCOME), _T, _S, _OUTCOMES, _DOORS)[0]
    at = _value(buf, _lit(buf, at, _D_SCORE))
    at = _reasons(buf, _lit(buf, at, _D_REASONS))
    at = _hits(buf, _lit(buf, at, _D_HITS))
    at = _cost(buf, _lit(buf, at, _D_COST))
    at = _degraded(buf, _lit(buf, at, _D_DEGRADED))
    decided = _lit(buf, at, _D_DECIDED)
    decided_end = plain_text(buf, decided)
    at = plain_text(buf, _lit(buf, byte(buf, decided_end, 34), _D_EXPIRES))
    at = _event(buf, _lit(buf, byte(buf, at, 34), _E_EVENT), row, of)
    at = one_of(buf, _lit(buf, at, _E_DOOR), _T, _S, _DOORS, _DEGRADED)[0]
    arrived = _lit(buf, at, _E_ARRIVED)
    at, row[ARRIVED] = moment(buf, arrived)
    at, row[VECTOR] = _values(buf, _lit(buf, at, _E_VECTOR))
    windows = _lit(buf, at, _E_WINDOWS)
    row[WINDOWS] = 0
    if windows >= 0:
        row[WINDOWS] = int(buf[np.uint64(windows)] != 125)
        at = byte(buf, _named(buf, windows, True), 125)
    at = _texts(buf, _lit(buf, at, _E_INEXACT))
    at = _places(buf, _lit(buf, at, _E_PLACES), row)
    row[CATALOGUE] = _lit(buf, at, _E_CATALOGUE)
    at = row[CATALOGUE + 1] = plain_text(buf, row[CATALOGUE])
    for digest in range(_E_MODEL, _E_RATES):
        at = _digest(buf, at, digest)
    row[RATES] = _lit(buf, at, _E_RATES)
    at = row[RATES + 1] = plain_text(buf, row[RATES])
    at = _hits(buf, _lit(buf, at, _E_ERRORS))
    at = plain_text(buf, _lit(buf, at, _E_ENGINE))
    at = _lit(buf, _named(buf, _lit(buf, at, _E_LIBRARIES), False), _E_END)
    row[OF_TENANT], row[OF_TENANT + 1] = tenant, tenant_end
    if at < 0 or row[TYPE] >= _PAYMENT_TYPES or not _of_tenant(buf, row):
        return NOT
    if not same(buf, own, own_end, row[ID], row[ID + 1]):
        return NOT
    return at if same(buf, decided, decided_end, arrived, arrived + decided_end - decided) else NOT


@compiled
def _ledger(buf: Bytes, at: int, row: Ints, of: Tools) -> int:
    own = _lit(buf, at, _L_ID)
    own_end = plain_text(buf, own)
    tenant = _lit(buf, own_end, _D_TENANT)
    tenant_end = plain_text(buf, tenant)
    kind = _lit(buf, tenant_end, _L_RECORD)
    kind_end = plain_text(buf, kind)
    at = one_of(buf, kind_end, _T, _S, _L_EVENT, _L_ARRIVED)[0]
    at = _event(buf, at, row, of)
    at, row[ARRIVED] = moment(buf, _lit(buf, at, _L_ARRIVED))
    at = _places(buf, _lit(buf, at, _L_PLACES), row)
    row[RATES] = _lit(buf, at, _L_RATES)
    row[RATES + 1] = plain_text(buf, row[RATES])
    at = _lit(buf, row[RATES + 1], _R_END)
    row[OF_TENANT], row[OF_TENANT + 1] = tenant, tenant_end
    if at < 0 or not same(buf, own, own_end, row[ID], row[ID + 1]) or not _of_tenant(buf, row):
        return NOT
    told = literal(buf, kind, KIND_TEXTS, KIND_STARTS, row[KIND])
    return at if told == kind_end else NOT


@compiled
def _identify(buf: Bytes, row: Ints, of: Tools) -> bool:
    """Fill in the record id; False where the names are too long for the room there is."""
    text = of.text
    kind, kind_end = KIND_STARTS[row[KIND]], KIND_STARTS[row[KIND] + 1]
    length = row[OF_TENANT + 1] - row[OF_TENANT] + row[ID + 1] - row[ID] + kind_end - kind + 2
    if length > len(text):
        return False
    end = 0
    for at in range(row[OF_TENANT], row[OF_TENANT + 1]):
        text[end] = buf[np.uint64(at)]
        end += 1
    text[end] = 0
    end += 1
    for at in range(row[ID], row[ID + 1]):
        text[end] = buf[np.uint64(at)]
        end += 1
    text[end] = 0
    end += 1
    for at in range(kind, kind_end):
        text[end] = KIND_TEXTS[np.uint64(at)]
        end += 1
    blake(of.records, text, 0, end)
    row[RECORD_ID] = np.int64(big_endian(of.records.state[0], 2))
    return True


@compiled
def scan(buf: Bytes, begins: Ints, decisions: NDArray[np.bool_], rows: Ints, of: Tools) -> None:
    """Fill ``rows`` (n, COLUMNS) for records ``begins[i]`` up to ``begins[i + 1]`` of the bytes."""
    for record in range(len(begins) - 1):
        row, begin, end = rows[record], begins[record], begins[record + 1]
        row[STATUS] = SLOW
        decided = decisions[record]
        at = _decision(buf, begin, row, of) if decided else _ledger(buf, begin, row, of)
        if at == end and _identify(buf, row, of):
            row[STATUS] = READ
