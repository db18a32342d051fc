"""Compiled reading of one canonical event: its integers, and where its identifiers stand."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.compiled import compiled
from features.proof.scan import (
    NOT,
    Bytes,
    Ints,
    byte,
    decimal,
    literals,
    moment,
    number,
    one_of,
    plain_text,
    whole,
)
from features.records import CHANNEL_INDEX, FLAG_CARD_ABSENT, FLAG_FOREIGN
from risk.domain.codes import COUNTRY_INDEX, CURRENCY_INDEX
from risk.domain.event import CHANNELS
from risk.domain.kinds import ENTITY_KINDS, RECORD_KIND_CODE, RECORD_KINDS

# Columns of a row. The first eleven are the fields of ``Facts`` before its hashes.
TIME, KIND, CHANNEL, FLAGS, CURRENCY, AMOUNT, BASE, COUNTRY, MCC, LAT, LON = range(11)
RECORD_ID: Final = 11
OPENED: Final = 12  # ms, UNSET without
KYC: Final = 13  # -1 without
CARD_COUNTRY: Final = 14  # its two letters as a number, 0 without; so the other two
IP_COUNTRY: Final = 15
OWN_COUNTRY: Final = 16
TYPE: Final = 17
ID: Final = 18  # begin and end; so the next
TENANT: Final = 20
ENTITIES: Final = 22  # begin and end of each kind, 0 without
EVENT_COLUMNS: Final = 34
UNSET: Final = -(1 << 62)

_TYPES: Final = (
    "payment", "transfer", "withdrawal", "top_up", "login", "device_change",
    "beneficiary_added", "password_reset", "refund", "outcome", "decided", "label",
)  # fmt: skip
_PAYMENTS: Final = 4
_LOGIN, _REFUND, _OUTCOME, _DECIDED, _LABEL = 4, 8, 9, 10, 11

# Keys in the order in which the encoder writes them, whatever the type of event.
_KEYS: Final = (
    "id", "occurred_at", "tenant", "account", "card", "merchant", "beneficiary", "device", "ip",
    "amount_minor", "currency", "payment_id", "mcc", "terminal", "ip_prefix", "channel",
    "country", "card_country", "ip_country", "bin", "lat", "lon", "email_hash", "phone_hash",
    "account_opened_at", "kyc_level", "attributes", "succeeded", "result", "reason", "label",
    "known_at",
)  # fmt: skip
_AT: Final = {key: at for at, key in enumerate(_KEYS)}
_OCCURRED_AT, _TENANT, _AMOUNT = _AT["occurred_at"], _AT["tenant"], _AT["amount_minor"]
_CURRENCY, _MCC, _CHANNEL = _AT["currency"], _AT["mcc"], _AT["channel"]
_COUNTRY, _CARD_COUNTRY, _IP_COUNTRY = _AT["country"], _AT["card_country"], _AT["ip_country"]
_LAT, _LON, _OPENED, _KYC = _AT["lat"], _AT["lon"], _AT["account_opened_at"], _AT["kyc_level"]
_ATTRIBUTES, _SUCCEEDED, _RESULT = _AT["attributes"], _AT["succeeded"], _AT["result"]
_LABEL_AT, _KNOWN_AT, _ID = _AT["label"], _AT["known_at"], _AT["id"]
_ACCOUNT, _IP = _AT["account"], _AT["ip"]


def _mask(*keys: str) -> int:
    return sum(1 << _AT[key] for key in keys)


_BASE: Final = _mask("id", "occurred_at", "tenant", "account", "card", "merchant") | _mask(
    "beneficiary", "device", "ip"
)
_PAYMENT: Final = _BASE | _mask(*_KEYS[_AMOUNT : _ATTRIBUTES + 1])
_ACTIVITY: Final = _BASE | _mask("attributes")
_REPORT: Final = _BASE | _mask("payment_id", "result", "reason")
_ALLOWED: Final = np.array(
    [
        *[_PAYMENT] * _PAYMENTS, _ACTIVITY | _mask("succeeded"), _ACTIVITY, _ACTIVITY, _ACTIVITY,
        _ACTIVITY | _mask("amount_minor", "currency", "payment_id"), _REPORT, _REPORT,
        _BASE | _mask("payment_id", "label", "known_at"),
    ],
    np.int64,
)  # fmt: skip
_ALWAYS: Final = _mask("id", "occurred_at")
_PAID: Final = _ALWAYS | _mask("account", "amount_minor", "currency")
_DID: Final = _ALWAYS | _mask("account")
_REPORTED: Final = _ALWAYS | _mask("payment_id", "result")
_NEEDED: Final = np.array(
    [
        *[_PAID] * _PAYMENTS, _DID, _DID, _DID, _DID, _PAID, _REPORTED, _REPORTED,
        _ALWAYS | _mask("payment_id", "label", "known_at"),
    ],
    np.int64,
)  # fmt: skip

_RESULTS: Final = ("authorised", "declined", "settled", "refunded")
_DECIDED_RESULTS: Final = ("decided_review", "decided_block")
_LABELS: Final = ("chargeback", "fraud_report", "dispute_won", "analyst_fraud", "analyst_legit")
_TEXTS: Final = (
    *[f'{{"type":"{one}","id":"' for one in _TYPES],
    *[f'{key}":' for key in _KEYS],
    *[f'{one}"' for one in CHANNELS],
    *[f'{one}"' for one in (*_RESULTS, *_DECIDED_RESULTS, *_LABELS)],
    "true",
    "false",
)
_LITERALS, _STARTS = literals([one.encode() for one in _TEXTS])
_KEY_TEXTS: Final = len(_TYPES)
_CHANNEL_TEXTS: Final = _KEY_TEXTS + len(_KEYS)
_RESULT_TEXTS: Final = _CHANNEL_TEXTS + len(CHANNELS)
_DECIDED_TEXTS: Final = _RESULT_TEXTS + len(_RESULTS)
_LABEL_TEXTS: Final = _DECIDED_TEXTS + len(_DECIDED_RESULTS)
_TRUE: Final = _LABEL_TEXTS + len(_LABELS)
_CHANNEL_CODES: Final = np.array([CHANNEL_INDEX[one] for one in CHANNELS], np.int64)
_CARD_ABSENT: Final = np.array([one in ("ecom", "moto", "app") for one in CHANNELS], np.int64)
_RESULT_CODES: Final = np.array(
    [RECORD_KIND_CODE[one] for one in (*_RESULTS, *_DECIDED_RESULTS, *_LABELS)], np.int64
)
# Of an outcome and a label the code is that of its result.
_KIND_CODES: Final = np.array([RECORD_KIND_CODE.get(one, 0) for one in _TYPES], np.int64)
_LOGIN_FAILED: Final = RECORD_KIND_CODE["login_failed"]

_LETTERS: Final = 26


def _code_table(codes: dict[str, int], letters: int) -> NDArray[np.int64]:
    table = np.zeros(_LETTERS**letters, np.int64)
    for code, of in codes.items():
        at = 0
        for letter in code:
            at = at * _LETTERS + ord(letter) - ord("A")
        table[at] = of
    return table


_COUNTRIES: Final = _code_table(COUNTRY_INDEX, 2)
_CURRENCIES: Final = _code_table(CURRENCY_INDEX, 3)
_DIGITS_OF_MCC: Final = 4
_KYC_MAX: Final = 9
_DOUBT_DEGREES: Final = 1e-9  # far more than any float near 180 can be off by rounding

# By kind of record, the name under which it is hashed.
KIND_TEXTS, KIND_STARTS = literals([one.encode() for one in RECORD_KINDS])
ENTITY_TEXTS, ENTITY_STARTS = literals([f'["{one}","'.encode() for one in ENTITY_KINDS])


@compiled
def _letters(buf: Bytes, at: int, count: int) -> tuple[int, int]:
    """The place behind the quote after some capital letters, and these as a number."""
    if at < 0:
        return NOT, 0
    code = 0
    for place in range(count):
        letter = int(buf[np.uint64(at + place)]) - 65
        if letter < 0 or letter >= _LETTERS:
            return NOT, 0
        code = code * _LETTERS + letter
    return byte(buf, at + count, 34), code


@compiled
def _angle(degrees: float, reach: float) -> int:
    """As ``features.records`` packs an angle."""
    return 1 + int((degrees + reach) * 65534.0 / (2.0 * reach))


@compiled
def _place(buf: Bytes, at: int, key: int, row: Ints) -> int:
    """A latitude or longitude. Its last digits matter only next to where the packed one steps."""
    reach = 90.0 if key == _LAT else 180.0
    at, degrees, exact = decimal(buf, at)
    if at < 0 or not -reach <= degrees <= reach:
        return NOT
    packed = _angle(degrees, reach)
    if not exact:
        low, high = degrees - _DOUBT_DEGREES, degrees + _DOUBT_DEGREES
        if low < -reach or high > reach or _angle(low, reach) != _angle(high, reach):
            return NOT
    row[LAT if key == _LAT else LON] = packed
    return at


@compiled
def _attributes(buf: Bytes, at: int) -> int:
    at = byte(buf, at, 123)
    if at >= 0 and buf[np.uint64(at)] == 125:
        return at + 1
    while at >= 0:
        at = byte(buf, plain_text(buf, byte(buf, at, 34)), 34)
        at = byte(buf, at, 58)
        if at < 0:
            return NOT
        of = buf[np.uint64(at)]
        if of == 34:
            at = byte(buf, plain_text(buf, at + 1), 34)
        elif of in (116, 102):
            at = one_of(buf, at, _LITERALS, _STARTS, _TRUE, _TRUE + 2)[0]
        else:
            at = number(buf, at)
        if at >= 0 and buf[np.uint64(at)] == 125:
            return at + 1
        at = byte(buf, at, 44)
    return NOT


@compiled
def _code(buf: Bytes, at: int, key: int, row: Ints) -> int:
    """Currencies and countries; ``at`` is behind the first quote."""
    if key == _CURRENCY:
        at, code = _letters(buf, at, 3)
        row[CURRENCY] = _CURRENCIES[code]
        return at if row[CURRENCY] > 0 else NOT
    at, code = _letters(buf, at, 2)
    if key == _COUNTRY:
        row[OWN_COUNTRY], row[COUNTRY] = code + 1, _COUNTRIES[code]
    elif key == _CARD_COUNTRY:
        row[CARD_COUNTRY] = code + 1
    else:
        row[IP_COUNTRY] = code + 1
    return at


@compiled
def _mcc(buf: Bytes, at: int, row: Ints) -> int:
    for place in range(_DIGITS_OF_MCC):
        digit = int(buf[np.uint64(at + place)]) - 48
        if digit < 0 or digit > 9:
            return NOT
        row[MCC] = row[MCC] * 10 + digit
    return byte(buf, at + _DIGITS_OF_MCC, 34)


@compiled
def _choice(buf: Bytes, at: int, key: int, row: Ints) -> int:
    """Texts of which there are few; ``at`` is behind the first quote."""
    if key == _CHANNEL:
        at, of = one_of(buf, at, _LITERALS, _STARTS, _CHANNEL_TEXTS, _RESULT_TEXTS)
        if at >= 0:
            row[CHANNEL] = _CHANNEL_CODES[of - _CHANNEL_TEXTS]
            row[FLAGS] |= _CARD_ABSENT[of - _CHANNEL_TEXTS] * FLAG_CARD_ABSENT
        return at
    first, end = (_RESULT_TEXTS, _DECIDED_TEXTS) if key == _RESULT else (_LABEL_TEXTS, _TRUE)
    if row[TYPE] == _DECIDED:
        first, end = _DECIDED_TEXTS, _LABEL_TEXTS
    at, of = one_of(buf, at, _LITERALS, _STARTS, first, end)
    if at >= 0:
        row[KIND] = _RESULT_CODES[of - _RESULT_TEXTS]
    return at


@compiled
def _text_value(buf: Bytes, at: int, key: int, row: Ints) -> int:
    """The values that stand between quotes; ``at`` is behind the first one."""
    if key in (_OCCURRED_AT, _KNOWN_AT):
        # A label's time is when it became known, which comes last.
        at, row[TIME] = moment(buf, at)
        return at
    if key == _OPENED:
        at, row[OPENED] = moment(buf, at)
        return at
    if key in (_CURRENCY, _COUNTRY, _CARD_COUNTRY, _IP_COUNTRY):
        return _code(buf, at, key, row)
    if key == _MCC:
        return _mcc(buf, at, row)
    if key in (_CHANNEL, _RESULT, _LABEL_AT):
        return _choice(buf, at, key, row)
    end = plain_text(buf, at)
    if key == _TENANT:
        row[TENANT], row[TENANT + 1] = at, end
    elif _ACCOUNT <= key <= _IP:
        column = ENTITIES + 2 * _entity(key)
        row[column], row[column + 1] = at, end
        if end == at:
            return NOT
    return byte(buf, end, 34)


@compiled
def _entity(key: int) -> int:
    """Which of the kinds of entity a key names: account, card, device, ip, merchant, beneficiary;
    the keys come as account, card, merchant, beneficiary, device, ip.
    """
    of = key - _ACCOUNT
    if of < 2:
        return of
    return of + 2 if of < 4 else of - 2


@compiled
def _other_value(buf: Bytes, at: int, key: int, row: Ints) -> int:
    """The values without quotes."""
    if key == _AMOUNT:
        at, row[AMOUNT] = whole(buf, at)
        return at
    if key == _KYC:
        at, row[KYC] = whole(buf, at)
        return at if row[KYC] <= _KYC_MAX else NOT
    if key in (_LAT, _LON):
        return _place(buf, at, key, row)
    if key == _SUCCEEDED:
        at, of = one_of(buf, at, _LITERALS, _STARTS, _TRUE, _TRUE + 2)
        if of == _TRUE + 1:
            row[KIND] = _LOGIN_FAILED
        return at
    if key == _ATTRIBUTES:
        return _attributes(buf, at)
    return NOT


@compiled
def event(buf: Bytes, at: int, row: Ints) -> int:
    """The place behind the event at ``at``; ``row`` (EVENT_COLUMNS at least) says what it is.

    BASE and RECORD_ID are left to the caller, and whether the numbers are within their limits.
    """
    at, of = one_of(buf, at, _LITERALS, _STARTS, 0, _KEY_TEXTS)
    end = plain_text(buf, at)
    if end <= at:
        return NOT
    row[:EVENT_COLUMNS] = 0
    row[OPENED], row[KYC], row[TYPE], row[KIND] = UNSET, -1, of, _KIND_CODES[of]
    row[ID], row[ID + 1] = at, end
    seen, key = 1 << _ID, _ID
    at = end + 1
    while at >= 0 and buf[np.uint64(at)] == 44:
        at, found = one_of(
            buf, byte(buf, at + 1, 34), _LITERALS, _STARTS, _KEY_TEXTS + key + 1, _CHANNEL_TEXTS
        )
        if at < 0:
            return NOT
        key = found - _KEY_TEXTS
        seen |= 1 << key
        if buf[np.uint64(at)] == 34:
            at = _text_value(buf, at + 1, key, row)
        else:
            at = _other_value(buf, at, key, row)
    if seen & ~_ALLOWED[of] or seen & _NEEDED[of] != _NEEDED[of]:
        return NOT
    if (row[LAT] > 0) != (row[LON] > 0):
        return NOT
    both = row[OWN_COUNTRY] > 0 and row[CARD_COUNTRY] > 0
    if both and row[OWN_COUNTRY] != row[CARD_COUNTRY]:
        row[FLAGS] |= FLAG_FOREIGN
    return byte(buf, at, 125)
