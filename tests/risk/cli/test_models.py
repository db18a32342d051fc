"""`weir models` through the real command line, on a real MLflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from models.names import model_name
from models.registry import Registry
from models.signature import ModelKeys
from risk.cli.models import register
from risk.domain.errors import BadModel
from tests.support.small_model import small_bundle

pytestmark = pytest.mark.services


class Console:
    """The command line in a world of its own."""

    def __init__(self, mlflow: str, home: Path, world: str) -> None:
        self._environment = {"WEIR_MLFLOW": mlflow, "WEIR_HOME": str(home), "WEIR_WORLD": world}
        self._report = home / "report.json"

    def run(self, *words: str) -> tuple[str, Any]:
        """Output and report; errors of ours are raised, as the command line's door gets them."""
        app = typer.Typer()
        register(app)
        arguments = ["models", *words, "--report", str(self._report)]
        result = CliRunner().invoke(app, arguments, env=self._environment)
        if result.exception is not None:
            raise result.exception
        assert result.exit_code == 0
        return result.output, json.loads(self._report.read_text())


@pytest.fixture
def console(mlflow_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Console:
    world = str(request.node.name).removeprefix("test_").replace("_", "-")[:32]
    return Console(mlflow_url, tmp_path, world)


def test_a_model_goes_from_draft_to_shadow_to_live_and_back(
    console: Console, mlflow_url: str, tmp_path: Path
) -> None:
    assert "No model is registered" in console.run("list")[0]
    keys = ModelKeys(tmp_path / "keys")
    name = model_name("a-model-goes-from-draft-to-shado")
    registry = Registry(mlflow_url, name, keys)
    for seed in (1, 2):
        registry.publish(small_bundle(seed), {"seed": str(seed)}, alias=None)
    # Without a champion there is nothing to guard.
    report = console.run("promote", "1", "--by", "ann")[1]
    assert (report["before"], report["guardrails"], report["passed"]) == (None, None, True)
    assert console.run("shadow", "2")[1]["alias"] == "challenger"
    output, report = console.run("list")
    assert [known["state"] for known in report["versions"]] == ["shadow", "live"]
    # Nothing was scored by both: refused, and the report says by what.
    with pytest.raises(BadModel, match="version 2 is not promoted: evidence: 0, limit 1000"):
        console.run("promote", "2")
    refused = json.loads((tmp_path / "report.json").read_text())
    assert (refused["passed"], refused["before"]) == (False, "1")
    assert registry.version("1").state == "live"
    with pytest.raises(BadModel, match="8 to 500 characters"):
        console.run("promote", "2", "--override", "why not")
    output, report = console.run("promote", "2", "--override", "the rehearsal needs it")
    assert "version 1 -> 2" in output
    assert report["overridden"] == ["evidence: 0, limit 1000 payments"]
    assert [known.state for known in registry.versions()] == ["live", "retired"]
    report = console.run("rollback", "--reason", "the rehearsal is over", "--by", "bob")[1]
    assert (report["version"], report["before"], report["by"]) == ("1", "2", "bob")
    output, report = console.run("show", "2")
    assert "# Risk of payments" in output
    assert report["model"] == small_bundle(2).model_digest
    assert [one["action"] for one in report["changes"]] == ["shadow", "promote", "rollback"]
    assert report["changes"][1]["overridden"] == ["evidence: 0, limit 1000 payments"]
    with pytest.raises(BadModel, match="version 1 is the champion"):
        console.run("retire", "1")
    with pytest.raises(BadModel, match=r"no version of .* is challenger"):
        console.run("compare")
    console.run("shadow", "2")
    assert console.run("compare")[1]["payments"] == 0
    console.run("retire", "2", "--reason", "not needed")
    assert [known.state for known in registry.versions()] == ["retired", "live"]


def test_what_may_not_serve_is_neither_promoted_nor_shadowed(
    console: Console, mlflow_url: str
) -> None:
    registry = Registry(mlflow_url, model_name("what-may-not-serve-is-neither-pr"))
    registry.publish(small_bundle(1), {}, alias=None)
    for command in ("promote", "shadow"):
        with pytest.raises(BadModel, match="has no signature"):
            console.run(command, "1", *(("--override", "let me in please") * (command[0] == "p")))
    assert registry.version("1").state == "draft"


def test_what_is_not_there_is_named(console: Console) -> None:
    with pytest.raises(BadModel, match="has no version 9"):
        console.run("show", "9")
    with pytest.raises(BadModel, match="see `weir models list`"):
        console.run("promote", "9")
    with pytest.raises(BadModel, match=r"no version of .* is live"):
        console.run("rollback", "--reason", "nothing is live")
