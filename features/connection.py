"""One pool of connections to Redis or Valkey, and what its answers mean.

Scripts are called by hash only. redis-py's Script class and pipeline script loading load a
missing script again by themselves, which would hide that Redis lost its state.
"""

from __future__ import annotations

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
from risk.domain.errors import BadConfiguration, StaleEpoch, Unavailable

SOCKET_TIMEOUT_S: Final = 5.0
CONNECTIONS_MAX: Final = 32
Argument = bytes | str | int | float


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
            socket_timeout=socket_timeout_s,
            socket_connect_timeout=socket_timeout_s,
            max_connections=CONNECTIONS_MAX,
            # A door has a deadline of its own; only a dead connection is tried once more.
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        )
        self._redis: Any = Redis.from_pool(pool)

    async def call(self, *command: Argument) -> Any:
        """One command and its raw answer."""
        return await self._told(self._redis.execute_command(*command))

    async def run(self, script: Script, keys: Sequence[bytes], *arguments: Argument) -> Any:
        """One call of a loaded script."""
        return await self.call("EVALSHA", script.sha, len(keys), *keys, *arguments)

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
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.execute_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
        if wanted:
            pipeline.execute_command("MGET", *wanted)
        reply, *values = await self._told(_first_error_raised(pipeline))
        return reply, values[0] if values else []

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
        await self._redis.aclose()


async def _first_error_raised(pipeline: Any) -> list[Any]:
    """The answers of a pipeline. Its own way to raise would write keys into the message."""
    answers: list[Any] = await pipeline.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


def _meaning(answer: str) -> StaleEpoch | Unavailable:
    if "LOCKLOST" in answer:
        return LockLost(answer)
    if answer.startswith(("STALE", "NOSCRIPT")):
        return StaleEpoch(answer)
    return Unavailable("redis", answer)
