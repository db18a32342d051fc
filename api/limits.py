"""Bounds of the HTTP door: bytes and seconds of a body, requests per second of a key."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from fastapi import Request
from starlette.requests import ClientDisconnect

from api.problems import Problem
from risk.domain.clock import Clock
from risk.domain.errors import InvalidEvent
from risk.domain.limits import EVENT_BYTES_MAX

BODY_S_MAX: Final = 5.0
BURST_S: Final = 1.0  # a key may send this many seconds of its rate at once
KEYS_MAX: Final = 10_000  # buckets kept; a full bucket needs no memory


async def read_json_body(request: Request, bytes_max: int = EVENT_BYTES_MAX) -> bytes:
    """The raw body, at most ``bytes_max``, counted while it arrives and before it is parsed.

    Raises InvalidEvent TOO_LARGE, or a Problem for its type, its packing or its slowness.
    """
    # The first of a name counts, as everywhere else in this door.
    headers = dict(reversed(request.scope["headers"]))
    if not _is_json(headers.get(b"content-type", b"")):
        raise Problem("UNSUPPORTED_MEDIA_TYPE", "the body is not application/json in UTF-8")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise Problem("UNSUPPORTED_MEDIA_TYPE", "the body is packed (Content-Encoding)")
    declared = headers.get(b"content-length", b"")[:20].decode("latin-1")
    if declared.isdecimal() and int(declared) > bytes_max:
        raise _too_large(f"{declared} bytes are announced", bytes_max)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S_MAX):
            async for chunk in request.stream():
                body += chunk
                if len(body) > bytes_max:
                    raise _too_large("more bytes were sent", bytes_max)
    except TimeoutError:
        raise Problem("BODY_TIMEOUT", f"the body took over {BODY_S_MAX:g} s") from None
    except ClientDisconnect:
        raise Problem("HTTP_ERROR", "the caller left before the body was whole") from None
    return bytes(body)


def _is_json(content_type: bytes) -> bool:
    if content_type == b"application/json":
        return True
    kind, _, parameters = content_type.decode("latin-1").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    return kind.strip().lower() == "application/json" and charset in ("", "utf-8", "utf8")


def _too_large(found: str, bytes_max: int) -> InvalidEvent:
    return InvalidEvent("TOO_LARGE", f"{found}, at most {bytes_max} are read")


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_s: float


class RateLimit:
    """One token bucket per key. Refused requests cost nothing and are told when to come back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def wait_s(self, key_id: str, rate_per_s: int) -> float:
        """0 if a request of this key may pass now (it is counted), else seconds to wait."""
        now_s = self._clock.monotonic_s()
        burst = max(1.0, rate_per_s * BURST_S)
        bucket = self._buckets.get(key_id)
        if bucket is None:
            self._make_room(now_s)
            bucket = self._buckets[key_id] = _Bucket(burst, now_s)
        passed_s = max(0.0, now_s - bucket.at_s)
        bucket.tokens = min(burst, bucket.tokens + passed_s * rate_per_s)
        bucket.at_s = now_s
        if bucket.tokens < 1.0:
            return (1.0 - bucket.tokens) / rate_per_s
        bucket.tokens -= 1.0
        return 0.0

    def _make_room(self, now_s: float) -> None:
        """Forget keys that have been quiet for so long that their bucket is full again."""
        if len(self._buckets) >= KEYS_MAX:
            self._buckets = {
                key_id: bucket
                for key_id, bucket in self._buckets.items()
                if now_s - bucket.at_s < BURST_S
            }
