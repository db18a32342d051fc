"""The words of a decision: what a feature says, its value and what is usual, for ever the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from features.catalogue import CATALOGUE, FEATURE_NAMES
from models.bundle import Bundle, Manifest, make_bundle, read_bundle
from models.wording import USUAL, Usual, Wording, wording_of
from risk.domain.errors import BadModel
from risk.domain.ids import digest
from tests.support.small_model import small_bundle


class Told(NamedTuple):
    name: str
    sentence: str
    unit: str


PAYMENTS = Told("payments", "Payments of the card.", "payments")
DISTANCE = Told("distance", "Distance from the last payment.", "km")


def test_usual_values_are_those_of_good_payments() -> None:
    matrix = np.array([[float(number), np.nan] for number in range(101)] + [[9_999.0, 7.0]] * 50)
    fraud = np.arange(len(matrix)) > 100
    described = {one.name: one for one in (PAYMENTS, DISTANCE)}
    told = wording_of(described, ("payments", "distance"), matrix, fraud).features
    assert told["payments"] == Usual(
        says="Payments of the card", unit="payments", median=50.0, low=5.0, high=95.0
    )
    assert told["distance"] == Usual(
        says="Distance from the last payment", unit="km", median=None, low=None, high=None
    )


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (9.0, "Payments: 9, usually 1; for 90 of 100 good payments 0 to 4.50 (payments)."),
        (
            float("nan"),
            "Payments: missing, usually 1; for 90 of 100 good payments 0 to 4.50 (payments).",
        ),
    ],
)
def test_words_name_feature_value_and_what_is_usual(value: float, said: str) -> None:
    of = Usual(says="Payments", unit="payments", median=1.0, low=0.0, high=4.5)
    assert of.words(value) == said


def test_what_is_mostly_missing_is_said_to_be() -> None:
    of = Usual(says="Distance", unit="km", median=None, low=1.0, high=2.0)
    assert of.words(3.0) == "Distance: 3, usually missing; for 90 of 100 good payments 1 to 2 (km)."
    rare = Usual(says="Distance", unit="km", median=None, low=None, high=None)
    assert rare.words(3.0) == "Distance: 3, usually missing (km)."


def test_a_trained_model_speaks_the_sentences_of_the_catalogue() -> None:
    bundle = small_bundle()
    assert bundle.wording is not None
    assert set(bundle.wording.features) == set(FEATURE_NAMES)
    scorer = bundle.scorer()
    rows = scorer.reasons(bundle.golden.matrix())
    assert any(rows)
    sentences = {spec.name: spec.sentence for spec in CATALOGUE}
    for row in rows:
        for one in row:
            assert one.words.startswith(sentences[one.feature].rstrip(".") + ": ")
            assert ", usually " in one.words


def test_a_bundle_from_before_the_wording_reads_back_and_says_nothing(tmp_path: Path) -> None:
    old = _without_wording(small_bundle())
    assert b"usual" not in old.files["calibration.json"]
    old.write(tmp_path / "old")
    read = read_bundle(tmp_path / "old", old.digest)
    assert read == old
    assert read.wording is None
    said = [one.words for row in read.scorer().reasons(read.golden.matrix()) for one in row]
    assert said
    assert set(said) == {""}


def test_another_wording_is_another_calibration() -> None:
    bundle = small_bundle()
    assert _without_wording(bundle).calibration_digest != bundle.calibration_digest


@pytest.mark.parametrize("swapped", ["other words", "no words"])
def test_words_that_the_calibration_does_not_name_are_refused(tmp_path: Path, swapped: str) -> None:
    bundle = small_bundle()
    files = dict(bundle.files)
    if swapped == "no words":
        del files[USUAL]
    else:
        files[USUAL] = files[USUAL].replace(b"Payments", b"Pigments")
    forged = _manifested(bundle, files)
    folder = tmp_path / "forged"
    folder.mkdir()
    for name, body in {**forged.files, "manifest.json": forged.manifest}.items():
        (folder / name).write_bytes(body)
    with pytest.raises(BadModel, match=r"calibration\.json names another usual\.json"):
        read_bundle(folder)


def test_words_for_other_features_are_refused() -> None:
    bundle = small_bundle()
    wording = bundle.wording
    assert wording is not None
    renamed = dict(wording.features)
    renamed["card_moons_7d"] = renamed.pop(FEATURE_NAMES[0])
    with pytest.raises(BadModel, match=r"differ in .*card_moons_7d"):
        _made(bundle, Wording(features=renamed))


def _without_wording(bundle: Bundle) -> Bundle:
    return _made(bundle, None)


def _made(bundle: Bundle, wording: Wording | None) -> Bundle:
    return make_bundle(
        bundle.files["model.txt"].decode(),
        bundle.features,
        msgspec.structs.replace(bundle.calibration, usual=msgspec.UNSET),
        bundle.golden.matrix(),
        {name: bundle.files[name] for name in ("metrics.json", "card.md")},
        wording,
    )


def _manifested(bundle: Bundle, files: dict[str, bytes]) -> Bundle:
    manifest = Manifest(files={name: digest(files[name]) for name in sorted(files)})
    return replace(bundle, files=files, manifest=msgspec.json.encode(manifest))
