"""Explanations for the API: the versions that judged, kept at hand, one question at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from risk.domain.errors import Unavailable

if TYPE_CHECKING:
    from models.explaining import Explanation
    from risk.settings import Settings


class ExplainDesk:
    """Follows ``api.desks.Explaining``.

    Questions wait for each other and are worked on in a thread: payments go first.
    """

    def __init__(self, settings: Settings) -> None:
        from risk.cli.versions_at_hand import VersionsAtHand

        self._versions = VersionsAtHand(settings, kafka=True)
        self._turn = asyncio.Lock()

    async def explain(self, body: bytes, inputs: Sequence[str]) -> Explanation:
        """See ``models.explaining.explained``; ``body`` is a published decision.

        Raises Unavailable where a version that judged is not to be had.
        """
        from models.explaining import explained
        from risk.domain.decision import decode_decision
        from risk.replay import evidence_of

        decision = decode_decision(body)
        async with self._turn:
            named = await self._versions.of(evidence_of(decision))
            if named is None:
                missing = "; ".join(self._versions.missing)
                self._versions.look_again()
                raise Unavailable("versions", f"what judged is not at hand: {missing}")
            book = self._versions.book
            return await asyncio.to_thread(explained, decision, named, book, inputs)

    async def close(self) -> None:
        """Let go of the control topic."""
        await self._versions.close()
