"""Keeps what judges, and what scores in the shadow, at the versions that their aliases name."""

from __future__ import annotations

import asyncio
from typing import Final, Literal

import structlog

from models.follow import Follower
from risk.domain.errors import Unavailable
from risk.judgement import Judgement
from risk.observability.metrics import Metrics

_LOG = structlog.get_logger("weir.models")
_ALIASES: Final[tuple[Literal["champion", "challenger"], ...]] = ("champion", "challenger")


class ModelFollowing:
    """Swaps models between batches; says of each refused version why, once, in log and metric."""

    def __init__(
        self, champion: Follower, challenger: Follower, judgement: Judgement, metrics: Metrics
    ) -> None:
        self._followers = {"champion": champion, "challenger": challenger}
        self._judgement = judgement
        self._metrics = metrics
        self._told: dict[str, str | None] = {}

    @property
    def problem(self) -> str:
        """Why a version that an alias names does not serve here; "" where all do."""
        refusals = [(alias, one.refusal) for alias, one in self._followers.items()]
        return "; ".join(f"{alias} refused: {why}" for alias, why in refusals if why)

    async def turn(self) -> None:
        """Look where the aliases point. While MLflow is down, what serves goes on."""
        for alias in _ALIASES:
            follower = self._followers[alias]
            try:
                if await asyncio.to_thread(follower.check):
                    self._say(alias, follower)
            except Unavailable:
                self._swap()
                return
            finally:
                self._count(alias, follower)
            self._swap()

    def _swap(self) -> None:
        judgement, scorer = self._judgement, self._followers["champion"].scorer
        held = judgement.versions
        if scorer is not held.scoring:
            judgement.versions = judgement.constants.versions(
                scorer, held.rules, held.policy, held.lists
            )
        self._metrics.set("weir_model_loaded", 0 if scorer is None else 1)
        shadowed = self._followers["challenger"].scorer
        self._metrics.set("weir_challenger_loaded", 0 if shadowed is None else 1)

    def _count(self, alias: Literal["champion", "challenger"], follower: Follower) -> None:
        why, told = follower.refusal, self._told.get(alias)
        if why and why != told:
            self._metrics.count("weir_models_refused_total", alias=alias)
            _LOG.error("a version of the model is refused", alias=alias, reason=why)
        self._told[alias] = why

    @staticmethod
    def _say(alias: str, follower: Follower) -> None:
        ref = follower.ref
        version = ref.version if ref is not None else "none"
        _LOG.info("another model serves", alias=alias, version=version)
