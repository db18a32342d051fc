"""`weir simulate`: a seeded world as a file, or sent to Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_World = Annotated[
    str, typer.Option(help="Name of the world; `handbook` is the world of the published law.")
]
_Seed = Annotated[int, typer.Option(help="The same seed gives the same bytes.")]
_Days = Annotated[float | None, typer.Option(help="Length in days; else 30, for handbook 183.")]
_Accounts = Annotated[
    int | None, typer.Option(help="How many accounts; else 1000, for handbook 5000.")
]
_Start = Annotated[
    str | None,
    typer.Option(help="RFC 3339; else 2025-01-01T00:00:00Z, for handbook 2018-04-01."),
]
_Tempo = Annotated[
    float | None, typer.Option(help="Multiplies how often people pay; not for handbook.")
]
_Out = Annotated[Path | None, typer.Option(help=".jsonl, .jsonl.zst, .jsonl.gz or .parquet")]
_Send = Annotated[bool, typer.Option("--send", help="Send to the topics of the world instead.")]
_Force = Annotated[bool, typer.Option("--force", help="Replace the file of --out.")]
_Report = Annotated[Path | None, typer.Option(help="Write the result as JSON.")]


def register(app: typer.Typer) -> None:
    """Add the command ``simulate``."""
    app.command("simulate")(simulate)


def simulate(  # noqa: PLR0913  # every option is one
    *,
    world: _World = "simulated",
    seed: _Seed = 1,
    days: _Days = None,
    accounts: _Accounts = None,
    start: _Start = None,
    tempo: _Tempo = None,
    out: _Out = None,
    send: _Send = False,
    force: _Force = False,
    report: _Report = None,
) -> None:
    """Make up a world: payments, activity, outcomes and late labels of people who do not exist.

    Give either --out FILE or --send. Lines of JSON leave the truth to FILE.truth.jsonl; Parquet
    has it as columns fraud, scenario, episode. Labels that would come after the end are left out.

    Report keys: world, seed, days, accounts, start, events, by_type, payments, frauds,
    fraud_share, scenarios {name: {payments, episodes}}, seconds, events_per_s, file, truth_file,
    sent_to, rejected; for handbook also handbook (found and expected values).
    """
    from rich.console import Console

    from risk.cli.simulate_job import Order, run
    from risk.settings import Settings

    order = Order(
        world=world, seed=seed, days=days, accounts=accounts, start=start, tempo=tempo,
        out=out, send=send, force=force,
    )  # fmt: skip
    run(order, Settings(), Console(), report)
