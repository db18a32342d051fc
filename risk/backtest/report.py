"""The report of a back-test: what an approver signs. Its keys are a contract.

Money is in minor units of the base currency. An interval is of 95 %, accounts drawn again with
all their payments. "Stopped" is reviewed or blocked. Labels count for mature payments only,
those that had the whole label delay to be found out.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

REPORT_FORMAT: Final = 1

LeftOut = Literal["fallback", "without_evidence", "other_catalogue", "damaged", "void"]


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A figure and the interval around it."""

    value: float
    low: float
    high: float


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """SHA-256 in hex of every version that judged in the back-test; "" where none was used.

    ``model`` is "" where the scores are those of the stored decisions.
    """

    book: str
    lists: str
    policy: str
    model: str
    calibration: str
    catalogue: str
    rates: str


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What was read: ``kind`` is topics, archive or dataset; ``name`` the world or the folder."""

    kind: str
    name: str


class RuleFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One rule. ``marginal`` figures are of what no other rule and no score stops.

    ``hits`` counts payments on which it acts: in its rollout and before its expiry; rules that are
    not live as if they were. ``untested`` payments lacked what it reads, and ``why`` says what;
    ``tested`` is false where all did. Of an allow rule the marginal figures are of what it alone
    lets through.
    """

    rule: str
    state: str
    action: str
    tested: bool
    untested: int
    why: str
    hits: int
    unknown: int
    mature: int
    fraud: int
    good: int
    precision: float | None
    amount_minor: int
    fraud_minor: int
    accounts: int
    marginal_stopped: int
    marginal_fraud: int
    marginal_good: int
    marginal_fraud_minor: int


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """Both ways, of mature payments. ``net_minor`` is by the policy's own costs; above 0 is saved.

    ``review_minor`` is what the reviews more (or, below 0, fewer) cost.
    """

    fraud_caught_minor: Interval
    fraud_released_minor: Interval
    good_stopped_minor: Interval
    good_released_minor: Interval
    review_minor: float
    net_minor: Interval


class Reviews(msgspec.Struct, frozen=True, kw_only=True):
    """Payments sent to review on a day. ``over_capacity`` days have more than ``capacity``."""

    old: float
    new: float
    extra: float
    worst_day: float
    capacity: float | None
    over_capacity_days: int | None


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a segment, or of a day; ``name`` as ``channel=ecom`` or ``2026-11-02``."""

    name: str
    payments: int
    stopped_old: int
    stopped_new: int
    fraud_caught: int
    fraud_released: int
    good_stopped: int
    good_released: int


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """A payment whose outcome flips. ``fraud`` is None while its label is immature."""

    payment_id: str
    decided_at: str
    account: str
    amount_minor: int | None
    old: str
    new: str
    rules: list[str]
    score: float | None
    fraud: bool | None


class Examples(msgspec.Struct, frozen=True, kw_only=True):
    """Up to ten of each: newly stopped, and no longer stopped; the largest amounts first."""

    stopped: list[Example]
    released: list[Example]


class Loop(msgspec.Struct, frozen=True, kw_only=True):
    """The outcomes of one way to look at the past.

    ``same_vectors`` is the share of vectors that equal the served ones: 1 where they were taken
    as they stand.
    """

    payments: int
    allow: int
    review: int
    block: int
    fraud_stopped: int
    good_stopped: int
    fraud_stopped_minor: int
    good_stopped_minor: int
    same_vectors: float


class Closed(msgspec.Struct, frozen=True, kw_only=True):
    """Open, closed and the gap, with history replayed under the candidate's own outcomes.

    ``open`` replays the same history under the outcomes of then, so that the ``gap`` (closed
    minus open) is that of the loop alone. ``dropped`` records of approvals fell away because
    the candidate blocks; ``unknowable`` payments were blocked then and are not now: nobody knows
    whether they would have been approved.
    """

    open: Loop
    closed: Loop
    gap: dict[str, int]
    differing_outcomes: int
    dropped: int
    added: int
    unknowable: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All of it.

    ``digest`` is the book's; ``from_ms`` and ``to_ms`` are the range of ``decided_at`` (UTC).
    ``flips`` maps ``old -> new`` outcomes to counts. ``hits`` is by rule. ``marginal`` is by rule:
    frauds that nothing else stops. ``overlap`` maps a rule to the payments that it shares with
    each other rule. ``untested`` maps a rule to why it could not be tested.
    """

    format: int = REPORT_FORMAT
    kind: Literal["backtest"] = "backtest"
    book: str
    digest: str
    digests: Signed
    source: Source
    from_ms: int
    to_ms: int
    first_decided_at: str | None
    last_decided_at: str | None
    labels_as_of_ms: int
    label_delay_days: float
    baseline: str
    payments: int
    left_out: dict[str, int]
    mature: int
    immature_share: float
    flips_immature_share: float
    frauds: int
    hits: dict[str, int]
    rules: list[RuleFigures]
    untested: dict[str, str]
    flips: dict[str, int]
    fraud_caught: Interval
    fraud_released: Interval
    good_stopped: Interval
    good_released: Interval
    money: Money
    reviews_per_day: Reviews
    accounts_affected: int
    accounts_newly_stopped: int
    marginal: dict[str, int]
    overlap: dict[str, dict[str, int]]
    segments: list[Part]
    days: list[Part]
    examples: Examples
    open_loop: Loop
    closed_loop: Closed | None
    seconds: float


def encode_report(report: Report) -> bytes:
    """The JSON of a report, indented, in the order of its fields."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"


def decode_report(body: bytes) -> Report:
    """The inverse of ``encode_report``; raises msgspec.ValidationError on other bytes."""
    return msgspec.json.decode(body, type=Report)
