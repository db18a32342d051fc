"""Keeps a door on the model that the alias names: looks, checks, and swaps in one step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from models.names import CHAMPION
from models.scorer import Scorer
from models.source import ModelRef, ModelSource
from risk.domain.errors import BadModel, Unavailable

POLL_S: Final = 2.0


class Follower:
    """``scorer`` is the model to serve now, None until there is one.

    Whoever scores takes ``scorer`` once per batch: a swap never touches a batch in flight.
    A refused version is remembered and not tried again until the alias moves; the model that
    serves stays. ``on_swap(ref)`` and ``on_refuse(ref, reason)`` are told of both.
    """

    def __init__(
        self,
        source: ModelSource,
        alias: str = CHAMPION,
        on_swap: Callable[[ModelRef], None] = lambda ref: None,
        on_refuse: Callable[[ModelRef | None, str], None] = lambda ref, reason: None,
    ) -> None:
        self._source = source
        self._alias = alias
        self._on_swap = on_swap
        self._on_refuse = on_refuse
        self._refused: tuple[ModelRef | None, str] | None = None
        self._ref: ModelRef | None = None
        self._scorer: Scorer | None = None

    @property
    def scorer(self) -> Scorer | None:
        return self._scorer

    @property
    def ref(self) -> ModelRef | None:
        """The registry's version of ``scorer``."""
        return self._ref

    @property
    def refusal(self) -> str | None:
        """Why the version that the alias names does not serve; None where it does."""
        return None if self._refused is None else self._refused[1]

    def check(self) -> bool:
        """Look once; True where another model serves now. Blocking, up to seconds.

        Raises Unavailable where MLflow does not answer; without a model so far, the one that
        this machine served last is then taken from the cache first.
        """
        try:
            ref = self._source.resolve(self._alias)
            return ref is not None and self._take(ref)
        except Unavailable:
            last = self._source.last_served(self._alias) if self._scorer is None else None
            if last is None or not self._take(last):
                raise
            return True
        except BadModel as error:
            self._refuse(None, str(error))
            return False

    async def run(self, stop: asyncio.Event, poll_s: float = POLL_S) -> None:
        """Check every ``poll_s`` seconds until ``stop`` is set; the loop goes on meanwhile."""
        while not stop.is_set():
            # Unavailable: the model that serves goes on; /readyz shows where there is none.
            with suppress(Unavailable):
                await asyncio.to_thread(self.check)
            try:
                await asyncio.wait_for(stop.wait(), poll_s)
            except TimeoutError:
                continue

    def _take(self, ref: ModelRef) -> bool:
        if self._ref is not None and ref.bundle == self._ref.bundle:
            self._refused = None
            return False
        if self._refused is not None and self._refused[0] == ref:
            return False
        try:
            scorer = self._source.load(ref)
        except BadModel as error:
            self._refuse(ref, str(error))
            return False
        self._source.serve(ref, self._alias)
        self._scorer, self._ref, self._refused = scorer, ref, None
        self._on_swap(ref)
        return True

    def _refuse(self, ref: ModelRef | None, reason: str) -> None:
        if self._refused != (ref, reason):
            self._refused = (ref, reason)
            self._on_refuse(ref, reason)
