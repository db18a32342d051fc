"""Lists by command on a real broker, followed by what judges within two seconds."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from features.catalogue import CATALOGUE, FEATURE_NAMES
from risk.bootstrap import new_judgement, shipped_versions
from risk.cli.__main__ import build_app, explain
from risk.cli.lists_desk import at_the_desk, beside
from risk.domain.decision import decode_decision
from risk.domain.observation import Claimed
from risk.observability.metrics import Metrics
from risk.rules.compiler import Tables
from risk.rules.schema import Schema
from risk.settings import Settings
from risk.tables.load import exchange_rates
from risk.versions.serving import Serving
from risk.versions.store import VersionStore
from streams.admin import ensure_topics
from streams.control import Control
from streams.following import Following
from streams.publish import KafkaPublisher
from streams.topics import Topics
from tests.risk.test_engine import an_arrival

RATES = exchange_rates(None, "EUR")
AS_ANA = ("--as", "ana", "--reason", "why")
BAD_INPUT = 2
WITHIN_S = 2.0


class Shell:
    """Commands in one world and folder."""

    def __init__(self, kafka: str, home: Path) -> None:
        self.home = home
        self.world = f"t-{uuid.uuid4().hex[:8]}"
        self.env = {"WEIR_HOME": str(home), "WEIR_KAFKA": kafka, "WEIR_WORLD": self.world}

    def run(self, *words: str) -> str:
        done = CliRunner().invoke(build_app(), list(words), env=self.env)
        assert done.exit_code == 0, f"{done.output} {done.exception!r}"
        return done.output

    def refused(self, *words: str) -> str:
        done = CliRunner().invoke(build_app(), list(words), env=self.env)
        assert isinstance(done.exception, Exception), done.output
        told = explain(done.exception)
        assert told is not None, done.exception
        assert told[1] == BAD_INPUT, told
        return told[0]

    def report(self, *words: str) -> Any:
        path = self.home / "report.json"
        self.run(*words, "--report", str(path))
        return json.loads(path.read_bytes())


class Process:
    """What judges in a worker, following the control topic by itself."""

    def __init__(self, kafka: str, topics: Topics, root: Path, publisher: KafkaPublisher) -> None:
        store = VersionStore(root)
        self.judgement = new_judgement(RATES)
        self.serving = Serving(self.judgement, Schema.of(CATALOGUE), Tables(RATES), store)
        control = Control(kafka, topics, store, publisher)
        self.following = Following(control, self.serving, Metrics())

    async def follow(self) -> None:
        """As the scheduler does it, but what failed ends it."""
        while True:
            await self.following.turn()

    def codes(self, **fields: Any) -> list[str]:
        seen = Claimed((), np.full(len(FEATURE_NAMES), np.nan), ())
        (judged,) = self.judgement.judge([(an_arrival(1, **fields), seen)])
        return [one.code for one in decode_decision(judged.body).reasons]

    async def judges_by(self, digest: str) -> float:
        """Seconds until it judges by this version of lists."""
        began_s = time.monotonic()
        while self.serving.digest_of("lists") != digest:
            assert time.monotonic() - began_s < 3 * WITHIN_S, self.following.problem
            await asyncio.sleep(0.01)
        return time.monotonic() - began_s


@asynccontextmanager
async def processes(kafka: str, shell: Shell, count: int) -> AsyncIterator[list[Process]]:
    topics = Topics(shell.world)
    await ensure_topics(kafka, topics)
    async with KafkaPublisher(kafka, topics) as publisher:
        made = [
            Process(kafka, topics, shell.home / f"process-{number}", publisher)
            for number in range(count)
        ]
        for one in made:
            await one.following.start(shipped_versions(RATES, 1))
        tasks = [asyncio.create_task(one.follow()) for one in made]
        try:
            yield made
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended
            for one in made:
                await one.following.close()


@pytest.mark.services
async def test_a_change_judges_everywhere_within_two_seconds(kafka: str, tmp_path: Path) -> None:
    shell = Shell(kafka, tmp_path)

    async def does(*words: str) -> Any:
        return await asyncio.to_thread(shell.report, *words)

    async with processes(kafka, shell, 2) as workers:
        create = ("lists", "create", "stolen", "--type", "card", "--effect", "block")
        await asyncio.to_thread(shell.run, *create, "--as", "ana")
        added = await does("lists", "add", "stolen", "tok_1", *AS_ANA)
        for worker in workers:
            assert await worker.judges_by(added["version"]) < WITHIN_S
            assert worker.codes() == ["LIST_STOLEN"]
        path = tmp_path / "many.csv"
        path.write_text("value\n" + "".join(f"tok-{one}\n" for one in range(20_000)))
        done = await does("lists", "import", "stolen", str(path), *AS_ANA)
        assert (done["added"], done["total"]) == (20_000, 20_001)
        for worker in workers:
            assert await worker.judges_by(done["version"]) < WITHIN_S
            assert worker.codes(card="tok-19999") == ["LIST_STOLEN"]
        removed = await does("lists", "remove", "stolen", "tok_1", *AS_ANA)
        for worker in workers:
            assert await worker.judges_by(removed["version"]) < WITHIN_S
            assert "LIST_STOLEN" not in worker.codes()


@pytest.mark.services
def test_lists_are_read_exported_and_audited(kafka: str, tmp_path: Path) -> None:
    shell = Shell(kafka, tmp_path)
    assert "no lists" in shell.run("lists", "list")
    shell.run("lists", "create", "nets", "--type", "ip", "--effect", "none", "--as", "ana")
    shell.run("lists", "create", "far", "--type", "country", "--effect", "hold", "--field",
              "ip_country", "--sentence", "Far away.", "--as", "ana")  # fmt: skip
    until = ("--until", "2099-01-01T00:00:00Z")
    shell.run("lists", "add", "far", "NZ", *AS_ANA, *until)
    shell.run("lists", "add", "nets", "192.0.2.0/24", "198.51.100.7", *AS_ANA)
    told = shell.refused("lists", "add", "far", "AU", *AS_ANA, "--until", "soon")
    assert "--until: 'soon' is no time; write 2026-01-31T12:00:00Z" in told
    assert "did you mean nets" in shell.refused("lists", "show", "net")
    listed = shell.report("lists", "list")["lists"]
    assert [(one["name"], one["entries"], one["fields"]) for one in listed] == [
        ("far", 1, ["ip_country"]), ("nets", 2, []),
    ]  # fmt: skip
    page = shell.report("lists", "show", "nets", "--limit", "1")
    assert [one["value"] for one in page["entries"]] == ["192.0.2.0/24"]
    assert "more: --after" in shell.run("lists", "show", "nets", "--limit", "1")
    found = shell.report("lists", "check", "192.0.2.9")["matches"]
    assert [(one["list"], one["entry"]["value"]) for one in found] == [("nets", "192.0.2.0/24")]
    assert "on no list" in shell.run("lists", "check", "192.0.2.9", "--type", "card")
    notes = shell.report("lists", "audit", "nets")["notes"]
    assert [one["action"] for one in notes] == ["add", "add", "create"]
    assert "there is no list 'nest'; did you mean nets?" in shell.refused("lists", "audit", "nest")
    out = tmp_path / "nets.csv"
    shell.run("lists", "export", "nets", "--out", str(out), "--full")
    assert out.read_text().splitlines()[0] == "value,reason,expires_at,author,added_at"
    shell.run("lists", "export", "nets", "--out", str(out))
    done = shell.report("lists", "import", "nets", str(out), *AS_ANA, "--replace")
    assert (done["total"], done["added"]) == (2, 2)
    out.write_text("value,reason\n1.2.3,x\n")
    told = shell.refused("lists", "import", "nets", str(out), *AS_ANA)
    assert "nets.csv, line 2: value: '1.2.3' is no IP address" in told
    version = shell.report("lists", "publish")["version"]
    assert version == done["version"]
    shown = shell.run("versions", "show", "lists", version[:16])
    assert json.loads(shown)["far"]["sentence"] == "Far away."
    store = VersionStore(Settings(home=tmp_path).state / "versions")
    entries = next(digest for kind, digest in store.all() if kind == "entries")
    assert "not for people" in shell.run("versions", "show", "entries", entries)


def test_ctrl_c_ends_a_change_of_lists_and_closes_kafka() -> None:
    seen = []

    @asynccontextmanager
    async def part() -> AsyncIterator[str]:
        seen.append("open")
        try:
            yield "desk"
        finally:
            seen.append("closed")

    def work() -> None:
        with beside(part()) as desk:
            seen.append(desk)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert seen == ["open", "desk", "closed"]
    assert "weir-beside" not in [one.name for one in threading.enumerate()]


@pytest.mark.services
def test_changes_run_where_ctrl_c_reaches_them(kafka: str, tmp_path: Path) -> None:
    shell = Shell(kafka, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in shell.env.items():
            patch.setenv(name, value)
        assert at_the_desk(None, lambda _: threading.current_thread()) is threading.main_thread()


@pytest.mark.services
def test_a_book_may_name_only_lists_that_there_are(kafka: str, tmp_path: Path) -> None:
    shell = Shell(kafka, tmp_path)
    path = tmp_path / "book.yaml"
    path.write_text(
        """format: 1
