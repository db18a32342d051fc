"""Rules, and books of rules: immutable versions addressed by their content."""

from __future__ import annotations

import hashlib
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from risk.domain.decision import Reason, RuleHit
from risk.domain.findings import Hit
from risk.domain.times import parse_rfc3339
from risk.rules.alerting import Alerting, RateRule
from risk.rules.holding import Holding

BOOK_FORMAT: Final = 1
RULES_MAX: Final = 2_000
RATE_RULES_MAX: Final = 100
ROLLOUT_STEPS: Final = 10_000

Action = Literal["allow", "review", "block", "alert", "tag", "limit", "hold"]
State = Literal["draft", "shadow", "live", "retired"]

RuleId = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{2,63}$")]
ReasonCode = Annotated[str, Meta(pattern="^[A-Z][A-Z0-9_]{2,47}$")]
Sentence = Annotated[str, Meta(min_length=1, max_length=300)]
ExampleValue = int | float | str | bool
Example = dict[str, ExampleValue]


class Examples(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Values by name (the rest is missing) for which a rule must hit, and must not."""

    hits: tuple[Example, ...] = ()
    misses: tuple[Example, ...] = ()


class Rule(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One rule. ``id`` is for ever; a rename changes ``name`` and keeps the history.

    ``rollout_percent`` picks accounts by a stable hash. From ``expires_at`` (RFC 3339) on
    the rule has no effect. ``alert`` raises alerts for a rule whatever its action is, and says
    how; a rule whose action is alert raises them without. ``hold`` says whom the action hold
    suspends after a hit; a limit blocks what goes beyond it and suspends nobody.
    """

    id: RuleId
    name: Sentence
    when: str
    action: Action
    reason: ReasonCode
    sentence: Sentence
    customer: Sentence
    owner: Sentence
    state: State = "draft"
    rollout_percent: Annotated[float, Meta(ge=0, le=100)] = 100.0
    expires_at: str | None = None
    examples: Examples = Examples()
    alert: bool | Alerting = False
    hold: Holding | None = None

    @property
    def alerting(self) -> Alerting | None:
        """How its hits become alerts; None where they do not."""
        if isinstance(self.alert, Alerting):
            return self.alert
        return Alerting() if self.alert or self.action == "alert" else None

    @property
    def expires_at_ms(self) -> int | None:
        """Raises ValueError where ``expires_at`` is no RFC 3339 text."""
        return None if self.expires_at is None else parse_rfc3339(self.expires_at)

    def hit(self) -> Hit:
        """What this rule reports where it applies."""
        return Hit(
            rule=RuleHit(rule=self.id, action=self.action, reason=self.reason),
            reason=Reason(code=self.reason, sentence=self.sentence, customer=self.customer),
        )

    def failure(self, error: str) -> RuleHit:
        """What this rule reports where it failed; ``error`` is a class of error."""
        return RuleHit(rule=self.id, action=self.action, reason=self.reason, error=error)

    def rolled_out_to(self, tenant: str, account: str) -> bool:
        """Whether an account belongs to the rollout. Raising the share keeps who is in.

        >>> rule = Rule(id="one", name="n", when="True", action="tag", reason="ONE",
        ...             sentence="s", customer="c", owner="o", rollout_percent=0)
        >>> rule.rolled_out_to("main", "acc_1")
        False
        """
        if self.rollout_percent >= 100.0:
            return True
        body = f"{self.id}\x00{tenant}\x00{account}".encode()
        drawn = hashlib.blake2b(body, digest_size=8, person=b"weir-rollout").digest()
        place = int.from_bytes(drawn) % ROLLOUT_STEPS
        return place * 100.0 < self.rollout_percent * ROLLOUT_STEPS


class Book(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All rules of one version, in the order in which hits are reported.

    ``rate_rules`` raise alerts and decide nothing. A book without any has the digest that it
    had before there were such rules.
    """

    format: Literal[1] = 1
    name: Sentence
    rules: Annotated[tuple[Rule, ...], Meta(max_length=RULES_MAX)]
    rate_rules: (
        Annotated[tuple[RateRule, ...], Meta(max_length=RATE_RULES_MAX)] | msgspec.UnsetType
    ) = msgspec.UNSET

    @property
    def rates(self) -> tuple[RateRule, ...]:
        """The rate rules, none where the book has no such part."""
        return () if self.rate_rules is msgspec.UNSET else self.rate_rules

    def digest(self) -> str:
        """SHA-256 of the whole content, in hex."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()

    def rule(self, rule_id: str) -> Rule:
        """The rule of this id; KeyError where there is none."""
        for rule in self.rules:
            if rule.id == rule_id:
                return rule
        raise KeyError(rule_id)
