"""The report of how rules perform on payments that were decided. Its keys are a contract.

Money is in minor units of the base currency. Labels count for mature payments only: those that
had the whole label delay to be found out.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

REPORT_FORMAT: Final = 1

FindingKind = Literal["dead", "shadowed", "dominated"]


class RuleFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One rule under one version of the book, or (``Report.rules``) under all that had it.

    ``hits`` acted, or would have: ``acting_hits`` are those of a live rule in its rollout.
    ``unknown`` lacked a value, ``failures`` failed. ``mature``, ``fraud`` and ``good`` are of the
    hits; ``precision`` is ``fraud / mature``, ``recall`` the share of the mature frauds that it
    hit. ``fraud_stopped`` were hit by the acting rule and reviewed or blocked. ``alone`` are hits
    without another acting rule that asks for an outcome. ``cost_us`` is of the compiled function,
    ``windows_us`` of the windows that it reads, by their stated cost.
    """

    rule: str
    state: str
    action: str
    owner: str
    hits: int
    acting_hits: int
    unknown: int
    failures: int
    alone: int
    accounts: int
    mature: int
    immature_share: float | None
    fraud: int
    good: int
    precision: float | None
    recall: float | None
    amount_minor: int
    fraud_minor: int
    good_minor: int
    fraud_stopped: int
    good_stopped: int
    fraud_stopped_minor: int
    good_stopped_minor: int
    last_hit_at: str | None
    cost_us: float | None
    windows_us: float
    overlap: dict[str, int]
    versions: list[str]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that did nothing of its own under a version of the book, in plain words.

    ``by`` are the rules that did it instead, with the hits that they share.
    """

    kind: FindingKind
    rule: str
    book: str
    by: dict[str, int]
    text: str


class VersionFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A version of the book, and the payments that it judged."""

    book: str
    digest: str
    payments: int
    mature: int
    frauds: int
    first_decided_at: str
    last_decided_at: str
    rules: list[RuleFigures]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The whole report. ``versions`` are in the order in which they judged last, newest first.

    ``recomputed`` decisions were answered again by the compiled functions of their book, from the
    stored inputs; only so are the hits of shadow rules known. ``differing`` of them then had other
    acting hits than they say. ``missing`` says which versions were not to be had.
    """

    format: int = REPORT_FORMAT
    kind: str = "rule performance"
    source: str
    world: str
    from_ms: int
    to_ms: int
    labels_as_of_ms: int
    label_delay_days: float
    base_currency: str
    payments: int
    left_out: dict[str, int]
    mature: int
    immature_share: float
    frauds: int
    recomputed: int
    differing: int
    first_differing: str
    missing: list[str]
    rules: list[RuleFigures]
    versions: list[VersionFigures]
    findings: list[Finding]
    seconds: float = 0.0


def encode_report(report: Report) -> bytes:
    """Its JSON, indented, with a line end."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"
