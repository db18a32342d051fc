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
from risk.cli.models import register
from risk.domain.decoding import canonical
from risk.domain.errors import BadConfiguration, BadModel
from risk.simulator.world import World
from streams.importer.dataset import Progress, dataset_folder, open_dataset
from tests.support.small_model import START_MS, small_bundle

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


def write_dataset(home: Path, name: str) -> None:
    """A simulated history as imported payments, in two chunks."""
    events = [canonical(event) for event in World(6, 300, START_MS, fraud_share=0.03).events(12.0)]
    middle = len(events) // 2
    with open_dataset(dataset_folder(home, name)) as writer:
        progress = writer.begin(Progress(id="1", kind="payments", file="x", mapping_digest=""))
        writer.commit(progress, events[:middle], b"")
        progress.complete = True
        writer.commit(progress, events[middle:], b"")
        writer.write_manifest()


def test_a_model_is_trained_on_imported_payments(
    console: Console, tmp_path: Path, mlflow_url: str
) -> None:
    write_dataset(tmp_path, "mine")
    output, report = console.run("train", "--dataset", "mine", "--label-delay-days", "1.5")
    name = model_name("a-model-is-trained-on-imported-payments"[:32])
    assert f"{name} version 1 is champion: AUC" in output
    assert report["metrics"]["auc"] > 0.6
    assert report["parameters"]["source"].startswith("data set mine (")
    assert set(report) == {
        "name", "version", "alias", "bundle", "model", "calibration", "catalogue", "metrics",
        "parameters", "seconds",
    }  # fmt: skip
    (registered,) = Registry(mlflow_url, name).versions()
    assert (registered.bundle, registered.aliases) == (report["bundle"], ("champion",))


def test_versions_are_listed_shown_and_promoted(console: Console, mlflow_url: str) -> None:
    assert "No model is registered" in console.run("list")[0]
    registry = Registry(mlflow_url, model_name("versions-are-listed-shown-and-pr"))
    registry.publish(small_bundle(1), {"seed": "1"})
    registry.publish(small_bundle(2), {"seed": "2"}, alias="challenger")
    output, report = console.run("list")
    assert "champion" in output
    assert "challenger" in output
    assert [known["version"] for known in report["versions"]] == ["2", "1"]
    output, report = console.run("show", "2")
    assert "# Risk of payments" in output
    assert report["model"] == small_bundle(2).model_digest
    assert report["metrics"] == pytest.approx(small_bundle(2).metrics())
    output, report = console.run("promote", "2")
    assert "version 1 -> 2" in output
    assert (report["before"], report["version"], report["alias"]) == ("1", "2", "champion")
    assert registry.version("2").aliases == ("challenger", "champion")
    assert console.run("promote", "1", "--alias", "shadow")[1]["before"] is None


def test_what_is_not_there_is_named(console: Console) -> None:
    with pytest.raises(BadModel, match="has no version 9"):
        console.run("show", "9")
    with pytest.raises(BadModel, match="see `weir models list`"):
        console.run("promote", "9")
    with pytest.raises(BadConfiguration, match="no data set 'absent'"):
        console.run("train", "--dataset", "absent")
