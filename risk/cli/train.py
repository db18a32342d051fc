"""`weir train`, `weir evaluate`, `weir scores`, `weir thresholds`: the model, measured honestly."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from risk.cli.proofs import ReportFile

Dataset = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="NAME",
        help="Imported payments, a file of `weir simulate`, `simulated`, `handbook`, or the"
        " folder of a training set.",
    ),
]
World = Annotated[str | None, typer.Option("--world", help="What was served in this world.")]
ArchiveToo = Annotated[
    bool, typer.Option("--archive", help="With --world: read its archive, and no Kafka.")
]
Begin = Annotated[str | None, typer.Option("--from", help="RFC 3339, inclusive.")]
End = Annotated[str | None, typer.Option("--to", help="RFC 3339, exclusive.")]
Delay = Annotated[float, typer.Option(min=0.0, max=3650.0, help="Time that labels get to arrive.")]
Seed = Annotated[int, typer.Option(min=0, help="Of made-up worlds, training and intervals.")]
Days = Annotated[float | None, typer.Option(help="Length of `simulated`.")]
Accounts = Annotated[int | None, typer.Option(min=1, help="Accounts of `simulated`.")]
ProtocolName = Annotated[
    str | None,
    typer.Option("--protocol", help="With --dataset handbook: one, folds or choice."),
]
Model = Annotated[str, typer.Option("--model", help="An alias in the registry.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("train")(train)
    app.command("evaluate")(evaluate)
    app.command("scores")(scores)
    app.command("thresholds")(thresholds)


def train(  # noqa: PLR0913  # every option is one
    *,
    dataset: Dataset = None,
    world: World = None,
    archive: ArchiveToo = False,
    begin: Begin = None,
    end: End = None,
    label_delay_days: Delay = 10.0,
    seed: Seed = 1,
    days: Days = None,
    accounts: Accounts = None,
    protocol: ProtocolName = None,
    no_tune: Annotated[bool, typer.Option("--no-tune", help="Fixed settings.")] = False,
    trials: Annotated[int, typer.Option(min=1, help="Of tuning; earlier runs' count.")] = 40,
    seconds: Annotated[float | None, typer.Option(help="At most so long for tuning.")] = None,
    alias: Annotated[
        str | None, typer.Option("--alias", help="What then names it; else it stays a draft.")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare/--no-compare", help="Train the other models too.")
    ] = True,
    report: ReportFile = None,
) -> None:
    """Train, calibrate, price and register a model, and compare it with others.

    The split is by time: train, the label delay, validation, the delay, test. Tuning is
    resumable: the same data and seed go on where they were stopped. The live model is not
    touched unless --alias names it; where there is a champion, only `weir models promote` takes its
    place, so --alias champion is refused.

    Report keys: run_id, version, alias, model_digest, bundle, seconds, rss_mb, comparison (model,
    auc_roc, average_precision, seconds, rows), metrics (value, low, high each), tuning (trials,
    pruned, resumed, value; null where fixed), thresholds, constant_features, data. With
    --protocol also: protocol, and in comparison card_precision_at_100.

    Exit codes: 0 ok, 1 a part did not answer or the disk is full, 2 bad input, 3 in use.
    """
    from risk.cli.train_job import Options, train_dataset
    from risk.domain.errors import BadConfiguration

    wanted = wanted_of(
        dataset, world, (begin, end, label_delay_days), (seed, days, accounts), archive=archive
    )
    options = Options(
        seed=seed, trials=None if no_tune else trials, seconds=seconds, alias=alias,
        compare=compare,
    )  # fmt: skip
    if protocol is not None or (dataset == "handbook" and begin is None and end is None):
        from risk.cli.train_handbook import train_handbook

        if dataset != "handbook":
            raise BadConfiguration("--protocol goes with --dataset handbook")
        found = train_handbook(protocol or "folds", options)
    else:
        found = train_dataset(wanted, options)
    write_report(report, found)
    _table(found["comparison"])
    where = found["alias"] or "a draft"
    typer.echo(f"version {found['version']} is {where}; model {found['model_digest'][:12]}")


def evaluate(  # noqa: PLR0913  # every option is one
    *,
    dataset: Dataset = None,
    world: World = None,
    archive: ArchiveToo = False,
    begin: Begin = None,
    end: End = None,
    label_delay_days: Delay = 10.0,
    seed: Seed = 1,
    days: Days = None,
    accounts: Accounts = None,
    protocol: ProtocolName = None,
    model: Model = "champion",
    threshold: Annotated[
        float | None, typer.Option(help="Stopped from here on; else the policy's review_at.")
    ] = None,
    report: ReportFile = None,
) -> None:
    """Measure a model on payments whose fraud is known.

    With --protocol (data set handbook) models are trained by the published protocol, on Weir's
    own features from events and late labels, and measured on its test weeks.

    Report keys: n, frauds, immature_share, threshold, and value, low and high (95 %, bootstrap
    over accounts) of auc_roc, average_precision, card_precision_at_100, brier, ece,
    precision_at_threshold, recall_at_threshold, fraud_money_caught (share of it),
    good_stopped_per_fraud; model_digest, data; scenarios (null unless the world is made up):
    review_share, reviewed, score_at_least, good_reviewed, recall, by_name {name: payments, recall},
    the share of each scenario's payments among the riskiest 1 %. With --protocol also: protocol,
    seed, pair (the histogram boosting on the 15 published features) and fine_pair (the same with
    4,095 bins).
    """
    from risk.cli.train_job import evaluate_dataset
    from risk.domain.errors import BadConfiguration
    from risk.policy import Policy

    at = Policy().review_at if threshold is None else threshold
    wanted = wanted_of(
        dataset, world, (begin, end, label_delay_days), (seed, days, accounts), archive=archive
    )
    if protocol is not None:
        from risk.cli.train_handbook import evaluate_handbook

        if dataset != "handbook":
            raise BadConfiguration("--protocol goes with --dataset handbook")
        found = evaluate_handbook(protocol, seed, at)
    else:
        found = evaluate_dataset(wanted, model, at, seed)
    write_report(report, found)
    typer.echo(f"{found['n']} payments, {found['frauds']} frauds, {found['immature_share']:.1%}"
               " too young for their labels")  # fmt: skip
    for name, value in found.items():
        if isinstance(value, dict) and "low" in value:
            ends = f"{value['low']:.4f} to {value['high']:.4f}"
            typer.echo(f"{name:<24} {value['value']:.4f}  ({ends})")
    for line in scenario_lines(found.get("scenarios")):
        typer.echo(line)


def scenario_lines(found: dict[str, Any] | None) -> list[str]:
    """What the riskiest payments held of each scenario, for people."""
    if found is None:
        return []
    rows = {"all of them": found, **found["by_name"]}
    return [
        f"recall of each scenario at {found['review_share']:.0%} of payments reviewed"
        f" ({found['reviewed']}):",
        *(
            f"  {name.replace('_', ' '):<24} {one['recall']['value']:6.1%}"
            f"  ({one['recall']['low']:.1%} to {one['recall']['high']:.1%})"
            f"  of {one['payments']}"
            for name, one in rows.items()
        ),
    ]


def scores(  # noqa: PLR0913  # every option is one
    *,
    out: Annotated[Path, typer.Option("--out", help="Parquet file.", show_default=False)],
    dataset: Dataset = None,
    world: World = None,
    archive: ArchiveToo = False,
    begin: Begin = None,
    end: End = None,
    seed: Seed = 1,
    days: Days = None,
    accounts: Accounts = None,
    model: Model = "champion",
    report: ReportFile = None,
) -> None:
    """Write the scores that the live path serves: Parquet with payment_id and score.

    Report keys: rows, model_digest, calibration_digest, sha256 (of the file), data.
    """
    from risk.cli.train_job import write_scores

    wanted = wanted_of(dataset, world, (begin, end, 0.0), (seed, days, accounts), archive=archive)
    found = write_scores(wanted, model, out)
    write_report(report, found)
    typer.echo(f"{out}: {found['rows']} scores of model {found['model_digest'][:12]}")


def thresholds(  # noqa: PLR0913  # every option is one
    *,
    dataset: Dataset = None,
    world: World = None,
    archive: ArchiveToo = False,
    begin: Begin = None,
    end: End = None,
    label_delay_days: Delay = 10.0,
    seed: Seed = 1,
    days: Days = None,
    accounts: Accounts = None,
    model: Model = "champion",
    by: Annotated[
        str, typer.Option(help="Segments: channel, country, mcc, amount or account.")
    ] = "channel",
    costs: Annotated[
        Path | None,
        typer.Option(help="JSON: policy and capacity, names and units as in the report."),
    ] = None,
    report: ReportFile = None,
) -> None:
    """Show the thresholds at which payments cost least, with the curve they lie on.

    Costs come from the policy (base minor units and shares), the reviewers' time from the
    capacity: reviewers, minutes_a_day, minutes_a_review.

    Report keys: days, capacity_a_day, price_minor (of one more review), chosen (segment,
    payments, frauds, own, point, review_at_interval, block_at_interval, cost_interval_minor),
    curve (points: review_at, block_at, cost_minor, cost_allowing_all_minor, reviews_a_day,
    blocked, reviewed, frauds_caught, good_stopped), policy, capacity, model_digest, data.
    """
    from risk.cli.train_job import find_thresholds

    wanted = wanted_of(
        dataset, world, (begin, end, label_delay_days), (seed, days, accounts), archive=archive
    )
    found = find_thresholds(wanted, model, by, costs, seed)
    write_report(report, found)
    for one in found["chosen"]:
        point = one["point"]
        typer.echo(
            f"{one['segment']:<16} review at {point['review_at']:.4f}, block at"
            f" {point['block_at']:.4f}: {point['reviews_a_day']:.1f} reviews a day, cost"
            f" {point['cost_minor'] / 100:,.0f} of {point['cost_allowing_all_minor'] / 100:,.0f}"
        )


def wanted_of(
    dataset: str | None,
    world: str | None,
    span: tuple[str | None, str | None, float],
    sizes: tuple[int, float | None, int | None],
    *,
    archive: bool,
) -> Any:
    """The payments that the options name; raises BadConfiguration."""
    from risk.cli.train_data import Wanted

    wanted = Wanted(
        dataset=dataset, world=world, archive=archive, begin=span[0], end=span[1],
        label_delay_days=span[2], seed=sizes[0], days=sizes[1], accounts=sizes[2],
    )  # fmt: skip
    wanted.check()
    return wanted


def _table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "AUC", "AP", "seconds", box=None)
    for row in rows:
        figures = (f"{row['auc_roc']:.4f}", f"{row['average_precision']:.4f}")
        table.add_row(row["model"], *figures, f"{row['seconds']:.1f}")
    Console().print(table)


def write_report(report: Path | None, found: dict[str, Any]) -> None:
    """Write ``found`` as JSON where a file was asked for."""
    import msgspec

    if report is not None:
        report.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
