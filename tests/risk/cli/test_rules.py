"""`weir rules` through the real command line: answers, reports, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from risk.cli.rules import register
from risk.domain.errors import BadBook, BadConfiguration
from risk.rules.book_file import STARTER_BOOK, read_book


RULES = len(read_book(STARTER_BOOK).rules)


def run(*words: str) -> tuple[int, str]:
    """Exit code and output; errors of ours are raised, as the command line's door gets them."""
    app = typer.Typer()
    register(app)
    result = CliRunner().invoke(app, ["rules", *words])
    if isinstance(result.exception, BadBook | BadConfiguration):
        raise result.exception
    return result.exit_code, result.output


@pytest.fixture
def bad_book(tmp_path: Path) -> Path:
    path = tmp_path / "bad.yaml"
    text = STARTER_BOOK.read_text()
    path.write_text(text.replace("device_accounts_24h >= 4", "device_acounts_24h >= 4"))
    return path


def test_check_accepts_the_starter_book(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    code, output = run("check", str(STARTER_BOOK), "--report", str(report))
    assert code == 0
    assert f"{RULES} rules, no problems" in output
    found = json.loads(report.read_text())
    assert set(found) == {"book", "digest", "rules", "problems", "windows"}
    assert found["rules"] == RULES


def test_check_names_every_problem_and_still_reports(bad_book: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    with pytest.raises(BadBook, match="did you mean device_accounts_24h"):
        run("check", str(bad_book), "--report", str(report))
    assert len(json.loads(report.read_text())["problems"]) == 1


def test_test_runs_the_examples(bad_book: Path) -> None:
    code, output = run("test", str(STARTER_BOOK))
    assert code == 0
    assert output.count("ok  ") == RULES
    code, output = run("test", str(bad_book))
    assert code == 1
    assert "FAIL device_many_accounts" in output


def test_list_and_show(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    code, output = run("list", "--report", str(report))
    assert code == 0
    assert "card_testing" in output
    assert len(json.loads(report.read_text())["rules"]) == RULES
    code, output = run("show", "card_testing", "--book", str(STARTER_BOOK))
    assert code == 0
    assert output.startswith("- id: card_testing")


@pytest.mark.parametrize(
    ("name", "line"), [("card_testin", "did you mean card_testing"), ("zzz", "no rule zzz in")]
)
def test_show_suggests_the_nearest_rule(name: str, line: str) -> None:
    with pytest.raises(BadConfiguration, match=line):
        run("show", name)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadBook, match="cannot be read"):
        run("check", str(tmp_path / "none.yaml"))
