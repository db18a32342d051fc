"""Round trips to Redis for the scripts that every payment needs.

redis-py's commands and pipelines pack in Python, start a task for each send, and look at a
connection before each use. That is a third of a millisecond a trip; a small walk has three.
Its connections do the rest here: connecting, authentication, and reading the answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import hiredis
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    ResponseError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

# The rest of the pool stays for other commands.
KEPT_MAX: Final = 8
Argument = bytes | str | int | float


class Trips:
    """Sends commands over connections of ``pool`` that it keeps; raises redis-py's errors.

    The connections must have no timeout of their own: ``timeout_s`` bounds the whole trip.
    """

    def __init__(self, pool: Any, timeout_s: float) -> None:
        self._pool = pool
        self._timeout_s = timeout_s
        self._idle: list[Any] = []

    async def go(self, *commands: Sequence[Argument]) -> list[Any]:
        """The raw answers to ``commands``, in order; raises the first that is an error.

        A connection that turns out to be dead is replaced once. What was sent on it may have
        been done: commands must bear being sent twice, as every script of Weir does.
        """
        packed = b"".join([_packed(tuple(command)) for command in commands])
        try:
            return await self._exchange(packed, len(commands))
        except RedisConnectionError:
            # A restart ends all of them at once.
            await self.close()
            return await self._exchange(packed, len(commands))

    async def close(self) -> None:
        """Close what is not in use."""
        while self._idle:
            await self._give_up(self._idle.pop())

    async def _exchange(self, packed: bytes, count: int) -> list[Any]:
        try:
            async with asyncio.timeout(self._timeout_s):
                connection = self._idle.pop() if self._idle else await self._pool.get_connection()
                try:
                    await connection.send_packed_command(packed, check_health=False)
                    answers = [await _answer(connection) for _ in range(count)]
                except BaseException:
                    # Answers that are still to come would be taken for those of the next trip.
                    await self._give_up(connection)
                    raise
        except TimeoutError:
            raise RedisTimeoutError(f"no answer within {self._timeout_s} s") from None
        if len(self._idle) < KEPT_MAX:
            self._idle.append(connection)
        else:
            await self._pool.release(connection)
        for answer in answers:
            if isinstance(answer, ResponseError):
                raise answer
        return answers

    async def _give_up(self, connection: Any) -> None:
        await connection.disconnect(nowait=True)
        await self._pool.release(connection)


# The stub of hiredis knows tuples of one element only.
_packed: Final[Callable[[tuple[Argument, ...]], bytes]] = cast("Any", hiredis.pack_command)


async def _answer(connection: Any) -> Any:
    """The next answer; an error that Redis answers is returned, for more may follow it."""
    try:
        return await connection.read_response(disconnect_on_error=True)
    except ResponseError as error:
        return error
