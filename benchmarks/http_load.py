"""A process that sends payments over HTTP and times the answers.

A load generator of its own, because common clients take more of the machine than the server
under test. It speaks just enough HTTP/1.1: persistent connections, one request at a time on
each, answers with a Content-Length. Reads one ``Task`` as JSON on standard input and writes
one ``Result``.
"""

from __future__ import annotations

import asyncio
import selectors
import sys
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import cast
from urllib.parse import urlsplit

import msgspec
import numpy as np
import uvloop

from benchmarks.common_payments import Population
from risk.domain.clock import SystemClock
from risk.domain.decoding import encode_event

CLOSED_LOOP_PER_S = 3_000  # requests made in advance for each second; more are made on the way
CHUNK = 512  # payments that are drawn at once
DRAIN_S = 10.0
TIMED_OUT = "no answer"
_CLOCK = SystemClock()


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What to send. ``rate_per_s`` 0 is a closed loop: each connection sends as it is answered.

    Names of payments begin with ``name``; the same ``seed`` and ``accounts`` as those of the
    filled logs make payments of the same population.
    """

    address: str
    path: str
    token: str
    name: str
    seed: int
    accounts: int
    connections: int
    seconds: float
    warm_up_s: float
    rate_per_s: float = 0.0


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen after the warm-up. Times are in milliseconds.

    In an open loop an answer is timed from when its request was due, not from when it could be
    sent. ``late_ms`` is how late requests were sent (p50, p99).
    """

    sent: int
    answers: dict[str, int]
    per_s: float
    p50: float
    p99: float
    p999: float
    slowest: float
    late_ms: tuple[float, float]
    first_body: str


