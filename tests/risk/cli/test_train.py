"""`weir train`, `evaluate`, `scores` and `thresholds` on a real MLflow, against the real engine."""

from __future__ import annotations

import asyncio
import json
import resource
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from features.catalogue import FEATURE_NAMES
from features.local_memory import LocalMemory
from features.local_truth import LocalPublisher, LocalTruth
from features.vectors import vectors
from models.measures import NAMES
from models.names import model_name
from models.registry import Registry
from risk.bootstrap import new_judgement
from risk.cli import drift, retrain
from risk.cli.train import register
from risk.cli.train_job import model_of
from risk.domain.base_amount import amount_in_base
from risk.domain.clock import Deadline, SystemClock
from risk.domain.decision import decode_decision
from risk.domain.decoding import canonical, decode_event
from risk.domain.errors import BadConfiguration, BadModel, Unavailable
from risk.domain.event import AnyEvent, is_scored
from risk.domain.observation import Arrival
from risk.engine import Engine
from risk.observability.metrics import Metrics
from risk.settings import Settings
from risk.simulator.world import World
from risk.tables.load import exchange_rates
from streams.importer.dataset import Progress, dataset_folder, open_dataset, read_manifest
from streams.importer.merge import ordered
from tests.support.small_model import START_MS

pytestmark = pytest.mark.services
PAST = ("--dataset", "past")
DELAY = ("--label-delay-days", "5")
RATES = exchange_rates(None, "EUR")


class Console:
    """The command line in a world of its own."""

    def __init__(self, mlflow: str, home: Path, world: str) -> None:
        self.environment = {"WEIR_MLFLOW": mlflow, "WEIR_HOME": str(home), "WEIR_WORLD": world}
        self.home, self.world = home, world

    def run(self, *words: str) -> Any:
        """The report; errors of ours are raised, as the command line's door gets them."""
        app = typer.Typer()
        for each in (register, drift.register, retrain.register):
            each(app)
        report = self.home / "report.json"
        result = CliRunner().invoke(app, [*words, "--report", str(report)], env=self.environment)
        if result.exception is not None:
            raise result.exception
        assert result.exit_code == 0
        return json.loads(report.read_text())


@pytest.fixture(scope="module")
def console(mlflow_url: str, tmp_path_factory: pytest.TempPathFactory) -> Console:
    home = tmp_path_factory.mktemp("train")
    world = World(6, 120, START_MS, fraud_share=0.03)
    with open_dataset(dataset_folder(home, "past")) as writer:
        progress = writer.begin(Progress(id="1", kind="payments", file="x", mapping_digest=""))
        progress.complete = True
        writer.commit(progress, [canonical(event) for event in world.events(26.0)], b"")
        writer.write_manifest()
    return Console(mlflow_url, home, "train-cli")


@pytest.fixture(scope="module")
def trained(console: Console) -> dict[str, Any]:
    found: dict[str, Any] = console.run("train", *PAST, *DELAY, "--no-tune", "--alias", "champion")
    return found


def test_a_training_is_logged_whole(
    console: Console, trained: dict[str, Any], mlflow_url: str
) -> None:
    import mlflow

    assert {"run_id", "model_digest", "seconds", "rss_mb", "comparison"} <= set(trained)
    rows = {row["model"]: row for row in trained["comparison"]}
    assert {"weir", "rule_set", "logistic_regression", "random_forest", "histogram_boosting",
            "isolation_forest"} == set(rows)  # fmt: skip
    assert all({"auc_roc", "average_precision", "seconds"} <= set(row) for row in rows.values())
    assert trained["tuning"] is None
    client = mlflow.MlflowClient(tracking_uri=mlflow_url)
    run = client.get_run(trained["run_id"]).data
    assert run.params["calibration"] in ("platt", "beta", "isotonic")
    assert {"auc_roc", "auc_roc_low", "seconds", "rss_mb", "random_forest.auc_roc"} <= set(
        run.metrics
    )
    top = {file.path for file in client.list_artifacts(trained["run_id"])}
    assert {"data.json", "segments.json", "comparison.json", "thresholds.json", "model"} <= top
    pictures = {file.path for file in client.list_artifacts(trained["run_id"], "plots")}
    assert "plots/importance_shap.svg" in pictures


