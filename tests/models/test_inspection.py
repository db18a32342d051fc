"""No bad model gets past the inspection, and a crash stays in its process."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lightgbm
import msgspec
import numpy as np
import pytest

from features.catalogue import FEATURE_NAMES
from models.bundle import MANIFEST, Bundle, Manifest
from models.inspection import inspect
from models.verify import verify
from risk.domain.errors import BadModel
from risk.domain.ids import digest
from tests.support.small_model import small_bundle


def changed(name: str, body: bytes) -> Bundle:
    """The small bundle with another file, and a manifest that agrees with it."""
    files = {**small_bundle().files, name: body}
    manifest = Manifest(files={one: digest(files[one]) for one in sorted(files)})
    return Bundle(files, msgspec.json.encode(manifest))


def text_with(change: Callable[[str], str]) -> Bundle:
    before = small_bundle().files["model.txt"].decode()
    after = change(before)
    assert after != before
    return changed("model.txt", after.encode())


def leaf(value: str) -> Bundle:
    """The first leaf of the first tree holds ``value``."""
    return text_with(lambda text: re.sub(r"leaf_value=\S+", f"leaf_value={value}", text, count=1))


def other_leaf() -> Bundle:
    """Another first leaf in as many characters: the text tells the length of each tree."""

    def move(found: re.Match[str]) -> str:
        return "leaf_value=0." + "7" * (len(found.group(0)) - len("leaf_value=0."))

    return text_with(lambda text: re.sub(r"leaf_value=\S+", move, text, count=1))


def golden_with(**fields: object) -> Bundle:
    golden = msgspec.structs.replace(small_bundle().golden, **fields)
    return changed("golden.json", msgspec.json.encode(golden))


def calibration_with(**fields: object) -> Bundle:
    table = msgspec.structs.replace(small_bundle().calibration, **fields)
    return changed("calibration.json", msgspec.json.encode(table))


def features_with(names: tuple[str, ...]) -> Bundle:
    listed = msgspec.structs.replace(small_bundle().features, names=names)
    return changed("features.json", msgspec.json.encode(listed))


def regression() -> Bundle:
    rng = np.random.default_rng(1)
    data = lightgbm.Dataset(rng.normal(size=(200, len(FEATURE_NAMES))), rng.normal(size=200))
    parameters = {"objective": "regression", "verbosity": -1, "num_threads": 1}
    text: str = lightgbm.train(parameters, data, 2).model_to_string()
    return changed("model.txt", text.encode())


SCORES = small_bundle().golden.scores
VECTORS = small_bundle().golden.vectors
BAD: dict[str, Callable[[], Bundle]] = {
    "a leaf of the model holds NaN": lambda: leaf("nan"),
    "holds NaN or infinity": lambda: leaf("-inf"),
    "add up to": lambda: leaf("1e300"),
    "golden vector": other_leaf,
    "objective is not binary": regression,
    "linear leaves": lambda: text_with(lambda text: text.replace("is_linear=0", "is_linear=1", 1)),
    "is not valid": lambda: changed("golden.json", b"[]"),
    "was recorded": lambda: golden_with(scores=[SCORES[0] + 1e-16, *SCORES[1:]][::-1]),
    "values each": lambda: golden_with(vectors=[VECTORS[0][:-1], *VECTORS[1:]]),
    "at least 16 golden": lambda: golden_with(vectors=VECTORS[:3], scores=SCORES[:3]),
    "calibrated at prevalence 0.5": lambda: calibration_with(reference_prevalence=0.5),
    "knots must rise": lambda: calibration_with(raw=[1.0, 0.0], probability=[0.1, 0.2]),
    "features, 1 are named": lambda: features_with(("one",)),
}


@pytest.mark.parametrize("problem", BAD)
def test_each_defect_is_named(problem: str) -> None:
    with pytest.raises(BadModel, match=problem):
        inspect(BAD[problem]())


def test_one_last_bit_of_a_score_is_enough() -> None:
    moved = [float(np.nextafter(SCORES[0], 1.0)), *SCORES[1:]]
    with pytest.raises(BadModel, match="golden vector 0 scores"):
        inspect(golden_with(scores=moved))


def test_a_good_model_passes_here_and_in_a_process_of_its_own(tmp_path: Path) -> None:
    inspect(small_bundle())
    small_bundle().write(tmp_path / "model")
    verify(tmp_path / "model")


def test_the_process_reports_the_reason(tmp_path: Path) -> None:
    leaf("nan").write(tmp_path / "model")
    with pytest.raises(BadModel, match="holds NaN"):
        verify(tmp_path / "model")
    (tmp_path / "model" / MANIFEST).unlink()
    with pytest.raises(BadModel, match=f"{MANIFEST} of the model cannot be read"):
        verify(tmp_path / "model")


@pytest.mark.parametrize(
    "hurt",
    [
        lambda text: text[: len(text) // 2],
        lambda text: re.sub(r"left_child=(-?\d+)", "left_child=99999999", text, count=1),
        lambda text: re.sub(r"split_feature=\d+", "split_feature=99999999", text, count=1),
        lambda text: re.sub(r"num_leaves=\d+", "num_leaves=2000000000", text, count=1),
        lambda text: re.sub(r"threshold=\S+", "threshold=x", text, count=1),
        lambda text: re.sub(r"leaf_value=\S+", "leaf_value=0.5", text, count=1),
        lambda text: "\x00" + text,
    ],
    ids=["cut", "child", "feature", "leaves", "threshold", "length", "null"],
)
def test_text_that_breaks_the_library_breaks_only_the_inspection(
    tmp_path: Path, hurt: Callable[[str], str]
) -> None:
    text_with(hurt).write(tmp_path / "model")
    with pytest.raises(BadModel):
        verify(tmp_path / "model")


def test_a_folder_with_other_bytes_is_not_inspected(tmp_path: Path) -> None:
    broken = replace(small_bundle(), manifest=b"{}")
    with pytest.raises(BadModel, match="could not be written"):
        broken.write(tmp_path / "model")
