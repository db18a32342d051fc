"""The declarations: whole, unique, bound to what rules and models call them."""

from __future__ import annotations

import doctest
import importlib
import math
from dataclasses import replace

import pytest

from features.catalogue import (
    CATALOGUE,
    FAMILIES,
    FEATURE_NAMES,
    by_name,
    catalogue_body,
    catalogue_digest,
    feature,
    types_in,
)
from features.spec import FeatureSpec
from features.steps import (
    WINDOWS_MS,
    Past,
    Step,
    count,
    distinct,
    divide,
    fact,
    is_zero,
    multiples,
    recent_median,
)
from risk.domain.kinds import ENTITY_KINDS


def test_names_are_unique_and_say_their_entity() -> None:
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES) >= 120
    for spec in CATALOGUE:
        assert spec.name.startswith(f"{spec.entity}_")


def test_two_features_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="one name"):
        by_name([*CATALOGUE, CATALOGUE[0]])
    assert by_name(CATALOGUE)[FEATURE_NAMES[0]] is feature(FEATURE_NAMES[0])


def test_every_declaration_is_whole() -> None:
    for spec in CATALOGUE:
        assert spec.sentence[0].isupper() or spec.sentence[0].isdigit()
        assert spec.sentence.endswith(".")
        assert spec.unit
        assert spec.owner
        assert spec.version >= 1
        assert isinstance(spec.default, float)
        assert spec.computation


def test_sentences_and_computations_are_not_shared() -> None:
    assert len({spec.sentence for spec in CATALOGUE}) == len(CATALOGUE)
    assert len({spec.computation for spec in CATALOGUE}) == len(CATALOGUE)


def test_a_name_ends_in_its_window() -> None:
    for spec in CATALOGUE:
        last = spec.name.rsplit("_", 1)[1]
        assert WINDOWS_MS.get(last) == spec.window_ms, spec.name


def test_the_first_catalogue_covers_what_was_asked() -> None:
    assert {"account", "card", "device", "ip", "merchant", "payment"} <= {
        spec.entity for spec in CATALOGUE
    }
    assert set(WINDOWS_MS.values()) <= {spec.window_ms for spec in CATALOGUE}


def test_only_features_of_the_payment_are_always_exact() -> None:
    for spec in CATALOGUE:
        assert (spec.exactness == "always") is (spec.entity not in ENTITY_KINDS)


def test_a_feature_is_found_by_name() -> None:
    assert feature("card_payments_5m").unit == "payments"
    with pytest.raises(KeyError, match="card_payments_6m"):
        feature("card_payments_6m")


def test_the_digest_names_this_catalogue() -> None:
    # Changes with every feature that is added or computed otherwise, and with nothing else.
    assert catalogue_digest() == DIGEST


@pytest.mark.parametrize("family", FAMILIES)
def test_examples_of_the_families_hold(family: str) -> None:
    module = importlib.import_module(f"features.families.{family}")
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0


def test_examples_of_the_steps_hold() -> None:
    assert doctest.testmod(importlib.import_module("features.steps")).failed == 0


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"name": "Payments"}, "not of the form"),
        ({"name": "payments"}, "not of the form"),
        ({"entity": "planet"}, "no such entity"),
        ({"unit": ""}, "a unit and one whole sentence"),
        ({"sentence": "No full stop"}, "a unit and one whole sentence"),
        ({"example": "now"}, "an example that says its value"),
    ],
)
def test_a_faulty_declaration_is_refused(changes: dict[str, str], reason: str) -> None:
    spec = FeatureSpec(
        name="card_payments_1h",
        entity="card",
        window_ms=1,
        dtype="integer",
        unit="payments",
        sentence="Payments.",
        step=count(Past("card", "1h")),
        example="now -> 0",
    )
    assert math.isnan(spec.default)
    with pytest.raises(ValueError, match=reason):
        replace(spec, **changes)  # type: ignore[arg-type]  # strings for string fields


def test_a_faulty_step_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown operation 'guess'"):
        Step("guess")
    with pytest.raises(ValueError, match="unknown field 'colour'"):
        fact("colour")
    with pytest.raises(ValueError, match="no log of 'planet'"):
        count(Past("planet"))
    with pytest.raises(ValueError, match="records of card have no field 'kyc_level'"):
        distinct(Past("card"), "kyc_level")
    with pytest.raises(ValueError, match="records of merchant have no field 'counterparty'"):
        distinct(Past("merchant"), "counterparty")
    with pytest.raises(ValueError, match="distinct amounts"):
        distinct(Past("card"), "amount")
    with pytest.raises(ValueError, match="needs 2 inputs"):
        Step("divide", inputs=(fact("amount"),))
    with pytest.raises(ValueError, match="needs the past"):
        Step("count")
    with pytest.raises(ValueError, match="a recent median is of 1 to 32 amounts"):
        recent_median(Past("card"), 33)
    with pytest.raises(ValueError, match="multiples needs a number above 0"):
        multiples(Past("card"), 0)
    assert divide(fact("amount"), is_zero(fact("hour"))).past is None


DIGEST = "f6dacae1029e6e11d9f18053a81901ad541ecd605b3b5341a11cd5ba21298356"


@pytest.mark.parametrize("body", [b"{", b"[]", b"[[],[[1]]]", b'[[],[["a",1]]]', b"3"])
def test_what_is_no_catalogue_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="not the body of a catalogue"):
        types_in(body)


def test_a_catalogue_tells_names_and_types() -> None:
    assert types_in(catalogue_body()) == tuple((one.name, one.dtype) for one in CATALOGUE)
