"""The model that serves: followed by alias, checked, kept when the next one is bad."""

from __future__ import annotations

import asyncio
import re
import resource
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from features.catalogue import FEATURE_NAMES, catalogue_digest
from models.bootstrap_model import Recipe, ensure_model
from models.bundle import Bundle, Manifest
from models.follow import Follower
from models.life import Action, Change, rolled_back_to
from models.names import CHAMPION, TAG_BUNDLE, model_name
from models.registry import Registry
from models.signature import ModelKeys
from models.source import Catalogue, ModelSource
from risk.domain.errors import BadModel, Unavailable
from risk.domain.ids import digest
from risk.tables.load import exchange_rates
from tests.support.small_model import small_bundle

pytestmark = pytest.mark.services

OURS = Catalogue(FEATURE_NAMES, catalogue_digest())
NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens


@pytest.fixture(scope="module")
def artifacts(mlflow_url: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the session's server keeps its artifacts."""
    held = tmp_path_factory.getbasetemp().glob("mlflow[0-9]*/artifacts")
    (found,) = {folder.resolve() for folder in held}  # pytest keeps a link to the newest folder
    return found


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A model name of the test's own."""
    return "weir-risk-" + re.sub(r"[^a-z0-9]+", "-", str(request.node.name))


@pytest.fixture
def keys(tmp_path: Path) -> ModelKeys:
    return ModelKeys(tmp_path / "keys")


@pytest.fixture
def registry(mlflow_url: str, name: str, keys: ModelKeys) -> Registry:
    return Registry(mlflow_url, name, keys)


@pytest.fixture
def make_source(
    mlflow_url: str, name: str, tmp_path: Path, keys: ModelKeys
) -> Callable[..., ModelSource]:
    def make(address: str = mlflow_url, catalogue: Catalogue = OURS) -> ModelSource:
        return ModelSource(address, name, tmp_path / "cache", catalogue, keys)

    return make


def with_file(bundle: Bundle, name: str, body: bytes) -> Bundle:
    files = {**bundle.files, name: body}
    manifest = Manifest(files={one: digest(files[one]) for one in sorted(files)})
    return Bundle(files, msgspec.json.encode(manifest))


def broken(seed: int = 1) -> Bundle:
    """A model with a NaN leaf, registered with digests that fit."""
    text = small_bundle(seed).files["model.txt"].decode()
    start = text.index("leaf_value=") + len("leaf_value=")
    end = text.index(" ", start)
    hurt = text[:start] + "nan".ljust(end - start) + text[end:]
    return with_file(small_bundle(seed), "model.txt", hurt.encode())


def test_a_registered_champion_serves_and_the_next_one_takes_over(
    registry: Registry, make_source: Callable[..., ModelSource], tmp_path: Path
) -> None:
    follower = Follower(make_source())
    assert not follower.check()
    assert follower.scorer is None
    assert registry.publish(small_bundle(1), {"seed": "1"}, plots={"one.svg": b"<svg/>"}) == "1"
    assert follower.check()
    first = follower.scorer
    assert first is not None
    assert first.model_digest == small_bundle(1).model_digest
    assert first.score(small_bundle(1).golden.matrix()).tolist() == small_bundle(1).golden.scores
    assert not follower.check()
    assert registry.publish(small_bundle(2), {"seed": "2"}) == "2"
    assert follower.check()
    assert follower.scorer is not first
    assert follower.ref is not None
    assert (follower.ref.version, follower.refusal) == ("2", None)
    # Roll back: the first model is in the cache already.
    registry.point(CHAMPION, "1")
    assert follower.check()
    assert follower.scorer is not None
    assert (follower.scorer.version, follower.scorer.model_digest) == ("1", first.model_digest)
    # Old decisions name their model by digests; both models are here.
    source = make_source("")
    for wanted in (small_bundle(1), small_bundle(2)):
        assert source.cached(wanted.model_digest, wanted.calibration_digest) == wanted
    assert source.cached(first.model_digest, "0" * 64) is None
    (note,) = (tmp_path / "cache").glob("*.champion.json")
    note.write_bytes(b"{")
    assert source.last_served(CHAMPION) is None


def test_the_registry_tells_versions_whole(registry: Registry) -> None:
    assert registry.versions() == []
    registry.publish(small_bundle(1), {"seed": "1"})
    registry.publish(small_bundle(2), {"seed": "2"}, alias="challenger")
    two, one = registry.versions()
    assert (one.version, one.aliases, two.aliases) == ("1", (CHAMPION,), ("challenger",))
    assert one.metrics == pytest.approx(small_bundle(1).metrics())
    assert two.parameters == {"seed": "2"}
    assert (two.bundle, two.model, two.calibration, two.catalogue) == (
        small_bundle(2).digest,
        small_bundle(2).model_digest,
        small_bundle(2).calibration_digest,
        catalogue_digest(),
    )
    assert registry.card("1").startswith("# Risk of payments")
    with pytest.raises(BadModel, match="has no version 9"):
        registry.point(CHAMPION, "9")


@pytest.mark.parametrize("file", ["model.txt", "calibration.json", "manifest.json"])
def test_a_file_that_was_tampered_with_is_refused_and_the_old_model_stays(
    registry: Registry, make_source: Callable[..., ModelSource], artifacts: Path, file: str
) -> None:
    registry.publish(small_bundle(1), {})
    follower = Follower(make_source())
    assert follower.check()
    served = follower.scorer
    version = registry.publish(small_bundle(2), {})
    run_id = registry.version(version).run_id
    (stored,) = artifacts.glob(f"*/{run_id}/artifacts/model/{file}")
    body = stored.read_bytes()
    stored.write_bytes(body[:-2] + b" \n")
    assert not follower.check()
    assert follower.scorer is served
    assert follower.refusal is not None
    assert "was changed" in follower.refusal or "not the one that was" in follower.refusal


def test_a_model_with_nan_leaves_is_refused_and_the_old_model_stays(
    registry: Registry, make_source: Callable[..., ModelSource]
) -> None:
    registry.publish(small_bundle(1), {})
    follower = Follower(make_source())
    assert follower.check()
    served = follower.scorer
    registry.publish(broken(2), {})
    assert not follower.check()
    assert follower.scorer is served
    assert follower.refusal == "a leaf of the model holds NaN or infinity"
    assert not follower.check()
    registry.publish(small_bundle(2), {})
    assert follower.check()
    assert follower.refusal is None


def test_a_model_that_no_trusted_key_signed_is_refused(
    registry: Registry, make_source: Callable[..., ModelSource], mlflow_url: str, tmp_path: Path
) -> None:
    registry.publish(small_bundle(1), {})
    follower = Follower(make_source())
    assert follower.check()
    served = follower.scorer
    Registry(mlflow_url, registry.name).publish(small_bundle(2), {})
    assert not follower.check()
    assert "has no signature" in (follower.refusal or "")
    stranger = Registry(mlflow_url, registry.name, ModelKeys(tmp_path / "stranger"))
    stranger.publish(small_bundle(2), {})
    assert not follower.check()
    assert "is not trusted here" in (follower.refusal or "")
    assert follower.scorer is served
    # Nothing of it was even fetched.
    assert len(list((tmp_path / "cache" / "bundles").iterdir())) == 1


def test_a_disk_that_is_full_while_fetching_is_said_and_the_old_model_stays(
    registry: Registry, make_source: Callable[..., ModelSource], tmp_path: Path
) -> None:
    registry.publish(small_bundle(1), {})
    follower = Follower(make_source())
    assert follower.check()
    served = follower.scorer
    registry.publish(small_bundle(2), {})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A file cannot grow beyond this in our process nor in the one that downloads.
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        changed = follower.check()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not changed
    assert follower.scorer is served
    assert "its files cannot be kept in" in (follower.refusal or "")
    assert not list((tmp_path / "cache").glob(".fetch*"))
    assert Follower(make_source()).check()


def test_a_challenger_that_is_taken_away_serves_no_more(
    registry: Registry, make_source: Callable[..., ModelSource]
) -> None:
    registry.publish(small_bundle(1), {}, alias="challenger")
    follower = Follower(make_source(), "challenger", optional=True)
    assert follower.check()
    registry.change(change("retire", "1", before="1"))
    assert follower.check()
    assert follower.scorer is None
    assert not follower.check()


def change(action: Action, version: str, *, alias: str = CHAMPION, before: str = "") -> Change:
    return Change(
        action=action, alias=alias, version=version, bundle="", before=before, by="ann", at_ms=1
    )


def test_the_life_of_a_version_is_followed_and_written_down(registry: Registry) -> None:
    registry.publish(small_bundle(1), {})
    registry.publish(small_bundle(2), {}, alias=None)

    def states() -> list[str]:
        return [known.state for known in reversed(registry.versions())]

    assert states() == ["live", "draft"]
    registry.change(change("shadow", "2", alias="challenger"))
    assert states() == ["live", "shadow"]
    registry.change(change("promote", "2", before="1"))
    assert states() == ["retired", "live"]
    assert rolled_back_to(registry.changes(), "2") == "1"
    registry.change(change("rollback", "1", before="2"))
    assert states() == ["live", "retired"]
    with pytest.raises(BadModel, match="nothing was live before version 1"):
        rolled_back_to(registry.changes(), "1")
    told = [(one.action, one.version, one.by) for one in registry.changes()]
    assert told == [
        ("publish", "1", "training"), ("shadow", "2", "ann"), ("promote", "2", "ann"),
        ("rollback", "1", "ann"),
    ]  # fmt: skip
    with pytest.raises(BadModel, match="has no version 9"):
        registry.change(change("promote", "9"))


def test_a_model_of_another_catalogue_is_refused(
    registry: Registry, make_source: Callable[..., ModelSource]
) -> None:
    registry.publish(small_bundle(1), {})
    follower = Follower(make_source(catalogue=Catalogue(FEATURE_NAMES, "0" * 64)))
    assert not follower.check()
    assert follower.scorer is None
    assert follower.refusal is not None
    assert "train again" in follower.refusal


def test_a_version_that_weir_did_not_register_is_refused(
    registry: Registry, make_source: Callable[..., ModelSource], mlflow_url: str, name: str
) -> None:
    from mlflow import MlflowClient

    version = registry.publish(small_bundle(1), {})
    MlflowClient(tracking_uri=mlflow_url).set_model_version_tag(name, version, TAG_BUNDLE, "../x")
    follower = Follower(make_source())
    assert not follower.check()
    assert follower.refusal == f"version 1 of {name} has no tag {TAG_BUNDLE}"


def test_without_mlflow_the_cache_serves_what_served_last(
    registry: Registry, make_source: Callable[..., ModelSource]
) -> None:
    registry.publish(small_bundle(1), {})
    before = Follower(make_source())
    assert before.check()
    for address in (NOWHERE, ""):
        follower = Follower(make_source(address))
        assert follower.check()
        assert follower.scorer is not None
        assert follower.scorer.model_digest == small_bundle(1).model_digest
        with pytest.raises(Unavailable, match="mlflow"):
            follower.check()
        assert follower.scorer.version == "1"


def test_without_mlflow_and_cache_there_is_no_model(
    make_source: Callable[..., ModelSource],
) -> None:
    follower = Follower(make_source(NOWHERE))
    with pytest.raises(Unavailable):
        follower.check()
    assert follower.scorer is None


def test_a_damaged_cache_is_fetched_again_and_refused_without_mlflow(
    registry: Registry, make_source: Callable[..., ModelSource], tmp_path: Path
) -> None:
    registry.publish(small_bundle(1), {})
    assert Follower(make_source()).check()
    (model,) = (tmp_path / "cache").glob("bundles/*/model.txt")
    model.write_bytes(b"damaged")
    offline = Follower(make_source(""))
    with pytest.raises(Unavailable):
        offline.check()
    assert offline.scorer is None
    assert offline.refusal == "model.txt was changed after it was registered"
    assert Follower(make_source()).check()
    assert Follower(make_source("")).check()


def test_files_that_are_gone_make_mlflow_unavailable_not_the_model_bad(
    registry: Registry, make_source: Callable[..., ModelSource], artifacts: Path
) -> None:
    version = registry.publish(small_bundle(1), {})
    (folder,) = artifacts.glob(f"*/{registry.version(version).run_id}/artifacts/model")
    shutil.rmtree(folder)
    follower = Follower(make_source())
    with pytest.raises(Unavailable, match="mlflow"):
        follower.check()
    assert follower.refusal is None


def test_doors_that_start_together_share_one_cache(
    registry: Registry, make_source: Callable[..., ModelSource], tmp_path: Path
) -> None:
    registry.publish(small_bundle(1), {})
    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(lambda _: Follower(make_source()).check(), range(2)))
    assert not list((tmp_path / "cache").glob(".fetch*"))
    assert len(list((tmp_path / "cache" / "bundles").iterdir())) == 1


