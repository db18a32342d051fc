"""``weir api``: the HTTP door of one process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from api.desks import Desks
    from risk.bootstrap import Runtime
    from risk.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="api")(api)


def api(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 is a free one.")] = 8080,
    expose: Annotated[
        bool, typer.Option("--expose", help="Listen beyond this machine; put TLS in front.")
    ] = False,
) -> None:
    """Answer payments over HTTP until Ctrl-C."""
    import uvloop

    from api.server import bind
    from risk.domain.clock import SystemClock
    from risk.local.parts import resolve
    from risk.observability.logging import configure_logging
    from risk.settings import Settings

    configure_logging(SystemClock(), "api")
    sock = bind(host, port, exposed=expose)
    with (
        sock,
        resolve(Settings(), command="api", say=_say) as settings,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_serve(settings, sock))


async def _serve(settings: Settings, sock: socket.socket) -> None:
    from api.app import build_app
    from api.server import address_of, serve
    from risk import collector
    from risk.bootstrap import build_runtime

    async with build_runtime(settings, "api") as runtime, _desks(settings, runtime) as desks:
        app = build_app(runtime, settings, desks=desks)
        collector.settle()
        address = address_of(sock)
        _say(f"the API answers at {address}, its contract is at {address}/docs")
        await serve(app, sock)


@asynccontextmanager
async def _desks(settings: Settings, runtime: Runtime) -> AsyncIterator[Desks]:
    """What people do beside the payments, over connections of its own."""
    from api.desks import Desks
    from features.catalogue import CATALOGUE
    from risk.cli.backtest_api import backtest_jobs
    from risk.cli.explain_desk import ExplainDesk
    from risk.cli.performance_api import performance_desk
    from risk.cli.rules_desk import desk_over
    from risk.lists.desk import ListDesk
    from risk.rules.schema import Schema
    from risk.rules.words import reserved_names
    from risk.storage.lists import SqlLists
    from risk.storage.sql import open_store
    from risk.versions.store import VersionStore
    from streams.control import Control
    from streams.list_outlet import ControlOutlet

    store = VersionStore(settings.state / "versions")
    control = Control(settings.kafka, runtime.topics, store, runtime.publisher)
    engine = await asyncio.to_thread(open_store, settings)
    try:
        lists = ListDesk(
            SqlLists(engine, settings.world),
            ControlOutlet(control, asyncio.get_running_loop()),
            reserved_names(Schema.of(CATALOGUE)),
            runtime.clock.now_ms,
            timeless=not runtime.live,
        )
        backtests = backtest_jobs(settings, runtime.clock)
        performance = performance_desk(settings, runtime)
        explanations = ExplainDesk(settings)
        try:
            yield Desks(
                books=desk_over(settings, control, engine),
                lists=lists,
                backtests=backtests,
                performance=performance,
                explanations=explanations,
            )
        finally:
            await explanations.close()
            await backtests.close()
            await performance.close()
    finally:
        await control.close()
        engine.dispose()


def _say(line: str) -> None:
    typer.echo(line, err=True)
