"""From score, rule findings and list hits to an outcome: a pure function and its numbers.

Precedence, the first that applies (design, section 9): hold or block list -> block; allow
rule or allow list -> allow; block or limit rule -> block; model block -> block; review rule,
model review, failed rule, degraded -> review; else allow. After a failed rule an allow becomes a
review. Nothing that could not be decided is ever allowed without somebody's explicit word.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from msgspec.structs import replace

from risk.domain.decision import Degraded, ExpectedCost, Reason, RuleHit
from risk.domain.errors import BadConfiguration
from risk.domain.event import CHANNELS
from risk.domain.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from risk.domain.findings import Findings, ListHit

# The actions of rules that lead to an outcome, the strongest step first.
PRECEDENCE: Final = (("hold",), ("allow",), ("block", "limit"), ("review",))
HOLDING, ALLOWING, BLOCKING, REVIEWING = PRECEDENCE
STOPPING: Final = (*HOLDING, *BLOCKING, *REVIEWING)
DECIDING: Final = (*STOPPING, *ALLOWING)

_SHARES: Final = (
    "loss_share", "margin_share", "review_miss_share", "review_stop_share",
)  # fmt: skip
_COSTS: Final = (
    "fee_minor", "stopped_customer_minor", "review_minor", "degraded_amount_max_minor",
    "explore_amount_max_minor",
)  # fmt: skip


class Thresholds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From which calibrated score payments of a segment are reviewed, and blocked."""

    review_at: float
    block_at: float


