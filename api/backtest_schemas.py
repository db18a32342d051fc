"""The schemas of back-tests in the OpenAPI text, made from the classes that are answered."""

from __future__ import annotations

from typing import Final

import msgspec

from api.schema_parts import prefixed, schemas_of, untitled
from risk.backtest.jobs import Job, Wanted
from risk.backtest.report import Report
from risk.contracts import Schema

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
    made = untitled(schemas_of(kinds, ref, prefixed(_PREFIX)))
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
