"""A compiled book over batches: effects by state, rollout and expiry; failures stop nothing."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from risk.domain.decoding import decode_event
from risk.domain.event import Payment
from risk.domain.findings import NOTHING_FOUND, Findings
from risk.domain.money import ExchangeRates
from risk.domain.observation import Arrival
from risk.domain.times import parse_rfc3339
from risk.rules.book import Book, Rule
from risk.rules.compiler import Tables
from risk.rules.evaluator import CompiledBook
from risk.rules.schema import Schema
from risk.rules.syntax import Type

SCHEMA = Schema(features=(("unused", Type.NUMBER), ("speed", Type.NUMBER), ("fresh", Type.BOOLEAN)))
TABLES = Tables(ExchangeRates(base="EUR", as_of="2026-01-01", source="test", rates_e9={}))
EXPIRY = "2026-06-01T00:00:00Z"


def rule(name: str, when: str, **changes: Any) -> Rule:
    base = Rule(
        id=name, name=name, when=when, action="review", reason=name.upper(), sentence="s",
        customer="c", owner="o", state="live",
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)


def arrival(**fields: Any) -> Arrival:
    event = {
        "type": "payment", "id": "p1", "account": "acc_1", "amount_minor": 1_000, "currency": "EUR",
        "occurred_at": "2026-05-03T23:10:00.000Z", **fields,
    }  # fmt: skip
    known = decode_event(msgspec.json.encode(event))
    at_ms = parse_rfc3339("2026-05-03T23:10:01Z")
    return Arrival(known.event, known.body, known.fingerprint, "stream", at_ms, 1_000)


def matrix(speed: float = math.nan, fresh: float = math.nan) -> NDArray[np.float64]:
    return np.array([[5.0, speed, fresh]])


def find(
    rules: list[Rule], one: Arrival, features: NDArray[np.float64], score: float | None = None
) -> Findings:
    compiled = CompiledBook(Book(name="b", rules=tuple(rules)), SCHEMA, TABLES)
    return compiled.evaluate([one], features, [score])[0]


def test_only_live_rules_have_effect_and_shadow_is_reported_apart() -> None:
    when = "amount == 1000"
    rules = [
        rule("first_live", when), rule("a_shadow", when, state="shadow"),
        rule("a_draft", when, state="draft"), rule("gone", "no_such > 1", state="retired"),
        rule("second_live", when, action="block"), rule("a_miss", "amount > 1000"),
    ]  # fmt: skip
    found = find(rules, arrival(), matrix())
    assert [hit.rule.rule for hit in found.hits] == ["first_live", "second_live"]
    assert found.hits[1].rule.action == "block"
    assert found.hits[1].reason.code == "SECOND_LIVE"
    assert [hit.rule.rule for hit in found.shadow] == ["a_shadow"]
    assert found.failures == ()
    assert found.unknown == ()


def test_outside_its_rollout_a_live_rule_only_shadows() -> None:
    found = find([rule("slow", "True", rollout_percent=0.0)], arrival(), matrix())
    assert found.hits == ()
    assert [hit.rule.rule for hit in found.shadow] == ["slow"]


def test_an_expired_rule_says_nothing_from_its_expiry_on() -> None:
    rules = [
        rule("short", "True", expires_at=EXPIRY),
        rule("vague", "speed > 1", expires_at=EXPIRY),
    ]
    before, after = arrival(), arrival()
    before = replace(before, arrived_at_ms=parse_rfc3339(EXPIRY) - 1)
    after = replace(after, arrived_at_ms=parse_rfc3339(EXPIRY))
    assert len(find(rules, before, matrix()).hits) == 1
    assert find(rules, before, matrix()).unknown == ("vague",)
    assert find(rules, after, matrix()) == NOTHING_FOUND


def test_an_unknown_rule_does_not_hit_and_is_flagged() -> None:
    rules = [rule("fast", "speed > 900"), rule("slow", "not (speed > 900)")]
    assert find(rules, arrival(), matrix()).unknown == ("fast", "slow")
    assert [hit.rule.rule for hit in find(rules, arrival(), matrix(speed=1.0)).hits] == ["slow"]


def test_a_quiet_book_finds_nothing() -> None:
    assert find([rule("fast", "speed > 900")], arrival(), matrix(speed=1.0)) is NOTHING_FOUND


def test_a_failing_rule_is_reported_and_the_others_go_on() -> None:
    one = arrival()
    assert isinstance(one.event, Payment)
    # A row of the wrong shape, as only a defect can make one.
    broken = replace(one, event=msgspec.structs.replace(one.event, merchant=7))
    rules = [
        rule("prefix", 'starts_with(merchant, "a")', action="block"),
        rule("prefix_shadow", 'starts_with(merchant, "a")', state="shadow"),
        rule("prefix_later", 'starts_with(merchant, "a")', rollout_percent=0.0),
        rule("fine", "amount == 1000"),
    ]
    found = find(rules, broken, matrix())
    assert [hit.rule.rule for hit in found.hits] == ["fine"]
    assert [(one.rule, one.action, one.error) for one in found.failures] == [
        ("prefix", "block", "AttributeError")
    ]
    assert found.unknown == ("prefix_shadow", "prefix_later")


FIELDS = {
    "kyc_level": 2, "channel": "ecom", "country": "FR", "card_country": "DE", "ip_country": "FR",
    "mcc": "5411", "merchant": "m", "card": "c", "device": "d", "ip": "10.0.0.1",
    "beneficiary": "b", "account_opened_at": "2026-05-01T00:00:00Z",
}  # fmt: skip


@pytest.mark.parametrize(
    "when",
    [
        "amount == 1000", "amount_minor == 1000", 'currency == "EUR"', 'type == "payment"',
        'channel == "ecom"', "country != card_country", "country == ip_country", 'mcc == "5411"',
        'merchant == "m"', 'account == "acc_1"', 'card == "c"', 'device == "d"',
        'in_cidr(ip, "10.0.0.0/8")', 'beneficiary == "b"', "kyc_level == 2", "hour == 23",
        "weekday == 6", "account_age_days == 2", "days_since(account_opened_at) > 2.9",
        "hour_of(occurred_at) == hour and weekday_of(occurred_at) == weekday", "score == 0.25",
        "speed == 3 and fresh", "is_missing(account_opened_at) or account_opened_at < occurred_at",
    ],
)  # fmt: skip
def test_every_field_reaches_the_rules(when: str) -> None:
    found = find([rule("one", when)], arrival(**FIELDS), matrix(speed=3.0, fresh=1.0), 0.25)
    assert len(found.hits) == 1


@pytest.mark.parametrize("name", [*FIELDS, "account_age_days", "score", "speed", "fresh"])
def test_a_missing_field_is_missing(name: str) -> None:
    found = find([rule("one", f"is_missing({name})")], arrival(), matrix())
    assert len(found.hits) == 1


def test_without_a_rate_the_amount_is_missing() -> None:
    rules = [rule("one", "is_missing(amount) and amount_minor == 1000")]
    assert len(find(rules, replace(arrival(), amount_base=None), matrix()).hits) == 1


def test_batches_keep_their_order() -> None:
    compiled = CompiledBook(Book(name="b", rules=(rule("fast", "speed > score"),)), SCHEMA, TABLES)
    features = np.array([[0.0, 1.0, 0.0], [0.0, 3.0, 0.0], [0.0, 5.0, 0.0]])
    found = compiled.evaluate([arrival()] * 3, features, [2.0, 2.0, None])
    assert [len(one.hits) for one in found] == [0, 1, 0]
    assert found[2].unknown == ("fast",)
    assert compiled.evaluate([], np.empty((0, 3)), []) == []


def test_a_book_without_rules_and_events_that_are_not_judged() -> None:
    compiled = CompiledBook(Book(name="b", rules=()), SCHEMA, TABLES)
    assert compiled.evaluate([arrival()], matrix(), [None]) == [NOTHING_FOUND]
    login = decode_event(
        b'{"type":"login","id":"l1","account":"a","occurred_at":"2026-05-03T23:10:00Z"}'
    )
    one = Arrival(login.event, login.body, login.fingerprint, "stream", 0, None)
    with pytest.raises(TypeError, match="login events are not judged"):
        compiled.evaluate([one], matrix(), [None])
