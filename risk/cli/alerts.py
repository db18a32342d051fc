"""`weir alerts`: publish the alerts of a world, and read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from risk.cli.proofs import ReportFile

if TYPE_CHECKING:
    from risk.settings import Settings

_World = Annotated[str | None, typer.Option("--world", help="Another world than WEIR_WORLD.")]
BACK_HOURS = 24.0


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="What people are told of: alerts of rules and of rates.")
    group.command("run")(run)
    group.command("tail")(tail)
    app.add_typer(group, name="alerts")


def run(
    back_hours: Annotated[
        float,
        typer.Option("--back-hours", min=0.0, help="How far back a live world is begun."),
    ] = BACK_HOURS,
    metrics_port: Annotated[
        int, typer.Option("--metrics-port", help="On loopback; 0 is a free port.")
    ] = 0,
    world: _World = None,
) -> None:
    """Publish alerts from the decisions of a world until SIGTERM, and hold whom rules hold.

    It may be killed at any time. A process of its own, one for each world; `weir run` starts it.
    How far it is stands in alerts/WORLD of the state folder. Without that a live world is begun
    --back-hours before now, another with its first decision; what stands on the topic already is
    not raised again. Metrics weir_alerts_* and weir_holds_total at /metrics. Exit codes: 0 stopped,
    1 a part failed, 2 bad input, 3 another one publishes the alerts of this world.
    """
    import asyncio

    from risk.cli.alerts_job import publish
    from risk.domain.clock import SystemClock
    from risk.local.parts import resolve
    from risk.observability.logging import configure_logging
    from streams.alert_state import alerts_folder, held_state

    chosen = _settings(world)
    clock = SystemClock()
    configure_logging(clock, "alerts")
    with (
        held_state(alerts_folder(chosen.state, chosen.world)) as file,
        resolve(chosen, ("kafka",), command="alerts", say=_say) as settings,
    ):
        asyncio.run(publish(settings, file, clock, metrics_port, round(back_hours * 3_600_000)))


def tail(
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C, as alerts come.")
    ] = False,
    since: Annotated[
        str, typer.Option("--since", help="RFC 3339, or how long ago: 30m, 12h, 7d.")
    ] = "24h",
    severity: Annotated[
        str | None, typer.Option("--severity", help="At least: low, medium, high or critical.")
    ] = None,
    rule: Annotated[
        str | None, typer.Option("--rule", help="Of this rule or rate rule only.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One alert a line, as on the topic.")
    ] = False,
    report: ReportFile = None,
    world: _World = None,
) -> None:
    """Show the alerts of a world, oldest first.

    --since is the time of what is alerted of (the decision, or the end of the span).
    Report keys: world, since, severity, rule, shown, by_severity, by_rule, alerts.
    Exit codes: 0 shown, also where there are none; 1 Kafka does not answer, 2 bad input.
    """
    import asyncio

    from risk.cli.alerts_tail import Wanted, parse_since, show
    from risk.domain.clock import SystemClock
    from risk.domain.errors import BadConfiguration
    from risk.local.parts import resolve
    from risk.observability.logging import configure_logging
    from risk.rules.alerting import SEVERITIES

    clock = SystemClock()
    configure_logging(clock, "alerts")  # to stderr: what is shown stays clean
    if severity is not None and severity not in SEVERITIES:
        raise BadConfiguration(f"--severity {severity!r}: give one of {', '.join(SEVERITIES)}")
    since_ms = parse_since(since, clock.now_ms())
    wanted = Wanted(since_ms, severity, rule)
    with resolve(_settings(world), ("kafka",), command="alerts", say=_say) as settings:
        asyncio.run(show(settings, wanted, report, follow=follow, as_json=as_json))


def _settings(world: str | None) -> Settings:
    from risk.cli.proofs import settings_of

    return settings_of(world)


def _say(line: str) -> None:
    typer.echo(line, err=True)
