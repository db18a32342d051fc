"""Evidence is the report of a back-test, of this book and this range, and nothing else."""

from __future__ import annotations

import json

import pytest

from risk.books.desk import subject_of
from risk.books.evidence import EVIDENCE_BYTES_MAX, read_evidence
from risk.domain.errors import BookRefused
from risk.rules.book import Book
from tests.support.book_evidence import FROM_MS, TO_MS, evidence_of, report

BOOK = Book(name="b", rules=())
MINE = evidence_of(BOOK.digest())


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"[]", "Expected `object`"),
        (b"{}", "missing required field"),
        (json.dumps({"digest": BOOK.digest(), "hits": {}}).encode(), "missing required field"),
        (MINE.replace(b'"backtest"', b'"simulation"'), "Invalid enum value"),
        (evidence_of(BOOK.digest(), payments=0), "payments is 0"),
        (b"[" * 100_000, "no report of a back-test"),
        (b" " * (EVIDENCE_BYTES_MAX + 1), "larger than"),
    ],
)
def test_what_is_no_back_test_is_refused(bad: bytes, why: str) -> None:
    with pytest.raises(BookRefused, match=why) as refused:
        read_evidence(bad)
    assert refused.value.code == "EVIDENCE_UNFIT"


def test_every_value_is_signed_and_no_space() -> None:
    told = json.loads(MINE)
    spaced = json.dumps(dict(reversed(told.items())), indent=8).encode()
    assert read_evidence(MINE).digest == read_evidence(spaced).digest
    for change in ({"payments": 11}, {"seconds": 0.2}, {"more": 1}):
        changed = read_evidence(json.dumps(told | change).encode())
        assert changed.digest != read_evidence(MINE).digest


def test_it_is_about_this_book_and_range() -> None:
    subject = subject_of(BOOK, read_evidence(MINE), FROM_MS, TO_MS)
    assert (subject.book, subject.from_ms, subject.to_ms) == (BOOK.digest(), FROM_MS, TO_MS)
    other = Book(name="c", rules=())
    with pytest.raises(BookRefused, match=f"about book {BOOK.digest()[:12]}, not") as refused:
        subject_of(other, read_evidence(MINE))
    assert (refused.value.code, refused.value.http_status) == ("EVIDENCE_MISMATCH", 422)
    with pytest.raises(BookRefused, match="--from says 2025-12-31"):
        subject_of(BOOK, read_evidence(MINE), FROM_MS - 1, TO_MS)
    with pytest.raises(BookRefused, match="--to says"):
        subject_of(BOOK, read_evidence(MINE), FROM_MS, TO_MS + 1)
    assert report(BOOK.digest()).digests.book == BOOK.digest()
