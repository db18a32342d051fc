"""A model's files: deterministic, complete, and refused when a byte differs."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from features.catalogue import FEATURE_NAMES, catalogue_digest
from models.bundle import FILES, FILES_WITH_WORDING, MANIFEST, check_catalogue, read_bundle
from models.names import model_name
from risk.domain.errors import BadModel
from tests.support.small_model import small_bundle, small_training


def test_two_trainings_with_one_seed_give_the_same_bytes() -> None:
    bundle = small_bundle()
    again = small_training(1).bundle
    assert again.files == bundle.files
    assert again.digest == bundle.digest


def test_another_seed_gives_another_model() -> None:
    assert small_training(2).bundle.model_digest != small_bundle().model_digest


def test_a_written_bundle_reads_back(tmp_path: Path) -> None:
    bundle = small_bundle()
    bundle.write(tmp_path / "model")
    assert read_bundle(tmp_path / "model", bundle.digest) == bundle
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == sorted(
        [*FILES_WITH_WORDING, MANIFEST]
    )
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_golden_vectors_hold_scores_from_low_to_high_and_one_row_of_nothing() -> None:
    golden = small_bundle().golden
    assert golden.vectors[-1] == [None] * len(FEATURE_NAMES)
    assert len(golden.scores) == len(golden.vectors) >= 16
    scorer = small_bundle().scorer()
    assert scorer.score(golden.matrix()).tolist() == golden.scores
    assert np.ptp(golden.scores) > 0.1


def test_metrics_are_the_numbers_of_the_file() -> None:
    bundle = small_bundle()
    told = json.loads(bundle.files["metrics.json"])
    assert told.pop("reference")["n"] > 0
    assert bundle.metrics() == told
    strange = {**bundle.files, "metrics.json": b'{"auc": 0.5, "note": "x", "ok": true}'}
    assert replace(bundle, files=strange).metrics() == {"auc": 0.5}


@pytest.mark.parametrize("name", FILES_WITH_WORDING)
def test_a_changed_file_is_named(tmp_path: Path, name: str) -> None:
    small_bundle().write(tmp_path / "model")
    with (tmp_path / "model" / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(BadModel, match=f"{name} was changed"):
        read_bundle(tmp_path / "model")


def test_a_changed_manifest_is_not_the_registered_one(tmp_path: Path) -> None:
    bundle = small_bundle()
    small_bundle(2).write(tmp_path / "model")
    with pytest.raises(BadModel, match="not the one that was registered"):
        read_bundle(tmp_path / "model", bundle.digest)


@pytest.mark.parametrize("name", [*FILES_WITH_WORDING, MANIFEST])
def test_an_absent_file_is_named(tmp_path: Path, name: str) -> None:
    small_bundle().write(tmp_path / "model")
    (tmp_path / "model" / name).unlink()
    with pytest.raises(BadModel, match=name):
        read_bundle(tmp_path / "model")


@pytest.mark.parametrize(
    "files", [{}, {"../../elsewhere": "0"}, dict.fromkeys([*FILES, "extra.bin"], "0")]
)
def test_a_manifest_names_the_known_files_only(tmp_path: Path, files: dict[str, str]) -> None:
    small_bundle().write(tmp_path / "model")
    body = msgspec.json.encode({"version": 1, "files": files})
    (tmp_path / "model" / MANIFEST).write_bytes(body)
    with pytest.raises(BadModel, match="must name exactly"):
        read_bundle(tmp_path / "model")


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"version": 2}', b"\xff"])
def test_side_files_that_cannot_be_read_are_refused(body: bytes) -> None:
    bundle = small_bundle()
    for name in ("features", "calibration", "golden"):
        broken = replace(bundle, files={**bundle.files, f"{name}.json": body})
        with pytest.raises(BadModel, match=f"{name}.json is not valid"):
            getattr(broken, name)


def test_writers_beside_each_other_leave_one_whole_bundle(tmp_path: Path) -> None:
    bundle, folder = small_bundle(), tmp_path / "cache" / "model"
    bundle.write(folder)
    (folder / "model.txt").write_bytes(b"damaged")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: bundle.write(folder), range(12)))
    assert read_bundle(folder, bundle.digest) == bundle
    assert {path.name for path in folder.parent.iterdir()} == {"model"}


def test_another_catalogue_is_refused_with_the_names_that_differ() -> None:
    features = small_bundle().features
    check_catalogue(features, FEATURE_NAMES, catalogue_digest())
    with pytest.raises(BadModel, match="this service computes 0000"):
        check_catalogue(features, FEATURE_NAMES, "0" * 64)
    with pytest.raises(BadModel, match=f"names differ in {FEATURE_NAMES[-1]}: train again"):
        check_catalogue(features, FEATURE_NAMES[:-1], catalogue_digest())
    with pytest.raises(BadModel, match="train again"):
        check_catalogue(features, FEATURE_NAMES[::-1], catalogue_digest())


def test_each_world_has_a_model_of_its_own() -> None:
    assert (model_name("live"), model_name("replay")) == ("weir-risk", "weir-risk-replay")
