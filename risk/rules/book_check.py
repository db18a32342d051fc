"""Everything that must hold before a book may be published: one line for each problem."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from risk.domain.errors import BadBook
from risk.domain.findings import ListSnapshot
from risk.domain.outcome import Outcome
from risk.lists.members import members_of
from risk.lists.values import BadValue, canonical
from risk.rules.alerting import SUPPRESS_MAX_MS, RateRule, Subject, read_rate, within_ms
from risk.rules.book import Book, Example, ExampleValue, Rule
from risk.rules.checker import a_kind, check, nearest
from risk.rules.compiler import (
    Predicate,
    Row,
    Tables,
    compile_rule,
    lists_of,
    names_of,
    windows_of,
)
from risk.rules.holding import LASTS_MAX_MS
from risk.rules.parser import parse
from risk.rules.schema import Schema
from risk.rules.syntax import NUMERIC, Node, Refused, Type
from risk.rules.window_reader import read_window
from risk.rules.windows import WINDOWS_MAX, WindowKey

_ANSWER: Final = {True: "hits", False: "misses", None: "is unknown (a value is missing)"}

_FITTING: Final[dict[type, tuple[Type, ...]]] = {
    bool: (Type.BOOLEAN,),
    str: (Type.TEXT,),
    int: (*NUMERIC, Type.TIME),
    float: (*NUMERIC, Type.TIME),
}


def check_book(book: Book, schema: Schema, tables: Tables, now_ms: int) -> None:
    """Raises BadBook with every problem of ``book``; does nothing where there is none."""
    problems = list(problems_of(book, schema, tables, now_ms))
    if problems:
        raise BadBook(problems)


def problems_of(book: Book, schema: Schema, tables: Tables, now_ms: int) -> Iterator[str]:
    """One line per problem: the rule, the place, what is wrong, what would be right."""
    ids = Counter([rule.id for rule in book.rules] + [rule.id for rule in book.rates])
    for rule_id, count in ids.items():
        if count > 1:
            yield f"rule {rule_id}: {count} rules have this id; an id stands for one rule"
    windows: set[str] = set()
    for rule in book.rules:
        if rule.state == "retired":
            continue  # kept for its history; its features may be gone
        windows |= windows_of_rule(rule, schema)
        for line in rule_problems(rule, schema, tables, now_ms):
            yield f"rule {rule.id}: {line}"
    for rate in book.rates:
        if rate.state != "retired":
            for line in rate_problems(rate, book):
                yield f"rate rule {rate.id}: {line}"
    if len(windows) > WINDOWS_MAX:
        yield f"{len(windows)} different windows; a book may read {WINDOWS_MAX}"


def windows_of_rule(rule: Rule, schema: Schema) -> set[str]:
    """The windows that ``rule`` reads, by their text; none where it is refused."""
    try:
        tree = parse(rule.when)
    except Refused:
        return set()
    return set() if check(rule.when, tree, schema) else windows_of(tree)


def rule_problems(rule: Rule, schema: Schema, tables: Tables, now_ms: int) -> Iterator[str]:
    """One line per problem of ``rule`` alone."""
    yield from _life_problems(rule, now_ms)
    yield from _hold_problems(rule)
    if rule.alerting is not None:
        yield from _span_problems("alert.within", rule.alerting.within)
    try:
        tree = parse(rule.when)
    except Refused as refused:
        yield from map(str, refused.problems)
        return
    problems = check(rule.when, tree, schema)
    if problems:
        yield from map(str, problems)
        return
    yield from _example_problems(rule, tree, schema, tables)


def rate_problems(rate: RateRule, book: Book) -> Iterator[str]:
    """One line per problem of a rate rule of ``book``."""
    yield from _span_problems("within", rate.within)
    if rate.usual.known > rate.usual.last:
        yield (
            f"usual.known {rate.usual.known} is more than usual.last {rate.usual.last}; it would"
            " never be known what is usual"
        )
    try:
        test = read_rate(rate.when)
    except Refused as refused:
        yield from map(str, refused.problems)
        return
    yield from _only_problems(rate.only, test.subject, book)
    if test.silence and not test.usual and not rate.only and test.subject != "all":
        yield "only: a silence below a number needs the names that are to be heard of"


def _only_problems(only: tuple[str, ...], subject: Subject, book: Book) -> Iterator[str]:
    """Names that no decision can have. Reasons may come from the policy and lists as well."""
    if subject == "merchant":
        return
    known = {
        "rule": sorted(rule.id for rule in book.rules),
        "reason": sorted({rule.reason for rule in book.rules}),
        "outcome": [outcome.value for outcome in Outcome],
        "all": [],
    }[subject]
    for name in only:
        hint = nearest(name, known)
        if name in known or (subject == "reason" and not hint):
            continue
        yield f"only: no {subject} is called {name}" + (f"; did you mean {hint}?" if hint else "")


def _span_problems(where: str, text: str) -> Iterator[str]:
    if within_ms(text) > SUPPRESS_MAX_MS:
        yield f"{where} {text} is longer than 7 days"


def _life_problems(rule: Rule, now_ms: int) -> Iterator[str]:
    live = rule.state == "live"
    try:
        expires_at_ms = rule.expires_at_ms
    except ValueError:
        yield f"expires_at {rule.expires_at!r} is no time; write 2026-01-31T12:00:00Z"
        expires_at_ms = None
    if live and expires_at_ms is not None and expires_at_ms <= now_ms:
        yield f"expires_at {rule.expires_at} is in the past; retire the rule or extend it"
    if live and not (rule.examples.hits and rule.examples.misses):
        yield "a live rule needs an example that hits and one that misses"


def _hold_problems(rule: Rule) -> Iterator[str]:
    if rule.hold is None:
        if rule.action == "hold" and rule.state == "live":
            yield "hold: say whom and for how long, as {entity: card, lasts: 24h}"
        return
    if rule.action != "hold":
        yield f"hold: the action is {rule.action}; only a rule of the action hold suspends somebody"
    if rule.hold.lasts_ms > LASTS_MAX_MS:
        yield f"hold.lasts {rule.hold.lasts} is longer than 90 days"


def _example_problems(rule: Rule, tree: Node, schema: Schema, tables: Tables) -> Iterator[str]:
    types = schema.types()
    slots = {name: slot for slot, name in enumerate(sorted(names_of(tree)))}
    predicate = None if lists_of(tree) else compile_rule(tree, types, slots, tables)
    for expected, examples in (("hits", rule.examples.hits), ("misses", rule.examples.misses)):
        for place, example in enumerate(examples, start=1):
            wrong = list(value_problems(example, schema))
            yield from (f"examples.{expected}, number {place}: {line}" for line in wrong)
            if wrong:
                continue
            own = example_tables(tree, example, schema, tables)
            asked = predicate or compile_rule(tree, types, slots, own)
            answer = run_example(asked, slots, example, schema)
            if (answer is True) != (expected == "hits"):
                yield f"examples.{expected}, number {place}: the rule {_ANSWER[answer]}"


def example_tables(tree: Node, example: Example, schema: Schema, tables: Tables) -> Tables:
    """``tables`` with the lists that ``tree`` reads as ``example`` fills them.

    An example must not depend on who stands on a list today: it gives a list's name the one value
    that stands there, and a list that it does not name is empty.
    """
    names = lists_of(tree)
    if not names:
        return tables
    values = {}
    for name in names:
        given = example.get(name)
        type_name = schema.lists[name]
        own = [canonical(type_name, given)] if isinstance(given, str) else []
        values[name] = members_of(type_name, own)
    return Tables(tables.rates, ListSnapshot(values))


def run_example(
    predicate: Predicate, slots: dict[str, int], example: Example, schema: Schema
) -> bool | None:
    """The rule's answer on ``example``; names it does not give are missing."""
    return predicate(example_row(slots, example, schema))


