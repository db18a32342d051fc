"""`weir rules explain`: a rule as a sentence, and condition by condition for one payment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from risk.cli.proofs import Archive, ReportFile

if TYPE_CHECKING:
    from risk.domain.decision import Decision, Evidence
    from risk.rules.book import Book, Rule
    from risk.rules.compiler import Row, Tables
    from risk.rules.schema import Schema
    from risk.rules.syntax import Node
    from risk.rules.trace import Condition
    from risk.settings import Settings

_Book = Annotated[
    Path | None, typer.Option("--book", help="Another book than the one that judged, or is live.")
]


def explain(
    rule: Annotated[str, typer.Argument(help="The id of a rule.", show_default=False)],
    book: _Book = None,
    payment: Annotated[
        str | None,
        typer.Option("--payment", help="For this decided payment: ID, or TENANT/ID."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="For a decision as JSON, or for values by name as JSON."),
    ] = None,
    world: Annotated[
        str | None, typer.Option("--world", help="Another world than WEIR_WORLD.")
    ] = None,
    archive: Archive = False,
    report: ReportFile = None,
) -> None:
    """Say what a rule does, and for one payment which condition held or failed, with values.

    For a decision it is the rule of the book that judged it, with the lists of then; else that of
    the live book, or of the book that ships where no Kafka is known or runs.

    Report keys: rule, book, digest, sentence, names (name to sentence), payment_id, answer (held,
    failed, unknown; null without a payment), condition (text, sentence, answer, values, parts).
    Exit codes: 0 told, 2 no such rule or payment, or it cannot be read.
    """
    from features.catalogue import CATALOGUE
    from risk.cli.proofs import settings_of, write_report
    from risk.cli.rules import chosen_rule
    from risk.domain.errors import BadConfiguration
    from risk.rules.compiler import names_of
    from risk.rules.schema import FIELD_BY_NAME
    from risk.rules.sentences import rule_sentence
    from risk.rules.trace import lines

    if payment is not None and file is not None:
        raise BadConfiguration("--payment and --file: give one of them")
    settings = settings_of(world)
    asked = _asked(settings, payment, file, archive=archive)
    held, schema, tables = _judged(settings, asked, book, archive=archive)
    one = chosen_rule(held, rule)
    tree = _tree(one, schema)
    words = {spec.name: spec.sentence for spec in CATALOGUE}
    words.update({field.name: field.sentence for field in FIELD_BY_NAME.values()})
    names = {name: words[name] for name in sorted(names_of(tree)) if name in words}
    told = rule_sentence(one.action, tree, one.hold)
    typer.echo(told)
    for name, sentence in names.items():
        typer.echo(f"  {name}: {sentence}")
    payment_id, found = None, None
    if asked is not None:
        values = _Values(schema, tables, tree)
        payment_id, found = _traced(values, asked, settings)
        typer.echo(f"for payment {payment_id or '(values of the file)'}:")
        for line in lines(found):
            typer.echo(f"  {line}")
    write_report(report, _content(held, one, told, names, payment_id, found))


def _content(
    book: Book,
    rule: Rule,
    told: str,
    names: dict[str, str],
    payment_id: str | None,
    found: Condition | None,
) -> dict[str, Any]:
    return {
        "rule": rule.id,
        "book": book.name,
        "digest": book.digest(),
        "sentence": told,
        "names": names,
        "payment_id": payment_id,
        "answer": None if found is None else found.answer,
        "condition": found,
    }


def _tree(rule: Rule, schema: Schema) -> Node:
    """The rule's tree. Raises BadBook where the rule is refused."""
    from risk.domain.errors import BadBook
    from risk.rules.checker import check
    from risk.rules.parser import parse
    from risk.rules.syntax import Refused

    try:
        tree = parse(rule.when)
        problems = check(rule.when, tree, schema)
    except Refused as refused:
        problems = refused.problems
    if problems:
        raise BadBook([f"rule {rule.id}: {one}" for one in problems])
    return tree


class _Values:
    """Rows of one rule, from a decision or from named values."""

    def __init__(self, schema: Schema, tables: Tables, tree: Node) -> None:
        from risk.rules.evaluator import Layout

        self._schema, self._tables, self._tree = schema, tables, tree
        self._layout = Layout(schema, [tree])

    def trace(self, row: Row) -> Condition:
        from risk.rules.trace import trace

        return trace(self._tree, self._schema, self._tables, self._layout.slots, row)

    def row(self, values: Mapping[str, Any]) -> Row:
        """A row of named values; raises BadConfiguration for one that does not fit."""
        from risk.domain.errors import BadConfiguration
        from risk.rules.book_check import example_row, value_problems

        problems = list(value_problems(dict(values), self._schema))
        if problems:
            raise BadConfiguration(f"--file: {'; '.join(problems)}")
        return example_row(self._layout.slots, dict(values), self._schema)

    def row_of(self, decision: Decision, settings: Settings) -> Row:
        """The row that the rule saw. Raises BadConfiguration where it cannot be made again."""
        import math

        import numpy as np

        from features.catalogue import catalogue_digest
        from risk.cli.proofs import rates_of
        from risk.domain.decoding import decode_stored
        from risk.domain.errors import BadConfiguration
        from risk.domain.observation import Arrival
        from risk.domain.times import parse_rfc3339
        from risk.judgement import told_windows

        evidence = decision.evidence
        if evidence is None or evidence.vector is None:
            raise BadConfiguration(f"payment {decision.payment_id} was decided without features")
        if evidence.digests.catalogue != catalogue_digest():
            raise BadConfiguration(
                f"payment {decision.payment_id} was decided with the features"
                f" {evidence.digests.catalogue[:12]}, and this code has {catalogue_digest()[:12]}"
            )
        event = decode_stored(bytes(evidence.event)).event
        arrival = Arrival(
            event,
            bytes(evidence.event),
            bytes.fromhex(evidence.fingerprint),
            evidence.door,
            parse_rfc3339(evidence.arrived_at),
            rates_of(settings)(event, evidence.digests.rates),
        )
        vector = [math.nan if value is None else value for value in evidence.vector]
        (row,) = self._layout.rows([arrival], np.array([vector]), [decision.score])
        made = told_windows(evidence)
        held = {} if made is None else dict(zip(made.names, made.values.tolist(), strict=True))
        return [*row, *(held.get(name, math.nan) for name in self._layout.windows)]


