"""What changed between two books, in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from risk.rules.book import Book, Rule

_TEXTS: Final = ("name", "reason", "sentence", "customer", "owner")


def differences(old: Book, new: Book) -> list[str]:
    """One sentence for each change from ``old`` to ``new``, in the order of the new book."""
    before = {rule.id: rule for rule in old.rules}
    after = {rule.id: rule for rule in new.rules}
    lines = [] if old.name == new.name else [f"the book is called {new.name!r}, not {old.name!r}"]
    for rule in new.rules:
        held = before.get(rule.id)
        if held is None:
            lines.append(f"rule {rule.id} is new: {_standing(rule)}; {rule.sentence}")
        else:
            lines += [f"rule {rule.id}: {line}" for line in _changes(held, rule)]
    lines += [
        f"rule {rule.id} is gone; it was {_standing(rule)}"
        for rule in old.rules
        if rule.id not in after
    ]
    kept = [rule.id for rule in old.rules if rule.id in after]
    if kept != [rule.id for rule in new.rules if rule.id in before]:
        lines.append("rules stand in another order; hits are reported in it")
    return lines + list(_rate_changes(old, new))


def _rate_changes(old: Book, new: Book) -> Iterator[str]:
    before = {rate.id: rate for rate in old.rates}
    after = {rate.id: rate for rate in new.rates}
    for rate in new.rates:
        held = before.get(rate.id)
        if held is None:
            yield f"rate rule {rate.id} is new: {rate.state}, {_line(rate.when)}; {rate.sentence}"
        elif held != rate:
            if held.when != rate.when:
                yield (
                    f"rate rule {rate.id}: it tells when {_line(rate.when)};"
                    f" before when {_line(held.when)}"
                )
            names = [
                name
                for name in rate.__struct_fields__
                if name != "when" and getattr(held, name) != getattr(rate, name)
            ]
            if names:
                yield f"rate rule {rate.id}: its {', '.join(names)} changed"
    for rate in old.rates:
        if rate.id not in after:
            yield f"rate rule {rate.id} is gone; it was {rate.state}"


def acting(book: Book) -> tuple[Rule, ...]:
    """The rules that change outcomes: those that are live."""
    return tuple(rule for rule in book.rules if rule.state == "live")


def _changes(old: Rule, new: Rule) -> Iterator[str]:
    if old.state != new.state:
        yield f"{old.state} becomes {new.state}{_effect(old, new)}"
    if old.action != new.action:
        yield f"it asks for {new.action} where it asked for {old.action}"
    if old.when != new.when:
        yield f"it hits when {_line(new.when)}; before when {_line(old.when)}"
    if old.rollout_percent != new.rollout_percent:
        more = "more" if new.rollout_percent > old.rollout_percent else "fewer"
        yield (
            f"it acts for {new.rollout_percent:g} % of accounts, {more} than the"
            f" {old.rollout_percent:g} % of before"
        )
    if old.expires_at != new.expires_at:
        yield f"it ends {new.expires_at or 'never'}, not {old.expires_at or 'never'}"
    for name in _TEXTS:
        if getattr(old, name) != getattr(new, name):
            yield f"its {name} is {getattr(new, name)!r}, not {getattr(old, name)!r}"
    if old.alerting != new.alerting:
        yield f"it raises {_alerts(new)} where it raised {_alerts(old)}"
    if old.hold != new.hold:
        yield f"it suspends {_held(new)} where it suspended {_held(old)}"
    if old.examples != new.examples:
        yield "its examples changed"


def _effect(old: Rule, new: Rule) -> str:
    if new.state == "live":
        return "; it acts from now on"
    return "; it acts no more" if old.state == "live" else ""


def _standing(rule: Rule) -> str:
    part = "" if rule.rollout_percent >= 100 else f" for {rule.rollout_percent:g} % of accounts"
    return f"{rule.state}, {rule.action}{part}"


def _alerts(rule: Rule) -> str:
    how = rule.alerting
    if how is None:
        return "no alerts"
    return f"{how.severity} alerts by {how.group_by} within {how.within}"


def _held(rule: Rule) -> str:
    return "nobody" if rule.hold is None else f"the {rule.hold.entity} for {rule.hold.lasts}"


def _line(text: str) -> str:
    return " ".join(text.split())
