"""Keeps a door on the model that the alias names: looks, checks, and swaps in one step."""

from __future__ import annotations

from typing import Final

import structlog

from models.names import CHAMPION
from models.scorer import Scorer
from models.source import ModelRef, ModelSource
from risk.domain.errors import BadModel, Unavailable

# A refusal may come of this machine (no memory, no time) and not of the model: look again.
_RETRY_CHECKS: Final = 30
_LOG = structlog.get_logger("weir.models")


class Follower:
    """``scorer`` is the model to serve now, None until there is one.

    Whoever scores takes ``scorer`` once per batch: a swap never touches a batch in flight.
    A refused version is not tried at every check, and the model that serves stays. Call
    ``check`` every second, from a thread. ``optional``: where the alias points at nothing,
    nothing serves (a challenger); else what served stays.
    """

    def __init__(
        self, source: ModelSource, alias: str = CHAMPION, *, optional: bool = False
    ) -> None:
        self._optional = optional
        self._source = source
        self._alias = alias
        self._refused: ModelRef | None = None
        self._refusal: str | None = None
        self._skipped = 0
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
        return self._refusal

    def check(self) -> bool:
        """Look once; True where another model serves now. Blocking, up to seconds.

        Raises Unavailable where MLflow does not answer; without a model so far, the one that
        this machine served last is then taken from the cache first.
        """
        try:
            ref = self._source.resolve(self._alias)
            if ref is None:
                changed = self._optional and self._scorer is not None
                if self._optional:
                    self.let_go()
                return changed
            return self._take(ref)
        except Unavailable:
            wanted = self._scorer is None and not self._optional
            last = self._source.last_served(self._alias) if wanted else None
            if last is None or not self._take(last):
                raise
            return True
        except BadModel as error:
            self._refused, self._refusal = None, str(error)
            return False

    def _take(self, ref: ModelRef) -> bool:
        if self._ref is not None and ref.bundle == self._ref.bundle:
            self._refused = self._refusal = None
            return False
        if ref == self._refused and self._skipped < _RETRY_CHECKS:
            self._skipped += 1
            return False
        try:
            scorer = self._source.load(ref)
        except BadModel as error:
            self._refused, self._refusal, self._skipped = ref, str(error), 0
            return False
        self._scorer, self._ref = scorer, ref
        self._refused = self._refusal = None
        try:
            self._source.serve(ref, self._alias)
        except OSError as error:
            # It serves all the same; only a start without MLflow would not find it.
            _LOG.error("the model that serves cannot be noted", reason=error.strerror)
        return True

    def let_go(self) -> None:
        """Serve nothing any more: the alias points at nothing."""
        self._scorer = self._ref = self._refused = self._refusal = None
