"""`weir train|evaluate --dataset handbook --protocol one|folds`: the published protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.handbook import Protocol
    from models.handbook_run import FoldModel, Observed
    from risk.cli.train_job import Options, Say

PAIR = "histogram_boosting"
FINE_PAIR = "fine_boosting"


def evaluate_handbook(protocol: str, seed: int, threshold: float) -> dict[str, Any]:
    """Train and measure by the protocol; the report of `weir evaluate`."""
    from models.handbook import baseline_features
    from models.handbook_run import figures, rival_metrics
    from models.measures import as_json
    from risk.cli.train_job import progress

    with progress() as say:
        seen, models = _trained(protocol, seed, seed, say)
        say("Measuring the pairs on the 15 published features", 0.95)
        matrix, asked = baseline_features(seen.table), [one.of for one in models]
        pairs = {
            name: {"model": name, **rival_metrics(seen.table, asked, name, matrix)}
            for name in (PAIR, FINE_PAIR)
        }
        found = as_json(figures(seen, models, threshold))
    fraud = [seen.table.fraud[one.of.test] for one in models]
    return {
        "n": sum(len(part) for part in fraud),
        "frauds": sum(int(part.sum()) for part in fraud),
        "immature_share": 0.0,  # the world tells the whole truth of its test weeks
        "threshold": threshold,
        **found,
        "protocol": protocol,
        "seed": seed,
        "pair": pairs[PAIR],
        "fine_pair": pairs[FINE_PAIR],
        "model_digest": models[-1].digest,
        "data": {"source": {"kind": "handbook", "seed": seed}},
    }


def train_handbook(protocol: str, options: Options) -> dict[str, Any]:
    """Train by the protocol, compare with other models, register the last fold's model."""
    from models.handbook_run import bundle_of, compare_folds
    from models.measures import as_json
    from risk.cli.train_job import (
        progress,
        refuse_second_champion,
        registry_of,
        rss_mb,
        settings_of,
    )
    from risk.domain.clock import SystemClock
    from risk.policy import Policy

    clock = SystemClock()
    began_s = clock.monotonic_s()
    settings = settings_of(None)
    with registry_of(settings, "train") as registry, progress() as say:
        refuse_second_champion(registry, options.alias)
        seen, models = _trained(protocol, options.seed, options.seed, say)
        say("Comparing with other models", 0.92)
        comparison = compare_folds(seen, models, clock.monotonic_s, with_rivals=options.compare)
        found, bundle, parameters = bundle_of(seen, models, protocol, options.seed, Policy())
        more = {"seconds": round(clock.monotonic_s() - began_s, 3), "rss_mb": rss_mb()}
        flat = {name: figure.value for name, figure in found.items()}
        version = registry.publish(
            bundle, parameters, alias=options.alias, metrics={**flat, **more}
        )
        run_id = registry.version(version).run_id
    return {
        "run_id": run_id,
        "version": version,
        "alias": options.alias,
        "model_digest": bundle.model_digest,
        "bundle": bundle.digest,
        **more,
        "comparison": comparison,
        "metrics": as_json(found),
        "tuning": None,
        "thresholds": None,
        "constant_features": list(models[-1].constant),
        "data": {"source": {"kind": "handbook", "seed": options.seed}},
        "protocol": protocol,
    }


def _trained(
    protocol: str, world_seed: int, seed: int, say: Say
) -> tuple[Observed, list[FoldModel]]:
    from features import kernel
    from models.handbook import STARTS_MS
    from models.handbook_kept import observe_kept
    from models.handbook_run import train_protocol
    from risk.cli.train_job import settings_of
    from risk.domain.errors import BadConfiguration
    from risk.simulator.handbook import CURRENCY, HandbookWorld
    from risk.tables.load import exchange_rates

    if protocol not in STARTS_MS:
        raise BadConfiguration(f"--protocol {protocol!r}: use one of {', '.join(STARTS_MS)}")
    asked: Protocol = protocol
    kernel.warm()
    # The world pays in euros, so the base currency changes nothing but the unit.
    rates, cache = exchange_rates(None, CURRENCY), settings_of(None).state / "cache"
    seen = observe_kept(cache, HandbookWorld(world_seed), asked, rates, say)
    return seen, train_protocol(seen, asked, seed, say)