# Fields of a policy that were added after the first policies were published, with their defaults.
LATER_FIELDS: Final[dict[str, object]] = {
    "by_channel": {}, "explore_share": 0.0, "explore_amount_max_minor": 0,
}  # fmt: skip
EXPLORE_SHARE_MAX: Final = 0.05
EXPLORED: Final = "EXPLORED"
_PROPENSITY: Final = re.compile(r"\(propensity ([0-9.e-]+)\)")


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Thresholds on the calibrated score, and the money behind them (base minor units).

    Thresholds hold at ``reference_prevalence``, so they survive retraining. ``prevalence`` is
    today's share of fraud and enters expected cost only. Shares are from 0 to 1.
    ``by_channel`` has the thresholds of channels that have their own. Of payments up to
    ``explore_amount_max_minor`` that the model alone would stop, ``explore_share`` are let through
    by chance, to learn what they were.
    """

    review_at: float = 0.10
    block_at: float = 0.60
    reference_prevalence: float = 0.01
    prevalence: float = 0.01
    loss_share: float = 1.0  # part of the amount that an undetected fraud costs
    fee_minor: int = 2_000  # fee of a chargeback
    margin_share: float = 0.01  # part of the amount earned by a good payment
    stopped_customer_minor: int = 1_500  # goodwill lost with a good customer who is stopped
    review_minor: int = 300  # about four minutes of a reviewer
    review_miss_share: float = 0.10  # frauds that a reviewer lets through
    review_stop_share: float = 0.05  # good payments that a reviewer stops
    # Without features an allow list opens the door for small amounts only.
    degraded_amount_max_minor: int = 5_000
    fallback: Literal["review", "block"] = "review"
    by_channel: dict[str, Thresholds] = {}
    explore_share: float = 0.0
    explore_amount_max_minor: int = 0

    def __post_init__(self) -> None:
        for where, review_at, block_at in (
            ("", self.review_at, self.block_at),
            *((f" of {name}", of.review_at, of.block_at) for name, of in self.by_channel.items()),
        ):
            if not 0.0 < review_at < block_at <= 1.0:
                raise BadConfiguration(
                    f"policy: 0 < review_at < block_at <= 1 must hold,"
                    f" but review_at{where} is {review_at} and block_at is {block_at}"
                )
        unknown = sorted(set(self.by_channel) - set(CHANNELS))
        if unknown:
            raise BadConfiguration(
                f"policy: by_channel names {unknown[0]!r}, which is none of {', '.join(CHANNELS)}"
            )
        for name in ("reference_prevalence", "prevalence"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise BadConfiguration(f"policy: {name} must lie between 0 and 1, both excluded")
        for name in _SHARES:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise BadConfiguration(f"policy: {name} must lie between 0 and 1")
        if not 0.0 <= self.explore_share <= EXPLORE_SHARE_MAX:
            raise BadConfiguration(
                f"policy: explore_share must lie between 0 and {EXPLORE_SHARE_MAX}"
            )
        for name in _COSTS:
            if getattr(self, name) < 0:
                raise BadConfiguration(f"policy: {name} must not be negative")

    def thresholds(self, channel: str | None) -> tuple[float, float]:
        """From which score payments of ``channel`` are reviewed, and blocked."""
        own = self.by_channel.get(channel or "")
        return (own.review_at, own.block_at) if own else (self.review_at, self.block_at)

    def body(self) -> bytes:
        """The canonical bytes of the policy, which its digest addresses.

        A field that came later is left out at its default, so that the versions of before
        keep their digests.
        """
        content = msgspec.to_builtins(self)
        for name, default in LATER_FIELDS.items():
            if content[name] == default:
                del content[name]
        return msgspec.json.encode(content, order="sorted")

    def digest(self) -> str:
        """SHA-256 of ``body``, in hex."""
        return hashlib.sha256(self.body()).hexdigest()


class Situation(msgspec.Struct, frozen=True, gc=False):
    """Everything the policy looks at. None says what could not be had.

    ``score`` is calibrated at the reference prevalence (None: no model). ``amount_base`` is
    in base minor units (None: no exchange rate). ``findings`` is None where the rules were
    not evaluated; they are not looked at when ``has_features`` is false. A score that is no
    probability (NaN, or outside 0 to 1) counts as no score. ``draw`` is the payment's lot
    (``lot``): below the policy's ``explore_share`` it is explored.
    """

    amount_base: int | None
    score: float | None
    findings: Findings | None
    list_hits: tuple[ListHit, ...] = ()
    has_features: bool = True
    channel: str | None = None
    draw: float = 1.0


class Judgement(msgspec.Struct, frozen=True, gc=False):
    """The answer and why. ``rule_errors`` are the failed rules, also part of ``rule_hits``.

    ``reasons`` name what led to the outcome, the strongest first, each code once.
    """

    outcome: Outcome
    reasons: tuple[Reason, ...]
    rule_hits: tuple[RuleHit, ...]
    rule_errors: tuple[RuleHit, ...]
    expected_cost: ExpectedCost | None
    degraded: tuple[Degraded, ...]


_CHECKING: Final = "We are checking this payment and will tell you soon."
_STOPPED: Final = "We could not approve this payment. Please contact us if you need help."
MODEL_BLOCK: Final = Reason(
    code="MODEL_BLOCK",
    sentence="The score is at or above the blocking threshold.",
    customer=_STOPPED,
)
MODEL_REVIEW: Final = Reason(
    code="MODEL_REVIEW",
    sentence="The score is at or above the review threshold.",
    customer=_CHECKING,
)
AMOUNT_CEILING: Final = Reason(
    code="AMOUNT_CEILING",
    sentence="An allow list names this payment, but without features its amount is too large.",
    customer=_CHECKING,
)
DEGRADED_REASONS: Final[dict[Degraded, Reason]] = {
    "no_model": Reason(
        code="NO_MODEL",
        sentence="No model was loaded, so rules and lists judged alone.",
        customer=_CHECKING,
    ),
    "no_features": Reason(
        code="NO_FEATURES",
        sentence="The features could not be had, so lists and amount judged alone.",
        customer=_CHECKING,
    ),
    "no_rules": Reason(
        code="NO_RULES", sentence="The rules could not be evaluated.", customer=_CHECKING
    ),
    "no_rate": Reason(
        code="NO_RATE",
        sentence="There is no exchange rate for the currency, so the amount is unknown.",
        customer=_CHECKING,
    ),
    "rule_failed": Reason(
        code="RULE_FAILED",
        sentence="A rule failed, so nobody knows what it would have said.",
        customer=_CHECKING,
    ),
    "fallback": Reason(
        code="FALLBACK",
        sentence="No decision could be made in time; the configured fallback was answered.",
        customer=_CHECKING,
    ),
}


def judge(situation: Situation, policy: Policy) -> Judgement:
    """The outcome of one payment. Pure: the same arguments give the same answer."""
    situation = _usable(situation)
    findings = situation.findings
    degraded = _degraded(situation)
    outcome, reasons = _precedence(situation, policy, degraded)
    failures = findings.failures if findings else ()
    hits = tuple(hit.rule for hit in findings.hits) if findings else ()
    return Judgement(
        outcome=outcome,
        reasons=_once(reasons),
        rule_hits=hits + failures,
        rule_errors=failures,
        expected_cost=expected_cost(situation.amount_base, situation.score, policy),
        degraded=degraded,
    )


def lot(policy_digest: str, tenant: str, payment_id: str) -> float:
    """The payment's lot, 0 or more and below 1: the same for a policy and an id, for ever.

    The first 53 bits of a SHA-256, so lots are even, and another policy draws anew.
    """
    drawn = hashlib.sha256(f"explore:{policy_digest}:{tenant}:{payment_id}".encode()).digest()
    return (int.from_bytes(drawn[:8], "big") >> 11) / 2.0**53


def explored(policy: Policy) -> Reason:
    """The reason of a payment that was let through by chance; it states the propensity."""
    return Reason(
        code=EXPLORED,
        sentence="Only the model would have stopped it; let through by chance, to learn whether"
        f" that is right (propensity {policy.explore_share!r}).",
        customer="",
    )


def propensity_of(reasons: Sequence[Reason]) -> float | None:
    """The propensity that ``explored`` stated, None where nobody was let through by chance.

    >>> propensity_of([explored(Policy(explore_share=0.02))])
    0.02
    """
    for reason in reasons:
        stated = _PROPENSITY.search(reason.sentence) if reason.code == EXPLORED else None
        if stated is not None:
            return float(stated[1])
    return None


def fall_back(policy: Policy) -> Judgement:
    """The answer when no decision can be made; never authoritative, never an allow."""
    return Judgement(
        outcome=Outcome(policy.fallback),
        reasons=(DEGRADED_REASONS["fallback"],),
        rule_hits=(),
        rule_errors=(),
        expected_cost=None,
        degraded=("fallback",),
    )


def todays_probability(score: float, policy: Policy) -> float:
    """``score`` moved from the reference prevalence to today's by Bayes' rule.

    With odds ``o`` of the score, today's odds are ``o * (t / (1 - t)) / (r / (1 - r))``:
    prior probability shift (Elkan 2001, theorem 2). Only * and / and -, so every machine
    gives the same bits.

    >>> todays_probability(0.5, Policy(reference_prevalence=0.5, prevalence=0.1))
    0.1
    """
    fraud = score * policy.prevalence / policy.reference_prevalence
    good = (1.0 - score) * (1.0 - policy.prevalence) / (1.0 - policy.reference_prevalence)
    return fraud / (fraud + good)


def expected_cost(
    amount_base: int | None, score: float | None, policy: Policy
) -> ExpectedCost | None:
    """What each outcome is expected to cost in base minor units, rounded half to even.

    allow = p (loss_share a + fee); block = (1 - p) (stopped_customer + margin_share a);
    review = review + review_miss_share allow + review_stop_share block.
    None where amount or score is unknown.
    """
    if amount_base is None or score is None:
        return None
    fraud = todays_probability(score, policy)
    allow = fraud * (policy.loss_share * amount_base + policy.fee_minor)
    block = (1.0 - fraud) * (policy.stopped_customer_minor + policy.margin_share * amount_base)
    review = (
        policy.review_minor + policy.review_miss_share * allow + policy.review_stop_share * block
    )
    return ExpectedCost(
        allow_minor=round(allow), review_minor=round(review), block_minor=round(block)
    )


def _usable(situation: Situation) -> Situation:
    """``situation`` without what may not be trusted: it can only become more careful."""
    score = situation.score
    if score is not None and not 0.0 <= score <= 1.0:
        situation = replace(situation, score=None)
    if situation.findings is not None and not situation.has_features:
        situation = replace(situation, findings=None)
    return situation


def _degraded(situation: Situation) -> tuple[Degraded, ...]:
    """The rungs of the degradation ladder that this payment stands on, in fixed order."""
    findings = situation.findings
    steps: list[Degraded] = []
    if situation.score is None:
        steps.append("no_model")
    if not situation.has_features:
        steps.append("no_features")
    elif findings is None:
        steps.append("no_rules")
    if situation.amount_base is None:
        steps.append("no_rate")
    if findings is not None and findings.failures:
        steps.append("rule_failed")
    return tuple(steps)


def _precedence(
    situation: Situation, policy: Policy, degraded: tuple[Degraded, ...]
) -> tuple[Outcome, list[Reason]]:
    """The outcome, and every reason that asks for it, the deciding ones first."""
    stopped = _listed(situation, "hold", "block") + _ruled(situation, HOLDING)
    allowed = _ruled(situation, ALLOWING) + _listed(situation, "allow")
    blocked = _ruled(situation, BLOCKING)
    review_at, block_at = policy.thresholds(situation.channel)
    if situation.score is not None and situation.score >= block_at:
        blocked.append(MODEL_BLOCK)
    if stopped:
        return Outcome.BLOCK, stopped + blocked
    if allowed:
        doubts = _doubts(situation, policy, degraded)
        return (Outcome.REVIEW, doubts) if doubts else (Outcome.ALLOW, allowed)
    reviewed = _ruled(situation, REVIEWING)
    if situation.score is not None and situation.score >= review_at:
        reviewed.append(MODEL_REVIEW)
    reviewed += [DEGRADED_REASONS[step] for step in degraded]
    if _explores(situation, policy, blocked + reviewed):
        return Outcome.ALLOW, [explored(policy)]
    if blocked:
        return Outcome.BLOCK, blocked
    return (Outcome.REVIEW, reviewed) if reviewed else (Outcome.ALLOW, [])


def _explores(situation: Situation, policy: Policy, against: list[Reason]) -> bool:
    """Whether the payment is let through by chance: nothing but the model is against it."""
    amount = situation.amount_base
    return (
        situation.draw < policy.explore_share
        and amount is not None
        and amount <= policy.explore_amount_max_minor
        and bool(against)
        and all(reason in (MODEL_BLOCK, MODEL_REVIEW) for reason in against)
    )


def _doubts(situation: Situation, policy: Policy, degraded: tuple[Degraded, ...]) -> list[Reason]:
    """Why an explicit allow is not enough: rules that did not speak might have said hold."""
    doubts = [DEGRADED_REASONS[step] for step in degraded if step in ("rule_failed", "no_rules")]
    amount = situation.amount_base
    small = amount is not None and amount <= policy.degraded_amount_max_minor
    if not situation.has_features and not small:
        doubts += [AMOUNT_CEILING, DEGRADED_REASONS["no_features"]]
    return doubts


def _ruled(situation: Situation, actions: tuple[str, ...]) -> list[Reason]:
    if situation.findings is None:
        return []
    return [hit.reason for hit in situation.findings.hits if hit.rule.action in actions]


def _listed(situation: Situation, *effects: str) -> list[Reason]:
    return [hit.reason for hit in situation.list_hits if hit.effect in effects]


def _once(reasons: list[Reason]) -> tuple[Reason, ...]:
    """``reasons`` with each code kept where it stands first."""
    first: dict[str, Reason] = {}
    for reason in reasons:
        first.setdefault(reason.code, reason)
    return tuple(first.values())
