"""Which word about a payment stands: one rule for training, evaluation and performance.

A chargeback outranks a fraud report, that a dispute won, and that a word of an analyst. Among
words of one rank the newest stands. Each word counts from the moment it was known.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from risk.domain.kinds import FRAUD_LABELS

# A smaller number outranks a larger one.
RANKS: Final = {
    "chargeback": 0, "fraud_report": 1, "dispute_won": 2, "analyst_fraud": 3, "analyst_legit": 3,
}  # fmt: skip


def verdicts(words: Iterable[tuple[int, str]]) -> tuple[tuple[int, bool], ...]:
    """(known at ms, is fraud) after each of ``words`` (known at ms, label), by time.

    The last verdict at or before a moment is what was held true then. Of words of one rank that
    came in the same millisecond, fraud stands. The order of ``words`` does not matter.

    >>> verdicts([(30, "analyst_legit"), (10, "fraud_report"), (20, "dispute_won")])
    ((10, True), (20, True), (30, True))
    >>> verdicts([(10, "analyst_fraud"), (20, "analyst_legit"), (30, "chargeback")])
    ((10, True), (20, False), (30, True))
    """
    best = max(RANKS.values()) + 1
    stands, found = False, []
    for known_at_ms, fraud, label in sorted((at, word in FRAUD_LABELS, word) for at, word in words):
        if RANKS[label] <= best:
            best, stands = RANKS[label], fraud
        found.append((known_at_ms, stands))
    return tuple(found)
