"""Parameters of scenarios: a default with its unit, meaning and range, checked on construction."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields
from typing import Any, Final

from risk.simulator.label_laws import LabelLaw

_KEY: Final = "parameter"
PAYMENTS: Final = "payments"  # metadata of a law that holds for some payments only: which


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a parameter stands for. ``least`` and ``most`` are allowed values."""

    unit: str
    sentence: str
    least: float
    most: float


def parameter(
    default: Any, unit: str, sentence: str, least: float = 0.0, most: float = math.inf
) -> Any:
    """A dataclass field with its meaning; one whose unit is ``share`` lies between 0 and 1."""
    if unit == "share":
        most = min(most, 1.0)
    return field(default=default, metadata={_KEY: Meaning(unit, sentence, least, most)})


def payments_of(each: Field[Any]) -> str:
    """Which payments the law in this field is about, in words."""
    return str(each.metadata.get(PAYMENTS, "All payments"))


def parameters(scenario: Any) -> Iterator[tuple[Field[Any], Meaning]]:
    """The documented parameters of a scenario (or of its class), in the order of the file."""
    for each in fields(scenario):
        if _KEY in each.metadata:
            yield each, each.metadata[_KEY]


def laws(scenario: Any) -> Iterator[tuple[Field[Any], LabelLaw]]:
    """The label laws of a scenario, in the order of the file."""
    for each in fields(scenario):
        value = getattr(scenario, each.name)
        if isinstance(value, LabelLaw):
            yield each, value


def check(scenario: Any) -> None:
    """Raise ValueError where a parameter is out of range, or a minimum above its maximum."""
    for each, meaning in parameters(scenario):
        value = getattr(scenario, each.name)
        if not meaning.least <= value <= meaning.most:
            raise ValueError(
                f"{type(scenario).__name__}.{each.name} is {value}: allowed are"
                f" {meaning.least:g} to {meaning.most:g}"
            )
    for each, _ in parameters(scenario):
        if each.name.endswith("_min"):
            value = getattr(scenario, each.name)
            most = getattr(scenario, f"{each.name.removesuffix('_min')}_max")
            if value > most:
                raise ValueError(f"{type(scenario).__name__}.{each.name} is above its maximum")
