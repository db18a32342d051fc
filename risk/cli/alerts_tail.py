"""What `weir alerts tail` does: lines for people, or JSON for programs."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import typer

from risk.domain.errors import BadConfiguration
from risk.domain.times import parse_rfc3339, rfc3339

if TYPE_CHECKING:
    from risk.alerts.alert import Alert
    from risk.settings import Settings

UNITS_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_AGO: Final = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_STYLES: Final = {"low": "dim", "medium": "yellow", "high": "red", "critical": "bold white on red"}
# Where event time is not the clock, nothing is known of when a record was written.
LIVE_WORLD: Final = "live"


class Wanted(NamedTuple):
    """Which alerts are shown. ``severity`` is the least."""

    since_ms: int
    severity: str | None
    rule: str | None


def parse_since(text: str, now_ms: int) -> int:
    """The moment that ``--since`` names. Raises BadConfiguration."""
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return max(0, now_ms - int(ago[1]) * UNITS_MS[ago[2]])
    try:
        return parse_rfc3339(text)
    except ValueError:
        raise BadConfiguration(
            f"--since {text!r}: write 30m, 12h, 7d or 2026-01-31T12:00:00Z"
        ) from None


async def show(
    settings: Settings, wanted: Wanted, report: Path | None, *, follow: bool, as_json: bool
) -> None:
    """Show what there is, oldest first, and with ``follow`` what comes. Raises Unavailable."""
    from risk.alerts.feed import FirstOnly
    from streams.admin import check_topics
    from streams.alert_reading import AlertReading
    from streams.topics import Topics

    topics = Topics(settings.world)
    await check_topics(settings.kafka, topics)
    reading, first, shown = AlertReading(settings.kafka, topics), FirstOnly(), list["Alert"]()
    view = _lines if as_json else _told()
    try:
        await reading.open(from_ms=wanted.since_ms if settings.world == LIVE_WORLD else None)
        found: list[Alert] = []
        while not reading.at_end:
            found += _taken(await reading.poll(200), wanted, first)
        found.sort(key=lambda alert: alert.at)
        view(found)
        shown += found
        while follow:
            found = _taken(await reading.poll(500), wanted, first)
            if found:
                view(found)
                shown += found
    except asyncio.CancelledError:
        pass  # Ctrl-C is how following ends
    finally:
        await reading.close()
        _write(report, settings, wanted, shown)
    if not as_json and not follow:
        typer.echo(f"{len(shown)} alerts since {rfc3339(wanted.since_ms)}", err=True)


def _taken(read: list[Any], wanted: Wanted, first: Any) -> list[Alert]:
    from risk.alerts.feed import Wanted as Filter

    least: Any = wanted.severity
    takes = Filter(severity=least, rule=wanted.rule, since_ms=wanted.since_ms).takes
    return [
        one.alert
        for one in read
        if one.alert is not None
        and first(one.alert.id)
        and takes(one.alert, parse_rfc3339(one.alert.at))
    ]


def _lines(alerts: list[Alert]) -> None:
    from risk.alerts.alert import encode_alert

    for alert in alerts:
        typer.echo(encode_alert(alert))


def _told() -> Callable[[list[Alert]], None]:
    """A line for each alert: whole in a pipe, coloured on a terminal."""
    from rich.console import Console
    from rich.text import Text

    console = Console()

    def view(alerts: list[Alert]) -> None:
        for alert in alerts:
            more = f" (+{alert.suppressed} before)" if alert.suppressed else ""
            said = f"{alert.rule}  {alert.group}  {_what(alert)}{more}"
            line = _plain(f"{alert.at}  {alert.severity:<8}  {said}")
            console.print(Text(line, style=_STYLES[alert.severity]), soft_wrap=True)

    return view


def _plain(text: str) -> str:
    """Text whose control characters mean nothing to a terminal."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def _what(alert: Alert) -> str:
    from risk.alerts.alert import PaymentEvidence

    of = alert.evidence
    if not isinstance(of, PaymentEvidence):
        return alert.sentence
    return f"{alert.sentence} Payment {of.payment_id}: {of.outcome}."


def _write(report: Path | None, settings: Settings, wanted: Wanted, shown: list[Alert]) -> None:
    from risk.cli.proofs import write_report

    write_report(
        report,
        {
            "world": settings.world,
            "since": rfc3339(wanted.since_ms),
            "severity": wanted.severity,
            "rule": wanted.rule,
            "shown": len(shown),
            "by_severity": dict(Counter(alert.severity for alert in shown)),
            "by_rule": dict(Counter(alert.rule for alert in shown)),
            "alerts": shown,
        },
    )
