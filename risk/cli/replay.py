"""`weir replay`: a decision made again from its evidence and versions, byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from risk.cli.proofs import Archive, ReportFile

if TYPE_CHECKING:
    from features.replaying import Replayable
    from risk.replay import Named
    from risk.settings import Settings

_Out = Annotated[Path | None, typer.Option("--out", help="Write the replayed bytes here.")]
_World = Annotated[str | None, typer.Option("--world", help="Another world than WEIR_WORLD.")]
_VECTOR = {
    "equal": "vector made again from history: the same bits",
    "different": "vector made again from history: other bits than the stored one",
    "unprovable": "vector as stored; history cannot make it again: ",
    "none": "decided without a vector",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("replay")(replay)


def replay(
    payment_id: Annotated[str, typer.Argument(show_default=False)],
    tenant: Annotated[str, typer.Option(help="The payment's tenant.")] = "main",
    world: _World = None,
    archive: Archive = False,
    report: ReportFile = None,
    out: _Out = None,
) -> None:
    """Make the decision on a payment again, whatever is live now, and compare the bytes.

    Report keys: payment_id, tenant, verdict (equal, different, unprovable), outcome,
    digest_stored, digest_replayed, first_difference, vector (equal, different, unprovable, none),
    vector_cause, missing, libraries (name to what decided and what replays, where they differ),
    decision (topic, partition, offset). Exit codes: 0 the same bytes, 1 other bytes or another
    vector, 2 no such payment or bad input, 4 a version is missing.
    """
    import asyncio

    from risk.cli.proofs import leave, parts_of, settings_of, write_report

    settings = settings_of(world)
    with parts_of(settings, "replay", archive=archive) as ready:
        told, body = asyncio.run(_replayed(ready, tenant, payment_id, archive=archive))
    write_report(report, told)
    if out is not None and body is not None:
        out.write_bytes(body)
    for line in _lines(told):
        typer.echo(line)
    leave(str(told["verdict"]))


async def _replayed(
    settings: Settings, tenant: str, payment_id: str, *, archive: bool
) -> tuple[dict[str, Any], bytes | None]:
    """The report, and the replayed bytes where every version is at hand."""
    from features.replaying import Search, search
    from risk.cli.proofs import damages_of, history_of, rates_of
    from risk.cli.versions_at_hand import VersionsAtHand
    from risk.domain.errors import BadConfiguration
    from risk.replay import evidence_of

    history = await history_of(settings, archive=archive)
    found = await search(history, Search(history.extent, rates_of(settings), tenant, payment_id))
    if found is None:
        lost = "".join(f"; damaged in the archive: {one}" for one in damages_of(history))
        raise BadConfiguration(f"history has no decision on payment {payment_id} of {tenant}{lost}")
    versions = VersionsAtHand(settings, kafka=not archive)
    try:
        named = await versions.of(evidence_of(found.decision))
    finally:
        await versions.close()
    return _told(found, named, versions.missing, versions.now())


def _told(
    found: Replayable, named: Named | None, missing: list[str], now: dict[str, str]
) -> tuple[dict[str, Any], bytes | None]:
    import hashlib

    from risk.replay import evidence_of, first_difference, judge_again

    decision, evidence = found.decision, evidence_of(found.decision)
    body = None if named is None else judge_again(decision, named)
    verdict = "unprovable" if body is None else "equal" if body == found.body else "different"
    then = {**evidence.libraries, "engine": evidence.engine}
    told: dict[str, Any] = {
        "payment_id": decision.payment_id,
        "tenant": decision.tenant,
        "verdict": "different" if found.vector == "different" else verdict,
        "outcome": decision.outcome,
        "digest_stored": hashlib.sha256(found.body).hexdigest(),
        "digest_replayed": None if body is None else hashlib.sha256(body).hexdigest(),
        "first_difference": "" if body is None else first_difference(found.body, body),
        "vector": found.vector,
        "vector_cause": found.cause,
        "missing": missing,
        "libraries": {
            name: [one, now.get(name, "")] for name, one in then.items() if now.get(name) != one
        },
        "decision": found.place._asdict(),
    }
    return told, body


def _lines(told: dict[str, Any]) -> list[str]:
    lines = [
        f"payment {told['payment_id']}: {told['verdict']} ({told['outcome']})",
        f"  stored   {told['digest_stored']}",
        f"  replayed {told['digest_replayed'] or '-'}",
    ]
    lines.append("  " + _VECTOR[told["vector"]] + told["vector_cause"])
    if told["first_difference"]:
        lines.append(f"  first difference: {told['first_difference']}")
    lines += [f"  missing: {one}" for one in told["missing"]]
    lines += [
        f"  {name}: {then} decided, {now} replays"
        for name, (then, now) in told["libraries"].items()
    ]
    return lines