class Connection(asyncio.Protocol):
    """One persistent connection; ``free`` is told when it may send again."""

    def __init__(self, free: Callable[[Connection], None], note: Callable[..., None]) -> None:
        self._free = free
        self._note = note
        self._held = b""
        self._wanted = 0
        self._due_s = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes, due_s: float) -> None:
        """Send a whole request that was due at ``due_s``."""
        assert self._transport is not None
        self._due_s = due_s
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Collect the answer; when it is whole, note it and become free."""
        self._held = self._held + data if self._held else data
        if not self._wanted:
            end = self._held.find(b"\r\n\r\n")
            if end < 0:
                return
            self._wanted = end + 4 + _content_length(self._held[:end])
        if len(self._held) < self._wanted:
            return
        answer, self._held, self._wanted = self._held, b"", 0
        self._note(answer, self._due_s)
        self._free(self)

    def connection_lost(self, problem: Exception | None) -> None:
        """A server that closes is a failure, which the count of answers shows."""

    def close(self) -> None:
        """Close it."""
        if self._transport is not None:
            self._transport.close()


class Load:
    """Sends what one task asks for."""

    def __init__(self, task: Task) -> None:
        self._task = task
        made = requests(task)
        expected_per_s = task.rate_per_s or CLOSED_LOOP_PER_S
        count = int(expected_per_s * (task.warm_up_s + task.seconds)) + 1
        # Made before the clock runs: making one takes as long as sending three.
        self._requests = chain(list(islice(made, count)), made)
        self._free: deque[Connection] = deque()
        self._overdue: deque[float] = deque()
        self._answers: Counter[str] = Counter()
        self._latency_ms = array("d")
        self._late_ms = array("d")
        self._first_body = b""
        self._sent = 0
        self._answered = 0
        self._counted_from_s = 0.0
        self._last_s = 0.0
        self._going = True

    async def run(self) -> Result:
        """Connect, send, wait for the last answers."""
        loop = asyncio.get_running_loop()
        at = urlsplit(self._task.address)
        connections = []
        for _ in range(self._task.connections):
            _, connection = await loop.create_connection(
                lambda: Connection(self._on_free, self._on_answer), at.hostname or "", at.port or 80
            )
            connections.append(connection)
        began_s = _now_s() + 0.05
        self._counted_from_s = began_s + self._task.warm_up_s
        ends_s = self._counted_from_s + self._task.seconds
        if self._task.rate_per_s:
            self._free.extend(connections)
            await self._open_loop(began_s, ends_s)
        else:
            for connection in connections:
                self._on_free(connection)
            await asyncio.sleep(ends_s - _now_s())
        self._going = False
        await self._drain()
        for connection in connections:
            connection.close()
        return self._result()

    async def _open_loop(self, began_s: float, ends_s: float) -> None:
        """Every request is due at a time that was fixed before the first one was sent."""
        pause_s = 1.0 / self._task.rate_per_s
        for number in range(round((ends_s - began_s) * self._task.rate_per_s)):
            due_s = began_s + number * pause_s
            wait_s = due_s - _now_s()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            if self._free:
                self._send(self._free.popleft(), due_s)
            else:
                self._overdue.append(due_s)

    def _on_free(self, connection: Connection) -> None:
        if self._task.rate_per_s:
            if self._overdue:
                self._send(connection, self._overdue.popleft())
            else:
                self._free.append(connection)
        elif self._going:
            self._send(connection, _now_s())

    def _send(self, connection: Connection, due_s: float) -> None:
        request = next(self._requests)
        if due_s >= self._counted_from_s:
            self._late_ms.append((_now_s() - due_s) * 1000)
        self._sent += 1
        connection.send(request, due_s)

    def _on_answer(self, answer: bytes, due_s: float) -> None:
        self._answered += 1
        now_s = _now_s()
        if due_s < self._counted_from_s:
            return
        self._last_s = now_s
        self._answers[answer[9:12].decode()] += 1
        self._latency_ms.append((now_s - due_s) * 1000)
        if not self._first_body:
            self._first_body = answer.partition(b"\r\n\r\n")[2]

    async def _drain(self) -> None:
        gives_up_s = _now_s() + DRAIN_S
        while self._answered < self._sent + len(self._overdue) and _now_s() < gives_up_s:
            await asyncio.sleep(0.01)

    def _result(self) -> Result:
        unanswered = self._sent + len(self._overdue) - self._answered
        if unanswered:
            self._answers[TIMED_OUT] = unanswered
        taken = np.array(self._latency_ms) if self._latency_ms else np.array([0.0])
        late = np.array(self._late_ms) if self._late_ms else np.array([0.0])
        p50, p99, p999 = np.percentile(taken, (50, 99, 99.9)).tolist()
        spent_s = max(self._last_s - self._counted_from_s, 1e-9)
        return Result(
            sent=len(self._late_ms),
            answers=dict(self._answers),
            per_s=len(self._latency_ms) / spent_s,
            p50=p50,
            p99=p99,
            p999=p999,
            slowest=float(taken.max()),
            late_ms=(float(np.percentile(late, 50)), float(np.percentile(late, 99))),
            first_body=self._first_body.decode(),
        )


def requests(task: Task) -> Iterator[bytes]:
    """Whole requests, each with a payment of its own that happens as it is made."""
    population = Population(task.seed, task.accounts)
    rng = np.random.default_rng((task.seed, *task.name.encode()))
    host = urlsplit(task.address).netloc
    head = (
        f"POST {task.path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {task.token}\r\n"
        "Content-Type: application/json\r\nContent-Length: "
    ).encode()
    number = 0
    while True:
        draw = population.draw(rng, np.full(CHUNK, _CLOCK.now_ms()))
        for place in range(CHUNK):
            body = encode_event(population.payment(draw, place, f"{task.name}-{number}"))
            yield b"%b%d\r\n\r\n%b" % (head, len(body), body)
            number += 1


def _now_s() -> float:
    """Exact to microseconds; the time of uvloop's loop is only exact to milliseconds."""
    return _CLOCK.monotonic_s()


def _content_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    if not found:
        raise ValueError("an answer without Content-Length")
    return int(rest.partition(b"\r\n")[0])


def precise_loop() -> asyncio.AbstractEventLoop:
    """A loop whose timers are exact to microseconds; epoll and libuv know milliseconds only."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


def main() -> None:
    """Run the task on standard input."""
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    make = precise_loop if task.rate_per_s else uvloop.new_event_loop
    with asyncio.Runner(loop_factory=make) as runner:
        sys.stdout.buffer.write(msgspec.json.encode(runner.run(Load(task).run())))


if __name__ == "__main__":
    main()
