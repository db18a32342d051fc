"""`weir versions`: what judges now, what judged before, and how to change it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from risk.cli.proofs import ReportFile

if TYPE_CHECKING:
    from risk.settings import Settings
    from risk.versions.store import VersionStore
    from risk.versions.version import Kind, Live, Version

_World = Annotated[str | None, typer.Option("--world", help="Another world than WEIR_WORLD.")]
_KindName = Annotated[str, typer.Argument(metavar="KIND", show_default=False)]
SHORT = 12


def register(app: typer.Typer) -> None:
    """Add the command group ``versions``."""
    group = typer.Typer(
        help="Books, policies, lists and tables by content, and which are live.",
        no_args_is_help=True,
    )
    group.command("list")(show_all)
    group.command("show")(show)
    group.command("publish")(publish)
    app.add_typer(group, name="versions")


def show_all(world: _World = None, report: ReportFile = None) -> None:
    """List every version of the world, and mark those that are live.

    Report keys: live (kind, digest, previous, number, author, at_ms, reason), versions (kind,
    digest). Exit codes: 0 done, 1 Kafka does not answer.
    """
    import asyncio

    from risk.cli.proofs import parts_of, settings_of, write_report

    with parts_of(settings_of(world), "versions") as settings:
        live, held = asyncio.run(_listed(settings))
    write_report(report, {"live": live, "versions": [{"kind": k, "digest": d} for k, d in held]})
    by_digest = {one.digest: one for one in live}
    for kind, digest in held:
        one = by_digest.get(digest)
        said = f"  live since {_time(one.at_ms)} by {one.author} {one.reason}" if one else ""
        typer.echo(f"{kind:<10}{digest}{said}".rstrip())
    if not live:
        typer.echo("nothing was made live yet: what ships with Weir judges")


def show(kind: _KindName, digest: str, world: _World = None) -> None:
    """Write the content of a version. The first characters of the digest are enough.

    Exit codes: 0 done, 2 no such version, or several.
    """
    import asyncio

    from risk.cli.proofs import parts_of, settings_of
    from risk.domain.errors import BadConfiguration

    with parts_of(settings_of(world), "versions") as settings:
        _live, held = asyncio.run(_listed(settings))
        fits = [one for k, one in held if k == kind and one.startswith(digest)]
        if len(fits) != 1:
            raise BadConfiguration(f"{len(fits)} versions are called {kind} {digest}")
        found = _store(settings).get(_kind(kind), fits[0])
    if found is None:
        return
    if found.kind == "entries":
        typer.echo(f"{len(found.body)} bytes: keys and expiries of a list, not for people")
    else:
        typer.echo(found.body.decode())


def publish(
    kind: _KindName,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, show_default=False)],
    author: Annotated[str, typer.Option("--as", help="Who does it; kept for ever.")],
    reason: Annotated[str, typer.Option(help="Why; kept for ever.")] = "",
    world: _World = None,
    report: ReportFile = None,
) -> None:
    """Check a policy (JSON) and make it live everywhere.

    Workers and APIs take it over between two batches, within a second. Report keys: kind,
    digest, previous, number, author, at_ms, reason. Exit codes: 0 live, 1 Kafka does not answer,
    2 refused, and nothing was changed.
    """
    import asyncio

    from risk.cli.proofs import parts_of, settings_of, write_report
    from risk.domain.clock import SystemClock

    version = _checked(kind, file, author, SystemClock().now_ms())
    with parts_of(settings_of(world), "versions") as settings:
        live = asyncio.run(_publish(settings, version, author, reason))
    write_report(report, live)
    before = live.previous[:SHORT] or "what ships"
    typer.echo(f"{kind} {live.digest[:SHORT]} is live in place of {before}")


def _checked(kind: str, file: Path, author: str, now_ms: int) -> Version:
    import msgspec

    from risk.domain.errors import BadConfiguration
    from risk.policy import Policy
    from risk.versions.version import Version

    if _kind(kind) != "policy":
        raise BadConfiguration(f"a {kind} is not published like this; books: `weir rules publish`")
    try:
        policy = msgspec.json.decode(file.read_bytes(), type=Policy)
    except msgspec.DecodeError as error:
        raise BadConfiguration(f"{file.name}: {error}") from None
    return Version.of("policy", policy.body(), author, now_ms)


def _kind(text: str) -> Kind:
    from risk.domain.errors import BadConfiguration
    from risk.versions.version import KINDS

    for kind in KINDS:
        if kind == text:
            return kind
    raise BadConfiguration(f"KIND: {text!r} is none of {', '.join(KINDS)}")


async def _listed(settings: Settings) -> tuple[list[Live], list[tuple[Kind, str]]]:
    from streams.control import Control
    from streams.topics import Topics

    control = Control(settings.kafka, Topics(settings.world), _store(settings))
    try:
        await control.load()
    finally:
        await control.close()
    return list(control.live.values()), control.store.all()


async def _publish(settings: Settings, version: Version, author: str, reason: str) -> Live:
    from streams.admin import ensure_topics
    from streams.control import Control
    from streams.publish import KafkaPublisher
    from streams.topics import Topics

    topics = Topics(settings.world)
    await ensure_topics(settings.kafka, topics)
    async with KafkaPublisher(settings.kafka, topics) as publisher:
        control = Control(settings.kafka, topics, _store(settings), publisher)
        try:
            return await control.set_live(
                version, author=author, at_ms=version.created_at_ms, reason=reason
            )
        finally:
            await control.close()


def _store(settings: Settings) -> VersionStore:
    from risk.versions.store import VersionStore

    return VersionStore(settings.state / "versions")


def _time(at_ms: int) -> str:
    from risk.domain.times import rfc3339

    return rfc3339(at_ms)
