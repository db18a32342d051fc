"""`weir features`: the table, one feature, the report, and the reference page in step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from features.catalogue import FEATURE_NAMES, catalogue_digest
from features.reference import markdown
from risk.cli import features
from risk.domain.errors import BadConfiguration

ROOT = Path(__file__).parents[3]


def _run(*arguments: str) -> str:
    app = typer.Typer()
    features.register(app)
    done = CliRunner().invoke(
        app, ["features", *arguments], catch_exceptions=False, env={"COLUMNS": "200"}
    )
    assert done.exit_code == 0, done.output
    return done.output


def test_list_shows_every_feature_and_reports_them(tmp_path: Path) -> None:
    report = tmp_path / "features.json"
    shown = _run("list", "--report", str(report))
    assert all(name in shown for name in FEATURE_NAMES)
    content = json.loads(report.read_text())
    assert content["digest"] == catalogue_digest()
    assert [one["name"] for one in content["features"]] == list(FEATURE_NAMES)


def test_list_can_be_cut_to_one_entity() -> None:
    shown = _run("list", "--entity", "ip")
    assert "ip_cards_1h" in shown
    assert "card_payments_1h" not in shown
    with pytest.raises(BadConfiguration, match="--entity planet: choose one of account, card"):
        _run("list", "--entity", "planet")


def test_show_tells_everything_of_one(tmp_path: Path) -> None:
    report = tmp_path / "feature.json"
    shown = _run("show", "card_amount_zscore_30d", "--report", str(report))
    assert "standard deviations" in shown
    assert "divide(subtract(fact(amount, missing -1)" in shown
    assert json.loads(report.read_text())["version"] == 1


def test_an_unknown_feature_gets_a_suggestion() -> None:
    with pytest.raises(BadConfiguration, match=r"did you mean .*card_payments_5m"):
        _run("show", "card_payment_5m")


def test_the_reference_page_is_in_step() -> None:
    page = ROOT / "docs" / "reference" / "features.md"
    assert page.read_text() == markdown(), "run: weir features list --markdown"
    assert _run("list", "--markdown") == markdown()


def test_distribution_is_told_of_a_small_world(tmp_path: Path) -> None:
    report = tmp_path / "spread.json"
    arguments = ("distribution", "--accounts", "10", "--days", "3", "--report", str(report))
    shown = _run(*arguments)
    assert "payment_amount" in shown
    content = json.loads(report.read_text())
    assert content["digest"] == catalogue_digest()
    assert [one["name"] for one in content["features"]] == list(FEATURE_NAMES)
    assert content["payments"] > content["frauds"] >= 0
    assert _run(*arguments, "--markdown").startswith("# Distributions of the features")
