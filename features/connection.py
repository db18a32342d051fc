"""One pool of connections to Redis or Valkey, and what its answers mean.

Scripts are called by hash only. redis-py's Script class and pipeline script loading load a
missing script again by themselves, which would hide that Redis lost its state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from features.scripts import Script
from features.trips import Argument, Trips
from risk.domain.errors import BadConfiguration, StaleEpoch, Unavailable

SOCKET_TIMEOUT_S: Final = 5.0
CONNECTIONS_MAX: Final = 32
# A walk's tails are several hundred kilobytes.
READ_BYTES: Final = 1 << 20


class LockLost(StaleEpoch):
    """Another recovery holds the lock now; what this one did not finish is void."""


class Connection:
    """Calls Redis; raises StaleEpoch, Unavailable("redis", ...) or BadConfiguration only."""

    def __init__(self, url: str, socket_timeout_s: float = SOCKET_TIMEOUT_S) -> None:
        if not url.startswith(("redis://", "rediss://", "unix://")):
            raise BadConfiguration(
                "WEIR_REDIS: the address must begin with redis://, rediss:// or unix://"
            )
        # Callers beyond the pool wait for a connection; an error would read as "Redis is away".
        pool: Any = BlockingConnectionPool.from_url(
            url,
            timeout=socket_timeout_s,
            decode_responses=False,
            # Whoever calls bounds the whole trip: a timeout for each send and read costs a task.
            socket_timeout=None,
            socket_connect_timeout=socket_timeout_s,
            socket_read_size=READ_BYTES,
            max_connections=CONNECTIONS_MAX,
            # A door has a deadline of its own; only a dead connection is tried once more.
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        )
        self._redis: Any = Redis.from_pool(pool)
        self._trips = Trips(pool, socket_timeout_s)
        self._timeout_s = socket_timeout_s

    async def call(self, *command: Argument) -> Any:
        """One command and its answer."""
        return await self._told(self._call(command))

    async def run(self, script: Script, keys: Sequence[bytes], *arguments: Argument) -> Any:
        """One call of a loaded script."""
        command = ("EVALSHA", script.sha, len(keys), *keys, *arguments)
        (answer,) = await self._told(self._trips.go(command))
        return answer

    async def run_and_get(
        self,
        script: Script,
        keys: Sequence[bytes],
        arguments: Sequence[Argument],
        wanted: Sequence[bytes],
    ) -> tuple[Any, list[bytes | None]]:
        """``run``, and then the values of ``wanted``, in one trip.

        Others may write between the two.
        """
        commands: list[Sequence[Argument]] = [("EVALSHA", script.sha, len(keys), *keys, *arguments)]
        if wanted:
            commands.append(("MGET", *wanted))
        reply, *values = await self._told(self._trips.go(*commands))
        return reply, values[0] if values else []

    async def _call(self, command: Sequence[Argument]) -> Any:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._redis.execute_command(*command)
        except TimeoutError:
            raise RedisTimeoutError(f"no answer within {self._timeout_s} s") from None

    @staticmethod
    async def _told(answer: Awaitable[Any]) -> Any:
        """The answer, or what its error means."""
        try:
            return await answer
        except NoScriptError as error:
            raise StaleEpoch(f"Redis no longer knows the script: {error}") from None
        except (RedisConnectionError, RedisTimeoutError, OutOfMemoryError, ReadOnlyError) as error:
            raise Unavailable("redis", str(error)) from error
        except ResponseError as error:
            raise _meaning(str(error)) from error
        except RedisError as error:
            raise Unavailable("redis", str(error)) from error

    async def load(self, script: Script) -> None:
        """SCRIPT LOAD; only a recovery may do this."""
        await self.call("SCRIPT LOAD", script.text)

    async def knows(self, scripts: Sequence[Script]) -> bool:
        """Whether Redis knows every one of ``scripts``."""
        return all(await self.call("SCRIPT EXISTS", *(script.sha for script in scripts)))

    async def refuse_cluster(self) -> None:
        """Raise BadConfiguration on a Redis Cluster: this version keeps one bucket."""
        info = await self.call("INFO", "cluster")
        text = info.decode() if isinstance(info, bytes) else str(info)
        if "cluster_enabled:1" in text or "'cluster_enabled': 1" in text:
            raise BadConfiguration(
                "WEIR_REDIS: this is a Redis Cluster; this version keeps one bucket, "
                "give it a single node (with replicas where you need them)"
            )

    async def close(self) -> None:
        """Close the pool."""
        await self._trips.close()
        await self._redis.aclose()


def _meaning(answer: str) -> StaleEpoch | Unavailable:
    if "LOCKLOST" in answer:
        return LockLost(answer)
    if answer.startswith(("STALE", "NOSCRIPT")):
        return StaleEpoch(answer)
    return Unavailable("redis", answer)
