"""`weir scenarios`: the kinds of fraud that simulated worlds contain, and their pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from risk.cli.proofs import ReportFile

FOLDER = Path(__file__).parents[2] / "docs" / "reference" / "scenarios"


def register(app: typer.Typer) -> None:
    """Add the command group ``scenarios``."""
    group = typer.Typer(help="The fraud scenarios of simulated worlds.", no_args_is_help=True)
    group.command("list")(list_scenarios)
    group.command("pages")(write_pages)
    app.add_typer(group, name="scenarios")


def list_scenarios(report: ReportFile = None) -> None:
    """List the scenarios. Report keys: scenarios [{name, title, weight, known_share, parameters
    {name: {default, unit, meaning}}}]."""
    import msgspec
    from rich.console import Console
    from rich.table import Table

    from risk.simulator.scenarios import SCENARIOS
    from risk.simulator.scenarios.parameters import parameters

    total = sum(scenario.weight for scenario in SCENARIOS)
    table = Table("name", "title", "episodes", "ever labelled", "parameters")
    found = []
    for scenario in SCENARIOS:
        described = {
            field.name: {
                "default": field.default,
                "unit": meaning.unit,
                "meaning": meaning.sentence,
            }
            for field, meaning in parameters(scenario)
        }
        known = scenario.labels.known_share
        share = f"{scenario.weight / total:.0%}"
        table.add_row(scenario.name, scenario.title, share, f"{known:.0%}", str(len(described)))
        found.append(
            {
                "name": scenario.name,
                "title": scenario.title,
                "weight": scenario.weight,
                "known_share": known,
                "parameters": described,
            }
        )
    if report is not None:
        report.write_bytes(msgspec.json.encode({"scenarios": found}))
    Console().print(table)


def write_pages(
    out: Annotated[Path, typer.Option(help="Where the pages are.")] = FOLDER,
    pictures: Annotated[bool, typer.Option(help="Draw the pictures too: about a minute.")] = True,
    report: ReportFile = None,
) -> None:
    """Write a page with a picture for each scenario. Report keys: pages, pictures (file names)."""
    import msgspec

    from risk.simulator.pages import pages
    from risk.simulator.scenarios import SCENARIOS

    out.mkdir(parents=True, exist_ok=True)
    made = pages()
    for name, text in made.items():
        (out / name).write_text(text)
    drawn: list[str] = []
    if pictures:
        from risk.simulator.example import telling_example
        from risk.simulator.picture import draw

        for scenario in SCENARIOS:
            typer.echo(f"Drawing {scenario.title.lower()}")
            name = f"{scenario.name}.svg"
            (out / name).write_bytes(draw(telling_example(scenario)))
            drawn.append(name)
    if report is not None:
        report.write_bytes(msgspec.json.encode({"pages": sorted(made), "pictures": drawn}))
    typer.echo(f"{len(made)} pages and {len(drawn)} pictures in {out}")
