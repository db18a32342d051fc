"""`weir rules performance`: what each rule did to payments that were decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from risk.cli.proofs import Archive, ReportFile

if TYPE_CHECKING:
    from risk.books.performance_report import Report, RuleFigures

_From = Annotated[str | None, typer.Option("--from", help="RFC 3339, inclusive: decided_at.")]
_To = Annotated[str | None, typer.Option("--to", help="RFC 3339, exclusive: decided_at.")]
_World = Annotated[str | None, typer.Option("--world", help="Another world than WEIR_WORLD.")]
_Delay = Annotated[
    float,
    typer.Option("--label-delay-days", min=0.0, max=3650.0, help="Younger payments are immature."),
]


def performance(
    *,
    begin: _From = None,
    end: _To = None,
    world: _World = None,
    archive: Archive = False,
    label_delay_days: _Delay = 10.0,
    report: ReportFile = None,
) -> None:
    """Count what each rule did to decided payments, by version of the book; name idle rules.

    Shadow rules count too: the functions that judge live answer again on the stored inputs.

    Report keys: format, kind, source (topics, archive), world, from_ms, to_ms, labels_as_of_ms,
    label_delay_days, base_currency, payments, left_out (by cause), mature, immature_share, frauds,
    recomputed, differing, first_differing, missing, rules, versions (book, digest, payments,
    mature, frauds, first_decided_at, last_decided_at, rules), findings (kind: dead, shadowed,
    dominated; rule, book, by, text), seconds. Of a rule: rule, state, action, owner, hits,
    acting_hits, unknown, failures, alone, accounts, mature, immature_share, fraud, good, precision,
    recall, amount_minor, fraud_minor, good_minor, fraud_stopped, good_stopped, fraud_stopped_minor,
    good_stopped_minor, last_hit_at, cost_us, windows_us, overlap, versions.
    docs/guide/rule-performance.md says what each means.

    Exit codes: 0 counted, 1 a part does not answer, or a decision names other hits than its rules
    give, 2 bad input, or nothing was decided in the range, 4 a version is missing.
    """
    from risk.books.performance_report import encode_report
    from risk.cli.proofs import UNPROVABLE, range_ms, settings_of, shown
    from risk.cli.rules_performance_job import Wish, run

    from_ms, to_ms = range_ms(begin, end)
    wish = Wish(from_ms, to_ms, label_delay_days, archive)
    with shown("reading", 0) as advance:
        found = run(settings_of(world), wish, advance)
    if report is not None:
        report.write_bytes(encode_report(found))
    for line in lines_of(found):
        typer.echo(line)
    if found.differing:
        raise typer.Exit(1)
    if found.missing:
        raise typer.Exit(UNPROVABLE)


def lines_of(found: Report) -> list[str]:
    """The report for people: the newest version's rules, and everything that is idle."""
    newest = found.versions[0]
    lines = [
        f"{found.payments} payments of {found.source} {found.world}, {len(found.versions)} version"
        f"{'' if len(found.versions) == 1 else 's'} of the book; {found.immature_share:.1%}"
        f" immature, {found.frauds} frauds known",
        f"{newest.book} {newest.digest[:12]} judged {newest.payments} of them,"
        f" last at {newest.last_decided_at}",
    ]
    lines += [_line(one, found.base_currency) for one in newest.rules]
    lines += [f"  ! {one.text}" for one in found.findings if one.book == newest.digest]
    older = sum(one.book != newest.digest for one in found.findings)
    if older:
        lines.append(f"  and {older} findings under older versions, see the report")
    if found.differing:
        lines.append(
            f"  DIFFERENT: {found.differing} decisions name other hits than their rules give, the"
            f" first is payment {found.first_differing}; look at it with `weir replay`"
        )
    lines += [f"  missing: {one}" for one in found.missing]
    lines += [f"  left out: {cause} {count}" for cause, count in found.left_out.items() if count]
    return lines


def _line(one: RuleFigures, currency: str) -> str:
    if not one.hits:
        return f"  {one.rule} ({one.state} {one.action}): no hit"
    told = "-" if one.precision is None else f"{one.precision:.0%}"
    caught = "-" if one.recall is None else f"{one.recall:.0%}"
    cost = "-" if one.cost_us is None else f"{one.cost_us + one.windows_us:.2f} us"
    return (
        f"  {one.rule} ({one.state} {one.action}): {one.hits} hits, last {one.last_hit_at},"
        f" precision {told} of {one.mature} mature, recall {caught}, alone {one.alone}; stopped"
        f" {one.fraud_stopped_minor} of fraud and {one.good_stopped_minor} of good people"
        f" ({currency}, minor units); {cost}"
    )
