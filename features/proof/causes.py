"""Why a vector or a score cannot be proven. Every cause is counted, none is a silent pass."""

from __future__ import annotations

from typing import Final, NamedTuple

HOLE: Final = "HOLE"
VOID: Final = "VOID"
PENDING: Final = "PENDING"
RETENTION: Final = "RETENTION"
TOO_LATE: Final = "TOO_LATE"
RATES_UNKNOWN: Final = "RATES_UNKNOWN"
FEATURES_LOST: Final = "FEATURES_LOST"
CATALOGUE_OLDER: Final = "CATALOGUE_OLDER"
MODEL_UNKNOWN: Final = "MODEL_UNKNOWN"
WINDOWS_UNKNOWN: Final = "WINDOWS_UNKNOWN"

CAUSES: Final[dict[str, str]] = {
    HOLE: "A record that the payment saw was never published: Redis or a process lost it.",
    VOID: "A record that the payment saw was published too late, after its epoch had ended.",
    PENDING: "A record that the payment saw is not published yet; ask again later.",
    RETENTION: "A record that the payment may have seen is older than the history that was read.",
    TOO_LATE: "The decision was published long after the records it saw; they are not held so far.",
    RATES_UNKNOWN: "The table of exchange rates of a record is not in the state folder.",
    FEATURES_LOST: "The payment was decided without features, because its log was trimmed.",
    CATALOGUE_OLDER: "The vector was made by another feature catalogue than this code's.",
    WINDOWS_UNKNOWN: "A rule asked for a window that this code does not know.",
    MODEL_UNKNOWN: "The vector is equal; its model is neither cached nor registered.",
}


class Gap(NamedTuple):
    """The first place that a payment saw and history does not tell."""

    kind: str
    identifier: str
    sequence: int
    base: int
    incarnation: int
