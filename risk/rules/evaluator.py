"""A book, compiled once, against batches of payments."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from risk.domain.decision import RuleHit
from risk.domain.event import Payment
from risk.domain.findings import NOTHING_FOUND, Findings, Hit, ListSnapshot
from risk.domain.observation import Arrival, Windowed
from risk.rules.book import Book, Rule
from risk.rules.compiler import (
    Predicate,
    Row,
    Tables,
    compile_rule,
    lists_of,
    names_of,
    windows_of,
)
from risk.rules.parser import parse
from risk.rules.schema import FIELD_BY_NAME, SCORE, Field, Schema
from risk.rules.syntax import Node

# The language is total, so only a row of the wrong shape can make a rule raise these.
RULE_FAILURES: Final = (
    ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError,
)  # fmt: skip


class WindowNotMade(LookupError):
    """A rule reads a window that the payment's vector was made without."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A rule that is evaluated, and what it says."""

    rule: Rule
    live: bool
    hit: Hit
    expires_at_ms: float

    def effective(self, arrival: Arrival) -> bool:
        """Whether a hit counts for this payment: live, and the account is in the rollout."""
        event = arrival.event
        return self.live and self.rule.rolled_out_to(event.tenant, event.account or event.id)


class CompiledBook:
    """The live and shadow rules of a book as functions. Holds no state between calls."""

    def __init__(self, book: Book, schema: Schema, tables: Tables) -> None:
        """Compiles; raises Refused or KeyError for a book that ``check_book`` refuses."""
        self.digest: Final = book.digest()
        rules = [rule for rule in book.rules if rule.state in ("live", "shadow")]
        trees = [parse(rule.when) for rule in rules]
        self.layout = Layout(schema, trees)
        self.windows: Final = self.layout.windows
        self._types = schema.types()
        self._tables = tables
        # Only these must be made anew for other lists.
        self._reading = {place: tree for place, tree in enumerate(trees) if lists_of(tree)}
        self._predicates: list[Predicate] = [
            compile_rule(tree, self._types, self.layout.slots, tables) for tree in trees
        ]
        self._entries = [
            _Entry(
                rule,
                rule.state == "live",
                rule.hit(),
                math.inf if rule.expires_at_ms is None else rule.expires_at_ms,
            )
            for rule in rules
        ]
        self._windows_of: list[set[str]] = [windows_of(tree) for tree in trees]
        self._quiet: list[bool | Exception | None] = [False] * len(rules)

    @property
    def lists(self) -> set[str]:
        """The names of the lists that the rules read."""
        return set().union(*map(lists_of, self._reading.values()))

    def with_lists(self, lists: ListSnapshot) -> CompiledBook:
        """The same book on other lists; raises KeyError where one that it reads is missing."""
        made = copy.copy(self)
        made._tables = Tables(self._tables.rates, lists)
        made._predicates = list(self._predicates)
        for place, tree in self._reading.items():
            slots = self.layout.slots
            made._predicates[place] = compile_rule(tree, self._types, slots, made._tables)
        return made

    def evaluate(
        self,
        arrivals: Sequence[Arrival],
        matrix: NDArray[np.float64],
        scores: Sequence[float | None],
        windows: Sequence[Windowed | None] = (),
    ) -> list[Findings]:
        """Findings for each arrival, in order.

        ``matrix`` is (n, features of the schema), NaN where missing. A score is None without
        a model. ``windows`` are those of each arrival; rules whose windows were not made fail,
        so that their payment is reviewed. A rule that fails is reported in the findings and
        stops nothing.
        """
        rows = self.layout.rows(arrivals, matrix, scores)
        answered = [self._answers(row) for row in rows] if not self.windows else []
        if self.windows:
            made = windows or [None] * len(rows)
            answered = [self._answers_with(row, own) for row, own in zip(rows, made, strict=True)]
        return [
            self._findings(arrival, answers)
            for arrival, answers in zip(arrivals, answered, strict=True)
        ]

    def _answers_with(self, row: Row, made: Windowed | None) -> list[bool | Exception | None]:
        """Answers on a row that lacks its windows yet."""
        if made is not None and made.names == self.windows:
            return self._answers([*row, *made.values.tolist()])
        held = {} if made is None else dict(zip(made.names, made.values.tolist(), strict=True))
        answers = self._answers([*row, *(held.get(name, math.nan) for name in self.windows)])
        lacking = set(self.windows) - set(held)
        return [
            WindowNotMade(", ".join(sorted(read & lacking))) if read & lacking else answer
            for answer, read in zip(answers, self._windows_of, strict=True)
        ]

    def _answers(self, row: Row) -> list[bool | Exception | None]:
        try:
            return [predicate(row) for predicate in self._predicates]
        except RULE_FAILURES:
            return [_isolated(predicate, row) for predicate in self._predicates]

    def _findings(self, arrival: Arrival, answers: list[bool | Exception | None]) -> Findings:
        if answers == self._quiet:
            return NOTHING_FOUND
        hits: list[Hit] = []
        shadow: list[Hit] = []
        failures: list[RuleHit] = []
        unknown: list[str] = []
        for entry, answer in zip(self._entries, answers, strict=True):
            if answer is False or arrival.arrived_at_ms >= entry.expires_at_ms:
                continue
            if answer is None:
                unknown.append(entry.rule.id)
            elif answer is True:
                (hits if entry.effective(arrival) else shadow).append(entry.hit)
            elif entry.effective(arrival):
                failures.append(entry.rule.failure(type(answer).__name__))
            else:
                unknown.append(entry.rule.id)
        return Findings(tuple(hits), tuple(shadow), tuple(failures), tuple(unknown))


def _isolated(predicate: Predicate, row: Row) -> bool | Exception | None:
    try:
        return predicate(row)
    except RULE_FAILURES as error:
        return error


class Layout:
    """Which values the rules of a book read, and where each stands in a row."""

    def __init__(self, schema: Schema, trees: Sequence[Node]) -> None:
        used: set[str] = set().union(*map(names_of, trees))
        self._fields: list[Field] = [FIELD_BY_NAME[n] for n in sorted(used & set(FIELD_BY_NAME))]
        columns = [
            (name, place) for place, (name, _type) in enumerate(schema.features) if name in used
        ]
        self._columns = np.array([place for _name, place in columns], dtype=np.intp)
        names = [SCORE, *(field.name for field in self._fields), *(name for name, _ in columns)]
        self.windows: Final = tuple(sorted(set().union(*map(windows_of, trees))))
        self.slots: Final = {name: slot for slot, name in enumerate([*names, *self.windows])}

    def rows(
        self,
        arrivals: Sequence[Arrival],
        matrix: NDArray[np.float64],
        scores: Sequence[float | None],
    ) -> list[Row]:
        """One row per arrival: score, fields, features; the windows are to be added behind.

        Raises TypeError for no payment.
        """
        features = matrix.take(self._columns, axis=1).tolist()
        rows: list[Row] = []
        for arrival, score, own in zip(arrivals, scores, features, strict=True):
            event = arrival.event
            if not isinstance(event, Payment):
                raise TypeError(f"{event.kind} events are not judged")
            own_score = math.nan if score is None else score
            rows.append([own_score, *[field.read(arrival, event) for field in self._fields], *own])
        return rows
