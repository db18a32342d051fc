"""What `weir train`, `evaluate`, `scores` and `thresholds` do with a data set."""

from __future__ import annotations

import resource
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.learning import Learned, Tuner
    from models.registry import Registry
    from models.rows import Rows
    from models.scorer import Scorer
    from models.tune import Chosen
    from risk.cli.train_data import Wanted
    from risk.settings import Settings

Say = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to train; ``trials`` None is fixed settings."""

    seed: int
    trials: int | None
    seconds: float | None
    alias: str | None
    compare: bool


def train_dataset(wanted: Wanted, options: Options) -> dict[str, Any]:
    """Train on a data set and register the model; the report."""
    from risk.cli.train_data import rows_wanted
    from risk.domain.clock import SystemClock

    settings, clock = settings_of(wanted.world), SystemClock()
    began_s = clock.monotonic_s()
    return train_rows(settings, rows_wanted(settings, wanted), wanted, options, began_s)


def train_rows(
    settings: Settings,
    rows: Rows,
    wanted: Wanted,
    options: Options,
    began_s: float | None = None,
) -> dict[str, Any]:
    """Train on ``rows`` and register the model; the report. ``began_s``: when the work began."""
    from models.learning import Request, learn
    from risk.cli.train_data import DAY_MS
    from risk.domain.clock import SystemClock
    from risk.policy import Policy

    clock = SystemClock()
    began_s = clock.monotonic_s() if began_s is None else began_s
    tuned: list[Chosen] = []
    with registry_of(settings, "train") as registry, progress() as say:
        refuse_second_champion(registry, options.alias)
        request = Request(
            label_delay_ms=round(wanted.label_delay_days * DAY_MS),
            seed=options.seed,
            policy=Policy(),
            monotonic_s=clock.monotonic_s,
            tuner=_tuner(settings, options, tuned, say),
            rules=_rules(settings),
            with_rivals=options.compare,
        )
        learned = learn(rows, request, say)
        say("Registering the model", 0.97)
        return publish(registry, learned, options, (clock.monotonic_s() - began_s, tuned), rows)


def refuse_second_champion(registry: Registry, alias: str | None) -> None:
    """Raise BadConfiguration where training would put itself in the place of a champion.

    A registry that is down is found here, before the work.
    """
    from models.names import CHAMPION
    from risk.domain.errors import BadConfiguration

    live = [one.version for one in registry.versions() if CHAMPION in one.aliases]
    if alias == CHAMPION and live:
        raise BadConfiguration(
            f"--alias {CHAMPION}: version {live[0]} of {registry.name} is it, and another one"
            " takes its place past guardrails only by `weir models promote VERSION`; train without"
            " --alias"
        )


def publish(
    registry: Registry,
    learned: Learned,
    options: Options,
    spent: tuple[float, list[Chosen]],
    rows: Rows,
) -> dict[str, Any]:
    """Register ``learned``; the report of training."""
    import msgspec

    seconds, tuned = round(spent[0], 3), spent[1]
    more = {"seconds": seconds, "rss_mb": rss_mb()}
    for name, figure in learned.figures.items():
        more |= {
            name: figure["value"],
            f"{name}_low": figure["low"],
            f"{name}_high": figure["high"],
        }
    for one in learned.comparison:
        more |= {f"{one.model}.auc_roc": one.auc_roc}
        more |= {f"{one.model}.average_precision": one.average_precision}
    version = registry.publish(
        learned.bundle, learned.parameters, alias=options.alias, files=learned.files, metrics=more
    )
    search = tuned[0] if tuned else None
    return {
        "run_id": registry.version(version).run_id,
        "version": version,
        "alias": options.alias,
        "model_digest": learned.bundle.model_digest,
        "bundle": learned.bundle.digest,
        "seconds": seconds,
        "rss_mb": more["rss_mb"],
        "comparison": [msgspec.to_builtins(one) for one in learned.comparison],
        "metrics": dict(learned.figures),
        "tuning": None
        if search is None
        else {name: getattr(search, name) for name in ("trials", "pruned", "resumed", "value")},
        "thresholds": [msgspec.to_builtins(one) for one in learned.plan.chosen],
        "constant_features": list(learned.constant),
        "data": dict(rows.told),
    }


def evaluate_dataset(wanted: Wanted, alias: str, threshold: float, seed: int) -> dict[str, Any]:
    """Measure the model that ``alias`` names; the report."""
    import msgspec

    from models.measures import Graded, as_json, measured
    from models.scenario_recall import by_scenario
    from risk.cli.train_data import DAY_MS, rows_wanted
    from risk.domain.errors import BadConfiguration

    settings = settings_of(wanted.world)
    rows = rows_wanted(settings, wanted)
    samples = rows.samples
    fraud = samples.fraud_at(rows.until_ms)
    frauds = int(fraud.sum())
    if frauds in (0, len(rows)):
        raise BadConfiguration(
            f"evaluate: {frauds} of {len(rows)} payments are known to be fraud; take a range"
            " whose labels have arrived"
        )
    scorer = model_of(settings, alias, "evaluate")
    scores = scorer.score(samples.matrix)
    graded = Graded(fraud, scores, rows.account, samples.time_ms, samples.amount_base, threshold)
    told = None if rows.scenario is None else by_scenario(rows.scenario, scores, rows.account, seed)
    delay_ms = round(wanted.label_delay_days * DAY_MS)
    immature = float((samples.time_ms + delay_ms > rows.until_ms).mean())
    return {
        "n": len(rows),
        "frauds": frauds,
        "immature_share": immature,
        "threshold": threshold,
        **as_json(measured([graded], seed)),
        "scenarios": None if told is None else msgspec.to_builtins(told),
        "model_digest": scorer.model_digest,
        "data": dict(rows.told),
    }


def write_scores(wanted: Wanted, alias: str, out: Path) -> dict[str, Any]:
    """Write payment ids and scores, whole or not at all; the report."""
    import hashlib
    import os

    import pyarrow as pa
    import pyarrow.parquet as pq

    from risk.cli.train_data import rows_wanted

    settings = settings_of(wanted.world)
    rows = rows_wanted(settings, wanted)
    scorer = model_of(settings, alias, "scores")
    table = pa.table(
        {
            "payment_id": pa.array(rows.payment_id.tolist(), pa.string()),
            "score": pa.array(scorer.score(rows.samples.matrix), pa.float64()),
        }
    )
    fresh = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        pq.write_table(table, fresh, compression="zstd")
        os.replace(fresh, out)
    finally:
        fresh.unlink(missing_ok=True)
    return {
        "rows": len(rows),
        "model_digest": scorer.model_digest,
        "calibration_digest": scorer.calibration_digest,
        "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
        "data": dict(rows.told),
    }


def find_thresholds(
    wanted: Wanted, alias: str, by: str, costs: Path | None, seed: int
) -> dict[str, Any]:
    """Thresholds from money for the model that ``alias`` names; the report."""
    import msgspec

    from models.thresholds import Seen, plan
    from risk.cli.train_data import rows_wanted
    from risk.domain.errors import BadConfiguration

    settings = settings_of(wanted.world)
    policy, capacity = money(costs)
    rows = rows_wanted(settings, wanted)
    if by not in rows.segments:
        raise BadConfiguration(f"--by {by!r}: use one of {', '.join(sorted(rows.segments))}")
    scorer = model_of(settings, alias, "thresholds")
    samples = rows.samples
    fraud: NDArray[Any] = samples.fraud_at(rows.until_ms)
    seen = Seen(
        fraud, scorer.score(samples.matrix), samples.amount_base, samples.time_ms, rows.account,
        rows.segments[by],
    )  # fmt: skip
    found: dict[str, Any] = msgspec.to_builtins(plan(seen, policy, capacity, seed))
    return found | {
        "policy": msgspec.to_builtins(policy),
        "capacity": msgspec.to_builtins(capacity),
        "model_digest": scorer.model_digest,
        "data": dict(rows.told),
    }


def money(costs: Path | None) -> tuple[Any, Any]:
    """Policy and capacity of a file, or those that ship. Raises BadConfiguration."""
    import msgspec

    from models.thresholds import Capacity, Costs
    from risk.domain.errors import BadConfiguration
    from risk.policy import Policy

    if costs is None:
        return Policy(), Capacity()
    try:
        read = msgspec.json.decode(costs.read_bytes(), type=Costs)
    except msgspec.DecodeError as error:
        raise BadConfiguration(f"--costs {costs}: {error}") from None
    except OSError as error:
        raise BadConfiguration(f"--costs {costs}: {error.strerror}") from None
    return read.policy, read.capacity


def settings_of(world: str | None) -> Settings:
    """The settings, for the world whose payments are looked at where one is named."""
    from risk.cli import proofs

    return proofs.settings_of(world)


def registry_of(settings: Settings, command: str) -> AbstractContextManager[Registry]:
    """The registry of the settings' world, on the running MLflow or one of our own."""
    from contextlib import contextmanager

    from models.names import model_name
    from models.registry import Registry
    from models.signature import ModelKeys, keys_folder
    from risk.local.parts import resolve

    @contextmanager
    def opened() -> Any:
        with resolve(settings, ("mlflow",), command=command) as resolved:
            keys = ModelKeys(keys_folder(resolved.state))
            yield Registry(resolved.mlflow, model_name(resolved.world), keys)

    return opened()