name: Lists
rules:
  - id: watched_shop
    name: A watched shop
    when: merchant in watched
    action: review
    reason: WATCHED
    sentence: The shop is watched.
    customer: We are checking this payment.
    owner: ana
    state: live
    examples:
      hits: [{merchant: m1, watched: m1}]
      misses: [{merchant: m1}]
"""
    )
    assert "rule watched_shop: line 1, column 13: watched is not a list" in shell.refused(
        "rules", "check", str(path)
    )
    shell.run("lists", "create", "watches", "--type", "merchant", "--as", "ana")
    told = shell.refused("rules", "check", str(path))
    assert "did you mean watches?" in told
    shell.run("lists", "create", "watched", "--type", "merchant", "--as", "ana")
    assert "no problems" in shell.run("rules", "check", str(path))
    shell.run("rules", "shadow", str(path), "--as", "ana", "--reason", "to see")
    told = shell.refused("lists", "drop", "watched", *AS_ANA)
    assert "the live book names the list watched: watched_shop" in told
    shell.run("lists", "drop", "watches", *AS_ANA)
    values = tmp_path / "values.json"
    values.write_text('{"merchant": "m1"}')
    shell.run("lists", "add", "watched", "m1", *AS_ANA)
    asked = ("rules", "explain", "watched_shop", "--book", str(path), "--file", str(values))
    assert shell.report(*asked)["answer"] == "held"
    data = tmp_path / "editor.json"
    shell.run("rules", "editor-data", "--out", str(data))
    assert json.loads(data.read_bytes())["lists"] == ["watched"]
