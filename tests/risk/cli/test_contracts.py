"""``weir contracts``: written once, and a difference is a failure."""

from __future__ import annotations

import json
from pathlib import Path

from typer import Typer
from typer.testing import CliRunner

from risk.cli.contracts import register


def weir(*words: str) -> tuple[int, str]:
    app = Typer()
    register(app)
    result = CliRunner().invoke(app, ["contracts", *words])
    return result.exit_code, result.output


def test_write_then_check(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    folder = tmp_path / "reference"
    assert weir("check", "--folder", str(folder))[0] == 1
    assert weir("write", "--folder", str(folder)) == (0, "5 contracts, 5 written\n")
    assert weir("check", "--folder", str(folder))[0] == 0
    (folder / "openapi.json").write_text("{}")
    code, output = weir("check", "--folder", str(folder), "--report", str(report))
    assert code == 1
    assert "openapi.json" in output
    told = json.loads(report.read_text())
    assert (told["ok"], told["differing"], len(told["files"])) == (False, ["openapi.json"], 5)
    assert weir("write", "--folder", str(folder)) == (0, "5 contracts, 1 written\n")
