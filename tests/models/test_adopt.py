"""A world of its own starts with the live champion, on a real registry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from features.catalogue import FEATURE_NAMES, catalogue_digest
from models.adopt import adopt_champion
from models.names import CHAMPION, LIVE_WORLD, model_name
from models.registry import Registry
from models.signature import ModelKeys
from models.source import Catalogue
from risk.domain.errors import Unavailable
from risk.local.mlflow import MlflowServer
from tests.support.small_model import small_bundle

OURS = Catalogue(FEATURE_NAMES, catalogue_digest())


@pytest.fixture(scope="module")
def own_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of the test's own: the live world's name is shared by all that use one."""
    server = MlflowServer(tmp_path_factory.mktemp("mlflow-adopt"))
    server.start()
    yield server.url
    server.stop()


@pytest.mark.services
def test_a_world_adopts_the_live_champion_once(own_mlflow: str, tmp_path: Path) -> None:
    keys = ModelKeys(tmp_path / "keys")

    def adopt(world: str) -> str | None:
        return adopt_champion(own_mlflow, world, tmp_path, OURS, keys)

    assert adopt("replay-1") is None, "the live world has no champion yet"
    live = Registry(own_mlflow, model_name(LIVE_WORLD), keys)
    live.publish(small_bundle(1), {"seed": "1"})
    assert adopt("replay-1") == "1"
    (version,) = Registry(own_mlflow, model_name("replay-1")).versions()
    assert version.aliases == (CHAMPION,)
    assert version.model == small_bundle(1).model_digest
    assert version.parameters == {"adopted_from": "champion of the live world, version 1"}
    live.publish(small_bundle(2), {"seed": "2"})
    assert adopt("replay-1") is None, "a champion stays until somebody replaces it"
    assert adopt("replay-2") == "1"
    (other,) = Registry(own_mlflow, model_name("replay-2")).versions()
    assert other.model == small_bundle(2).model_digest


def test_a_registry_that_is_away_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="mlflow"):
        adopt_champion("http://127.0.0.1:9", "replay-1", tmp_path, OURS)
