"""``weir keys``: make, list and revoke the keys of the HTTP door."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from risk.keys import ApiKey

DAY_MS = 24 * 60 * 60 * 1000


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(no_args_is_help=True, help="API keys: create, list, revoke.")
    group.command(name="create")(create)
    group.command(name="list")(list_keys)
    group.command(name="revoke")(revoke)
    app.add_typer(group, name="keys")


def create(
    name: Annotated[str, typer.Option(help="Who uses the key.")],
    scope: Annotated[
        list[str], typer.Option(help="decide, read, events or admin; may be repeated.")
    ],
    tenant: Annotated[str, typer.Option(help="The tenant that the key speaks for.")] = "main",
    days: Annotated[int, typer.Option(help="Days until it expires, at most 366.")] = 90,
    rate: Annotated[int, typer.Option(help="Requests per second that it may send.")] = 1_000,
    report: Annotated[
        Path | None,
        typer.Option(help="Write JSON (mode 0600): key_id, key, tenant, scopes, expires_at."),
    ] = None,
) -> None:
    """Make a key. It is shown once; only its hash is kept."""
    import msgspec

    from risk.domain.clock import SystemClock
    from risk.domain.times import rfc3339
    from risk.local.private import write_private
    from risk.settings import Settings
    from risk.storage.api_keys import create_key

    key, token = create_key(
        Settings(),
        name=name,
        scopes=scope,
        now_ms=SystemClock().now_ms(),
        tenant=tenant,
        lifetime_ms=days * DAY_MS,
        rate_per_s=rate,
    )
    expires_at = rfc3339(key.expires_at_ms)
    typer.echo(token)
    typer.echo(f"key {key.key_id} of tenant {key.tenant}, until {expires_at}", err=True)
    typer.echo("It is not shown again. Send it as `Authorization: Bearer KEY`.", err=True)
    if report is not None:
        made = {
            "key_id": key.key_id,
            "key": token,
            "tenant": key.tenant,
            "scopes": sorted(key.scopes),
            "expires_at": expires_at,
        }
        write_private(report, msgspec.json.encode(made).decode() + "\n")


def list_keys(
    report: Annotated[
        Path | None,
        typer.Option(
            help="Write JSON: keys: [{key_id, name, tenant, scopes, rate_per_s, state, "
            "created_at, expires_at, last_used_at}]."
        ),
    ] = None,
) -> None:
    """List every key ever made, newest first."""
    import msgspec
    from rich.console import Console
    from rich.table import Table

    from risk.domain.clock import SystemClock
    from risk.settings import Settings
    from risk.storage.api_keys import SqlKeyStore
    from risk.storage.sql import open_store

    engine = open_store(Settings())
    try:
        keys = SqlKeyStore(engine).all()
    finally:
        engine.dispose()
    now_ms = SystemClock().now_ms()
    rows = [_row(key, now_ms) for key in keys]
    table = Table("key", "name", "tenant", "scopes", "rate/s", "state", "expires", "last used")
    for row in rows:
        table.add_row(
            *(str(row[field]) for field in ("key_id", "name", "tenant")),
            " ".join(key_scopes(row)),
            *(str(row[field] or "never") for field in ("rate_per_s", "state", "expires_at")),
            str(row["last_used_at"] or "never"),
        )
    Console().print(table)
    if report is not None:
        report.write_bytes(msgspec.json.encode({"keys": rows}))


def revoke(key_id: Annotated[str, typer.Argument(help="As `weir keys list` shows it.")]) -> None:
    """End a key. Every API process refuses it within 5 seconds. Exits 1 where none was ended."""
    from risk.domain.clock import SystemClock
    from risk.settings import Settings
    from risk.storage.api_keys import SqlKeyStore
    from risk.storage.sql import open_store

    engine = open_store(Settings())
    try:
        ended = SqlKeyStore(engine).revoke(key_id, SystemClock().now_ms())
    finally:
        engine.dispose()
    if not ended:
        typer.echo(f"no key {key_id} is in force; see `weir keys list`", err=True)
        raise typer.Exit(1)
    typer.echo(f"key {key_id} is revoked; it is refused within 5 seconds")


def key_scopes(row: dict[str, object]) -> list[str]:
    """The scopes of a listed key."""
    scopes = row["scopes"]
    assert isinstance(scopes, list)
    return scopes


def _row(key: ApiKey, now_ms: int) -> dict[str, object]:
    from risk.domain.times import rfc3339

    state = "in force" if key.in_force(now_ms) else "expired"
    return {
        "key_id": key.key_id,
        "name": key.name,
        "tenant": key.tenant,
        "scopes": sorted(key.scopes),
        "rate_per_s": key.rate_per_s,
        "state": "revoked" if key.revoked_at_ms is not None else state,
        "created_at": rfc3339(key.created_at_ms),
        "expires_at": rfc3339(key.expires_at_ms),
        "last_used_at": None if key.last_used_at_ms is None else rfc3339(key.last_used_at_ms),
    }
