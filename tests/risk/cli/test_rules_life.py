"""The life of a book by command, on a real broker, followed by what judges."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from features.catalogue import CATALOGUE
from risk.bootstrap import new_judgement, shipped_book, shipped_versions
from risk.cli.__main__ import build_app, explain
from risk.cli.rules_guard import GUARD
from risk.observability.metrics import Metrics
from risk.rules.book import Book
from risk.rules.book_file import dump_book, read_book
from risk.rules.compiler import Tables
from risk.rules.schema import Schema
from risk.tables.load import exchange_rates
from risk.versions.serving import Serving
from risk.versions.store import VersionStore
from streams.control import Control
from streams.following import Following
from streams.publish import KafkaPublisher, Outgoing
from streams.topics import Topics
from tests.support.book_decisions import decision
from tests.support.book_evidence import evidence_of

RATES = exchange_rates(None, "EUR")
RANGE = ["--from", "2026-01-01T00:00:00Z", "--to", "2026-02-01T00:00:00Z"]
BAD_INPUT = 2


class Desk:
    """Commands in one world and folder."""

    def __init__(self, kafka: str, home: Path) -> None:
        self.home = home
        self.world = f"t-{uuid.uuid4().hex[:8]}"
        self.env = {"WEIR_HOME": str(home), "WEIR_KAFKA": kafka, "WEIR_WORLD": self.world}

    def run(self, *words: str) -> str:
        done = CliRunner().invoke(build_app(), ["rules", *words], env=self.env)
        assert done.exit_code == 0, f"{done.output} {done.exception!r}"
        return done.output

    def refused(self, *words: str) -> str:
        done = CliRunner().invoke(build_app(), ["rules", *words], env=self.env)
        assert isinstance(done.exception, Exception), done.output
        told = explain(done.exception)
        assert told is not None, done.exception
        assert told[1] == BAD_INPUT, told
        return told[0]

    def file(self, book: Book, name: str) -> str:
        path = self.home / name
        path.write_text(dump_book(book), encoding="utf-8")
        return str(path)


async def judged_by(desk: Desk, digest: str) -> int:
    """How many turns what follows the control topic needs until this book judges."""
    topics = Topics(desk.world)
    async with KafkaPublisher(desk.env["WEIR_KAFKA"], topics) as publisher:
        store = VersionStore(desk.home / "other")
        control = Control(desk.env["WEIR_KAFKA"], topics, store, publisher)
        serving = Serving(new_judgement(RATES), Schema.of(CATALOGUE), Tables(RATES))
        following = Following(control, serving, Metrics())
        await following.start(shipped_versions(RATES, 1))
        try:
            for turn in range(10):
                if serving.digest_of("book") == digest:
                    return turn
                await following.turn()
        finally:
            await following.close()
    raise AssertionError(f"never judged by {digest}: {following.problem}")


async def decided(desk: Desk, book: str) -> None:
    """300 payments, blocked by this book."""
    topics = Topics(desk.world)
    body = decision("block", book, 0.5)
    async with KafkaPublisher(desk.env["WEIR_KAFKA"], topics) as publisher:
        await publisher.deliver(
            [Outgoing(topics.decisions, one % 8, b"k", body) for one in range(300)]
        )


@pytest.mark.services
def test_a_book_goes_live_with_four_eyes_and_back(kafka: str, tmp_path: Path) -> None:
    desk, shipped = Desk(kafka, tmp_path), shipped_book()
    book = msgspec.structs.replace(shipped, name="Second book")
    file, evidence = desk.file(book, "second.yaml"), tmp_path / "evidence.json"
    evidence.write_bytes(evidence_of(book.digest()))
    signed = [file, "--evidence", str(evidence), *RANGE]
    assert "'Second book'" in desk.run("diff", file)
    assert "nothing was proposed" in desk.refused("publish", *signed, "--as", "ben")
    desk.run("propose", *signed, "--as", "ana")
    assert "proposed before" in desk.refused("propose", *signed, "--as", "ana")
    assert "not approved yet" in desk.refused("publish", *signed, "--as", "ben")
    assert "four eyes" in desk.refused("approve", *signed, "--as", "Ana")
    desk.run("approve", *signed, "--as", "ben")
    assert "four eyes" in desk.refused("publish", *signed, "--as", "ana")
    evidence.write_bytes(evidence_of(book.digest(), payments=11))
    assert "nothing was proposed" in desk.refused("publish", *signed, "--as", "ben")
    evidence.write_bytes(evidence_of(shipped.digest()))
    assert "is about book" in desk.refused("publish", *signed, "--as", "ben")
    evidence.write_text("{}")
    assert "no report of a back-test" in desk.refused("approve", *signed, "--as", "ben")
    evidence.write_bytes(evidence_of(book.digest()))
    assert "--to says" in desk.refused("publish", *signed[:-1], RANGE[1], "--as", "ben")
    desk.run("publish", *signed[:3], "--as", "ben")
    assert "is live already" in desk.refused("publish", *signed, "--as", "ben")
    assert asyncio.run(judged_by(desk, book.digest())) == 0
    assert "Second book" in desk.run("list")
    paused = next(rule.id for rule in book.rules if rule.state == "live")
    desk.run("pause", paused, "--as", "cem", "--reason", "too many")
    assert "only a live rule" in desk.refused("pause", paused, "--as", "cem", "--reason", "x")
    assert "--reason" in desk.refused("rollback", "--as", "cem", "--reason", " ")
    desk.run("rollback", "--as", "cem", "--reason", "not needed")
    assert "--to" in desk.refused("rollback", "--as", "cem", "--reason", "again")
    assert asyncio.run(judged_by(desk, book.digest())) == 0
    desk.run("rollback", "--to", shipped.digest()[:12], "--as", "cem", "--reason", "back")
    assert asyncio.run(judged_by(desk, shipped.digest())) == 0
    desk.run("history", "--report", str(tmp_path / "history.json"))
    told = json.loads((tmp_path / "history.json").read_text())
    assert [note["action"] for note in told["notes"]] == [
        "propose", "approve", "publish", "pause", "rollback", "rollback",
    ]  # fmt: skip
    assert told["proposals"][0]["approver"] == "ben"


@pytest.mark.services
def test_a_book_that_blocks_everybody_is_rolled_back_by_itself(kafka: str, tmp_path: Path) -> None:
    desk, shipped = Desk(kafka, tmp_path), shipped_book()
    strict = msgspec.structs.replace(shipped, name="Too strict")
    file = desk.file(strict, "strict.yaml")
    (tmp_path / "evidence.json").write_bytes(evidence_of(strict.digest()))
    signed = [file, "--evidence", str(tmp_path / "evidence.json"), *RANGE]
    for command, name in (("propose", "ana"), ("approve", "ben"), ("publish", "ben")):
        desk.run(command, *signed, "--as", name)
    asyncio.run(decided(desk, read_book(Path(file)).digest()))
    assert "100.0% of 300 payments were blocked" in desk.run("guard", "--seconds", "6")
    assert asyncio.run(judged_by(desk, shipped.digest())) == 0
    desk.run("history", "--report", str(tmp_path / "history.json"))
    told = json.loads((tmp_path / "history.json").read_text())
    assert (told["notes"][-1]["action"], told["notes"][-1]["actor"]) == ("guardrail", GUARD)
