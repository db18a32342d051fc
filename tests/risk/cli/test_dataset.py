"""`weir dataset`, `weir backfill` and `weir parked` as their users call them, on real topics."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from features.backfill_store import DayStore
from features.catalogue import feature
from models.trainset import open_trainset
from streams.admin import ensure_topics
from streams.parking import outgoing_parked
from streams.publish import KafkaPublisher
from streams.topics import Topics
from tests.support.parking import label, waiting
from tests.support.proof_world import publish, story

WEIR = (sys.executable, "-m", "risk.cli")


class Shell:
    """Runs commands on a state folder of its own."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.home = home
        self._environment = {**os.environ, "WEIR_HOME": str(home), **settings}

    def run(self, *arguments: str) -> tuple[int, str, Any]:
        """Exit code, what was said, and the report."""
        report = self.home / "report.json"
        report.unlink(missing_ok=True)
        done = subprocess.run(
            [*WEIR, *arguments, "--report", str(report)],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        told = json.loads(report.read_bytes()) if report.exists() else None
        return done.returncode, done.stdout + done.stderr, told


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_a_file_of_the_simulator_and_the_world_itself_give_the_same_rows(shell: Shell) -> None:
    world = ("--seed", "4", "--days", "6", "--accounts", "40")
    out = {name: shell.home / name for name in ("lines", "columns", "made", "again")}
    lines, columns = shell.home / "w.jsonl.zst", shell.home / "w.parquet"
    for path in (lines, columns):
        assert shell.run("simulate", *world, "--out", str(path))[0] == 0
    sources: dict[str, tuple[str, ...]] = {
        "lines": (str(lines),),
        "columns": (str(columns),),
        "made": ("simulated", *world),
    }
    bodies = []
    for name, source in sources.items():
        code, said, told = shell.run("dataset", "--dataset", *source, "--out", str(out[name]))
        assert (code, told and told["rows"] > 100) == (0, True), said
        bodies.append((out[name] / "rows.parquet").read_bytes())
    assert bodies[0] == bodies[1] == bodies[2]
    assert sum(open_trainset(out["lines"]).manifest.scenarios.values()) > 0
    code, said, _ = shell.run("dataset", "--dataset", *sources["made"], "--out", str(out["made"]))
    assert (code, "is there already" in said) == (2, True)


def test_the_handbook_is_a_data_set(shell: Shell) -> None:
    world = ("--dataset", "handbook", "--days", "10", "--accounts", "60", "--seed", "3")
    out = str(shell.home / "set")
    code, said, told = shell.run("dataset", *world, "--label-delay-days", "7", "--out", out)
    assert code == 0, said
    assert told["source"]["kind"] == "handbook"
    assert told["frauds"] == sum(told["scenarios"].values()) > 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "name either --dataset or --world"),
        (("--dataset", "a", "--world", "b"), "name either --dataset or --world"),
        (("--dataset", "nowhere"), "there is no data set 'nowhere'"),
        (("--dataset", "No Name"), "use 1 to 32 small letters"),
        (("--dataset", "gone.jsonl"), "No such file"),
        (("--dataset", "nowhere", "--seed", "9"), "make up"),
        (("--dataset", "simulated", "--archive"), "--archive goes with --world"),
        (("--dataset", "simulated", "--days", "0"), "take more than 0"),
        (("--dataset", "simulated", "--start", "soon"), "--start"),
        (("--dataset", "handbook", "--days", "1.5"), "whole days"),
        (("--world", "x", "--days", "3"), "go with --dataset"),
        (("--dataset", "simulated", "--from", "yesterday"), "--from and --to"),
    ],
)
def test_bad_input_is_named(shell: Shell, arguments: tuple[str, ...], says: str) -> None:
    code, said, told = shell.run("dataset", *arguments, "--out", str(shell.home / "set"))
    assert (code, told) == (2, None)
    assert says in said
    assert not (shell.home / "set").exists()


def test_a_file_that_is_no_history_is_refused_with_its_line(shell: Shell) -> None:
    path = shell.home / "bad.jsonl"
    path.write_text('{"type": "login"}\n')
    code, said, _ = shell.run("dataset", "--dataset", str(path), "--out", str(shell.home / "set"))
    assert (code, "line 1 is not an event" in said) == (2, True)
    (shell.home / "bad.parquet").write_bytes(b"PAR1")
    arguments = ("--dataset", str(shell.home / "bad.parquet"), "--out", str(shell.home / "set"))
    code, said, _ = shell.run("dataset", *arguments)
    assert (code, "is not what `weir simulate` writes" in said) == (2, True)


@pytest.mark.services
def test_a_served_world_gives_a_set_and_a_feature_for_its_past(kafka: str, tmp_path: Path) -> None:
    world = "dataset-a"
    asyncio.run(publish(kafka, Topics(world), story(6, 500)))
    shell = Shell(tmp_path, WEIR_KAFKA=kafka)
    out = tmp_path / "set"
    code, said, told = shell.run(
        "dataset", "--world", world, "--label-delay-days", "1", "--out", str(out)
    )
    # Vectors are proven; the model of the story is not at hand, so scores are not.
    assert (code, told["certificate"]["unequal"], told["left_out"]) == (4, 0, {}), said
    assert open_trainset(out).manifest.rows == told["rows"] > 200
    code, said, told = shell.run("backfill", "account_payments_24h", "--world", world)
    assert (code, told["complete"]) == (0, True), said
    (covered,) = told["features"]
    assert covered["decisions"] == covered["covered"] == open_trainset(out).manifest.rows
    store = DayStore(tmp_path / "backfill" / world, feature("account_payments_24h"))
    assert not any(note.computed for note in store.notes().values())  # all of it was served
    code, said, _ = shell.run("backfill", "acount_payments_24h", "--world", world, "--status")
    assert (code, "did you mean account_payments_24h?" in said) == (2, True)
    code, said, _ = shell.run("dataset", "--world", "nobody", "--out", str(tmp_path / "none"))
    assert (code, "are missing" in said) == (2, True)


@pytest.mark.services
def test_what_waits_is_listed(kafka: str, tmp_path: Path) -> None:
    topics = Topics("dataset-b")

    async def park() -> None:
        await ensure_topics(kafka, topics)
        async with KafkaPublisher(kafka, topics) as publisher:
            one = waiting(label("b-1", "p-1"))
            await publisher.deliver([outgoing_parked(one, topics, 2)])

    asyncio.run(park())
    code, said, told = Shell(tmp_path, WEIR_KAFKA=kafka).run(
        "parked", "list", "--world", "dataset-b"
    )
    assert (code, told["parked"]) == (0, 1), said
    (one,) = told["events"]
    assert (one["payment_id"], one["event_key"], told["oldest"]) == (
        "p-1", "chargeback:b-1", one["parked_at"],
    )  # fmt: skip
    assert "payment p-1" in said
