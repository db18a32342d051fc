"""Counts by rule over blocks: hits, what only this rule does, and what rules share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from risk.backtest.block import Ints
from risk.backtest.columns import Flags, Floats
from risk.backtest.judging import Judged
from risk.backtest.report import RuleFigures
from risk.policy import STOPPING
from risk.rules.book import Rule

_COUNTS: Final = (
    "hits", "unknown", "untested", "mature", "fraud", "good", "amount_minor", "fraud_minor",
    "marginal_stopped", "marginal_fraud", "marginal_good", "marginal_fraud_minor",
)  # fmt: skip


class Known(NamedTuple):
    """What is known of the rows of a block that count: each (n,)."""

    account: Ints
    amount: Floats
    mature: Flags
    fraud: Flags


class RuleTally:
    """Takes one judged block after the other."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)
        self._counts = {name: np.zeros(len(rules)) for name in _COUNTS}
        self._accounts: list[list[Ints]] = [[] for _ in rules]
        self._overlap = np.zeros((len(rules), len(rules)))
        self._lacks: dict[str, set[str]] = {}
        self._payments = 0

    def add(self, judged: Judged, known: Known, lacking: Mapping[str, Sequence[str]]) -> None:
        """Count the rows of a block; ``lacking`` are the names that it does not have, by rule."""
        self._payments += len(known.amount)
        for rule_id, names in lacking.items():
            self._lacks.setdefault(rule_id, set()).update(names)
        for place, rule in enumerate(self._rules):
            self._counts["unknown"][place] += np.count_nonzero(judged.unknown[place])
            self._counts["untested"][place] += np.count_nonzero(judged.untested[place])
            rows = np.flatnonzero(judged.hits[place])
            if len(rows):
                self._add(place, rule, rows, judged, known)
        shared = judged.hits[:, judged.hits.sum(axis=0) > 1].astype(np.float32)
        self._overlap += shared @ shared.T

    def _add(self, place: int, rule: Rule, rows: Ints, judged: Judged, known: Known) -> None:
        acting = rule.state == "live"
        stops, lets = judged.stops[rows], judged.lets[rows]
        if rule.action == "allow":
            alone = (stops > 0) & (lets == (1 if acting else 0))
        else:
            alone = (stops == int(acting and rule.action in STOPPING)) & (lets == 0)
        mature, fraud = known.mature[rows], known.fraud[rows] & known.mature[rows]
        amount = np.nan_to_num(known.amount[rows])
        found = {
            "hits": len(rows), "mature": mature.sum(), "fraud": fraud.sum(),
            "good": (mature & ~fraud).sum(), "amount_minor": amount.sum(),
            "fraud_minor": amount[fraud].sum(), "marginal_stopped": alone.sum(),
            "marginal_fraud": (alone & fraud).sum(),
            "marginal_good": (alone & mature & ~fraud).sum(),
            "marginal_fraud_minor": amount[alone & fraud].sum(),
        }  # fmt: skip
        for name, count in found.items():
            self._counts[name][place] += count
        self._accounts[place].append(np.unique(known.account[rows]))

    def figures(self) -> list[RuleFigures]:
        """One for each rule, in the order of the book."""
        return [self._figures(place, rule) for place, rule in enumerate(self._rules)]

    def _figures(self, place: int, rule: Rule) -> RuleFigures:
        counts = {name: round(float(column[place])) for name, column in self._counts.items()}
        mature, untested = counts["mature"], counts["untested"]
        accounts = self._accounts[place]
        return RuleFigures(
            rule=rule.id,
            state=rule.state,
            action=rule.action,
            tested=untested < self._payments or not self._payments,
            why=self._why(rule, untested),
            precision=counts["fraud"] / mature if mature else None,
            accounts=len(np.unique(np.concatenate(accounts))) if accounts else 0,
            **counts,
        )

    def _why(self, rule: Rule, untested: int) -> str:
        if not untested:
            return ""
        absent = ", ".join(sorted(self._lacks.get(rule.id, ())))
        names = absent or "windows that the evidence of these decisions does not hold"
        return f"{untested} of {self._payments} payments lack {names}"

    def overlap(self) -> dict[str, dict[str, int]]:
        """By rule, the payments that it shares with each other rule, where there are any."""
        ids = [rule.id for rule in self._rules]
        found: dict[str, dict[str, int]] = {}
        for one, row in zip(ids, self._overlap, strict=True):
            shared = {
                other: round(float(count))
                for other, count in zip(ids, row, strict=True)
                if other != one and count
            }
            if shared:
                found[one] = shared
        return found
