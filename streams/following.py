"""Keeps what judges at what the control topic says is live."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from risk.domain.errors import BadBook, BadConfiguration, BadVersion, Unavailable
from risk.observability.metrics import Metrics
from risk.versions.serving import LIVE_KINDS, Serving, refusal
from risk.versions.version import Kind, Live, Version
from streams.control import Control

TURN_PAUSE_S: Final = 0.05
_LOG = structlog.get_logger("weir.control")


class Following:
    """One for each process that judges. A version is swapped in whole, between batches.

    A version that is damaged, does not compile or names what this code does not know is
    refused once, and what judges stays.
    """

    def __init__(self, control: Control, serving: Serving, metrics: Metrics) -> None:
        self._control = control
        self._serving = serving
        self._metrics = metrics
        # With what judged then: lists that a book is waiting for may come later.
        self._refused: set[tuple[str, str, str]] = set()

    @property
    def problem(self) -> str:
        """Why a live version does not judge here; "" where all do."""
        return "; ".join(f"{kind}: {why}" for kind, why in self._serving.refusals.items())

    async def start(self, shipped: Sequence[Version]) -> None:
        """Take over what is live, and publish what ``shipped``, so that digests can be resolved.

        Raises Unavailable.
        """
        await self._control.load()
        await self._control.publish(shipped)
        await self._apply()

    async def turn(self) -> None:
        """Wait for news, a fifth of a second at most, and apply them."""
        try:
            await self._control.wait()
        except Unavailable:
            await self._control.close()
            raise
        await self._apply()

    async def close(self) -> None:
        """Let go of the topic."""
        await self._control.close()

    async def _apply(self) -> None:
        for kind in LIVE_KINDS:
            live = self._control.live.get(kind)
            if live is None or live.digest == self._serving.digest_of(kind):
                if live is not None:
                    self._serving.refusals.pop(kind, None)
                continue
            if self._context(live) not in self._refused:
                await self._take(live)

    def _context(self, live: Live) -> tuple[str, str, str]:
        of = self._serving.digest_of
        return live.digest, of("book"), of("lists")

    def _beside(self, kind: Kind) -> Version | None:
        """The live book, where lists are to be made live and another book judges still."""
        book = self._control.live.get("book") if kind == "lists" else None
        if book is None or book.digest == self._serving.digest_of("book"):
            return None
        return self._control.store.get("book", book.digest)

    async def _take(self, live: Live) -> None:
        kind, short = live.kind, live.digest[:12]
        try:
            version = self._control.store.get(kind, live.digest)
            if version is None:
                # Its pieces stand behind the pointer; they are read at the next turn.
                self._serving.refusals[kind] = f"{kind} {short} is not on the control topic"
                return
            prepared = await asyncio.to_thread(self._serving.prepare, version, self._beside(kind))
        except (BadVersion, BadBook, BadConfiguration) as error:
            self._refused.add(self._context(live))
            self._serving.refusals[kind] = refusal(error)
            self._metrics.count("weir_versions_refused_total", kind=kind)
            _LOG.error("a live version is refused", kind=kind, digest=short, reason=str(error))
            return
        self._serving.swap(prepared)
        self._serving.refusals.pop(kind, None)
        self._control.store.set_live(live)
        self._metrics.set("weir_version_number", live.number, kind=kind)
        _LOG.info("another version judges", kind=kind, digest=short, number=live.number,
                  author=live.author)  # fmt: skip
