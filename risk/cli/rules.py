"""`weir rules`: check, test and read rule books."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from risk.rules.book import Book
    from risk.rules.compiler import Tables
    from risk.rules.schema import Schema

_File = Annotated[Path, typer.Argument(help="A book as YAML.", show_default=False)]
_Book = Annotated[Path | None, typer.Option("--book", help="Another book than the starter book.")]
_Report = Annotated[Path | None, typer.Option("--report", help="Write the result as JSON.")]


def register(app: typer.Typer) -> None:
    """Add the command group ``rules``."""
    group = typer.Typer(help="Rule books: check, test, list, show.", no_args_is_help=True)
    group.command("check")(check)
    group.command("test")(run_examples)
    group.command("list")(list_rules)
    group.command("show")(show)
    app.add_typer(group, name="rules")


def check(file: _File, report: _Report = None) -> None:
    """Say everything that is wrong with FILE. Report keys: book, digest, rules, problems."""
    from risk.domain.clock import SystemClock
    from risk.domain.errors import BadBook
    from risk.rules.book_check import problems_of

    book = _read(file)
    problems = list(problems_of(book, *_parts(), SystemClock().now_ms()))
    _write(
        report,
        {
            "book": book.name,
            "digest": book.digest(),
            "rules": len(book.rules),
            "problems": problems,
        },
    )
    if problems:
        raise BadBook(problems)
    typer.echo(f"{book.name}: {len(book.rules)} rules, no problems, digest {book.digest()}")


def run_examples(file: _File, report: _Report = None) -> None:
    """Run the examples of every rule. Report keys: book, digest, rules {id: problems}."""
    from risk.domain.clock import SystemClock
    from risk.rules.book_check import rule_problems

    book = _read(file)
    schema, tables = _parts()
    now_ms = SystemClock().now_ms()
    found = {rule.id: list(rule_problems(rule, schema, tables, now_ms)) for rule in book.rules}
    _write(report, {"book": book.name, "digest": book.digest(), "rules": found})
    for rule in book.rules:
        examples = f"{len(rule.examples.hits)} hit, {len(rule.examples.misses)} miss"
        typer.echo(f"{'ok  ' if not found[rule.id] else 'FAIL'} {rule.id}: {examples}")
        for line in found[rule.id]:
            typer.echo(f"     {line}")
    if any(found.values()):
        raise typer.Exit(1)


def list_rules(book: _Book = None, report: _Report = None) -> None:
    """List the rules of a book. Report keys: book, digest, rules (as in the file)."""
    import msgspec
    from rich.console import Console
    from rich.table import Table

    found = _read(book)
    rules = msgspec.to_builtins(found.rules)
    _write(report, {"book": found.name, "digest": found.digest(), "rules": rules})
    table = Table("rule", "state", "action", "reason", "sentence", title=found.name)
    for rule in found.rules:
        table.add_row(rule.id, rule.state, rule.action, rule.reason, rule.sentence)
    Console().print(table)


def show(
    rule: Annotated[str, typer.Argument(help="The id of a rule.")],
    book: _Book = None,
    report: _Report = None,
) -> None:
    """Show one rule whole. Report keys: those of a rule in the file."""
    import msgspec

    from risk.domain.errors import BadConfiguration
    from risk.rules.book_file import dump_book
    from risk.rules.checker import nearest

    found = _read(book)
    if rule not in [one.id for one in found.rules]:
        hint = nearest(rule, [one.id for one in found.rules])
        raise BadConfiguration(
            f"no rule {rule} in {found.name}" + (f"; did you mean {hint}?" if hint else "")
        )
    one = found.rule(rule)
    _write(report, msgspec.to_builtins(one))
    text = dump_book(msgspec.structs.replace(found, rules=(one,)))
    typer.echo(text.split("rules:\n", 1)[1].rstrip())


def _read(file: Path | None) -> Book:
    from risk.rules.book_file import STARTER_BOOK, read_book

    return read_book(file or STARTER_BOOK)


def _parts() -> tuple[Schema, Tables]:
    """What rules may name, and what their literals are resolved with."""
    from features.catalogue import CATALOGUE
    from risk.rules.compiler import Tables
    from risk.rules.schema import Schema
    from risk.settings import Settings
    from risk.tables.load import exchange_rates

    return Schema.of(CATALOGUE), Tables(exchange_rates(None, Settings().base_currency))


def _write(report: Path | None, content: object) -> None:
    import msgspec

    if report is not None:
        body = msgspec.json.format(msgspec.json.encode(content), indent=2)
        report.write_bytes(body + b"\n")
