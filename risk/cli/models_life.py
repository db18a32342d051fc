"""`weir models shadow | compare | promote | rollback | retire`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from risk.cli.proofs import ReportFile

if TYPE_CHECKING:
    from risk.cli.models_job import Answer

_World = Annotated[str | None, typer.Option("--world", help="Another world than WEIR_WORLD.")]
_Version = Annotated[str, typer.Argument(help="A version's number.", show_default=False)]
_By = Annotated[str | None, typer.Option("--by", help="Who does it; else the system's name.")]
_Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept.")]
_Days = Annotated[
    int, typer.Option("--days", min=1, max=180, help="Payments of the last days are compared.")
]
_Delay = Annotated[
    float, typer.Option("--label-delay-days", min=0.0, help="Younger payments are immature.")
]
_Guardrails = Annotated[
    Path | None,
    typer.Option("--guardrails", help="JSON of limits; else guardrails.json of the state folder."),
]


def register(group: typer.Typer) -> None:
    """Add the commands to the group ``models``."""
    for command in (shadow, compare, promote, rollback, retire):
        group.command(command.__name__)(command)


def shadow(
    version: _Version,
    reason: _Reason = "to be compared with the champion",
    by: _By = None,
    world: _World = None,
    report: ReportFile = None,
) -> None:
    """Let VERSION score live payments as the challenger. It decides nothing.

    The version is checked first: digest, signature, catalogue, golden vectors, limits.

    Report keys: name, version, alias, before, by, reason. Exit codes: 0 done, 1 a part does not
    answer or the version is refused, 2 bad input.
    """
    from risk.cli import models_job

    _tell(models_job.to_shadow(world, version, by, reason), report)


def compare(
    days: _Days = 30,
    label_delay_days: _Delay = 10.0,
    guardrails: _Guardrails = None,
    world: _World = None,
    report: ReportFile = None,
) -> None:
    """Compare champion and challenger on the live payments that both scored.

    Report keys: name, champion, challenger (versions), payments, dropped, immature_share, frauds,
    rank_correlation, agreement, stop_rate, block_rate, mean_score (champion, challenger), flips,
    money (champion_minor, challenger_minor, saved_minor), average_precision_gain, metrics
    (champion, challenger: as in `weir evaluate`), segments, guardrails (name, status, value, limit,
    unit, words), passed. Figures with intervals are {value, low, high}; null is not known yet.

    Exit codes: 0 compared (whatever the guardrails say), 1 a part does not answer, there is no
    challenger, 2 bad input.
    """
    from risk.cli import models_job

    _tell(models_job.compared(world, days, label_delay_days, guardrails), report)


def promote(  # noqa: PLR0913  # every option is one
    version: _Version,
    *,
    alias: Annotated[str, typer.Option("--alias", help="What names it from now on.")] = "champion",
    override: Annotated[
        str | None, typer.Option("--override", help="Why, although a guardrail fails; kept.")
    ] = None,
    backtest_days: Annotated[
        int,
        typer.Option(min=1, max=180, help="Its features must cover the decisions of these days."),
    ] = 30,
    days: _Days = 30,
    label_delay_days: _Delay = 10.0,
    guardrails: _Guardrails = None,
    reason: _Reason = "promoted",
    by: _By = None,
    world: _World = None,
    report: ReportFile = None,
) -> None:
    """Make VERSION the champion; the doors follow in seconds. The former champion is retired.

    Refused where the version may not serve (digest, signature, catalogue, golden vectors, limits),
    where a feature of the model covers not all decisions of the back-test range (`weir backfill
    FEATURE`), and, where there is a champion, where a guardrail fails: then `--override REASON`
    goes on, and is kept with who, when and why in the registry and on the control topic.

    Report keys: name, version, alias, before (the version that the alias named, or null), by,
    reason, covered_by (topics, archive, or null where there is no history to look at), overridden,
    guardrails (null where nothing is to be compared), passed. It is written before a refusal too.

    Exit codes: 0 done, 1 refused or a part does not answer, 2 bad input.
    """
    from risk.cli import models_job

    wish = models_job.Wish(
        version=version, alias=alias, override=override, backtest_days=backtest_days, days=days,
        label_delay_days=label_delay_days, guardrails=guardrails, reason=reason, by=by, world=world,
    )  # fmt: skip
    _tell(models_job.promoted(wish), report)


def rollback(
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept.", show_default=False)],
    by: _By = None,
    world: _World = None,
    report: ReportFile = None,
) -> None:
    """Make the version live again that was live before the champion. It is checked first.

    Report keys: name, version, alias, before, by, reason. Exit codes: 0 done, 1 nothing to roll
    back to, refused, or a part does not answer, 2 bad input.
    """
    from risk.cli import models_job

    _tell(models_job.rolled_back(world, by, reason), report)


def retire(
    version: _Version,
    reason: _Reason = "retired",
    by: _By = None,
    world: _World = None,
    report: ReportFile = None,
) -> None:
    """Retire VERSION; where it was the challenger, nothing is in the shadow then.

    Refused for the champion: promote another version, or roll back. Report keys: name, version,
    alias, before, by, reason. Exit codes: 0 done, 1 refused or a part does not answer.
    """
    from risk.cli import models_job

    _tell(models_job.retired(world, version, by, reason), report)


def _tell(answer: Answer, report: Path | None) -> None:
    import msgspec

    content: dict[str, Any] = answer.content
    if report is not None:
        report.write_bytes(msgspec.json.format(msgspec.json.encode(content)) + b"\n")
    for line in answer.lines:
        typer.echo(line)
    if answer.refusal:
        from risk.domain.errors import BadModel

        raise BadModel(answer.refusal)
