"""How each rule performs on payments that were decided: counts by rule and version of the book."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from risk.books.hit_table import SUMS, Flags, Floats, HitTable, Sums
from risk.books.idle_rules import findings_of
from risk.books.performance_report import Finding, RuleFigures, VersionFigures
from risk.books.rule_costs import Cost
from risk.domain.times import rfc3339
from risk.policy import DECIDING, STOPPING
from risk.rules.book import Rule


class Truth(NamedTuple):
    """What is known: keys of the payments that stand as fraud, sorted, and who is mature."""

    frauds: NDArray[np.uint64]
    mature_until_ms: int


class Performance(NamedTuple):
    """Figures by version, newest first, by rule over all of them, and what was found idle."""

    payments: int
    mature: int
    frauds: int
    rules: list[RuleFigures]
    versions: list[VersionFigures]
    findings: list[Finding]


@dataclass(slots=True)
class _Counts:
    """A rule's numbers before they become figures; they add up over versions."""

    rule: Rule
    cost: Cost
    sums: Floats = field(default_factory=lambda: np.zeros(len(SUMS)))
    more: Counter[str] = field(default_factory=Counter)
    overlap: Counter[str] = field(default_factory=Counter)
    accounts: list[NDArray[np.uint64]] = field(default_factory=list)
    last_ms: int = -1
    frauds: int = 0
    versions: list[str] = field(default_factory=list)

    def take(self, other: _Counts) -> None:
        """Add an older version's numbers; rule and cost stay those of the newer one."""
        self.sums = self.sums + other.sums
        self.more.update(other.more)
        self.overlap.update(other.overlap)
        self.accounts = [*self.accounts, *other.accounts]
        self.last_ms = max(self.last_ms, other.last_ms)
        self.frauds += other.frauds
        self.versions = [*self.versions, *other.versions]


def performance(
    tables: Sequence[HitTable], truth: Truth, costs: Mapping[str, Mapping[str, Cost]]
) -> Performance:
    """What ``tables``, one for each version of the book, say together.

    ``costs`` are by digest of the book and id of the rule; what is not there was not measured.
    """
    summed = [(table, table.sums(truth.frauds, truth.mature_until_ms)) for table in tables]
    summed = [(table, sums) for table, sums in summed if sums.payments]
    summed.sort(key=lambda one: (-one[1].newest_ms, one[0].book.digest()))
    together: dict[str, _Counts] = {}
    versions, findings = [], []
    for table, sums in summed:
        digest = table.book.digest()
        counted = _counted(table, sums, costs.get(digest, {}))
        versions.append(_version(table, sums, counted))
        findings += findings_of(table, sums)
        for rule_id, one in counted.items():
            if rule_id in together:
                together[rule_id].take(one)
            else:
                together[rule_id] = one
    return Performance(
        payments=sum(sums.payments for _, sums in summed),
        mature=sum(sums.mature for _, sums in summed),
        frauds=sum(sums.frauds for _, sums in summed),
        rules=[_figures(one) for one in together.values()],
        versions=versions,
        findings=findings,
    )


def _version(table: HitTable, sums: Sums, counted: Mapping[str, _Counts]) -> VersionFigures:
    return VersionFigures(
        book=table.book.name,
        digest=table.book.digest(),
        payments=sums.payments,
        mature=sums.mature,
        frauds=sums.frauds,
        first_decided_at=rfc3339(sums.first_ms),
        last_decided_at=rfc3339(sums.newest_ms),
        rules=[_figures(one) for one in counted.values()],
    )


def _counted(table: HitTable, sums: Sums, costs: Mapping[str, Cost]) -> dict[str, _Counts]:
    """The numbers of each rule that was evaluated, in the order of the book."""
    rules = table.book.rules
    masks = {name: _mask(table, name) for name in ("acting", "shadow", "unknown", "failed")}
    hits = masks["acting"] | masks["shadow"]
    deciding = np.array([rule.action in DECIDING for rule in rules], np.bool_)
    others = (masks["acting"] & deciding).sum(axis=1, dtype=np.int64)
    count = sums.table[:, SUMS.index("hits")]
    shared = hits.T.astype(np.float64) @ (hits * count[:, None])
    found = {}
    for place, rule in enumerate(rules):
        if rule.state not in ("live", "shadow"):
            continue
        own, acting = hits[:, place], masks["acting"][:, place]
        # What only an acting rule can do: stop a payment.
        stopping = acting if rule.action in STOPPING else np.zeros(len(own), np.bool_)
        totals = sums.table[own].sum(axis=0)
        done = sums.table[stopping].sum(axis=0)
        for name in SUMS:
            if name.endswith(("_stopped", "_stopped_minor")):
                totals[SUMS.index(name)] = done[SUMS.index(name)]
        mine = (acting & deciding[place]).astype(np.int64)
        found[rule.id] = _Counts(
            rule=rule,
            cost=costs.get(rule.id, Cost(None, 0.0)),
            sums=totals,
            more=Counter(
                acting_hits=round(float(count[acting].sum())),
                unknown=round(float(count[masks["unknown"][:, place]].sum())),
                failures=round(float(count[masks["failed"][:, place]].sum())),
                alone=round(float(count[own & (others == mine)].sum())),
            ),
            overlap=Counter({
                other.id: round(float(both))
                for other, both in zip(rules, shared[place], strict=True)
                if both and other.id != rule.id
            }),
            accounts=[np.unique(sums.account[own[sums.pattern]])],
            last_ms=int(sums.last_ms[own].max(initial=-1)),
            frauds=sums.frauds,
            versions=[table.book.digest()],
        )  # fmt: skip
    return found


def _mask(table: HitTable, name: str) -> Flags:
    """Which rules (columns) each pattern (rows) names under ``name``."""
    patterns = table.patterns
    found = np.zeros((len(patterns), len(table.book.rules)), np.bool_)
    for row, pattern in enumerate(patterns):
        found[row, list(getattr(pattern, name))] = True
    return found


def _figures(one: _Counts) -> RuleFigures:
    counts = {name: round(float(value)) for name, value in zip(SUMS, one.sums, strict=True)}
    counts.pop("stopped")
    hits, mature, fraud = counts["hits"], counts["mature"], counts["fraud"]
    cost_us = one.cost.own_us
    return RuleFigures(
        rule=one.rule.id,
        state=one.rule.state,
        action=one.rule.action,
        owner=one.rule.owner,
        **counts,
        acting_hits=one.more["acting_hits"],
        unknown=one.more["unknown"],
        failures=one.more["failures"],
        alone=one.more["alone"],
        accounts=len(np.unique(np.concatenate(one.accounts))),
        immature_share=1.0 - mature / hits if hits else None,
        precision=fraud / mature if mature else None,
        recall=fraud / one.frauds if one.frauds else None,
        last_hit_at=None if one.last_ms < 0 else rfc3339(one.last_ms),
        cost_us=None if cost_us is None else round(cost_us, 4),
        windows_us=round(one.cost.windows_us, 4),
        overlap=dict(one.overlap.most_common()),
        versions=one.versions,
    )
