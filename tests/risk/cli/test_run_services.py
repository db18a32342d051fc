"""What a run does when one of its processes ends: each by its own rule."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from risk.cli.run_proof import ArchiveCounts, ParityCounts, ProofNotes, evidence_bytes
from risk.cli.run_services import API, KEEPER, RESTARTS_WITHIN_S, WORKER, Services
from risk.domain.clock import ManualClock, SystemClock
from risk.domain.errors import Unavailable
from risk.local.parts import Parts
from risk.settings import Settings

pytestmark = pytest.mark.timeout(120)


def services(home: Path, said: list[str], clock: ManualClock | SystemClock) -> Services:
    settings = Settings(home=home, kafka="127.0.0.1:9", redis="", mlflow="")
    pids: dict[str, int] = {}
    return Services(settings, 1, Parts(home), clock, said.append, pids.__setitem__)


async def test_a_keeper_that_refuses_is_done_without_and_named(tmp_path: Path) -> None:
    said: list[str] = []
    run = services(tmp_path, said, SystemClock())
    run.start_keepers({"archive": ["archive", "run", "--refill"]})  # bad input: code 2
    watching = asyncio.create_task(run.watch())
    try:
        async with asyncio.timeout(60):
            while not run.given_up:
                assert not watching.done(), watching
                await asyncio.sleep(0.1)
    finally:
        watching.cancel()
        run.stop()
    assert "archive: it ended with code 2" in run.given_up[0]
    assert run.pids == {}
    assert said == []


async def test_a_worker_that_refuses_ends_the_run(tmp_path: Path) -> None:
    run = services(tmp_path, [], SystemClock())
    run._start("worker-0", ["worker", "--slot", "NOT A SLOT"])
    try:
        with pytest.raises(Unavailable, match="code 2"):
            async with asyncio.timeout(60):
                await run.watch()
    finally:
        run.stop()


def test_each_has_its_own_patience(tmp_path: Path) -> None:
    clock = ManualClock(0)
    run = services(tmp_path, [], clock)
    assert [run._rule(name) for name in ("worker-0", "api", "archive", "prove")] == [
        WORKER, API, KEEPER, KEEPER,
    ]  # fmt: skip
    assert not run._may_start("api", API)
    assert [run._may_start("prove", KEEPER) for _ in range(6)] == [True] * 5 + [False]
    assert run._may_start("archive", KEEPER)  # the others' ends are not its own
    clock.advance(int(RESTARTS_WITHIN_S * 1000) + 1)
    assert run._may_start("prove", KEEPER)


def test_notes_from_before_the_run_do_not_count(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, world="live")
    since = "2026-11-22T10:00:00.000Z"
    notes = ProofNotes(settings, since)
    nothing = notes.read([])
    assert (nothing.parity, nothing.archive, nothing.problems) == (
        ParityCounts(), ArchiveCounts(), [],
    )  # fmt: skip
    for folder in ("parity", "archive"):
        (tmp_path / folder).mkdir()
    parity = '{"at":"%s","problem":"%s","certificate":{"checked":3,"equal":2,"unequal":1}}'
    archive = '{"at":"%s","problem":"","archive":{"rows":7,"lag":1}}'
    old, new = "2026-11-22T09:59:59.999Z", "2026-11-22T10:00:00.001Z"
    (tmp_path / "parity" / "live.json").write_text(parity % (old, "differs"))
    (tmp_path / "archive" / "live.json").write_text(archive % old)
    assert notes.read([]) == nothing
    (tmp_path / "parity" / "live.json").write_text(parity % (new, "differs"))
    (tmp_path / "archive" / "live.json").write_text(archive % new)
    found = notes.read(["prove: it ended with code 1"])
    assert (found.parity.equal, found.parity.unequal, found.archive.rows) == (2, 1, 7)
    assert found.problems == ["differs", "prove: it ended with code 1"]
    (tmp_path / "parity" / "live.json").write_text("{")
    assert notes.read([]).parity == ParityCounts()


def test_evidence_is_what_the_broker_keeps_of_one_topic(tmp_path: Path) -> None:
    for name, size in (("weir.decisions-0", 10), ("weir.decisions-1", 5), ("weir.x-0", 99)):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        (folder / "00000000000000000000.log").write_bytes(b"x" * size)
        (folder / "00000000000000000000.index").write_bytes(b"x" * 50)
    assert evidence_bytes(tmp_path, "weir.decisions") == 15
    assert evidence_bytes(tmp_path / "nowhere", "weir.decisions") == 0
