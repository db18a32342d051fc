"""Kafka and Redis of a benchmark's own, in a folder that is removed, and a model to serve."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.common import say
from features.catalogue import FEATURE_NAMES, catalogue_digest
from models.bootstrap_model import Recipe, train_from_simulator
from models.bundle import Bundle, read_bundle
from models.names import CHAMPION, model_name
from models.signature import ModelKeys, keys_folder
from models.source import Catalogue, ModelRef, ModelSource
from risk.local.kafka import KafkaServer
from risk.local.parts import jar_cache
from risk.local.redis import RedisServer
from risk.settings import Settings
from risk.tables.load import exchange_rates

# Nobody listens there: the model comes from the cache, as while MLflow is down.
NO_MLFLOW: Final = "http://127.0.0.1:9"
SEED: Final = 20_260_101


@dataclass(frozen=True, slots=True)
class Parts:
    """The running parts. ``settings`` are a worker's or an API's, but for the world."""

    settings: Settings
    kafka: KafkaServer
    redis: RedisServer

    def in_world(self, world: str) -> Settings:
        """The settings of a process that works in ``world``."""
        return self.settings.model_copy(update={"world": world})

    def serve(self, bundle: Bundle, world: str) -> None:
        """Let every process of ``world`` that starts from now on serve ``bundle``."""
        cache = self.settings.state / "cache" / "models"
        bundle.write(cache / "bundles" / bundle.digest)
        catalogue = Catalogue(FEATURE_NAMES, catalogue_digest())
        source = ModelSource("", model_name(world), cache, catalogue)
        signature = ModelKeys(keys_folder(self.settings.state)).sign(bundle.digest)
        ref = ModelRef(
            name=model_name(world),
            version="1",
            run_id="",
            bundle=bundle.digest,
            signature=signature,
        )
        source.serve(ref, CHAMPION)


@contextmanager
def parts() -> Iterator[Parts]:
    """Start Kafka and Redis as ``weir run`` does, on free ports, with data of their own."""
    outer = Settings()
    folder = outer.state / "bench" / f"{os.getpid()}"
    kafka = KafkaServer(folder / "kafka", jar_cache(outer.state), folder / "logs" / "kafka.log")
    redis = RedisServer(folder / "redis", folder / "logs" / "redis.log")
    try:
        kafka.start()
        redis.start()
        addresses = {"kafka": kafka.url, "redis": redis.url, "mlflow": NO_MLFLOW}
        settings = outer.model_copy(update={"home": folder, **addresses})
        yield Parts(settings, kafka, redis)
    finally:
        redis.stop()
        kafka.stop()
        shutil.rmtree(folder, ignore_errors=True)


def model(trees: int = 300, *, quick: bool = False) -> Bundle:
    """A model of ``trees`` trees, trained on the simulator's payments; kept for the next time.

    ``quick`` trains on a tenth of them, which is enough to see that everything runs.
    """
    outer = Settings()
    recipe = Recipe(seed=SEED, rounds=trees)
    if quick:
        recipe = replace(recipe, accounts=400, days=40.0, opening_payments=400)
    named = f"{catalogue_digest()[:16]}-{trees}{'-quick' if quick else ''}"
    folder = outer.state / "cache" / "bench" / named
    if not folder.is_dir():
        say(f"training a model of {trees} trees, once")
        rates = exchange_rates(outer.rates, outer.base_currency)
        train_from_simulator(recipe, rates).bundle.write(folder)
    return read_bundle(folder)


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used, all its threads, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def busy_s() -> float:
    """Seconds that all cores together have worked since the machine started."""
    ticks = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _waiting, *interrupts = map(int, ticks[:7])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")
