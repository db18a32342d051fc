"""Weir's own decisions: what was stopped becomes something to remember."""

from __future__ import annotations

from typing import Any

import faust

from streams.agents.body import finish
from streams.batch import Handler


def register(app: faust.App, topic: Any, handler: Handler) -> None:
    """Read ``topic``: one batch at a time for each partition, partitions side by side."""

    async def decisions(stream: Any) -> None:
        async for batch in stream:
            await finish(handler, batch)

    app.agent(topic, name="decisions", isolated_partitions=True)(decisions)
