"""The evidence that a book is judged by: the report of a back-test, of this book and no other."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec

from risk.backtest.report import Report
from risk.domain.errors import BookRefused
from risk.domain.times import rfc3339

EVIDENCE_BYTES_MAX: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Evidence:
    """A report: ``body`` is its canonical JSON, ``digest`` the SHA-256 of that in hex.

    Spaces and the order of keys do not count, every key and value does.
    """

    report: Report
    body: bytes
    digest: str


class Standing(NamedTuple):
    """SHA-256 in hex of what judges beside the book: the live policy, exchange rates and lists."""

    policy: str
    rates: str
    lists: str


def read_evidence(raw: bytes) -> Evidence:
    """The report in ``raw``; raises BookRefused EVIDENCE_UNFIT where it is none."""
    if len(raw) > EVIDENCE_BYTES_MAX:
        raise _unfit(f"it is larger than {EVIDENCE_BYTES_MAX} bytes")
    try:
        told: Any = msgspec.json.decode(raw)
        report = msgspec.convert(told, Report)
    except msgspec.DecodeError as error:
        raise _unfit(f"{error}") from None
    except RecursionError:
        raise _unfit("it is nested too deeply") from None
    if not report.payments:
        raise _unfit("payments is 0, so it says nothing; choose a range with decisions")
    body = msgspec.json.encode(told, order="sorted")
    return Evidence(report, body, hashlib.sha256(body).hexdigest())


def check_about(
    evidence: Evidence, book: str, from_ms: int | None = None, to_ms: int | None = None
) -> None:
    """Raise BookRefused EVIDENCE_MISMATCH unless it is about this book, and this range (ms)."""
    report = evidence.report
    for about in (report.digest, report.digests.book):
        if about != book:
            raise _mismatch(
                f"the evidence report is about book {about[:12]}, not {book[:12]};"
                " make it again for this book"
            )
    for name, wanted, told in (("from", from_ms, report.from_ms), ("to", to_ms, report.to_ms)):
        if wanted is not None and wanted != told:
            raise _mismatch(
                f"--{name} says {rfc3339(wanted)}, and the evidence report is {name}"
                f" {rfc3339(told)}; leave it out, or make the report again"
            )


def check_standing(evidence: Evidence, standing: Standing) -> None:
    """Raise BookRefused EVIDENCE_STALE where another policy, or other rates, judge by now.

    Lists change from hour to hour, and the stored scores are those of many models: neither makes
    a report worthless.
    """
    told = evidence.report.digests
    for what, then, now in (
        ("policy", told.policy, standing.policy), ("exchange rates", told.rates, standing.rates),
    ):  # fmt: skip
        if then != now:
            raise BookRefused(
                "EVIDENCE_STALE",
                f"the back-test judged with {what} {then[:12] or 'of nobody'}, and {now[:12]} is"
                " live; make the report again",
            )


def _unfit(why: str) -> BookRefused:
    return BookRefused(
        "EVIDENCE_UNFIT",
        f"the evidence is no report of a back-test: {why}."
        " Make one with `weir rules backtest --report FILE`",
    )


def _mismatch(why: str) -> BookRefused:
    return BookRefused("EVIDENCE_MISMATCH", why)
