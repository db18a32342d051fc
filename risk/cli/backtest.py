"""`weir rules backtest`: what a book would have done to payments that were decided already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from risk.cli.proofs import ReportFile

if TYPE_CHECKING:
    from risk.backtest.report import Interval, Report
    from risk.policy import Policy

_Book = Annotated[Path, typer.Argument(help="A book as YAML.", show_default=False)]
_From = Annotated[str | None, typer.Option("--from", help="RFC 3339, inclusive: decided_at.")]
_To = Annotated[str | None, typer.Option("--to", help="RFC 3339, exclusive: decided_at.")]
_World = Annotated[str | None, typer.Option("--world", help="Another world than WEIR_WORLD.")]
_Archive = Annotated[
    bool, typer.Option("--archive", help="Read the archive of the world, and no Kafka.")
]
_Dataset = Annotated[
    Path | None, typer.Option("--dataset", metavar="FOLDER", help="Read a set of `weir dataset`.")
]
_Policy = Annotated[
    Path | None,
    typer.Option("--policy", help="A policy as JSON; else the one of the newest decision."),
]
_Model = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="ALIAS", help="Score anew (`none`: rules alone); else stored scores."
    ),
]
_Against = Annotated[
    Path | None,
    typer.Option("--against", help="Compare with this book, not with the stored outcomes."),
]
_Capacity = Annotated[
    float | None, typer.Option("--capacity", min=0.0, help="Reviews that people can do in a day.")
]
_Delay = Annotated[
    float,
    typer.Option("--label-delay-days", min=0.0, max=3650.0, help="Younger payments are immature."),
]
_Closed = Annotated[
    bool,
    typer.Option("--closed-loop", help="Let what the book blocks fall out of later features too."),
]
_Job = Annotated[
    Path | None, typer.Option("--job", hidden=True, help="Keep the progress here; give way.")
]


def backtest(  # noqa: PLR0913  # every option is one
    book: _Book,
    *,
    begin: _From = None,
    end: _To = None,
    world: _World = None,
    archive: _Archive = False,
    dataset: _Dataset = None,
    policy: _Policy = None,
    model: _Model = None,
    against: _Against = None,
    capacity: _Capacity = None,
    label_delay_days: _Delay = 10.0,
    closed_loop: _Closed = False,
    report: ReportFile = None,
    job: _Job = None,
) -> None:
    """Judge stored decisions with BOOK, and say what would have been otherwise.

    Rules, lists, thresholds and, with --model, the scores judge together. The report is what
    `weir rules propose --evidence` takes.

    Report keys: format, kind, book, digest, digests (book, lists, policy, model, calibration,
    catalogue, rates), source, from_ms, to_ms, first_decided_at, last_decided_at, labels_as_of_ms,
    label_delay_days, baseline, payments, left_out (by cause), mature, immature_share,
    flips_immature_share, frauds, hits, rules, untested, flips, fraud_caught, fraud_released,
    good_stopped, good_released, money, reviews_per_day, accounts_affected, accounts_newly_stopped,
    marginal, overlap, segments, days, examples, open_loop, closed_loop, seconds. Figures with an
    interval are {value, low, high}. docs/guide/backtest.md says what each means.

    Exit codes: 0 tested, 1 a part does not answer, 2 a bad book or input, or nothing to test on, 4
    tested, but a live rule could not be.
    """
    from risk.backtest.report import encode_report
    from risk.cli.backtest_job import Wish, run
    from risk.cli.backtest_meter import metered
    from risk.cli.proofs import UNPROVABLE, range_ms, settings_of
    from risk.cli.rules import read
    from risk.domain.errors import BadConfiguration

    if dataset is not None and (archive or world is not None or closed_loop):
        raise BadConfiguration("--dataset stands alone: no --world, --archive or --closed-loop")
    from_ms, to_ms = range_ms(begin, end)
    wish = Wish(
        book=read(book), from_ms=from_ms, to_ms=to_ms, label_delay_days=label_delay_days,
        policy=None if policy is None else read_policy(policy), model=model,
        against=None if against is None else read(against), capacity=capacity,
        closed_loop=closed_loop, archive=archive, dataset=dataset,
    )  # fmt: skip
    with metered(job) as meter:
        found = run(settings_of(world), wish, meter)
    if report is not None:
        report.write_bytes(encode_report(found))
    for line in lines_of(found):
        typer.echo(line)
    if any(not one.tested and one.state == "live" for one in found.rules):
        raise typer.Exit(UNPROVABLE)


def read_policy(file: Path) -> Policy:
    """The policy in a JSON file; raises BadConfiguration with the field and the fix."""
    import msgspec

    from risk.domain.errors import BadConfiguration
    from risk.policy import Policy

    try:
        return msgspec.json.decode(file.read_bytes(), type=Policy)
    except OSError as error:
        raise BadConfiguration(f"--policy {file}: cannot be read ({error.strerror})") from None
    except msgspec.DecodeError as error:
        raise BadConfiguration(f"--policy {file}: {error}") from None


def lines_of(found: Report) -> list[str]:
    """The report in a few lines for people."""
    flips = ", ".join(f"{name} {count}" for name, count in found.flips.items() if count)
    reviews = found.reviews_per_day
    lines = [
        f"{found.book} {found.digest[:12]} on {found.payments} payments of {found.source.kind}"
        f" {found.source.name}, against {found.baseline}",
        f"  flips: {flips or 'none'}; {found.accounts_affected} accounts",
        f"  labels: {found.immature_share:.1%} of the payments are immature,"
        f" {found.flips_immature_share:.1%} of the flips; {found.frauds} frauds known",
        f"  fraud newly caught {_told(found.fraud_caught)}, released {_told(found.fraud_released)}",
        f"  good newly stopped {_told(found.good_stopped)}, released {_told(found.good_released)}",
        f"  money saved {_told(found.money.net_minor)} minor units,"
        f" caught {_told(found.money.fraud_caught_minor)},"
        f" stopped of good people {_told(found.money.good_stopped_minor)}",
        f"  reviews a day {reviews.old:.1f} -> {reviews.new:.1f}"
        + ("" if reviews.capacity is None else f", {reviews.over_capacity_days} days over"),
    ]
    loop = found.closed_loop
    if loop is not None:
        gap = ", ".join(f"{name} {count:+}" for name, count in loop.gap.items() if count)
        lines.append(f"  closed loop minus open: {gap or 'no difference'}")
    lines += [
        f"  {one.rule} ({one.state} {one.action}): {one.hits} hits, {one.fraud} fraud,"
        f" {one.good} good; alone {one.marginal_stopped}, of them {one.marginal_fraud} fraud"
        for one in found.rules
        if one.hits
    ]
    lines += [f"  NOT TESTED {rule}: {why}" for rule, why in found.untested.items()]
    lines += [f"  left out: {cause} {count}" for cause, count in found.left_out.items() if count]
    return lines


def _told(of: Interval) -> str:
    return f"{of.value:,.0f} ({of.low:,.0f} to {of.high:,.0f})"
