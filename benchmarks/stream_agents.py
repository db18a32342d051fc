"""The vanilla Faust contestants, each as its own process: noop, send, usual.

Stock Faust as its documentation shows it: its own transport, JSON values, one event at a
time, at-least-once, no web server. They differ only in the agent's body.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

NOTE_EVERY_S: Final = 0.02
Body = Callable[[Any], Awaitable[None]]


class Counter:
    """Events done so far, for whoever measures: a file of "monotonic ns, count"."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
        self.count = 0

    def note(self) -> None:
        """Write how many are done now."""
        os.pwrite(self._file, f"{time.monotonic_ns():020d} {self.count:020d}".encode(), 0)

    async def follow(self) -> None:
        """Note it again and again."""
        while True:
            self.note()
            await asyncio.sleep(NOTE_EVERY_S)


def build_app(kafka: str, group: str, folder: Path) -> Any:
    """A Faust app with the settings that a careful engineer gives it, and no more."""
    import faust

    return faust.App(
        group,
        broker=f"kafka://{kafka}",
        datadir=str(folder / group),
        consumer_auto_offset_reset="earliest",
        producer_acks=-1,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        store="memory://",
        key_serializer="raw",
        value_serializer="json",
    )


def noop(app: Any, events: Any, counter: Counter) -> None:
    """Does nothing for each event."""

    async def body(stream: AsyncIterator[Any]) -> None:
        async for _event in stream:
            counter.count += 1

    app.agent(events)(body)


def send(app: Any, events: Any, counter: Counter, output: str) -> None:
    """Sends one record for each event. ``await send`` waits for the buffer, not for Kafka."""
    results = app.topic(output, value_serializer="json")

    async def body(stream: AsyncIterator[Any]) -> None:
        async for event in stream:
            await results.send(
                key=event["id"].encode(), value={"payment_id": event["id"], "outcome": "allow"}
            )
            counter.count += 1

    app.agent(events)(body)


def main(
    name: Annotated[str, typer.Argument(help="noop, send or usual.")],
    kafka: Annotated[str, typer.Option()],
    topic: Annotated[str, typer.Option(help="The events topic.")],
    group: Annotated[str, typer.Option(help="The consumer group: a new one reads all.")],
    folder: Annotated[Path, typer.Option(help="For the counter's file and Faust's data.")],
    output: Annotated[str, typer.Option(help="The topic of the answers.")] = "",
    redis: Annotated[str, typer.Option(envvar="WEIR_REDIS")] = "",
    model: Annotated[Path | None, typer.Option(help="LightGBM's text.")] = None,
    loop: Annotated[str, typer.Option(help="uvloop or asyncio.")] = "uvloop",
) -> None:
    """Run one contestant until SIGTERM."""
    import faust
    import uvloop

    if loop == "uvloop":
        uvloop.install()
    app = build_app(kafka, group, folder)
    events = app.topic(topic, value_serializer="json")
    counter = Counter(folder / f"{group}.count")
    app.task(counter.follow)
    if name == "noop":
        noop(app, events, counter)
    elif name == "send":
        send(app, events, counter, output)
    else:
        from benchmarks.stream_usual import Usual

        usual = Usual(redis, (model or Path()).read_text())
        usual.register(app, events, app.topic(output, value_serializer="json"), counter)
    faust.Worker(app, loglevel="warning", redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    typer.run(main)
