"""The one call that an agent's body makes, and the end of the process where it fails.

Faust acknowledges an event whose agent raised: the event would be lost. So nothing leaves
this function but success; anything else, a cancellation included, ends the process before
Faust can acknowledge, and Kafka delivers the batch again.
"""

from __future__ import annotations

from streams.batch import Batch, Handler
from streams.leave import EXIT_UNFINISHED, leave


async def finish(handler: Handler, batch: Batch) -> None:
    """Handle ``batch`` to its end; returns only when all of it may be committed."""
    try:
        await handler.handle(batch)
    except BaseException as error:  # noqa: BLE001  # the worker door
        leave(EXIT_UNFINISHED, f"{batch!r} cannot be finished", error)