async def test_the_loop_goes_on_while_a_model_is_loaded(
    registry: Registry, make_source: Callable[..., ModelSource]
) -> None:
    await asyncio.to_thread(registry.publish, small_bundle(1), {})
    follower = Follower(make_source())
    turns = 0
    checking = asyncio.create_task(asyncio.to_thread(follower.check))
    while not checking.done():
        await asyncio.sleep(0.005)
        turns += 1
    assert await checking
    assert turns > 20


def test_a_server_that_answers_nonsense_is_unavailable(tmp_path: Path) -> None:
    source = ModelSource("http://[bad", "weir-risk", tmp_path, OURS)
    with pytest.raises(Unavailable):
        source.resolve(CHAMPION)


def test_a_down_server_is_noticed_soon_by_the_registry() -> None:
    with pytest.raises(Unavailable, match="mlflow"):
        Registry(NOWHERE, "weir-risk").versions()
    with pytest.raises(Unavailable, match="make run"):
        Registry("", "weir-risk").versions()


def test_a_first_model_is_trained_once(mlflow_url: str) -> None:
    rates = exchange_rates(None, "EUR")
    recipe = Recipe(
        seed=1, accounts=600, days=40.0, label_delay_days=8.0, opening_payments=400, rounds=60
    )
    told: list[str] = []
    assert ensure_model(mlflow_url, "first", rates, lambda say, _: told.append(say), recipe) == "1"
    assert told[-1] == "Registered"
    assert ensure_model(mlflow_url, "first", rates, recipe=recipe) is None
    registry = Registry(mlflow_url, model_name("first"))
    # A champion of ours for another catalogue cannot serve any more, so it is replaced; one
    # made of real payments is not ours to replace.
    other = msgspec.structs.replace(small_bundle(1).features, catalogue="0" * 64)
    old = with_file(small_bundle(1), "features.json", msgspec.json.encode(other))
    registry.publish(old, {"source": "data set mine"})
    assert ensure_model(mlflow_url, "first", rates, recipe=recipe) is None
    registry.publish(old, {"source": recipe.source})
    assert ensure_model(mlflow_url, "first", rates, recipe=recipe) == "4"
