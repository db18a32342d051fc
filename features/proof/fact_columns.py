"""What a vector takes from its event, for many events at once: ``fact_row`` in columns."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.operations import FACTS, REPORTING_MINOR, ROUND_MINOR, SLOTS
from features.proof import scan_event as at
from features.records import AMOUNT_UNKNOWN, FLAG_CARD_ABSENT, ROLES

Ints = NDArray[np.int64]
_HOUR_MS: Final = 60 * 60 * 1000
_DAY_MS: Final = 24 * _HOUR_MS
_THURSDAY: Final = 3  # 1970-01-01
_UNDER_REPORTING_MINOR: Final = REPORTING_MINOR - REPORTING_MINOR // 10
# By name of a fact, the column of a row that it is as it stands.
_AS_IT_IS: Final = {
    "country": at.COUNTRY, "mcc": at.MCC, "channel": at.CHANNEL, "currency": at.CURRENCY,
    "lat": at.LAT, "lon": at.LON, "time": at.TIME, "kind": at.KIND, "kyc_level": at.KYC,
}  # fmt: skip


def fact_columns(rows: Ints, hashes: Ints) -> Ints:
    """Facts (n, FACTS) of payments, as ``features.vectors.fact_row`` makes them.

    ``rows`` (n, EVENT_COLUMNS or more) are those of ``features.proof.scan_event``, with their
    amounts in the base currency; ``hashes`` (n, 5) those of their entities by role.
    """
    facts = np.empty((len(rows), len(FACTS)), np.int64)
    for place, role in enumerate(ROLES):
        facts[:, FACTS[role]] = hashes[:, place]
    for name, column in _AS_IT_IS.items():
        facts[:, FACTS[name]] = rows[:, column]
    base, time_ms = rows[:, at.BASE], rows[:, at.TIME]
    known = base != AMOUNT_UNKNOWN
    under = (base >= _UNDER_REPORTING_MINOR) & (base < REPORTING_MINOR)
    amount, opened_ms = rows[:, at.AMOUNT], rows[:, at.OPENED]
    age_days = np.maximum(0, (time_ms - opened_ms) // _DAY_MS)
    own, card, ip = rows[:, at.OWN_COUNTRY], rows[:, at.CARD_COUNTRY], rows[:, at.IP_COUNTRY]
    made = {
        "amount": np.where(known, base, -1),
        "hour": time_ms // _HOUR_MS % 24,
        "weekday": (time_ms // _DAY_MS + _THURSDAY) % 7,
        "foreign": _differ(own, card),
        "ip_foreign": _differ(own, ip),
        "ip_card_foreign": _differ(card, ip),
        "card_absent": np.where(
            rows[:, at.CHANNEL] == 0, -1, rows[:, at.FLAGS] & FLAG_CARD_ABSENT != 0
        ),
        "account_age_days": np.where(opened_ms == at.UNSET, -1, age_days),
        "no_device": _absent(rows, "device"),
        "no_ip": _absent(rows, "ip"),
        "no_card": _absent(rows, "card"),
        "round_amount": (amount > 0) & (amount % ROUND_MINOR == 0),
        "under_reporting": np.where(known, under, -1),
    }
    for name, values in made.items():
        facts[:, FACTS[name]] = values
    return facts


def _differ(one: Ints, other: Ints) -> Ints:
    return np.where((one == 0) | (other == 0), -1, one != other)


def _absent(rows: Ints, kind: str) -> NDArray[np.bool_]:
    absent: NDArray[np.bool_] = rows[:, at.ENTITIES + 2 * SLOTS[kind] + 1] == 0
    return absent
