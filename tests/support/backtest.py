"""Blocks of columns from claims and scores, as a back-test reads them from decisions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from risk.backtest.block import Block, Ids
from risk.backtest.builder import BlockBuilder
from risk.backtest.columns import Text
from risk.domain.decision import Decision, Digests, decode_decision
from risk.domain.observation import Arrival, Claimed, Lost
from risk.judgement import Constants, Judgement, Versions
from risk.policy import Policy
from risk.rules.book import Book
from risk.rules.compiler import Tables
from risk.rules.evaluator import CompiledBook
from risk.rules.schema import Schema
from tests.support.memory import to_base

NAMES = ("f_one", "f_flag")
CATALOGUE = "k" * 64


def decisions_of(claims: Sequence[tuple[Arrival, Claimed | Lost]]) -> list[Decision]:
    """What an empty book without a model decided on each claim."""
    from risk.domain.money import ExchangeRates

    rates = ExchangeRates(base="EUR", as_of="2026-01-01", source="test", rates_e9={})
    rules = CompiledBook(Book(name="Empty", rules=()), Schema(), Tables(rates))
    digests = Digests(
        catalogue=CATALOGUE, model="", calibration="", book="", lists="", policy="", rates=""
    )
    constants = Constants(NAMES, CATALOGUE, "", "weir", {})
    judgement = Judgement(constants, Versions(None, rules, Policy(), digests))
    return [decode_decision(one.body) for one in judgement.judge(claims)]


def block_of(
    claims: Sequence[tuple[Arrival, Claimed | Lost]],
    scores: Sequence[float | None],
    *,
    windows: bool = True,
) -> Block:
    """The block of these claims, as if they had had these scores and amounts."""
    amounts = {arrival.event.id: arrival.amount_base for arrival, _ in claims}
    builder = BlockBuilder(NAMES, CATALOGUE, lambda event, _rates: amounts[event.id])
    for decision in decisions_of(claims):
        builder.add(decision)
    assert builder.left_out == {}
    block = builder.block("test")
    held = np.array([np.nan if one is None else one for one in scores], np.float64)
    return Block(
        **{
            **{name: getattr(block, name) for name in Block.__dataclass_fields__},
            "score": held,
            "windows": block.windows if windows else {},
        }
    )


def plain_builder() -> BlockBuilder:
    """A builder for decisions of this module's features."""
    return BlockBuilder(NAMES, CATALOGUE, to_base)


def with_columns(
    block: Block, *, keep: Any = None, tenant: str | None = None, **columns: Any
) -> Block:
    """``block`` with other columns, another tenant, or only some of its rows."""
    made = dataclasses.replace(block, **columns)
    if tenant is not None:
        made = dataclasses.replace(made, tenant=Text(made.tenant.codes, (tenant,)))
    if keep is None:
        return made
    rows = np.arange(len(block))[keep]
    part = {name: getattr(made, name)[rows] for name in ("keys", "decided_ms", "outcome", "score")}
    return dataclasses.replace(
        made,
        **part,
        ids=Ids.of([made.ids.at(row) for row in rows.tolist()]),
        tenant=Text(made.tenant.codes[rows], made.tenant.words),
        has_features=made.has_features[rows],
        features=made.features[:, rows],
        numbers={name: column[rows] for name, column in made.numbers.items()},
        texts={name: Text(one.codes[rows], one.words) for name, one in made.texts.items()},
        windows={},
    )
