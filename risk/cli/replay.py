"""`weir replay`: a decision made again from its evidence and versions, byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from risk.cli.proofs import Archive

if TYPE_CHECKING:
    from features.proof.recall import Found
    from risk.replay import Recalled
    from risk.settings import Settings
    from risk.versions.version import Kind

_Report = Annotated[Path | None, typer.Option("--report", help="Write the result as JSON.")]
_Out = Annotated[Path | None, typer.Option("--out", help="Write the replayed bytes here.")]
_World = Annotated[str | None, typer.Option("--world", help="Another world than WEIR_WORLD.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("replay")(replay)


def replay(
    payment_id: Annotated[str, typer.Argument(show_default=False)],
    tenant: Annotated[str, typer.Option(help="The payment's tenant.")] = "main",
    world: _World = None,
    archive: Archive = False,
    report: _Report = None,
    out: _Out = None,
) -> None:
    """Make the decision on a payment again, whatever is live now, and compare the bytes.

    Report keys: payment_id, tenant, verdict (equal, different, unprovable), outcome,
    digest_stored, digest_replayed, first_difference, vector (rebuilt, stored, none),
    vector_equal (null where it could not be made again), vector_cause, missing (kind, digest,
    fix), libraries (name to what decided and what replays, where they differ), decision (topic,
    partition, offset). Exit codes: 0 the same bytes, 1 other bytes or another vector, 2 no such
    payment or bad input, 4 a version is missing.
    """
    import asyncio

    from risk.cli.proofs import leave, parts_of, settings_of, write_report
    from risk.domain.errors import BadConfiguration

    settings = settings_of(world)
    with parts_of(settings, "replay", archive=archive) as ready:
        found, damaged = asyncio.run(_find(ready, tenant, payment_id, archive=archive))
        if found is None:
            unread = f"; {damaged} records of it are damaged" if damaged else ""
            raise BadConfiguration(
                f"history has no authoritative decision on payment {payment_id} of {tenant}{unread}"
            )
        told, body = _again(ready, found)
    write_report(report, told)
    if out is not None and body is not None:
        out.write_bytes(body)
    for line in _lines(told):
        typer.echo(line)
    leave(str(told["verdict"]))


async def _find(
    settings: Settings, tenant: str, payment_id: str, *, archive: bool
) -> tuple[Found | None, int]:
    """The decision; its versions come from the control topic, where Kafka is read."""
    from features.proof.recall import Recall, recall
    from risk.cli.proofs import history_of, rates_of

    history = await history_of(settings, archive=archive)
    search = Recall(history.extent, rates_of(settings), tenant, payment_id)
    found = await recall(history, search)
    if found is not None and not archive and _absent(settings, found):
        await _load_versions(settings)
    return found, search.damaged


def _absent(settings: Settings, found: Found) -> bool:
    from risk.versions.store import VersionStore

    store, digests = VersionStore(settings.state / "versions"), found.item.evidence.digests
    wanted: list[tuple[Kind, str]] = [
        ("book", digests.book),
        ("policy", digests.policy),
        ("catalogue", digests.catalogue),
    ]
    return any(store.get(kind, digest) is None for kind, digest in wanted)


async def _load_versions(settings: Settings) -> None:
    from risk.versions.store import VersionStore
    from streams.control import Control
    from streams.publish import KafkaPublisher
    from streams.topics import Topics

    topics = Topics(settings.world)
    store = VersionStore(settings.state / "versions")
    control = Control(settings.kafka, topics, store, KafkaPublisher(settings.kafka, topics))
    try:
        await control.load()
    finally:
        await control.close()


def _again(settings: Settings, found: Found) -> tuple[dict[str, Any], bytes | None]:
    """The report, and the replayed bytes where every version is at hand."""
    import hashlib

    import numpy as np

    from features.proof.bits import same_bits
    from risk.replay import first_difference, judge_again, stored_vector

    item, decision = found.item, found.item.decision
    stored = stored_vector(decision)
    vector_equal = None
    if found.rebuilt is not None and stored is not None:
        vector_equal = bool(np.all(same_bits(stored, found.rebuilt)))
    recalled, missing = _recalled(settings, found)
    body = None
    if recalled is not None:
        amount = item.told.amount_base
        body = judge_again(decision, item.told.event, amount, recalled, found.rebuilt)
    verdict = "unprovable" if body is None else "equal" if body == found.body else "different"
    source = "none" if stored is None else "stored" if found.rebuilt is None else "rebuilt"
    told: dict[str, Any] = {
        "payment_id": decision.payment_id,
        "tenant": decision.tenant,
        "verdict": "different" if vector_equal is False else verdict,
        "outcome": decision.outcome,
        "digest_stored": hashlib.sha256(found.body).hexdigest(),
        "digest_replayed": None if body is None else hashlib.sha256(body).hexdigest(),
        "first_difference": "" if body is None else first_difference(found.body, body),
        "vector": source,
        "vector_equal": vector_equal,
        "vector_cause": found.cause,
        "missing": missing,
        "libraries": _other_libraries(found),
        "decision": item.place._asdict(),
    }
    return told, body


def _recalled(settings: Settings, found: Found) -> tuple[Recalled | None, list[dict[str, str]]]:
    """What the evidence names, or what of it is nowhere. Raises BadVersion where it is damaged."""
    from features.catalogue import types_in
    from models.recalled import recalled_model
    from models.source import Catalogue
    from risk.domain.findings import NO_LISTS
    from risk.replay import Recalled
    from risk.rules.compiler import Tables
    from risk.rules.evaluator import CompiledBook
    from risk.rules.schema import TYPE_OF_DTYPE, Schema
    from risk.tables.load import RateTables, exchange_rates
    from risk.versions.serving import book_in, policy_in
    from risk.versions.store import VersionStore

    digests = found.item.evidence.digests
    folder = settings.state / "versions"
    store = VersionStore(folder)
    book = store.get("book", digests.book)
    policy = store.get("policy", digests.policy)
    catalogue = store.get("catalogue", digests.catalogue)
    kept: list[tuple[str, str, object]] = [
        ("book", digests.book, book),
        ("policy", digests.policy, policy),
        ("catalogue", digests.catalogue, catalogue),
        ("lists", digests.lists, digests.lists == NO_LISTS.digest() or None),
        ("rates", digests.rates, None if found.item.told.unrated else True),
    ]
    where = f"copy its file into {folder} from a state folder or backup that has it"
    tables = f"copy the table into {settings.state / 'tables' / 'rates'}"
    missing = [
        {"kind": kind, "digest": digest, "fix": tables if kind == "rates" else where}
        for kind, digest, one in kept
        if one is None
    ]
    if book is None or policy is None or catalogue is None or missing:
        return None, missing
    features = types_in(catalogue.body)
    names = tuple(name for name, _ in features)
    scoring = None
    if digests.model:
        scoring = recalled_model(
            settings.mlflow,
            settings.world,
            settings.state / "cache" / "models",
            Catalogue(names, digests.catalogue),
            (digests.model, digests.calibration),
        )
        if scoring is None:
            fix = "start MLflow with the registry that has it, or restore cache/models"
            return None, [{"kind": "model", "digest": digests.model, "fix": fix}]
    schema = Schema(tuple((name, TYPE_OF_DTYPE[dtype]) for name, dtype in features))
    current = exchange_rates(settings.rates, settings.base_currency)
    rates = RateTables(settings.state, current).of(digests.rates)
    rules = CompiledBook(book_in(book), schema, Tables(rates))
    return Recalled(names, scoring, rules, policy_in(policy)), []


def _other_libraries(found: Found) -> dict[str, list[str]]:
    """What decided and what replays, where it is not the same."""
    from importlib.metadata import version

    evidence = found.item.evidence
    now = {name: version(name) for name in evidence.libraries}
    pairs = {name: [then, now[name]] for name, then in evidence.libraries.items()}
    pairs["engine"] = [evidence.engine, f"weir {version('weir')}"]
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _lines(told: dict[str, Any]) -> list[str]:
    lines = [
        f"payment {told['payment_id']}: {told['verdict']} ({told['outcome']})",
        f"  stored   {told['digest_stored']}",
        f"  replayed {told['digest_replayed'] or '-'}",
    ]
    vector = told["vector"]
    if told["vector_equal"] is not None:
        same = "the same bits" if told["vector_equal"] else "other bits than the stored one"
        lines.append(f"  vector made again from history: {same}")
    elif vector == "stored":
        lines.append(f"  vector as stored; it cannot be made again: {told['vector_cause']}")
    else:
        lines.append("  the decision was made without features")
    if told["first_difference"]:
        lines.append(f"  first difference: {told['first_difference']}")
    lines += [f"  missing {one['kind']} {one['digest']}: {one['fix']}" for one in told["missing"]]
    lines += [
        f"  {name}: {then} decided, {now} replays"
        for name, (then, now) in told["libraries"].items()
    ]
    return lines
