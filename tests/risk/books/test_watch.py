"""The watcher counts by book, and only a fresh book is rolled back."""

from __future__ import annotations

import msgspec

from risk.books.guardrails import Counts, Limits
from risk.books.watch import FRESH_MS, Watch
from risk.versions.version import Live
from tests.support.book_decisions import decision

AT_MS = 1_767_225_600_000
OLD, NEW = "a" * 64, "b" * 64
LIVE = Live(kind="book", digest=NEW, previous=OLD, number=2, author="ana", at_ms=AT_MS,
            reason="publish")  # fmt: skip


def test_a_book_that_blocks_too_much_must_go_while_it_is_fresh() -> None:
    watch = Watch(Limits(payments_min=100))
    for number in range(200):
        watch.saw(decision("allow", OLD, 0.1), AT_MS)
        watch.saw(decision("block" if number % 2 else "allow", NEW, 0.25), AT_MS)
    assert watch.of(NEW) == Counts(payments=200, blocks=100, good_stopped=75.0)
    assert "blocked" in watch.verdict(LIVE, OLD, AT_MS)
    first = msgspec.structs.replace(LIVE, previous="")
    assert "0.0% of 200 were before" in watch.verdict(first, OLD, AT_MS)
    assert watch.verdict(LIVE, OLD, AT_MS + FRESH_MS + 1) == ""
    assert watch.verdict(None, OLD, AT_MS) == ""
    for way_back in ("rollback: ana", "guardrail: 9 %"):
        back = msgspec.structs.replace(LIVE, reason=way_back)
        assert watch.verdict(back, OLD, AT_MS) == ""


def test_late_answers_and_reviews_count_and_what_has_no_evidence_does_not() -> None:
    watch = Watch(Limits())
    watch.saw(decision("review", NEW, None), AT_MS + 1_001)
    watch.saw(decision("block", NEW, None), AT_MS + 1_000)
    assert watch.of(NEW) == Counts(payments=2, blocks=1, reviews=1, slow=1)
    bare = msgspec.json.decode(decision("block", NEW, 0.5))
    watch.saw(msgspec.json.encode(bare | {"evidence": None}), AT_MS)
    assert watch.of(NEW).payments == 2
