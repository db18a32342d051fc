"""Counts decisions by book, and says when the fresh one must go."""

from __future__ import annotations

from typing import Final

import msgspec

from risk.books.guardrails import Counts, Limits, breach
from risk.domain.decision import Decision
from risk.domain.outcome import Outcome
from risk.domain.times import parse_rfc3339
from risk.versions.version import Live

FRESH_MS: Final = 24 * 60 * 60 * 1000
SLOW_MS: Final = 1_000
# What was made live by these is a way back, and is not watched itself.
_WAYS_BACK: Final = ("rollback", "guardrail")
_DECISIONS: Final = msgspec.json.Decoder(Decision)


class Watch:
    """Decisions by the book that they name. Counts what it is told, and nothing twice."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._counts: dict[str, Counts] = {}

    def saw(self, body: bytes, published_at_ms: int) -> None:
        """Count one published decision; what has no evidence says nothing of a book."""
        decision = _DECISIONS.decode(body)
        if decision.evidence is None:
            return
        waited_ms = published_at_ms - parse_rfc3339(decision.evidence.arrived_at)
        blocked = decision.outcome is Outcome.BLOCK
        one = Counts(
            payments=1,
            blocks=int(blocked),
            reviews=int(decision.outcome is Outcome.REVIEW),
            good_stopped=1.0 - decision.score if blocked and decision.score is not None else 0.0,
            slow=int(waited_ms > SLOW_MS),
        )
        book = decision.evidence.digests.book
        self._counts[book] = self.of(book) + one

    def of(self, book: str) -> Counts:
        """What was counted of a book."""
        return self._counts.get(book, Counts())

    def verdict(self, live: Live | None, shipped: str, now_ms: int) -> str:
        """Why the live book must be rolled back; "" where it stays.

        Only a book of the last day is fresh. ``shipped`` judged before the first pointer.
        """
        if live is None or now_ms - live.at_ms > FRESH_MS:
            return ""
        if live.reason.partition(":")[0] in _WAYS_BACK:
            return ""
        before = self.of(live.previous or shipped)
        return breach(before, self.of(live.digest), self._limits)
