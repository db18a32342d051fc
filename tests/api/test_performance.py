"""Rule performance over HTTP: made beside, kept, made anew, and what fails is told."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from api.desks import Desks
from risk.books.performance_desk import FRESH_MS, WAITING_MAX, Asked, PerformanceDesk
from risk.books.performance_report import Report, RuleFigures, VersionFigures, encode_report
from risk.observability.metrics import Metrics
from tests.support.http import Site, open_site

# Stands in for `weir rules performance`: what it does is told by --from.
SCRIPT = """
import pathlib, sys, time
options = dict(a.split("=", 1) for a in sys.argv[1:] if "=" in a)
begin = options.get("--from", "")
if begin.startswith("2001"):
    time.sleep(60)
if begin.startswith("2002"):
    print("BAD_CONFIGURATION: nothing was decided", file=sys.stderr)
    sys.exit(2)
with open(sys.argv[1] + ".runs", "a") as runs:
    runs.write("x")
report = pathlib.Path(sys.argv[sys.argv.index("--report") + 1])
report.write_bytes(pathlib.Path(sys.argv[1]).read_bytes())
sys.exit(4 if begin.startswith("2004") else 0)
"""


def figures(rule: str, hits: int) -> RuleFigures:
    counts = dict.fromkeys(
        ("acting_hits", "unknown", "failures", "alone", "accounts", "mature", "fraud", "good",
         "amount_minor", "fraud_minor", "good_minor", "fraud_stopped", "good_stopped",
         "fraud_stopped_minor", "good_stopped_minor"), 0,
    )  # fmt: skip
    return RuleFigures(
        rule=rule, state="live", action="review", owner="ana", hits=hits, immature_share=None,
        precision=0.25, recall=None, last_hit_at=None, cost_us=0.5, windows_us=0.0, overlap={},
        versions=["d"], **counts,
    )  # fmt: skip


def made() -> bytes:
    rules = [figures(f"rule_{number:03}", number) for number in range(300)]
    version = VersionFigures(
        book="b", digest="d", payments=9, mature=0, frauds=0, first_decided_at="", rules=rules,
        last_decided_at="",
    )  # fmt: skip
    return encode_report(Report(
        source="topics", world="live", from_ms=0, to_ms=1, labels_as_of_ms=0, payments=9,
        label_delay_days=10, base_currency="EUR", left_out={}, mature=0, immature_share=1.0,
        frauds=0, recomputed=9, differing=0, first_differing="", missing=[], rules=rules,
        versions=[version], findings=[],
    ))  # fmt: skip


class Clock:
    def __init__(self) -> None:
        self.ms = 10_000_000

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def desk(tmp_path: Path, clock: Callable[[], int]) -> AsyncIterator[PerformanceDesk]:
    (tmp_path / "stand_in.py").write_text(SCRIPT)
    (tmp_path / "report.json").write_bytes(made())
    command = (sys.executable, "-I", str(tmp_path / "stand_in.py"), str(tmp_path / "report.json"))
    opened = PerformanceDesk(command, dict(os.environ), clock, Metrics())
    yield opened
    await opened.close()


@pytest.fixture
async def site(tmp_path: Path, desk: PerformanceDesk) -> AsyncIterator[Site]:
    async with open_site(tmp_path, desks=Desks(performance=desk)) as opened:
        yield opened


async def ask(site: Site, query: str = "", scope: str = "rules") -> tuple[int, dict[str, Any]]:
    path = f"/v1/rules/performance{query}"
    answer = await site.client.get(path, headers=site.key(scope))
    told: dict[str, Any] = answer.json()
    if answer.status_code == 202:
        assert int(answer.headers["retry-after"]) > 0
    return answer.status_code, told


async def until(site: Site, query: str = "") -> dict[str, Any]:
    for _ in range(400):
        status, told = await ask(site, query)
        if status != 202 and not told["refreshing"]:
            return told
        await asyncio.sleep(0.02)
    raise AssertionError(told)


async def test_a_report_is_made_beside_and_kept(site: Site, clock: Clock, tmp_path: Path) -> None:
    status, told = await ask(site)
    assert (status, told["state"], told["refreshing"], "report" in told) == (
        202, "computing", True, False,
    )  # fmt: skip
    told = await until(site)
    assert (told["state"], told["report"]["kind"]) == ("ready", "rule performance")
    assert told["computed_at_ms"] == clock.ms
    for _ in range(3):
        assert (await ask(site))[1]["refreshing"] is False
    assert (tmp_path / "report.json.runs").read_text() == "x"
    clock.ms += FRESH_MS
    status, stale = await ask(site)
    assert (status, stale["refreshing"], stale["report"]["payments"]) == (200, True, 9)
    assert (await until(site))["computed_at_ms"] == clock.ms
    assert (tmp_path / "report.json.runs").read_text() == "xx"


async def test_the_rules_with_the_most_hits_become_metrics(
    site: Site, desk: PerformanceDesk
) -> None:
    await until(site)
    metrics = desk._metrics
    assert metrics is not None
    assert metrics.value("weir_rule_reported_hits", rule="rule_299") == 299
    assert metrics.value("weir_rule_precision", rule="rule_299") == 0.25
    assert metrics.value("weir_rule_cost_seconds", rule="rule_299") == 0.5e-6
    assert metrics.render().count(b"weir_rule_reported_hits{") == 200


async def test_what_fails_is_told(site: Site) -> None:
    told = await until(site, "?from=2002-01-01T00:00:00Z")
    assert (told["state"], "report" in told) == ("failed", False)
    assert "nothing was decided" in told["error"]
    partly = await until(site, "?from=2004-01-01T00:00:00Z&archive=true")
    assert partly["state"] == "ready"


async def test_bad_input_and_too_many_are_refused(site: Site, desk: PerformanceDesk) -> None:
    status, told = await ask(site, "?from=yesterday")
    assert (status, told["code"], "from" in told["detail"]) == (422, "INVALID_QUERY", True)
    assert (await ask(site, "?label_delay_days=-1"))[0] == 422
    assert (await ask(site, scope="read"))[0] == 403
    for day in range(WAITING_MAX):
        assert (await ask(site, f"?from=2001-01-0{day + 1}T00:00:00Z"))[0] == 202
    status, told = await ask(site, "?from=2001-02-01T00:00:00Z")
    assert (status, told["code"]) == (429, "REPORTS_WAITING")
    assert desk.ask(Asked("2001-01-01T00:00:00Z")).refreshing


async def test_a_process_without_the_desk_says_so(tmp_path: Path) -> None:
    async with open_site(tmp_path) as bare:
        status, told = await ask(bare)
    assert (status, told["code"]) == (503, "UNAVAILABLE")
