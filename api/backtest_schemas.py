"""The schemas of back-tests in the OpenAPI text, made from the classes that are answered."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from risk.backtest.jobs import Job, Wanted
from risk.backtest.report import Report

Schema = dict[str, Any]
_PREFIX: Final = "Backtest"
_WANTED: Final = "BacktestWanted"


class BacktestAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A job; ``report`` is there once it is done."""

    job: Job
    report: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class BacktestList(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs of this process, the newest first."""

    jobs: list[Job]


def backtest_schemas(ref: str) -> dict[str, Schema]:
    """Name to schema; ``ref`` begins each reference. All names begin with ``Backtest``."""
    kinds = (Job, Report, Wanted, BacktestList)
    _, found = msgspec.json.schema_components(kinds, ref_template="#{name}")
    names = {name: name if name.startswith(_PREFIX) else _PREFIX + name for name in found}
    text = json.dumps(found)
    for name, public in names.items():
        text = text.replace(f'"#{name}"', f'"{ref}{public}"')
    made: dict[str, Schema] = {names[name]: schema for name, schema in json.loads(text).items()}
    for schema in made.values():
        schema.pop("title", None)
    made[_WANTED]["properties"]["book"] = {
        "description": "A book as YAML text, or as JSON.",
        "oneOf": [{"type": "string"}, {"type": "object"}],
    }
    made[_WANTED]["required"] = ["book"]
    answer: Schema = {
        "type": "object",
        "description": "A back-test; `report` is there once it is done.",
        "properties": {
            "job": {"$ref": f"{ref}BacktestJob"},
            "report": {"$ref": f"{ref}BacktestReport"},
        },
        "required": ["job"],
    }
    return {**made, "Backtest": answer}
