"""Lists in decisions: they block, allow and hold, rules read them, and a replay is exact."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from features.catalogue import CATALOGUE, FEATURE_NAMES
from risk.bootstrap import new_judgement, shipped_book
from risk.domain.decision import Decision, decode_decision
from risk.domain.errors import BadBook, BadVersion
from risk.domain.findings import NO_LISTS
from risk.domain.observation import Claimed, Lost
from risk.judgement import Judgement
from risk.lists.entries import NewEntry
from risk.replay import Named, judge_again
from risk.rules.book import Book, Examples, Rule
from risk.rules.book_check import problems_of
from risk.rules.compiler import Tables
from risk.rules.schema import Schema
from risk.tables.load import exchange_rates
from risk.versions.serving import Serving
from risk.versions.version import Version
from tests.risk.test_engine import NOW_MS, an_arrival
from tests.support.list_desk import Desk, open_list_desk

RATES = exchange_rates(None, "EUR")
SECOND_MS = 1_000


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Desk]:
    with open_list_desk(tmp_path) as opened:
        opened.now_ms = NOW_MS
        for name, kind, effect in (
            ("stolen", "card", "block"), ("trusted", "account", "allow"),
            ("frozen", "account", "hold"), ("watched", "merchant", "none"),
        ):  # fmt: skip
            opened.desk.create(name, kind, effect, "ana", sentence=f"The {name} ones.")
        yield opened


def put(at: Desk, name: str, value: str, expires_at_ms: int | None = None) -> None:
    entry = NewEntry(value=value, reason="why", expires_at_ms=expires_at_ms)
    at.desk.add(name, [entry], "ana")


def rule(when: str, **more: Any) -> Rule:
    fields = {
        "id": "watched_shop", "name": "n", "when": when, "action": "block", "reason": "WATCHED",
        "sentence": "s", "customer": "c", "owner": "o", "state": "live",
        "examples": Examples(
            hits=({"merchant": "m1", "watched": "m1"},),
            misses=({"merchant": "m1", "watched": "m2"}, {"merchant": "m1"}),
        ),
    }  # fmt: skip
    return Rule(**{**fields, **more})


def book_version(*rules: Rule) -> Version:
    body = msgspec.json.encode(Book(name="b", rules=rules), order="sorted")
    return Version.of("book", body, "ana", 1)


class Process:
    """A judgement that serves the versions of a desk."""

    def __init__(self, at: Desk) -> None:
        self._at = at
        self.judgement = new_judgement(RATES)
        self.serving = Serving(self.judgement, Schema.of(CATALOGUE), Tables(RATES), at.outlet.store)
        self.follow()

    def lists(self) -> Version:
        found = self._at.outlet.store.get("lists", self._at.outlet.pointers["lists"].digest)
        assert found is not None
        return found

    def follow(self, beside: Version | None = None) -> None:
        self.serving.swap(self.serving.prepare(self.lists(), beside))

    def decide(self, number: int = 1, features: bool = True, **fields: Any) -> Decision:
        arrival = an_arrival(number, **fields)
        vector = np.full(len(FEATURE_NAMES), np.nan)
        seen = Claimed((), vector, ()) if features else Lost(*_LOST)
        (judged,) = self.judgement.judge([(arrival, seen)])
        return decode_decision(judged.body)


_LOST: Any = (None, ())


def codes(decision: Decision) -> list[str]:
    return [one.code for one in decision.reasons]


def replayed(decision: Decision, judgement: Judgement, number: int, **fields: Any) -> Decision:
    held = judgement.versions
    named = Named(
        features=FEATURE_NAMES, amount_base=an_arrival(number, **fields).amount_base, scoring=None,
        rules=held.rules, policy=held.policy, lists=held.lists,
    )  # fmt: skip
    return decode_decision(judge_again(decision, named))


def test_a_listed_payment_is_stopped_and_says_by_which_list(at: Desk) -> None:
    put(at, "stolen", "tok_1")
    process = Process(at)
    decision = process.decide()
    assert (decision.outcome, codes(decision)) == ("block", ["LIST_STOLEN"])
    assert decision.reasons[0].sentence == (
        "The payment's card stands on the list stolen: The stolen ones."
    )
    assert decision.evidence is not None
    assert decision.evidence.digests.lists == at.outlet.pointers["lists"].digest
    other = process.decide(card="tok_2")
    assert "LIST_STOLEN" not in codes(other)
    assert process.decide(card=None).outcome == other.outcome


def test_a_block_list_is_stronger_than_an_allow_list_and_works_without_features(
    at: Desk,
) -> None:
    put(at, "trusted", "acc_1")
    process = Process(at)
    assert codes(process.decide(2, card="tok_9")) == ["LIST_TRUSTED"]
    assert process.decide(2, card="tok_9").outcome == "allow"
    put(at, "stolen", "tok_1")
    process.follow()
    assert process.decide().outcome == "block"
    assert process.decide(features=False).outcome == "block"


def test_a_hold_ends_in_the_payments_own_time(at: Desk) -> None:
    put(at, "frozen", "acc_1", NOW_MS + 10 * SECOND_MS)
    put(at, "trusted", "acc_1")
    process = Process(at)
    held, free = process.decide(9), process.decide(10)  # number n is made n seconds after NOW_MS
    assert (held.outcome, codes(held)) == ("block", ["LIST_FROZEN"])
    assert held.reasons[0].sentence.startswith("The payment's account is on hold by the list")
    assert codes(free) == ["LIST_TRUSTED"]


def test_a_decision_of_before_gives_its_bytes_by_its_own_lists(at: Desk) -> None:
    put(at, "stolen", "tok_1")
    process = Process(at)
    before, judged_by = process.decide(), process.judgement.versions
    at.desk.remove("stolen", ["tok_1"], "ana", "found")
    process.follow()
    assert process.decide().outcome != before.outcome
    assert replayed(before, process.judgement, 1).outcome != before.outcome
    process.judgement.versions = judged_by
    assert replayed(before, process.judgement, 1) == before


def test_rules_read_lists_and_follow_them(at: Desk) -> None:
    put(at, "watched", "mer_1", NOW_MS + 10 * SECOND_MS)
    process = Process(at)
    version = book_version(rule("merchant in watched"), rule("amount < 0", id="other_rule",
        examples=Examples(hits=({"amount": -1},), misses=({"amount": 1},))))  # fmt: skip
    process.serving.swap(process.serving.prepare(version))
    assert codes(process.decide(9)) == ["WATCHED"]
    assert "WATCHED" not in codes(process.decide(10))
    before = process.judgement.versions.rules
    put(at, "watched", "mer_2")
    process.follow()
    after = process.judgement.versions.rules
    assert (after.digest, after is before) == (before.digest, False)
    assert "WATCHED" in codes(process.decide(10, merchant="mer_2"))
    assert process.decide(merchant=None).rule_hits == []


def test_lists_that_lack_what_the_book_names_come_with_the_next_book_only(at: Desk) -> None:
    process = Process(at)
    process.serving.swap(process.serving.prepare(book_version(rule("merchant in watched"))))
    digests = process.judgement.versions.digests
    at.desk.drop("watched", "ana", "no book is live that the desk knows of")
    with pytest.raises(BadVersion, match="names watched, which is not among them"):
        process.follow()
    assert process.judgement.versions.digests == digests
    with pytest.raises(BadBook, match="watched is not a list"):
        process.follow(beside=book_version(rule("merchant in watched", id="again_rule")))
    shipped = Version.of("book", msgspec.json.encode(shipped_book(), order="sorted"), "ana", 1)
    process.follow(beside=shipped)
    assert process.judgement.versions.digests.book == shipped.digest
    assert process.serving.digest_of("lists") == process.lists().digest


def test_a_version_whose_entries_are_missing_is_refused(at: Desk) -> None:
    put(at, "stolen", "tok_1")
    process = Process(at)
    elsewhere = Serving(new_judgement(RATES), Schema.of(CATALOGUE), Tables(RATES))
    with pytest.raises(BadVersion, match="not on the control topic"):
        elsewhere.prepare(process.lists())
    assert elsewhere.digest_of("lists") == NO_LISTS.digest()


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (rule("merchant in watchd"), "line 1, column 13: watchd is not a list; expected a list, or"
         " literals in brackets; did you mean watched?"),
        (rule("card in watched"), "line 1, column 9: card is never on watched, a list of type"
         " merchant; expected merchant"),
        (rule("merchant in watched", examples=Examples(
            hits=({"merchant": "m1", "watched": 5},), misses=({"merchant": "m2"},))),
         "examples.hits, number 1: watched is a list: give the text that stands on it, not 5"),
        (rule("ip in nets", examples=Examples(
            hits=({"ip": "192.0.2.7", "nets": "192.0.2.7/24"},), misses=({"ip": "192.0.3.7"},))),
         "examples.hits, number 1: nets: '192.0.2.7/24' has bits behind its prefix;"
         " write 192.0.2.0/24"),
    ],
)  # fmt: skip
def test_a_rule_that_misreads_a_list_is_named_with_the_place(made: Rule, line: str) -> None:
    schema = Schema.of(CATALOGUE, {"watched": "merchant", "nets": "ip"})
    book = Book(name="b", rules=(made,))
    assert list(problems_of(book, schema, Tables(RATES), 0)) == [f"rule watched_shop: {line}"]


def test_an_example_says_itself_who_stands_on_a_list() -> None:
    schema = Schema.of(CATALOGUE, {"nets": "ip"})
    examples = Examples(
        hits=({"ip": "192.0.2.7", "nets": "192.0.2.0/24"},),
        misses=({"ip": "192.0.3.7", "nets": "192.0.2.0/24"}, {"ip": "192.0.2.7"}),
    )
    book = Book(name="b", rules=(rule("ip in nets", examples=examples),))
    assert list(problems_of(book, schema, Tables(RATES), 0)) == []
