"""`weir scenarios`: the list and its report, and pages written where they are asked for."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from risk.cli.__main__ import build_app
from risk.simulator.scenarios import SCENARIOS


def _run(*arguments: str) -> str:
    result = CliRunner().invoke(build_app(), ["scenarios", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_the_list_names_every_scenario(tmp_path: Path) -> None:
    report = tmp_path / "scenarios.json"
    shown = _run("list", "--report", str(report))
    found = json.loads(report.read_text())["scenarios"]
    assert [each["name"] for each in found] == [scenario.name for scenario in SCENARIOS]
    assert found[0]["parameters"]["cards_min"] == {
        "default": 5,
        "unit": "cards",
        "meaning": "Fewest cards that one tester tries.",
    }
    assert 0 < found[0]["known_share"] < 1
    assert "structuring" in shown


def test_pages_are_written_without_pictures_where_asked(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    folder = tmp_path / "pages"
    said = _run("pages", "--no-pictures", "--out", str(folder), "--report", str(report))
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(["README.md", *(f"{scenario.name}.md" for scenario in SCENARIOS)])
    assert json.loads(report.read_text()) == {"pages": names, "pictures": []}
    assert (folder / "structuring.md").read_text().startswith("# Structuring under a threshold\n")
    assert "11 pages and 0 pictures" in said
