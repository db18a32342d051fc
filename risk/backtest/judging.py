"""A candidate over blocks of decisions: hits, and the outcome that the policy would give.

It mirrors ``risk.policy.judge`` on columns; a differential test proves that both agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from risk.backtest.block import ALLOW, BLOCK, REVIEW, Block, Bytes, Ints, Stretch
from risk.backtest.columns import Flags, Floats, Text
from risk.backtest.vectorised import VectorRule, standing
from risk.domain.findings import ListSnapshot, Members, Texts
from risk.judgement import Contribution, Scoring
from risk.policy import PRECEDENCE, Policy, lot
from risk.rules.book import Book, Rule
from risk.rules.compiler import Tables
from risk.rules.parser import parse
from risk.rules.schema import Schema

STRETCH_ROWS: Final = 65_536  # columns of so many rows stay in the processor's cache


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is tried: rules, lists and rates (``tables``), thresholds, and a model.

    Without ``scoring`` the scores are those of the stored decisions.
    """

    book: Book
    schema: Schema
    tables: Tables
    policy: Policy
    scoring: Scoring | None = None

    @property
    def lists(self) -> ListSnapshot:
        return self.tables.lists


class RulesAlone:
    """In place of a model: every score is 0, so that rules and lists judge alone."""

    model_digest: Final = "none"
    calibration_digest: Final = ""

    def score(self, matrix: Floats) -> Floats:
        """0 for each row."""
        return np.zeros(len(matrix))

    def reasons(self, matrix: Floats) -> Sequence[Sequence[Contribution]]:
        """None for any row."""
        return [()] * len(matrix)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A block under a candidate. Masks by rule are in the order of ``Judge.rules``, (R, n).

    ``hits`` act or would act; ``unknown`` could not be answered for want of a value, ``untested``
    for want of a column or a window. ``stops`` (n,) counts what asks for a stop: rules, model,
    lists, degradation; ``lets`` (n,) what allows. ``score`` and ``outcome`` are (n,).
    """

    hits: Flags
    unknown: Flags
    untested: Flags
    stops: Bytes
    lets: Bytes
    score: Floats
    outcome: Bytes

    def take(self, rows: Ints) -> Judged:
        """The same of some rows."""
        return Judged(*(getattr(self, name)[..., rows] for name in Judged.__dataclass_fields__))


class Judge:
    """Compiles a candidate once. Holds no state between blocks but what it knows of words."""

    def __init__(self, candidate: Candidate, stretch_rows: int = STRETCH_ROWS) -> None:
        """Raises what ``compile_rule`` raises for a book that was not checked."""
        self.candidate: Final = candidate
        self.rules: Final = tuple(rule for rule in candidate.book.rules if rule.state != "retired")
        types, tables = candidate.schema.types(), candidate.tables
        self.vectors: Final = [VectorRule(parse(rule.when), types, tables) for rule in self.rules]
        self._stretch_rows = stretch_rows
        self._policy_digest = candidate.policy.digest()

    def lacking(self, block: Block) -> dict[str, list[str]]:
        """Rules that read what ``block`` does not have, with the names."""
        return {
            rule.id: missing
            for rule, vector in zip(self.rules, self.vectors, strict=True)
            if (missing := [name for name in vector.names if not block.knows(name)])
        }

    def judge(self, block: Block) -> Judged:
        """Every decision of ``block`` anew."""
        parts = [
            self._stretch(block, begin, end)
            for begin, end in stretches(len(block), self._stretch_rows)
        ]
        if not parts:
            nothing = np.zeros((len(self.rules), 0), np.bool_)
            none = np.zeros(0, np.int8)
            return Judged(nothing, nothing, nothing, none, none, np.zeros(0), none)
        return Judged(
            *(
                np.concatenate([getattr(part, name) for part in parts], axis=-1)
                for name in Judged.__dataclass_fields__
            )
        )

    def _stretch(self, block: Block, begin: int, end: int) -> Judged:
        score = self._score(block, begin, end)
        columns = block.stretch(begin, end, score)
        shape = (len(self.rules), end - begin)
        hits, unknown, untested = (np.zeros(shape, np.bool_) for _ in range(3))
        failed = np.zeros(end - begin, np.bool_)
        seen = np.asarray(block.has_features[begin:end])
        lacking = self.lacking(block)
        for place, (rule, vector) in enumerate(zip(self.rules, self.vectors, strict=True)):
            if rule.id in lacking:
                untested[place] = seen
                continue
            counts = self._counts(rule, columns) & seen
            held = block.held(vector.names)
            if held is not None:
                untested[place] = counts & ~held[begin:end]
                counts &= held[begin:end]
            answers = vector.answers(columns)
            hits[place] = answers.holds & counts
            unknown[place] = counts & ~(answers.holds | answers.fails | answers.failed)
            if rule.state == "live":
                failed |= answers.failed & counts
        return self._outcomes(columns, hits, unknown, untested, failed)

    def _score(self, block: Block, begin: int, end: int) -> Floats:
        if self.candidate.scoring is None:
            found: Floats = np.asarray(block.score[begin:end])
        else:
            matrix = np.ascontiguousarray(block.features[:, begin:end].T)
            found = self.candidate.scoring.score(matrix)
            found = np.where(block.has_features[begin:end], found, np.nan)
        return found

    def _counts(self, rule: Rule, columns: Stretch) -> Flags:
        """Payments for which a rule is in force: before its expiry, and in its rollout."""
        block, begin, end = columns.block, columns.begin, columns.end
        found = np.ones(len(columns), np.bool_)
        if rule.expires_at_ms is not None:
            found &= block.decided_ms[begin:end] < rule.expires_at_ms
        if rule.rollout_percent < 100.0:
            found &= _rolled_out(rule, block.tenant.part(begin, end), columns.text("account"))
        return found

    def _outcomes(
        self, columns: Stretch, hits: Flags, unknown: Flags, untested: Flags, failed: Flags
    ) -> Judged:
        policy, rows = self.candidate.policy, len(columns)
        listed = {effect: np.zeros(rows, np.bool_) for effect in ("hold", "block", "allow")}
        for one in self.candidate.lists.acting:
            for name, _reason in one.reasons:
                if name in columns.block.texts:
                    at_ms = columns.number("occurred_at")
                    listed[one.effect] |= _listed(one.members, columns.text(name), at_ms)
        ruled = {step[0]: self._acting(hits, step) for step in PRECEDENCE}
        has_score = (columns.score >= 0.0) & (columns.score <= 1.0)
        review_at, block_at = _thresholds(policy, columns)
        model_blocks, model_reviews = (
            has_score & (columns.score >= limit) for limit in (block_at, review_at)
        )
        seen = np.asarray(columns.block.has_features[columns.begin : columns.end])
        amount = columns.number("amount")
        degraded = ~has_score | ~seen | np.isnan(amount) | failed
        stopped = listed["hold"] | listed["block"] | (ruled["hold"] > 0)
        allowed = (ruled["allow"] > 0) | listed["allow"]
        small = amount <= policy.degraded_amount_max_minor
        doubts = failed | (~seen & ~small)
        model = model_blocks.astype(np.int8) + model_reviews
        others = (ruled["block"] > 0) | (ruled["review"] > 0) | degraded
        outcome = np.select(
            [
                stopped,
                allowed & doubts,
                allowed,
                self._explored(columns, (model > 0) & ~others),
                (ruled["block"] > 0) | model_blocks,
                (ruled["review"] > 0) | model_reviews | degraded,
            ],
            [BLOCK, REVIEW, ALLOW, ALLOW, BLOCK, REVIEW],
            ALLOW,
        ).astype(np.int8)
        causes = ruled["hold"] + ruled["block"] + ruled["review"]
        causes = causes + stopped + (model > 0) + degraded
        stops = np.minimum(causes, 100).astype(np.int8)
        lets = np.minimum(ruled["allow"] + listed["allow"], 100).astype(np.int8)
        return Judged(hits, unknown, untested, stops, lets, columns.score, outcome)

    def _acting(self, hits: Flags, actions: tuple[str, ...]) -> Ints:
        """How many live rules of these actions hit each payment."""
        places = [
            place
            for place, rule in enumerate(self.rules)
            if rule.state == "live" and rule.action in actions
        ]
        found: Ints = hits[places].sum(axis=0, dtype=np.int64)
        return found

    def _explored(self, columns: Stretch, alone: Flags) -> Flags:
        """Where a payment is let through by chance: only the model is against it."""
        policy = self.candidate.policy
        found = np.zeros(len(columns), np.bool_)
        if policy.explore_share <= 0.0:
            return found
        amount = columns.number("amount")
        block, begin = columns.block, columns.begin
        for row in np.flatnonzero(alone & (amount <= policy.explore_amount_max_minor)).tolist():
            tenant = block.tenant.at(begin + row) or ""
            drawn = lot(self._policy_digest, tenant, block.ids.at(begin + row))
            found[row] = drawn < policy.explore_share
        return found


def stretches(rows: int, size: int = STRETCH_ROWS) -> Iterator[tuple[int, int]]:
    """Where each stretch of at most ``size`` rows begins and ends.

    >>> list(stretches(70_000))
    [(0, 65536), (65536, 70000)]
    """
    for begin in range(0, rows, size):
        yield begin, min(begin + size, rows)


def _rolled_out(rule: Rule, tenant: Text, account: Text) -> Flags:
    pairs = np.stack([tenant.codes, account.codes])
    distinct, inverse = np.unique(pairs, axis=1, return_inverse=True)
    within = [
        rule.rolled_out_to(tenant.words[one], account.words[other])
        for one, other in distinct.T.tolist()
    ]
    found: Flags = np.array(within, np.bool_)[inverse.ravel()]
    return found


def _listed(members: Members, item: Text, at_ms: Floats) -> Flags:
    if isinstance(members, Texts):
        table = np.array([*(word in members.values for word in item.words), False])
        found: Flags = table[item.codes]
        return found
    return standing(members, item, at_ms)


def _thresholds(policy: Policy, columns: Stretch) -> tuple[Floats, Floats]:
    """From which score each payment is reviewed, and blocked."""
    if not policy.by_channel:
        rows = len(columns)
        return np.full(rows, policy.review_at), np.full(rows, policy.block_at)
    channel = columns.text("channel")
    held = [policy.thresholds(word) for word in [*channel.words, None]]
    table = np.array(held)[channel.codes]
    return table[:, 0], table[:, 1]