def _asked(
    settings: Settings, payment: str | None, file: Path | None, *, archive: bool
) -> Decision | dict[str, Any] | None:
    """The decision, or the values by name, that are asked about."""
    if file is not None:
        content = _json(file)
        return _decoded(file) if "evidence" in content else content
    if payment is None:
        return None
    tenant, _, payment_id = payment.rpartition("/")
    return _found(settings, tenant or "main", payment_id, archive=archive)


def _judged(
    settings: Settings,
    asked: Decision | dict[str, Any] | None,
    book: Path | None,
    *,
    archive: bool,
) -> tuple[Book, Schema, Tables]:
    """The book, what its rules may name, and their tables."""
    import asyncio

    from risk.bootstrap import shipped_book
    from risk.cli.rules import chosen_book, parts, read
    from risk.domain.errors import BadConfiguration
    from risk.local import parts as local_parts

    evidence = None if asked is None or isinstance(asked, dict) else asked.evidence
    if book is not None or evidence is None:
        return (chosen_book(book, settings.world), *parts(settings))
    live = local_parts.running(settings.state)
    kafka = "" if archive else settings.kafka or (live.kafka if live is not None else "")
    ready = settings.model_copy(update={"kafka": kafka})
    found, missing = asyncio.run(_book_of(ready, evidence))
    if found is not None:
        return found
    if evidence.digests.book == shipped_book().digest():
        return (read(None), *parts(settings))
    raise BadConfiguration("; ".join(missing) + "; or give the book with --book")


async def _book_of(
    settings: Settings, evidence: Evidence
) -> tuple[tuple[Book, Schema, Tables] | None, list[str]]:
    from risk.cli.versions_at_hand import VersionsAtHand

    at_hand = VersionsAtHand(settings, kafka=bool(settings.kafka))
    try:
        return await at_hand.book_of(evidence), at_hand.missing
    finally:
        await at_hand.close()


def _traced(
    values: _Values, asked: Decision | dict[str, Any], settings: Settings
) -> tuple[str | None, Condition]:
    """(payment id, its trace)."""
    if isinstance(asked, dict):
        return None, values.trace(values.row(asked))
    return asked.payment_id, values.trace(values.row_of(asked, settings))


def _json(file: Path) -> dict[str, Any]:
    import msgspec

    from risk.domain.errors import BadConfiguration

    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        raise BadConfiguration(f"--file {file}: {error}; expected a JSON object") from None


def _decoded(file: Path) -> Decision:
    import msgspec

    from risk.domain.decision import decode_decision
    from risk.domain.errors import BadConfiguration

    try:
        return decode_decision(file.read_bytes())
    except msgspec.DecodeError as error:
        raise BadConfiguration(f"--file {file} is no decision: {error}") from None


def _found(settings: Settings, tenant: str, payment_id: str, *, archive: bool) -> Decision:
    """The payment's decision. Raises BadConfiguration where there is none."""
    import asyncio

    from risk.cli.proofs import parts_of
    from risk.domain.errors import BadConfiguration

    with parts_of(settings, "rules explain", archive=archive) as ready:
        decision = asyncio.run(_search(ready, tenant, payment_id, archive=archive))
    if decision is None:
        where = "the archive" if archive else "Kafka"
        raise BadConfiguration(f"no decision of payment {payment_id} of {tenant} in {where}")
    return decision


async def _search(
    settings: Settings, tenant: str, payment_id: str, *, archive: bool
) -> Decision | None:
    """The first authoritative decision that stands."""
    from contextlib import aclosing

    from features.proof.standing import standing
    from risk.cli.proofs import history_of
    from risk.domain.decision import decode_decision

    history = await history_of(settings, archive=archive)
    name = payment_id.encode()
    async with aclosing(standing(history)) as chunks:
        async for chunk in chunks:
            for record in chunk.records:
                if record.topic != "decisions" or name not in record.value:
                    continue
                found = decode_decision(record.value)
                if (found.tenant, found.payment_id) == (tenant, payment_id) and found.authoritative:
                    return found
    return None