def test_a_model_is_measured_with_intervals(console: Console, trained: dict[str, Any]) -> None:
    found = console.run("evaluate", *PAST, *DELAY)
    assert found["model_digest"] == trained["model_digest"]
    assert found["n"] > 1_000
    assert found["frauds"] > 0
    assert 0.0 <= found["immature_share"] < 1.0
    for name in NAMES:
        assert set(found[name]) == {"value", "low", "high"}
    assert found["auc_roc"]["low"] <= found["auc_roc"]["value"] <= found["auc_roc"]["high"]
    assert found["scenarios"] is None  # nobody knows the truth of imported payments


def test_thresholds_come_from_money(console: Console, trained: dict[str, Any]) -> None:
    assert trained["thresholds"]
    costs = console.home / "costs.json"
    costs.write_text('{"policy": {"review_minor": 1}, "capacity": {"reviewers": 0}}')
    words = ("thresholds", *PAST, *DELAY)
    found = console.run(*words, "--costs", str(costs), "--by", "amount")
    assert found["capacity_a_day"] == 0.0
    assert found["policy"]["review_minor"] == 1
    assert found["chosen"][0]["segment"] == "all"
    assert len(found["curve"]) > 20
    costs.write_text('{"policy": {"review_minutes": 1}}')
    with pytest.raises(BadConfiguration, match="review_minutes"):
        console.run(*words, "--costs", str(costs))
    with pytest.raises(BadConfiguration, match="use one of account, amount"):
        console.run(*words, "--by", "weather")


def as_received(event: AnyEvent) -> Arrival:
    """The event from its bytes, as the stream door makes it."""
    checked, body, fingerprint = decode_event(canonical(event).body)
    at_ms = checked.occurred_at_ms
    return Arrival(checked, body, fingerprint, "stream", at_ms, amount_in_base(checked, RATES))


def served(console: Console) -> dict[str, float]:
    """What the engine decides for the same payments, with the registered model."""
    settings = Settings(
        mlflow=console.environment["WEIR_MLFLOW"], home=console.home, world=console.world
    )
    judgement = new_judgement(RATES)
    held = judgement.versions
    scorer = model_of(settings, "champion", "test")
    judgement.versions = judgement.constants.versions(scorer, held.rules, held.policy)
    engine = Engine(LocalMemory(vectors), judgement, LocalPublisher(LocalTruth()), Metrics())
    folder = dataset_folder(console.home, "past")
    arrivals = [as_received(one.event) for one in ordered(folder, read_manifest(folder))]
    scores: dict[str, float] = {}

    async def decide() -> None:
        for start in range(0, len(arrivals), 64):
            some = arrivals[start : start + 64]
            verdicts = await engine.handle(some, Deadline(SystemClock(), 60_000))
            for one, verdict in zip(some, verdicts, strict=True):
                if is_scored(one.event):
                    decision = decode_decision(verdict.body)
                    assert decision.score is not None
                    scores[decision.payment_id] = decision.score

    asyncio.run(decide())
    return scores


