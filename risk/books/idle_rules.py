"""Rules that did nothing of their own: dead, shadowed by a stronger action, or dominated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from risk.books.hit_table import SUMS, HitTable, Pattern, Sums
from risk.books.performance_report import Finding
from risk.domain.times import rfc3339
from risk.policy import PRECEDENCE
from risk.rules.book import Rule

# Of two rules that hit, the one with the larger number decides (``risk.policy``). Alerts and
# tags decide nothing, so nothing that decides takes their place.
STRENGTH: Final = {
    action: len(PRECEDENCE) - place for place, step in enumerate(PRECEDENCE) for action in step
}


def findings_of(table: HitTable, sums: Sums) -> list[Finding]:
    """What is idle under one version, in the order of its book; one finding a rule at most."""
    counts = sums.table[:, SUMS.index("hits")]
    held = [
        (pattern, round(float(count)))
        for pattern, count in zip(table.patterns, counts, strict=True)
    ]
    rules = table.book.rules
    found = []
    for place, rule in enumerate(rules):
        if rule.state not in ("live", "shadow"):
            continue
        own = [one for one in held if place in one[0].acting or place in one[0].shadow]
        if own:
            idle = _shadowed(table, rules, place, own) or _dominated(table, rules, place, own)
        else:
            idle = _dead(table, rule, place, held, sums)
        if idle is not None:
            found.append(idle)
    return found


def _dead(
    table: HitTable, rule: Rule, place: int, held: Sequence[tuple[Pattern, int]], sums: Sums
) -> Finding:
    unknown = sum(count for pattern, count in held if place in pattern.unknown)
    text = (
        f"{rule.id} is dead: no hit in {sums.payments} payments from {rfc3339(sums.first_ms)} to"
        f" {rfc3339(sums.newest_ms)}"
    )
    if unknown:
        text += f"; {unknown} could not be answered, since a value was missing"
    return Finding(kind="dead", rule=rule.id, book=table.book.digest(), by={}, text=text)


def _shadowed(
    table: HitTable, rules: Sequence[Rule], place: int, own: Sequence[tuple[Pattern, int]]
) -> Finding | None:
    """Every hit was also hit by an acting rule whose action outranks this one's."""
    rule = rules[place]
    rank = STRENGTH.get(rule.action, len(STRENGTH))
    by: Counter[str] = Counter()
    for pattern, count in own:
        stronger = [at for at in pattern.acting if STRENGTH.get(rules[at].action, 0) > rank]
        if not stronger:
            return None
        by.update({rules[at].id: count for at in stronger})
    hits = sum(count for _, count in own)
    text = (
        f"{rule.id} is shadowed: each of its {hits} hits was also hit by a rule whose action"
        f" outranks {rule.action}, so it decided none: {_told(by)}"
    )
    return Finding(
        kind="shadowed", rule=rule.id, book=table.book.digest(), by=dict(by.most_common()),
        text=text,
    )  # fmt: skip


def _dominated(
    table: HitTable, rules: Sequence[Rule], place: int, own: Sequence[tuple[Pattern, int]]
) -> Finding | None:
    """One acting rule of the same action hit whatever this one hit; of twins the first stays."""
    rule = rules[place]
    common = set(own[0][0].acting).intersection(*(pattern.acting for pattern, _ in own))
    hits = sum(count for _, count in own)
    for other in sorted(common - {place}):
        if rules[other].action != rule.action:
            continue
        twins = all(
            place in pattern.acting for pattern in table.patterns if other in pattern.acting
        )
        if twins and other > place:
            continue
        by = {rules[other].id: hits}
        text = (
            f"{rule.id} is dominated: each of its {hits} hits was also hit by {rules[other].id},"
            f" which has the same action ({rule.action})"
        )
        return Finding(kind="dominated", rule=rule.id, book=table.book.digest(), by=by, text=text)
    return None


def _told(by: Mapping[str, int]) -> str:
    names = [f"{rule} {count}" for rule, count in Counter(by).most_common(5)]
    more = len(by) - len(names)
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")