def model_of(settings: Settings, alias: str, command: str) -> Scorer:
    """The checked model that ``alias`` names in the settings' world.

    Raises BadModel where it names none or one that may not serve, Unavailable without MLflow.
    """
    from features.catalogue import FEATURE_NAMES, catalogue_digest
    from models.names import model_name
    from models.signature import ModelKeys, keys_folder
    from models.source import Catalogue, ModelSource
    from risk.domain.errors import BadModel
    from risk.local.parts import resolve

    with resolve(settings, ("mlflow",), command=command) as resolved:
        source = ModelSource(
            resolved.mlflow,
            model_name(resolved.world),
            resolved.state / "cache" / "models",
            Catalogue(FEATURE_NAMES, catalogue_digest()),
            ModelKeys(keys_folder(resolved.state)),
        )
        ref = source.resolve(alias)
        if ref is None:
            raise BadModel(
                f"no version of {model_name(resolved.world)} is {alias}; see `weir models list`"
            )
        return source.load(ref)


def progress() -> AbstractContextManager[Say]:
    """A bar on a terminal, lines elsewhere."""
    from rich.console import Console

    from risk.cli.progress import stages

    return stages(Console(stderr=True))


def rss_mb() -> float:
    """The most memory that this process has held, in MB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0, 1)


def _tuner(settings: Settings, options: Options, kept: list[Chosen], say: Say) -> Tuner | None:
    from models.tune import Budget, Parts, study_name, tune

    if options.trials is None:
        return None
    budget = Budget(options.trials, options.seconds)

    def told(done: int, total: int, best: float) -> None:
        say(f"Tuning: trial {done} of {total}, best {best:.4f}", 0.05 + 0.45 * done / total)

    def search(parts: Parts, digest: str) -> Chosen:
        store = settings.state / "tuning.db"
        name = study_name(digest, options.seed)
        kept.append(tune(parts, budget, store, name, options.seed, told))
        return kept[0]

    return search


def _rules(settings: Settings) -> Callable[[Rows, NDArray[Any]], NDArray[Any]]:
    from models.rule_scores import rule_scores, starter_book
    from risk.tables.load import exchange_rates

    rates = exchange_rates(settings.rates, settings.base_currency)

    def by_rules(rows: Rows, chosen: NDArray[Any]) -> NDArray[Any]:
        return rule_scores(starter_book(), rates, settings.base_currency, rows, chosen)

    return by_rules
