"""The control topic for callers in threads: what the desk of lists publishes through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from risk.lists.desk import ListDesk
from risk.storage.lists import SqlLists
from risk.versions.version import Kind, Live, Version
from streams.control import Control
from streams.topics import LIVE_WORLD

T = TypeVar("T")
_ANSWER_S: Final = 60.0


class ControlOutlet:
    """Runs what a thread asks for on the loop that ``control`` lives in."""

    def __init__(self, control: Control, loop: asyncio.AbstractEventLoop) -> None:
        self._control = control
        self._loop = loop

    def find(self, kind: Kind, digest: str) -> Version | None:
        """A version that the topic held when it was last read, or this machine."""
        return self._control.store.get(kind, digest)

    def publish(self, versions: Sequence[Version]) -> None:
        """Put versions on the topic, one after the other; those that it has are left out."""
        for version in versions:
            self._run(self._control.publish([version]))

    def set_live(self, version: Version, author: str, at_ms: int, reason: str) -> Live:
        """Make a version live everywhere, confirmed by Kafka."""
        return self._run(self._control.set_live(version, author=author, at_ms=at_ms, reason=reason))

    def live(self) -> Mapping[Kind, Live]:
        """The pointers as they stand on the topic now."""
        self._run(self._control.look())
        return dict(self._control.live)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_ANSWER_S)


@asynccontextmanager
async def open_list_desk(
    control: Control,
    lists: SqlLists,
    reserved: frozenset[str],
    now_ms: Callable[[], int],
    world: str,
) -> AsyncIterator[ListDesk]:
    """The desk of ``world`` over ``control``, which is closed with it. Use it in threads."""
    try:
        await control.load()
        yield list_desk(control, lists, reserved, now_ms, world)
    finally:
        await control.close()


def list_desk(
    control: Control,
    lists: SqlLists,
    reserved: frozenset[str],
    now_ms: Callable[[], int],
    world: str,
) -> ListDesk:
    """The desk of ``world`` over ``control``, on the running loop. Use it in threads."""
    outlet = ControlOutlet(control, asyncio.get_running_loop())
    return ListDesk(lists, outlet, reserved, now_ms, timeless=world != LIVE_WORLD)
