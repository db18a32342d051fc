"""What becomes an alert, once for each hit and once for each group within its span."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.alerts.alert import PaymentEvidence, RateEvidence, encode_alert, read_alert
from risk.alerts.desk import GROUPS_MAX, AlertDesk, DeskState, GroupState
from risk.domain.outcome import Outcome
from risk.domain.times import parse_rfc3339
from risk.rules.alerting import Alerting, RateRule, Usual
from risk.rules.book import Book
from tests.support.alerting import FEATURES, NOW_MS, WHEN, book, decision, hit, rule

HOUR_MS = 3_600_000
BOOK = book(
    rule("velocity", when=WHEN),
    rule("blocks_it", "block", alert=Alerting(severity="critical", group_by="card", within="10m")),
    rule("reviews_it", "review"),
    rule("each_one", "tag", alert=Alerting(group_by="payment")),
    rule("by_shop", "review", alert=Alerting(group_by="merchant")),
    rule("by_rule", "review", alert=Alerting(group_by="rule", within="5m")),
    rule("by_reason", "review", alert=Alerting(group_by="reason")),
    rule("strange", alert=True, when="not of the language ("),
)
DIGEST = BOOK.digest()


def desk(state: DeskState | None = None, of: Book = BOOK) -> AlertDesk:
    return AlertDesk({of.digest(): of}.get, FEATURES, state)


def again(held: AlertDesk, of: Book = BOOK) -> AlertDesk:
    """The same desk after a crash, from what was saved."""
    body = msgspec.msgpack.encode(held.state)
    return desk(msgspec.msgpack.decode(body, type=DeskState), of)


def test_an_alert_says_what_was_decided_and_why() -> None:
    one = desk()
    evidence = {"windows": {'count(card,"3h",kind=("payment"))': 4.0}}
    body = decision("p-1", DIGEST, [hit("velocity"), hit("reviews_it", "review")],
                    evidence=evidence)  # fmt: skip
    assert one.decided(body, 3, 77) == NOW_MS
    (alert,) = one.take()
    assert one.take() == []
    assert (alert.rule, alert.severity, alert.group) == ("velocity", "medium", "account a-1")
    assert (alert.type, alert.reason, alert.sentence) == ("rule", "VELOCITY", "velocity hit.")
    assert (parse_rfc3339(alert.at), alert.suppressed) == (NOW_MS, 0)
    found = alert.evidence
    assert isinstance(found, PaymentEvidence)
    assert (found.payment_id, found.account, found.merchant) == ("p-1", "a-1", "m-1")
    assert (found.partition, found.offset, found.book) == (3, 77, DIGEST)
    assert (found.outcome, found.score, found.action) == ("review", 0.25, "alert")
    assert found.rule_hits == ["velocity", "reviews_it"]
    assert found.reasons == ["VELOCITY", "REVIEWS_IT"]
    assert found.values["card_payments_1h"] == 9.0
    assert (found.values["amount_minor"], found.values["score"]) == (1999, 0.25)
    assert read_alert(encode_alert(alert)) == alert


def test_vectors_of_another_catalogue_are_not_read() -> None:
    one = desk()
    digests = msgspec.json.decode(decision("x", DIGEST))["evidence"]["digests"]
    other = {"digests": {**digests, "catalogue": "catalogue-0"}}
    one.decided(decision("p-1", DIGEST, [hit("velocity")], evidence=other), 0, 0)
    one.decided(decision("p-2", DIGEST, [hit("strange")]), 0, 1)
    first, second = (alert.evidence for alert in one.take())
    assert isinstance(first, PaymentEvidence)
    assert isinstance(second, PaymentEvidence)
    assert "card_payments_1h" not in first.values
    assert first.values["amount_minor"] == 1999
    assert second.values == {}


@pytest.mark.parametrize(
    ("rule_id", "action", "paid", "group"),
    [
        ("blocks_it", "block", {}, "card c-1"), ("by_shop", "review", {}, "merchant m-1"),
        ("each_one", "tag", {}, "payment p-1"), ("by_rule", "review", {}, "rule by_rule"),
        ("by_reason", "review", {}, "reason BY_REASON"),
        ("blocks_it", "block", {"card": None}, "payment p-1"),
        ("by_shop", "review", {"merchant": "m" * 300}, ("merchant " + "m" * 300)[:200]),
    ],
)  # fmt: skip
def test_what_an_alert_belongs_to(rule_id: str, action: str, paid: Any, group: str) -> None:
    one = desk()
    one.decided(decision("p-1", DIGEST, [hit(rule_id, action)], paid=paid), 0, 0)
    assert [alert.group for alert in one.take()] == [group]


@pytest.mark.parametrize(
    "body",
    [
        decision("p-1", DIGEST),
        decision("p-1", DIGEST, [hit("reviews_it", "review")]),
        decision("p-1", DIGEST, [hit("velocity", error="ValueError")]),
        decision("p-1", DIGEST, [hit("velocity")], authoritative=False),
        decision("p-1", DIGEST, [hit("velocity")]).replace(b'"evidence":', b'"else":'),
    ],
)
def test_what_raises_no_alert(body: bytes) -> None:
    one = desk()
    one.decided(body, 0, 0)
    assert one.take() == []


def test_a_book_that_is_not_known_yet_loses_no_alert_of_the_action_alert() -> None:
    known: dict[str, Book] = {}
    one = AlertDesk(known.get, FEATURES)
    one.decided(decision("p-1", DIGEST, [hit("velocity"), hit("blocks_it", "block")]), 0, 0)
    (alert,) = one.take()
    assert (alert.rule, alert.severity) == ("velocity", "medium")
    assert one.counts.unknown_books == 2
    known[DIGEST] = BOOK  # it is looked for again
    one.decided(decision("p-2", DIGEST, [hit("blocks_it", "block")]), 0, 0)
    assert [alert.severity for alert in one.take()] == ["critical"]


def test_a_group_is_told_of_once_within_its_span() -> None:
    one = desk()
    for number, at_ms in enumerate((0, 1, HOUR_MS - 1, HOUR_MS, HOUR_MS + 5)):
        one.decided(decision(f"p-{number}", DIGEST, [hit("velocity")], NOW_MS + at_ms), 0, number)
    first, second = one.take()
    assert isinstance(second.evidence, PaymentEvidence)
    assert (first.suppressed, second.suppressed, second.evidence.payment_id) == (0, 2, "p-3")
    assert one.counts.suppressed == 3
    # Another account, and another tenant, is another group.
    one.decided(decision("q-1", DIGEST, [hit("velocity")], paid={"account": "a-2"}), 0, 9)
    one.decided(decision("q-2", DIGEST, [hit("velocity")], tenant="t2"), 0, 10)
    assert len(one.take()) == 2


def test_the_same_decision_again_changes_nothing() -> None:
    one = desk()
    body = decision("p-1", DIGEST, [hit("each_one", "tag")])
    for _ in range(3):
        assert one.decided(body, 0, 0) == NOW_MS
    assert len(one.take()) == 1
    assert one.counts.suppressed == 0
    assert one.counts.hits == {"each_one": 1}
    # Nor does it after a crash, with the state of before and what stands on the topic.
    fresh = desk()
    fresh.decided(body, 0, 0)
    (alert,) = fresh.take()
    other = desk()
    other.known(alert)
    other.decided(body, 0, 0)
    assert other.take() == []
    assert other.counts.suppressed == 0


def test_bytes_that_are_no_decision_are_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        desk().decided(b"{}", 0, 0)
    with pytest.raises(ValueError, match="is no time"):
        desk().decided(decision("p", DIGEST, decided_at="yesterday"), 0, 0)


HITS = st.lists(
    st.tuples(
        st.sampled_from(("a-1", "a-2", "a-3")),
        st.integers(0, 3 * HOUR_MS),
        st.sampled_from(("velocity", "each_one", "by_rule")),
    ),
    max_size=40,
)


@given(HITS, st.lists(st.integers(0, 40), max_size=5), st.randoms(use_true_random=False))
def test_a_crash_loses_no_alert_and_doubles_none(
    hits: list[tuple[str, int, str]], crashes: list[int], rng: Any
) -> None:
    """Each crash goes back to a state of before, with what stands on the topic known again."""
    bodies = [
        decision(f"p-{n}", DIGEST, [hit(name)], NOW_MS + at_ms, paid={"account": account})
        for n, (account, at_ms, name) in enumerate(hits)
    ]
    topic: list[Any] = []
    one, place, saved, saved_place = desk(), 0, DeskState(), 0
    left = sorted(crashes)
    while place < len(bodies):
        one.decided(bodies[place], 0, place)
        topic += one.take()
        place += 1
        if rng.random() < 0.3:
            body = msgspec.msgpack.encode(one.state)
            saved, saved_place = msgspec.msgpack.decode(body, type=DeskState), place
        if left and left[0] <= place:
            left.pop(0)
            one, place = desk(saved), saved_place
            body = msgspec.msgpack.encode(one.state)
            saved = msgspec.msgpack.decode(body, type=DeskState)
            for alert in topic:
                one.known(alert)
    ids = [alert.id for alert in topic]
    assert len(ids) == len(set(ids))
    spans = {"velocity": HOUR_MS, "each_one": HOUR_MS, "by_rule": 300_000}
    raised: dict[tuple[str, str], list[int]] = defaultdict(list)
    for alert in topic:
        raised[alert.rule, alert.group].append(parse_rfc3339(alert.at))
    for n, (account, at_ms, name) in enumerate(hits):
        group = {"velocity": f"account {account}", "each_one": f"payment p-{n}",
                 "by_rule": "rule by_rule"}[name]  # fmt: skip
        near = [at for at in raised[name, group] if abs(at - NOW_MS - at_ms) < spans[name]]
        assert near, "a hit without an alert"
    for (name, _), times in raised.items():
        ordered = sorted(times)
        gaps = [later - earlier for earlier, later in pairwise(ordered)]
        assert all(gap >= spans[name] for gap in gaps), "a group was told of twice in its span"


# -- rates ---------------------------------------------------------------------------------


def rated(when: str, **fields: Any) -> Book:
    one = RateRule(
        id="a_rate", name="n", when=when, sentence="Look.", owner="o",
        **{"state": "live", "usual": Usual(last=3, known=3), "at_least": 3, **fields},
    )  # fmt: skip
    return book(rule("velocity"), rates=(one,))


SLOT_MS = 150_000


def busy(one: AlertDesk, of: Book, slots: int, each: int = 1, **fields: Any) -> int:
    """Decisions with a hit, ``each`` in every slot; the time behind them."""
    for slot in range(slots):
        for step in range(each):
            at_ms = NOW_MS + slot * SLOT_MS + step
            body = decision(f"b-{slot}-{step}", of.digest(), [hit("velocity", "tag")], at_ms,
                            **fields)  # fmt: skip
            one.decided(body, 0, 0)
        one.advance(NOW_MS + slot * SLOT_MS)
    return NOW_MS + slots * SLOT_MS


@pytest.mark.parametrize(
    ("when", "value", "group"),
    [
        ('rate(rule, "10m") > 2 * usual', "velocity", "rule velocity"),
        ('rate(reason, "10m") > 2 * usual', "VELOCITY", "reason VELOCITY"),
        ('rate(merchant, "10m") > 2 * usual', "m-1", "merchant m-1"),
        ('rate(outcome, "10m") > 2 * usual', "review", "outcome review"),
        ('rate(all, "10m") > 2 * usual', "", "all decisions"),
    ],
)
def test_a_spike_of_each_subject_is_told(when: str, value: str, group: str) -> None:
    of = rated(when, outcome=Outcome.REVIEW)
    one = desk(of=of)
    one.watch(of)
    now_ms = busy(one, of, 30)
    one.take()
    for step in range(30):
        one.decided(decision(f"s-{step}", of.digest(), [hit("velocity", "tag")], now_ms + step,
                             outcome="review"), 0, 0)  # fmt: skip
        one.decided(decision(f"t-{step}", of.digest(), [hit("velocity", "tag")], now_ms + step,
                             outcome="block"), 0, 0)  # fmt: skip
    one.advance(now_ms + 100)
    (alert,) = one.take()
    assert (alert.type, alert.rule, alert.severity) == ("rate", "a_rate", "high")
    assert (alert.reason, alert.group) == ("RATE_SPIKE", group)
    assert alert.sentence == f"Look. {group}: 33 in the span of outcome review, usually 4."
    found = alert.evidence
    assert isinstance(found, RateEvidence)
    assert (found.kind, found.count, found.usual) == ("spike", 33, 4.0)
    assert (found.value, found.when, found.earlier) == (value, when, [4, 4, 4])
    assert found.book == of.digest()
    # As long as it lasts it is one alert; the next one comes after its span.
    one.advance(now_ms + 2 * SLOT_MS)
    assert one.take() == []
    assert read_alert(encode_alert(alert)) == alert


def test_silence_is_told() -> None:
    of = rated('rate(all, "10m") < 0.5 * usual')
    one = desk(of=of)
    one.watch(of)
    now_ms = busy(one, of, 30)
    one.take()
    one.advance(now_ms + 8 * SLOT_MS)
    (alert,) = one.take()
    assert (alert.reason, alert.group) == ("RATE_SILENCE", "all decisions")
    assert alert.sentence == "Look. all decisions: 1 in the span, usually 4."


def test_counting_goes_on_after_a_crash_and_a_publication() -> None:
    of = rated('rate(rule, "10m") > 2 * usual')
    one = desk(of=of)
    one.watch(of)
    now_ms = busy(one, of, 30)
    one.take()
    fresh = again(one, of)
    assert fresh.state == one.state
    fresh.watch(of)
    # Another book with the same rate rule goes on with the counts; one without forgets them.
    renamed = Book(name="Another", rules=of.rules, rate_rules=of.rate_rules)
    fresh.watch(renamed)
    for step in range(30):
        fresh.decided(
            decision(f"s-{step}", of.digest(), [hit("velocity", "tag")], now_ms + step), 0, 0
        )
    fresh.advance(now_ms + 100)
    assert [alert.type for alert in fresh.take()] == ["rate"]
    fresh.watch(book(rule("velocity")))
    assert fresh.state.rates == {}
    for without in (rated("rate(", state="live"), rated('rate(all, "10m") > 0', state="draft")):
        fresh.watch(without)
        busy(fresh, without, 8, 3)
        assert fresh.take() == []


def test_a_payment_without_a_merchant_counts_for_none() -> None:
    of = rated('rate(merchant, "10m") > 0')
    one = desk(of=of)
    one.watch(of)
    one.decided(decision("p-1", of.digest(), paid={"merchant": None}), 0, 0)
    one.advance(NOW_MS)
    assert one.take() == []


def test_groups_are_forgotten_when_they_hold_nothing_back_any_more() -> None:
    state = DeskState(
        groups={f"g{n}": GroupState([(NOW_MS, str(n))]) for n in range(GROUPS_MAX + 3)}
    )
    one = desk(state)
    one.advance(NOW_MS)
    assert len(one.state.groups) == GROUPS_MAX
    assert "g0" not in one.state.groups
    one.advance(NOW_MS + 8 * 24 * HOUR_MS)
    assert one.state.groups == {}


def test_drift_of_a_model_is_an_alert_too() -> None:
    body = msgspec.json.encode({
        "type": "drift", "at_ms": NOW_MS, "model_digest": "d" * 64, "n": 100,
        "drifted": ["a", "b", "c", "d"], "psi": {"a": 0.5}, "tenant": "main",
    })  # fmt: skip
    alert = read_alert(body)
    assert (alert.type, alert.reason, alert.group) == ("drift", "MODEL_DRIFT", "model dddddddddddd")
    assert alert.sentence.endswith("training: a, b, c and 1 more.")
    assert read_alert(body).id == alert.id
    one = desk()
    one.known(alert)
    assert one.state.groups == {}
    short = read_alert(body.replace(b',"c","d"', b""))
    assert short.sentence.endswith("training: a, b.")
