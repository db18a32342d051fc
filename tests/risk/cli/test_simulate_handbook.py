"""``weir simulate --world handbook``: a file, its report, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer import Typer
from typer.testing import CliRunner

from risk.cli.simulate import register
from risk.domain.errors import BadConfiguration
from risk.simulator.handbook import HandbookWorld

SMALL = ("--seed", "7", "--days", "30", "--accounts", "60")


def simulate(*words: str) -> None:
    """Run the command; raises what it raised."""
    app = Typer()
    register(app)
    app.command("other")(lambda: None)  # a single command would take no name
    result = CliRunner().invoke(app, ["simulate", "--world", "handbook", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output


def report_of(tmp_path: Path, out: str) -> dict[str, Any]:
    report = tmp_path / "report.json"
    simulate(*SMALL, "--out", str(tmp_path / out), "--report", str(report))
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def test_parquet_has_the_world_and_its_truth(tmp_path: Path) -> None:
    found = report_of(tmp_path, "world.parquet")
    world = HandbookWorld(7, days=30, customers=60)
    table = world.table()
    told = found["handbook"]
    assert told["payments"] == found["payments"] == len(table)
    assert told["frauds"] == found["frauds"] == int(table.fraud.sum())
    assert found["events"] == len(table) + told["frauds"]
    assert set(told["by_scenario"]) == {"large_amount", "bad_terminal", "leaked_customer"}
    assert {"expected_payments", "fraud_share", "expected_fraud_share"} <= set(told)
    rows = pq.read_table(tmp_path / "world.parquet").to_pylist()
    payments = [row for row in rows if row["type"] == "payment"]
    assert [row["amount_minor"] for row in payments] == table.amount_minor.tolist()
    assert [row["fraud"] for row in payments] == table.fraud.tolist()
    assert [row["scenario"] for row in payments] == [
        world.truth.scenario(row["id"]) for row in payments
    ]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_lines_tell_the_same(tmp_path: Path) -> None:
    as_lines, as_columns = report_of(tmp_path, "w.jsonl"), report_of(tmp_path, "w.parquet")
    for key in ("events", "by_type", "payments", "frauds", "scenarios", "handbook", "start"):
        assert as_lines[key] == as_columns[key]
    assert (tmp_path / "w.jsonl").read_bytes().count(b"\n") == as_lines["events"]
    assert (tmp_path / "w.jsonl.truth.jsonl").read_bytes().count(b"\n") == as_lines["frauds"]


@pytest.mark.parametrize(
    "words, says",
    [
        (("--tempo", "2"), "--tempo"),
        (("--days", "1.5"), "whole days"),
        (("--accounts", "2"), "at least 3 customers"),
        (("--accounts", "4000000"), "customers times days"),
        (("--start", "2018-04-01T01:00:00Z"), "midnight"),
        (("--days", "40000"), "2099"),
    ],
)
def test_what_the_law_cannot_draw_is_refused(
    tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    with pytest.raises(BadConfiguration, match=says):
        simulate(*words, "--out", str(tmp_path / "world.parquet"))
    assert not list(tmp_path.iterdir())
