"""Training end to end: useful, calibrated, explained, and the same bytes every time."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from features.catalogue import FEATURE_NAMES, catalogue_digest
from models.bootstrap_model import Recipe, train_from_simulator
from models.inspection import inspect
from models.train import PARAMETERS, Trained
from risk.tables.load import exchange_rates
from tests.support.small_model import small_training

RATES = exchange_rates(None, "EUR")
SMALL = Recipe(
    seed=4, accounts=400, days=24.0, label_delay_days=4.0, opening_payments=600, rounds=40
)


@pytest.fixture(scope="module")
def trained() -> Trained:
    return small_training(1)


def test_a_trained_model_ranks_and_is_calibrated(trained: Trained) -> None:
    assert trained.metrics["auc"] > 0.75
    assert trained.metrics["average_precision"] > 2 * trained.metrics["prevalence"]
    assert trained.metrics["ece"] < 0.05
    inspect(trained.bundle)


def test_the_bundle_names_catalogue_and_parameters(trained: Trained) -> None:
    assert trained.bundle.features.catalogue == catalogue_digest()
    assert trained.bundle.features.names == FEATURE_NAMES
    assert set(PARAMETERS) < set(trained.parameters)
    assert trained.parameters["source"] == "made-up rows"
    assert not {"scale_pos_weight", "is_unbalance"} & set(trained.parameters)
    assert PARAMETERS["num_threads"] == 1


def test_the_card_says_what_a_reader_needs(trained: Trained) -> None:
    card = trained.bundle.files["card.md"].decode()
    for words in ("Payments come from: made-up rows.", "| train |", "| 0.60 |", "prevalence"):
        assert words in card
    assert FEATURE_NAMES[0] in card.split("## Features that helped most")[1].split("##")[0]


def test_pictures_are_well_formed(trained: Trained) -> None:
    assert sorted(trained.plots) == ["calibration.svg", "precision_recall.svg"]
    for body in trained.plots.values():
        line = ET.fromstring(body).find("{http://www.w3.org/2000/svg}polyline")
        assert line is not None
        assert len(line.attrib["points"].split()) >= 10


def test_a_first_model_from_the_simulator_finds_its_frauds() -> None:
    told: list[float] = []
    trained = train_from_simulator(SMALL, RATES, lambda _stage, share: told.append(share))
    assert told == sorted(told)
    assert 0.0 <= told[0] < told[-1] < 1.0
    assert trained.metrics["auc"] > 0.6
    assert "400 accounts over 24 days" in trained.parameters["source"]
    inspect(trained.bundle)
