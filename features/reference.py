"""The catalogue as text: one row per feature, for the command line and the reference page."""

from __future__ import annotations

import math
from typing import Final

from features.catalogue import FAMILIES, catalogue_digest
from features.spec import FeatureSpec
from features.steps import WINDOWS_MS

COLUMNS: Final = ("name", "entity", "window", "dtype", "unit", "default", "exactness", "sentence")
_WINDOW_NAMES: Final = {window_ms: name for name, window_ms in WINDOWS_MS.items()}
_HEAD: Final = """\
# Features

Made by `weir features list --markdown`; do not edit. {count} features, catalogue digest
`{digest}`.

A feature is a pure function of the payment and of the tails of its entities' logs. A window of
length w ends at the time t of the payment and holds the records with a time in (t - w, t];
records up to 5 s newer count as age 0, newer ones are not seen. The payment itself is not in
its own tails. "missing" is NaN: the payment lacks the entity or the field, or there is nothing
to divide by. A feature that is exact "within the tail" is flagged inexact where its window
starts before the oldest record that the log still hands out. One that says "tiles" goes on
there with counts and sums by hour and day: the old edge of its window is then rounded to the
nearest edge of a tile (`docs/guide/memory.md`).

Each one's example, owner and computation: `weir features show NAME`. How its values are spread:
[features-distribution.md](features-distribution.md).
"""


def row(spec: FeatureSpec) -> dict[str, str]:
    """What ``COLUMNS`` say of one feature, as text."""
    return {
        "name": spec.name,
        "entity": spec.entity,
        "window": "" if spec.window_ms is None else _WINDOW_NAMES[spec.window_ms],
        "dtype": spec.dtype,
        "unit": spec.unit,
        "default": "missing" if math.isnan(spec.default) else repr(spec.default),
        "exactness": spec.exactness,
        "sentence": spec.sentence,
    }


def whole(spec: FeatureSpec) -> dict[str, str | int]:
    """Everything that is declared of one feature."""
    return {
        **row(spec),
        "version": spec.version,
        "owner": spec.owner,
        "monotone": spec.monotone,
        "example": spec.example,
        "computation": spec.computation,
    }


def markdown() -> str:
    """The reference page, family by family."""
    count = sum(len(specs) for specs in FAMILIES.values())
    lines = [_HEAD.format(count=count, digest=catalogue_digest())]
    for family, specs in FAMILIES.items():
        lines += [f"## {family.capitalize()}", "", f"| {' | '.join(COLUMNS)} |"]
        lines.append("|" + "---|" * len(COLUMNS))
        lines += [f"| {' | '.join(_cells(spec))} |" for spec in specs]
        lines.append("")
    return "\n".join(lines)


def _cells(spec: FeatureSpec) -> list[str]:
    cells = row(spec)
    return [f"`{cells['name']}`", *(cells[column] for column in COLUMNS[1:])]
