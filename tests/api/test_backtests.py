"""Back-tests over HTTP: queued, one at a time, with progress, and cancelled."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from api.desks import Desks
from risk.backtest.jobs import KEPT_MAX, WAITING_MAX, BacktestJobs
from risk.rules.book_file import STARTER_BOOK
from tests.support.http import Site, open_site

BOOK = STARTER_BOOK.read_text(encoding="utf-8")
# Stands in for `weir rules backtest`: it does as --model says.
SCRIPT = """
import json, pathlib, sys, time
options = dict(a.split("=", 1) if "=" in a else (a, "") for a in sys.argv[1:] if a[:2] == "--")
model = options.get("--model", "quick")
report, progress = (sys.argv[sys.argv.index(name) + 1] for name in ("--report", "--job"))
pathlib.Path(progress).write_text(json.dumps({"records": 3, "total": 10}))
if model == "slow":
    time.sleep(60)
if model == "deaf":
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pathlib.Path(progress).write_text(json.dumps({"records": 4, "total": 10}))
    time.sleep(60)
if model == "bad":
    print("BAD_BOOK: rule one: unknown name x", file=sys.stderr)
    sys.exit(2)
pathlib.Path(report).write_text(json.dumps({"arguments": sys.argv[1:]}))
sys.exit(4 if model == "partly" else 0)
"""


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[BacktestJobs]:
    script = tmp_path / "stand_in.py"
    script.write_text(SCRIPT)
    command = (sys.executable, "-I", str(script))
    jobs = BacktestJobs(tmp_path / "backtests", command, dict(os.environ), lambda: 5)
    yield jobs
    await jobs.close()


@pytest.fixture
async def tested(tmp_path: Path, desk: BacktestJobs) -> AsyncIterator[Site]:
    async with open_site(tmp_path, desks=Desks(backtests=desk)) as opened:
        yield opened


async def ask(site: Site, status: int = 202, **fields: Any) -> dict[str, Any]:
    body = {"book": BOOK, **fields}
    answer = await site.client.post("/v1/backtests", json=body, headers=site.key("rules"))
    assert answer.status_code == status, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def until(site: Site, job_id: str, *states: str, records: int = 0) -> dict[str, Any]:
    key = site.key("rules")
    for _ in range(400):
        told = (await site.client.get(f"/v1/backtests/{job_id}", headers=key)).json()
        if told["job"]["state"] in states and told["job"]["progress"]["records"] >= records:
            return dict(told)
        await asyncio.sleep(0.05)
    raise AssertionError(told)


async def test_a_back_test_ends_with_its_report(tested: Site) -> None:
    wanted: dict[str, Any] = {
        "from": "2026-01-01T00:00:00Z", "capacity": 20, "closed_loop": True, "archive": True,
        "policy": {"review_at": 0.2},
    }  # fmt: skip
    asked = await ask(tested, **wanted)
    job = asked["job"]
    assert (job["state"], job["book"], job["asked_by"]) == ("queued", "Starter book", "test")
    done = await until(tested, job["id"], "done")
    arguments = done["report"]["arguments"]
    assert "--from=2026-01-01T00:00:00Z" in arguments
    assert {"--capacity=20.0", "--closed-loop", "--archive", "--policy"} < set(arguments)
    assert Path(arguments[0]).read_text().startswith("format: 1")
    assert done["job"]["progress"] == {"records": 3, "total": 10}


async def test_a_report_that_names_untested_rules_is_a_report(tested: Site) -> None:
    job = (await ask(tested, model="partly"))["job"]
    assert "report" in await until(tested, job["id"], "done")


async def test_what_stopped_a_back_test_is_told(tested: Site) -> None:
    job = (await ask(tested, model="bad"))["job"]
    failed = await until(tested, job["id"], "failed")
    assert failed["job"]["error"] == "BAD_BOOK: rule one: unknown name x"
    assert "report" not in failed


@pytest.mark.parametrize("model", ["slow", "deaf"])
async def test_a_running_one_is_cancelled_and_the_next_begins(tested: Site, model: str) -> None:
    first = (await ask(tested, model=model))["job"]["id"]
    second = (await ask(tested))["job"]["id"]
    third = (await ask(tested))["job"]["id"]
    running = await until(tested, first, "running", records=3 + (model == "deaf"))
    assert running["job"]["progress"]["total"] == 10
    assert (await until(tested, second, "queued"))["job"]["state"] == "queued"
    key = tested.key("rules")
    for job_id in (third, first):
        assert (await tested.client.delete(f"/v1/backtests/{job_id}", headers=key)).is_success
    assert (await until(tested, first, "cancelled"))["job"]["error"] == ""
    assert "report" not in await until(tested, third, "cancelled")
    await until(tested, second, "done")
    # One that has ended stays as it is.
    again = await tested.client.delete(f"/v1/backtests/{second}", headers=key)
    assert again.json()["job"]["state"] == "done"
    told = (await tested.client.get("/v1/backtests", headers=key)).json()["jobs"]
    assert [one["id"] for one in told] == [third, second, first]


async def test_the_queue_is_bounded(tested: Site) -> None:
    await ask(tested, model="slow")
    await asyncio.sleep(0)
    for _ in range(WAITING_MAX):
        await ask(tested)
    assert (await ask(tested, 429))["code"] == "BACKTESTS_WAITING"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"book": "format: 1\nname: x\nrulez: []"}, "BAD_BOOK"),
        ({"book": {"name": "x"}}, "BAD_BOOK"),
        ({"speed": 1}, "WRONG_TYPE"),
        ({"label_delay_days": "ten"}, "WRONG_TYPE"),
        ({"policy": {"review_at": "high"}}, "WRONG_TYPE"),
        ({"policy": {"review_at": 0.9, "block_at": 0.1}}, "WRONG_TYPE"),
        ({"model": "a\nb"}, "WRONG_TYPE"),
        ({"from": "yesterday"}, "WRONG_TYPE"),
        ({"capacity": -4}, "WRONG_TYPE"),
        ({"label_delay_days": -1}, "WRONG_TYPE"),
    ],
)
async def test_bad_input_is_named(tested: Site, fields: dict[str, Any], code: str) -> None:
    assert (await ask(tested, 422, **fields))["code"] == code


async def test_who_may_and_what_is_not_there(tested: Site, site: Site) -> None:
    body = {"book": BOOK}
    refused = await tested.client.post("/v1/backtests", json=body, headers=tested.key("read"))
    assert refused.status_code == 403
    for method in ("GET", "DELETE"):
        answer = await tested.client.request(
            method, "/v1/backtests/none", headers=tested.key("rules")
        )
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    away = await site.client.post("/v1/backtests", json=body, headers=site.key("rules"))
    assert away.status_code == 503


async def test_a_process_that_cannot_start_is_told(tmp_path: Path) -> None:
    jobs = BacktestJobs(tmp_path, (str(tmp_path / "no_program"),), {}, lambda: 5)
    job = jobs.ask(("b", BOOK), [], "ann")
    for _ in range(100):
        if jobs.job(job.id).state == "failed":
            break
        await asyncio.sleep(0.02)
    assert jobs.job(job.id).error == "OS_ERROR: No such file or directory"
    await jobs.close()


def test_a_job_ends_on_the_loop_that_the_api_runs_on(tmp_path: Path) -> None:
    async def run() -> str:
        jobs = BacktestJobs(tmp_path, (sys.executable, "-c", "raise SystemExit(0)"), {}, lambda: 5)
        job = jobs.ask(("b", BOOK), [], "ann")
        for _ in range(500):
            if jobs.job(job.id).state not in ("queued", "running"):
                break
            await asyncio.sleep(0.02)
        state = jobs.job(job.id).state
        await jobs.close()
        return state

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(run()) == "done"


async def test_old_jobs_go_with_their_files(tmp_path: Path) -> None:
    jobs = BacktestJobs(tmp_path, (str(tmp_path / "no_program"),), {}, lambda: 5)
    for _ in range(KEPT_MAX + 3):
        job = jobs.ask(("b", BOOK), [], "ann")
        while jobs.job(job.id).state != "failed":
            await asyncio.sleep(0.002)
    assert len(jobs.all()) == KEPT_MAX
    assert len(list(tmp_path.iterdir())) == KEPT_MAX
    await jobs.close()