def example_row(slots: Mapping[str, int], example: Example, schema: Schema) -> Row:
    """``example`` as a row of ``slots``, in their order; names it does not give are missing."""
    types = schema.types()
    given = {_canonical(name): value for name, value in example.items()}
    row: list[float | str | None] = []
    for name in slots:
        value = given.get(name)
        if value is None:
            row.append(None if types.get(name) is Type.TEXT else math.nan)
        else:
            row.append(value if isinstance(value, str) else float(value))
    return row


def value_problems(example: Example, schema: Schema) -> Iterator[str]:
    """One line per value that no payment could have."""
    types = schema.types()
    for name, value in example.items():
        window = _window(name)
        if name in schema.lists:
            yield from _listed_problems(name, value, schema.lists[name])
            continue
        if name not in types and window is None:
            hint = nearest(name, [*types, *schema.lists])
            yield f"unknown name {name}" + (f"; did you mean {hint}?" if hint else "")
            continue
        wanted = types[name] if window is None else window.result
        if wanted not in _FITTING[type(value)]:
            yield f"{name} is {a_kind(wanted)}, not {value!r}"


def _listed_problems(name: str, value: ExampleValue, type_name: str) -> Iterator[str]:
    """Why ``value`` cannot stand on the list ``name``."""
    if not isinstance(value, str):
        yield f"{name} is a list: give the text that stands on it, not {value!r}"
        return
    try:
        canonical(type_name, value)
    except BadValue as error:
        yield f"{name}: {error}"


def _window(name: str) -> WindowKey | None:
    """The window that an example gives a value for; None for any other name."""
    try:
        return read_window(name) if "(" in name else None
    except ValueError:
        return None


def _canonical(name: str) -> str:
    window = _window(name)
    return name if window is None else window.text()