def test_scores_are_those_that_the_engine_serves(
    console: Console, trained: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "scores.parquet"
    found = console.run("scores", *PAST, "--out", str(out))
    table = pq.read_table(out)
    assert table.column_names == ["payment_id", "score"]
    assert found["rows"] == table.num_rows
    assert found["model_digest"] == trained["model_digest"]
    written = dict(zip(*(column.to_pylist() for column in table.columns), strict=True))
    assert written == served(console)


def test_bad_input_is_named_and_the_live_model_stays(
    console: Console, trained: dict[str, Any]
) -> None:
    for words, says in (
        (("train",), "either --dataset or --world"),
        (("train", "--dataset", "nothing-here"), "no data set 'nothing-here'"),
        (("train", *PAST, "--label-delay-days", "9"), "too few"),
        (("train", *PAST, "--protocol", "one"), "--dataset handbook"),
        (("train", "--dataset", "handbook", "--protocol", "two"), "one, folds, choice"),
        (("train", *PAST, "--alias", "champion"), "weir models promote VERSION"),
        (("evaluate", *PAST, "--to", "1999-01-01T00:00:00Z"), "--to"),
    ):
        with pytest.raises(BadConfiguration, match=says):
            console.run(*words)
    with pytest.raises(BadModel, match=r"no version of .* is nobody"):
        console.run("evaluate", *PAST, *DELAY, "--model", "nobody")
    registry = Registry(console.environment["WEIR_MLFLOW"], model_name(console.world))
    (version,) = registry.versions()
    assert version.model == trained["model_digest"]
    assert version.aliases == ("champion",)


def test_a_full_disk_is_said_and_the_live_model_stays(
    console: Console, trained: dict[str, Any]
) -> None:
    registry = Registry(console.environment["WEIR_MLFLOW"], model_name(console.world))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A set in a folder of its own must be written, and no file may grow beyond this.
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            console.run("train", *PAST, "--label-delay-days", "4", "--no-tune", "--no-compare")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    (version,) = registry.versions()
    assert (version.model, version.aliases) == (trained["model_digest"], ("champion",))
    sets = console.home / "cache" / "trainsets"
    assert not [one for one in sets.iterdir() if not (one / "manifest.json").is_file()]


def test_a_registry_that_is_down_is_said_before_the_work(console: Console) -> None:
    away = Console("http://127.0.0.1:9", console.home, console.world)
    with pytest.raises(Unavailable, match="mlflow"):
        away.run("train", *PAST, *DELAY, "--no-tune")


def test_drift_is_measured_against_what_the_model_learned(
    console: Console, trained: dict[str, Any]
) -> None:
    found = console.run("drift", *PAST, *DELAY, "--psi-max", "1000")
    assert found["model_digest"] == trained["model_digest"]
    assert {one["name"] for one in found["features"]} == set(FEATURE_NAMES)
    assert found["drifted"] == []
    assert found["score"]["psi"] < 0.5
    assert 0 < found["mature"] < found["n"]
    assert found["calibration"]["frauds"] > 0
    with pytest.raises(SystemExit, match="4"):
        console.run("drift", *PAST, *DELAY, "--psi-max", "0")
    with pytest.raises(BadConfiguration, match="--world"):
        console.run("drift", *PAST, "--alert")


@pytest.mark.usefixtures("trained")
def test_performance_corrects_for_labels_to_come(console: Console) -> None:
    found = console.run("performance", *PAST, *DELAY)
    assert not found["served"]
    assert found["frauds_known"] >= found["mature"]["figures"]["frauds"]["value"] > 0
    assert found["corrected"]["figures"]["frauds"]["value"] > 0
    assert 0.0 < found["immature_share"] < 1.0
    recall = found["corrected"]["figures"]["recall"]
    assert recall["low"] <= recall["value"] <= recall["high"]
    with pytest.raises(BadConfiguration, match="no payments in this range"):
        console.run("performance", *PAST, "--from", "2001-01-01T00:00:00Z", "--to",
                    "2001-02-01T00:00:00Z")  # fmt: skip


def test_a_retraining_ends_in_the_shadow(
    console: Console, trained: dict[str, Any], mlflow_url: str
) -> None:
    registry = Registry(mlflow_url, model_name(console.world))
    live = [one.version for one in registry.versions() if "champion" in one.aliases]
    found = console.run("retrain", *PAST, *DELAY, "--no-tune", "--seed", "2")
    assert found["alias"] == "challenger"
    assert found["champion"]["model_digest"] == trained["model_digest"]
    assert found["challenger"]["model_digest"] == found["model_digest"]
    assert "challenger" in registry.version(found["version"]).aliases
    assert [one.version for one in registry.versions() if "champion" in one.aliases] == live
    with pytest.raises(BadConfiguration):
        console.run("retrain", *PAST, "--label-delay-days", "100", "--no-tune")
    assert "challenger" in registry.version(found["version"]).aliases
