"""How rules performed: every number against a slow count over the decisions themselves."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from risk.books.performance_report import Report, RuleFigures, encode_report
from risk.books.rule_costs import Sample
from risk.cli.rules_performance import lines_of
from risk.cli.rules_performance_job import Wish, counted
from risk.domain.decision import Decision, decode_decision, encode_decision
from risk.domain.errors import BadConfiguration
from tests.support.memory import START_MS
from tests.support.proof_world import ListHistory, story, to_base
from tests.support.rule_story import BUSY, TO_MS, at_hand, rule

WHOLE = Wish(START_MS - 1, TO_MS, 0.0)


async def report(home: Path, history: ListHistory, wish: Wish = WHOLE) -> Report:
    settings, versions = at_hand(home, BUSY)
    return await counted(settings, wish, history, versions)


def once(history: ListHistory) -> dict[str, Decision]:
    bodies = [one.value for one in history.records if one.topic == "decisions" and one.value]
    return {one.payment_id: one for one in map(decode_decision, bodies)}


def frauds(history: ListHistory) -> set[str]:
    told = [json.loads(one.value) for one in history.records if one.topic == "ledger" and one.value]
    return {one["event"]["payment_id"] for one in told if one["record"] == "chargeback"}


def amount(of: Decision) -> int:
    assert of.evidence is not None
    event = msgspec.json.decode(of.evidence.event)
    from risk.domain.decoding import decode_stored
    from tests.support.proof_world import RATES

    assert event["id"] == of.payment_id
    return to_base(decode_stored(bytes(of.evidence.event)).event, RATES.digest()) or 0


async def test_every_number_is_that_of_a_slow_count(tmp_path: Path) -> None:
    history = ListHistory(story(5, 900, book=BUSY))
    found, decisions, bad = await report(tmp_path, history), once(history), frauds(history)
    assert (found.payments, found.recomputed, found.differing) == (
        len(decisions), len(decisions), 0,
    )  # fmt: skip
    assert found.mature == found.payments
    assert found.frauds == len(bad & set(decisions)) > 20
    figures = {one.rule: one for one in found.rules}
    assert "sketch" not in figures
    for name in ("large", "larger", "largest", "note_german"):
        hit = [one for one in decisions.values() if name in [rule.rule for rule in one.rule_hits]]
        stops = figures[name].action != "tag"
        caught = [one for one in hit if one.payment_id in bad]
        stopped = [one for one in caught if one.outcome != "allow" and stops]
        own = figures[name]
        assert own.hits == own.acting_hits == own.mature == len(hit) > 20
        assert (own.fraud, own.good) == (len(caught), len(hit) - len(caught))
        assert own.precision == len(caught) / len(hit)
        assert own.recall == len(caught) / found.frauds
        assert own.amount_minor == sum(map(amount, hit))
        assert own.fraud_minor == sum(map(amount, caught))
        assert (own.fraud_stopped, own.fraud_stopped_minor) == (
            len(stopped), sum(map(amount, stopped)),
        )  # fmt: skip
        assert own.last_hit_at == max(one.decided_at for one in hit)
        assert own.overlap.get("twin", 0) == sum(
            "twin" in [rule.rule for rule in one.rule_hits] for one in hit
        )
        assert own.cost_us is not None
        assert 0.0 <= own.cost_us < 50.0


async def test_rules_in_the_shadow_are_answered_again(tmp_path: Path) -> None:
    history = ListHistory(story(6, 500, book=BUSY))
    found = await report(tmp_path, history)
    own = {one.rule: one for one in found.rules}["watch_french"]
    french = [
        one for one in once(history).values()
        if one.evidence and msgspec.json.decode(one.evidence.event).get("country") == "FR"
    ]  # fmt: skip
    assert own.hits == len(french) > 0
    assert (own.acting_hits, own.fraud_stopped, own.state) == (0, 0, "shadow")
    assert own.unknown > 0  # payments without a country


async def test_idle_rules_are_found_and_told(tmp_path: Path) -> None:
    found = await report(tmp_path, ListHistory(story(7, 900, book=BUSY)))
    idle = {one.rule: one for one in found.findings}
    assert {name: one.kind for name, one in idle.items()} == {
        "larger": "dominated", "also_largest": "shadowed", "twin": "dominated", "never": "dead",
    } | ({"let_small": "dead"} if "let_small" in idle else {})  # fmt: skip
    assert set(idle["larger"].by) == {"large"}
    assert set(idle["also_largest"].by) == {"largest"}
    assert "each of its" in idle["twin"].text
    assert "large" in idle["twin"].by  # of twins the first stays
    text = "\n".join(lines_of(found))
    assert "never (live review): no hit" in text
    assert "also_largest is shadowed" in text


async def test_versions_stand_apart_and_add_up(tmp_path: Path) -> None:
    other = msgspec.structs.replace(BUSY, rules=(*BUSY.rules, rule("any_card", 'card != "x"')))
    before = story(8, 300, book=BUSY)
    after = story(9, 300, first=400, after_ms=3_600_000, book=other)
    settings, versions = at_hand(tmp_path, BUSY, other)
    records = [*before, *(one._replace(partition=one.partition + 3) for one in after)]
    found = await counted(settings, WHOLE, ListHistory(records), versions)
    newest, oldest = found.versions
    assert (newest.digest, oldest.digest) == (other.digest(), BUSY.digest())
    assert newest.payments + oldest.payments == found.payments
    for one in found.rules:
        parts = [own for of in found.versions for own in of.rules if own.rule == one.rule]
        assert one.hits == sum(part.hits for part in parts)
        assert one.versions == [digest for part in parts for digest in part.versions]
    assert {one.rule: one.versions for one in found.rules}["any_card"] == [other.digest()]
    assert "findings under older versions" in "\n".join(lines_of(found))


async def test_young_payments_count_as_immature(tmp_path: Path) -> None:
    history = ListHistory(story(10, 300, book=BUSY))
    found = await report(tmp_path, history, WHOLE._replace(label_delay_days=3650.0))
    assert (found.mature, found.immature_share, found.frauds) == (0, 1.0, 0)
    large: RuleFigures = {one.rule: one for one in found.rules}["large"]
    assert (large.precision, large.recall, large.immature_share) == (None, None, 1.0)
    assert large.hits > 0


async def test_a_decision_that_names_other_hits_is_loud(tmp_path: Path) -> None:
    records = story(11, 200, book=BUSY)
    place = next(
        at for at, one in enumerate(records) if one.topic == "decisions" and b'"large"' in one.value
    )
    forged = decode_decision(records[place].value)
    body = encode_decision(msgspec.structs.replace(forged, rule_hits=[]))
    records = [
        one._replace(value=body) if one.value == records[place].value else one for one in records
    ]
    found = await report(tmp_path, ListHistory(records))
    assert (found.differing, found.first_differing) == (1, forged.payment_id)
    assert forged.payment_id in "\n".join(lines_of(found))


async def test_what_cannot_be_counted_is_said(tmp_path: Path) -> None:
    records = story(12, 120, book=BUSY)
    with pytest.raises(BadConfiguration, match=r"--from"):
        await report(tmp_path, ListHistory(records), Wish(TO_MS - 1, TO_MS))
    records[-1] = records[-1]._replace(topic="decisions", value=b"{")
    settings, versions = at_hand(tmp_path / "bare")
    with pytest.raises(BadConfiguration, match=r"version_missing.*damaged|damaged.*version_miss"):
        await counted(settings, WHOLE, ListHistory(records), versions)
    assert BUSY.digest() in versions.absent[0]


async def test_the_report_is_json_and_decisions_without_features_say_nothing(
    tmp_path: Path,
) -> None:
    records = story(13, 120, book=BUSY)
    body = next(one.value for one in records if one.topic == "decisions" and one.value)
    whole = decode_decision(body)
    assert whole.evidence is not None
    blind = msgspec.structs.replace(
        whole, rule_hits=[], evidence=msgspec.structs.replace(whole.evidence, vector=None)
    )
    records = [
        one._replace(value=encode_decision(blind)) if one.value == body else one for one in records
    ]
    found = await report(tmp_path, ListHistory(records))
    assert found.recomputed == found.payments - 1
    told = json.loads(encode_report(found))
    assert told["kind"] == "rule performance"
    assert told["rules"][0]["rule"] == "large"


def test_a_sample_is_even_and_small() -> None:
    sample = Sample()
    for _ in range(100_000):
        sample.offer(None)  # type: ignore[arg-type]
    assert 512 <= len(sample.rows) < 1_024
