"""Published decisions that name a book, and little else."""

from __future__ import annotations

import msgspec

AT = "2026-01-01T00:00:00.000Z"


def decision(outcome: str, book: str, score: float | None) -> bytes:
    """One decision as it stands on the topic."""
    digests = dict.fromkeys(("catalogue", "model", "calibration", "lists", "policy", "rates"), "")
    return msgspec.json.encode({
        "payment_id": "p", "tenant": "main", "version": 1, "outcome": outcome, "score": score,
        "reasons": [], "rule_hits": [], "expected_cost": None, "degraded": [],
        "authoritative": True, "decided_at": AT, "expires_at": AT,
        "evidence": {
            "event": {}, "fingerprint": "", "door": "stream", "arrived_at": AT, "vector": None,
            "inexact": [], "positions": [], "features_lost": None,
            "digests": {**digests, "book": book}, "rule_errors": [], "engine": "weir",
            "libraries": {},
        },
    })  # fmt: skip
