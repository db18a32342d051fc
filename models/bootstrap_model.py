"""The first model of a fresh installation: simulated history, trained, registered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from features.catalogue import catalogue_digest
from models.dataset import DAY_MS, Samples, join, observe, split_by_time
from models.names import CHAMPION, model_name
from models.registry import Registry, Version
from models.signature import ModelKeys
from models.train import Trained, train
from risk.domain.errors import BadModel
from risk.domain.event import AnyEvent
from risk.domain.money import ExchangeRates
from risk.simulator.traffic import Traffic
from risk.simulator.world import World

# From sentence and share done, 0 to 1 over the whole work.
Progress = Callable[[str, float], None]
_WORLD: Final = 0.6  # part of the time that goes into the long history
_OBSERVED: Final = 0.9
_TRAINED: Final = 0.97

# Openings: (when, in parts of the whole history; accounts; payments an account and second).
# They stand in the time of the train, validation and test parts in turn.
_PACES: Final = (0.002, 0.006, 0.0005)
_PLACES: Final = (
    (0.02, 4_000), (0.06, 1_000), (0.10, 4_000), (0.14, 2_000), (0.18, 1_000), (0.22, 2_000),
    (0.485, 4_000), (0.515, 1_000), (0.535, 2_000),
    (0.755, 4_000), (0.785, 1_000), (0.805, 2_000),
)  # fmt: skip
_TICK_MS: Final = 1_000
_SOURCE: Final = "the simulator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How the first model is made. The defaults give about 170,000 payments in a minute.

    The long history is a world of ``accounts`` people over ``days``. Openings are short and
    fast stretches that start with an empty memory, as a fresh installation sees its first
    hours; a model that never saw one takes every new face for a thief. Most frauds are
    reported within ten days; later ones count as good, as they would live.
    """

    seed: int = 20_260_101
    accounts: int = 600
    days: float = 60.0
    label_delay_days: float = 10.0
    opening_payments: int = 5_000
    start_ms: int = 1_760_000_000_000
    rounds: int = 300

    @property
    def source(self) -> str:
        return (
            f"{_SOURCE}, seed {self.seed}: {self.accounts} accounts over {self.days:g} days,"
            f" and {len(_PLACES)} openings of {self.opening_payments} payments;"
            f" label delay {self.label_delay_days:g} days"
        )


def train_from_simulator(
    recipe: Recipe, rates: ExchangeRates, progress: Progress = lambda stage, share: None
) -> Trained:
    """Simulate, compute vectors, train, calibrate and measure; touches no service."""
    length_ms = int(recipe.days * DAY_MS)
    parts = [_world(recipe, rates, progress)]
    for place in range(len(_PLACES)):
        share = _WORLD + (_OBSERVED - _WORLD) * place / len(_PLACES)
        progress("Simulating openings on an empty memory", share)
        parts.append(observe(_opening(recipe, place), rates))
    samples = join(parts)
    progress(f"Training on {len(samples)} payments", _OBSERVED)
    split = split_by_time(
        samples, recipe.start_ms + length_ms, int(recipe.label_delay_days * DAY_MS)
    )
    return train(samples, split, recipe.seed, recipe.source, recipe.rounds)


def ensure_model(
    mlflow: str,
    world: str,
    rates: ExchangeRates,
    progress: Progress = lambda stage, share: None,
    recipe: Recipe | None = None,
    keys: ModelKeys | None = None,
) -> str | None:
    """Train and register a champion if the world has none; its version, None where it had one.

    A champion made here for another feature catalogue, or that no trusted key of ``keys`` signed,
    is replaced, since nothing can serve it any more; one made from real payments is left to its
    owners. Raises Unavailable where MLflow does not answer.
    """
    registry = Registry(mlflow, model_name(world), keys)
    champions = [known for known in registry.versions() if CHAMPION in known.aliases]
    if champions and not _is_outdated(champions[0], keys):
        return None
    trained = train_from_simulator(recipe or Recipe(), rates, progress)
    progress("Registering the model", _TRAINED)
    version = registry.publish(trained.bundle, trained.parameters, plots=trained.plots)
    progress("Registered", 1.0)
    return version


def _is_outdated(champion: Version, keys: ModelKeys | None) -> bool:
    ours = champion.parameters.get("source", "").startswith(_SOURCE)
    return ours and (champion.catalogue != catalogue_digest() or not _may_serve(champion, keys))


def _may_serve(champion: Version, keys: ModelKeys | None) -> bool:
    try:
        if keys is not None:
            keys.check(champion.bundle, champion.signature)
    except BadModel:
        return False
    return True


def _world(recipe: Recipe, rates: ExchangeRates, progress: Progress) -> Samples:
    world = World(recipe.seed, recipe.accounts, recipe.start_ms)

    def shown() -> Iterator[AnyEvent]:
        for place, event in enumerate(world.events(recipe.days)):
            if place % 4096 == 0:
                done = (event.occurred_at_ms - recipe.start_ms) / (recipe.days * DAY_MS)
                progress("Simulating a history and computing its features", done * _WORLD)
            yield event

    return observe(shown(), rates)


def _opening(recipe: Recipe, place: int) -> Iterator[AnyEvent]:
    """Events of one opening, in order, with the labels that arrive while it lasts."""
    part, accounts = _PLACES[place]
    rate_per_s = _PACES[place % len(_PACES)] * accounts
    start_ms = recipe.start_ms + int(recipe.days * DAY_MS * part)
    traffic = Traffic(recipe.seed + 1 + place, rate_per_s, start_ms, accounts)
    end_ms = start_ms + int(recipe.opening_payments / rate_per_s * 1000)
    for now_ms in range(start_ms + _TICK_MS, end_ms + _TICK_MS, _TICK_MS):
        yield from traffic.due(now_ms)
