"""The numbers that a declaration and the compiled kernel agree on.

Only ever appended, never moved: numba's cache keeps compiled code by the kernel's own file,
and would not see a change here.
"""

from __future__ import annotations

from typing import Final

from risk.domain.kinds import ENTITY_KINDS

KERNEL_VERSION: Final = 2  # raised whenever the kernel gives other bits for the same program

# Amounts that people choose with care.
ROUND_MINOR: Final = 1_000  # a round amount is a multiple of this, in its own currency
REPORTING_MINOR: Final = 1_000_000  # 10,000.00: from here on banks must report
CONTACTLESS_MINOR: Final = 5_000  # 50.00: from here on a card asks for its PIN

# Tails: one slot per kind of entity.
SLOTS: Final = {kind: slot for slot, kind in enumerate(ENTITY_KINDS)}

# Fields of a record, and of the event itself. 0 is missing, but -1 for an amount.
FIELDS: Final = {
    "account": 0, "card": 1, "device": 2, "ip": 3, "counterparty": 4,
    "country": 5, "mcc": 6, "channel": 7, "currency": 8, "amount": 9, "lat": 10, "lon": 11,
}  # fmt: skip
FIELD_AMOUNT: Final = 9
FIELD_LAT: Final = 10
FIELD_LON: Final = 11

# What only the event has: columns of the facts matrix after its fields. -1 is missing.
FACTS: Final = {
    **FIELDS,
    "time": 12, "hour": 13, "weekday": 14, "kind": 15, "foreign": 16, "ip_foreign": 17,
    "card_absent": 18, "account_age_days": 19, "kyc_level": 20, "no_device": 21, "no_ip": 22,
    "no_card": 23, "ip_card_foreign": 24, "round_amount": 25, "under_reporting": 26,
}  # fmt: skip
FACT_TIME: Final = 12
FACT_HOUR: Final = 13
FACT_WEEKDAY: Final = 14

# Operations over one tail. "Own" is the value of the event itself.
COUNT: Final = 0  # records
KNOWN: Final = 1  # records whose field is known
SAME: Final = 2  # records whose field equals the own
SUM: Final = 3  # amounts
MAXIMUM: Final = 4  # amounts
SPREAD: Final = 5  # population standard deviation of amounts, each clamped
AT_MOST: Final = 6  # records whose amount is at most a number
AT_MOST_OWN: Final = 7  # records whose amount is at most the own
DISTINCT: Final = 8  # different known values of a field
NEWEST_AGE: Final = 9  # ms
OLDEST_AGE: Final = 10  # ms
OLDEST_SAME_AGE: Final = 11  # ms, of records whose field equals the own
LAST_DIFFERS: Final = 12  # 1 where the newest record with a known field differs from the own
NEAR_HOUR: Final = 13  # records whose hour of the day is at most one from the own
DISTANCE: Final = 14  # km from the newest record with a place
PLACE_AGE: Final = 15  # ms, of that record

# Operations over the event and over earlier results.
FACT: Final = 16
DIVIDE: Final = 17
SUBTRACT: Final = 18
IS_ZERO: Final = 19  # 1 where the input is 0, else 0
SECONDS: Final = 20  # of milliseconds
PER_HOUR: Final = 21  # first input an hour, over the second in ms (at least one minute)
SCALE: Final = 22  # times a number

# More operations over one tail. "Came last" and "run" go by sequence, not by time.
DISTINCT_OTHER: Final = 23  # different known values of a field, without the own
SAME_WEEKDAY: Final = 24  # records of the own day of the week
MULTIPLES: Final = 25  # records whose amount in its own currency is a multiple of a number
JUST_UNDER: Final = 26  # records whose amount is under a number by a tenth of it at most
RECENT_MEDIAN: Final = 27  # of the known amounts, so many as the number says, that came last
RUN_LENGTH: Final = 28  # records in a row, by entities that were labelled afterwards
RUN_AGE: Final = 29  # ms since the first record of that run
GONE: Final = 30  # amounts of the hour after the newest record of some kinds, over its own
RUN_CLEAN: Final = 31  # records after that run that had as long to be labelled and were not
RECENT_MAX: Final = 32  # largest number of RECENT_MEDIAN

OPERATIONS: Final = {
    "count": COUNT, "known": KNOWN, "same": SAME, "sum": SUM, "maximum": MAXIMUM,
    "spread": SPREAD, "at_most": AT_MOST, "at_most_own": AT_MOST_OWN, "distinct": DISTINCT,
    "newest_age": NEWEST_AGE, "oldest_age": OLDEST_AGE, "oldest_same_age": OLDEST_SAME_AGE,
    "last_differs": LAST_DIFFERS, "near_hour": NEAR_HOUR, "distance": DISTANCE,
    "place_age": PLACE_AGE, "fact": FACT, "divide": DIVIDE, "subtract": SUBTRACT,
    "is_zero": IS_ZERO, "seconds": SECONDS, "per_hour": PER_HOUR, "scale": SCALE,
    "distinct_other": DISTINCT_OTHER, "same_weekday": SAME_WEEKDAY, "multiples": MULTIPLES,
    "just_under": JUST_UNDER, "recent_median": RECENT_MEDIAN, "run_length": RUN_LENGTH,
    "run_age": RUN_AGE, "gone": GONE, "run_clean": RUN_CLEAN,
}  # fmt: skip
