"""`weir parity` says in plain words what is proven, what is not, and what keeps it from it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from features.judging import Judging
from features.parity import Parity, prove
from features.proof.history import HistoryRecord
from risk.cli.parity import told
from risk.cli.versions_at_hand import VersionsAtHand
from risk.domain.decision import decode_decision, encode_decision
from risk.domain.limits import TIME_MS_MAX
from risk.domain.outcome import Outcome
from risk.replay import evidence_of
from risk.settings import Settings
from tests.support.proof_world import ListHistory, OneModel, story, to_base

END_MS = TIME_MS_MAX - 1
NO_KAFKA = "127.0.0.1:9"


@pytest.fixture(scope="module")
def whole() -> list[HistoryRecord]:
    return story(91, 200)


def decided(records: Sequence[HistoryRecord]) -> list[int]:
    return [n for n, one in enumerate(records) if one.topic == "decisions" and one.value]


async def said(records: Sequence[HistoryRecord], home: Path) -> str:
    """What a command in the state folder ``home`` would say of a history, without Kafka."""
    history = ListHistory(records)
    check = Parity(history.extent, to_base, OneModel(), 0, END_MS)
    versions = VersionsAtHand(Settings(home=home), kafka=False)
    return "\n".join(told(await prove(history, check, Judging(versions, 0, END_MS))))


async def test_unknown_digests_are_named_with_what_to_do(
    whole: list[HistoryRecord], tmp_path: Path
) -> None:
    digests = evidence_of(decode_decision(whole[decided(whole)[0]].value)).digests
    text = await said(whole, tmp_path)
    count = len(decided(whole))
    assert text.startswith(f"unprovable: {count} checked, {count} equal bit for bit, 0 unequal")
    assert f"judged again: {count} checked, 0 equal byte for byte" in text
    assert f"RATES_UNKNOWN {count}" in text
    for kind in ("rates", "catalogue", "policy", "lists", "book"):
        assert f"missing: {kind} {getattr(digests, kind)} is neither in {tmp_path}" in text
    assert "copy the folder of the machine that judged" in text


async def test_a_hole_in_the_topic_is_named_by_its_offsets(
    whole: list[HistoryRecord], tmp_path: Path
) -> None:
    gone = whole[decided(whole)[30]]
    text = await said([one for one in whole if one.value != gone.value], tmp_path)
    assert f"missing: decisions:{gone.partition} offsets {gone.offset} to {gone.offset}" in text
    assert "HOLE" in text or "PENDING" in text
    assert text.startswith("unprovable: ")


async def test_an_older_catalogue_is_a_cause_with_its_first_payment(
    whole: list[HistoryRecord], tmp_path: Path
) -> None:
    old = whole[decided(whole)[12]]
    ours = evidence_of(decode_decision(old.value)).digests.catalogue.encode()
    other = old.value.replace(ours, b"0" * 64)
    text = await said(
        [one._replace(value=other) if one.value == old.value else one for one in whole], tmp_path
    )
    payment = decode_decision(old.value).payment_id
    line = next(line for line in text.splitlines() if "CATALOGUE_OLDER" in line)
    assert "another feature catalogue than this code's" in line
    assert line.endswith(f"First: {payment}")
    assert f"missing: catalogue {'0' * 64} is neither in" in text


async def test_a_damaged_record_is_named(whole: list[HistoryRecord], tmp_path: Path) -> None:
    place = decided(whole)[-1]
    cut = whole[place]._replace(value=whole[place].value[:-1])
    text = await said([*whole[:place], cut, *whole[place + 1 :]], tmp_path)
    assert text.startswith("different: ")
    assert f"damaged: decisions:{cut.partition}@{cut.offset}: " in text


async def test_a_forged_outcome_is_named(whole: list[HistoryRecord], tmp_path: Path) -> None:
    from tests.features.test_judging import StoryVersions

    place = decided(whole)[-1]
    decision = decode_decision(whole[place].value)
    other = Outcome.BLOCK if decision.outcome != Outcome.BLOCK else Outcome.ALLOW
    forged = encode_decision(msgspec.structs.replace(decision, outcome=other))
    history = ListHistory([*whole[:place], whole[place]._replace(value=forged)])
    check = Parity(history.extent, to_base, OneModel(), 0, END_MS)
    report = await prove(history, check, Judging(StoryVersions(), 0, END_MS))
    text = "\n".join(told(report))
    assert f"first difference: payment {decision.payment_id}, outcome:" in text
    assert f'served "{other.value}", rebuilt "{decision.outcome.value}"' in text


def weir(home: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and output of a command whose Kafka is not there."""
    done = subprocess.run(
        [sys.executable, "-m", "risk.cli", *arguments],
        env={**os.environ, "WEIR_HOME": str(home), "WEIR_KAFKA": NO_KAFKA, "WEIR_MLFLOW": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("command", [["parity"], ["replay", "p1"], ["leaks"], ["versions", "list"]])
def test_without_kafka_the_part_is_named(command: list[str], tmp_path: Path) -> None:
    code, text = weir(tmp_path, *command)
    assert code == 1
    assert "UNAVAILABLE: kafka cannot be reached" in text
    assert "Run `weir doctor`" in text
    assert "Traceback" not in text


def test_bad_input_is_refused(tmp_path: Path) -> None:
    code, text = weir(tmp_path, "parity", "--from", "yesterday")
    assert (code, "--from and --to" in text) == (2, True), text
    code, text = weir(tmp_path, "parity", "--judge-every", "-1")
    assert (code, "--judge-every" in text) == (2, True), text
