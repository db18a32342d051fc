"""Labels: the truth about payments, which arrives late."""

from __future__ import annotations

from typing import Any

import faust

from streams.agents.body import finish
from streams.batch import Handler


def register(app: faust.App, topic: Any, handler: Handler) -> None:
    """Read ``topic``: one batch at a time for each partition, partitions side by side."""

    async def labels(stream: Any) -> None:
        async for batch in stream:
            await finish(handler, batch)

    app.agent(topic, name="labels", isolated_partitions=True)(labels)
