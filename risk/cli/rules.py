"""`weir rules`: check, test, format, explain and read rule books."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from risk.cli.proofs import ReportFile, writable, write_report

if TYPE_CHECKING:
    from risk.rules.book import Book, Rule
    from risk.rules.compiler import Tables
    from risk.rules.schema import Schema
    from risk.settings import Settings

_File = Annotated[Path, typer.Argument(help="A book as YAML.", show_default=False)]
_AnyBook = Annotated[Path | None, typer.Option("--book", help="Another book than the live one.")]
_World = Annotated[str | None, typer.Option("--world", help="Another world than WEIR_WORLD.")]


def register(app: typer.Typer) -> None:
    """Add the command group ``rules``."""
    from risk.cli.backtest import backtest
    from risk.cli.rules_evidence import evidence
    from risk.cli.rules_explain import explain
    from risk.cli.rules_life import register as register_life
    from risk.cli.rules_minimise import minimise
    from risk.cli.rules_performance import performance

    help_text = "Rule books: check and explain them, publish them with four eyes, roll back."
    group = typer.Typer(help=help_text, no_args_is_help=True)
    group.command("check")(check)
    group.command("test")(run_examples)
    group.command("format")(format_book)
    group.command("explain")(explain)
    group.command("evidence")(evidence)
    group.command("backtest")(backtest)
    group.command("performance")(performance)
    group.command("minimise")(minimise)
    group.command("reference")(reference)
    group.command("editor-data")(editor_data)
    group.command("list")(list_rules)
    group.command("show")(show)
    register_life(group)
    app.add_typer(group, name="rules")


def check(file: _File, report: ReportFile = None) -> None:
    """Say everything that is wrong with FILE; every rule's examples are run.

    Report keys: book, digest, rules, problems, windows (text, cost_us for 72 records, rules).
    Exit codes: 0 none, 2 problems, or no book.
    """
    from risk.domain.clock import SystemClock
    from risk.domain.errors import BadBook
    from risk.rules.book_check import problems_of

    book = read(file)
    schema, tables = parts()
    problems = list(problems_of(book, schema, tables, SystemClock().now_ms()))
    windows = _windows(book, schema)
    write_report(
        report,
        {
            "book": book.name,
            "digest": book.digest(),
            "rules": len(book.rules),
            "problems": problems,
            "windows": windows,
        },
    )
    if problems:
        raise BadBook(problems)
    rates = f", {len(book.rates)} rate rules" if book.rates else ""
    typer.echo(f"{book.name}: {len(book.rules)} rules{rates}, no problems, digest {book.digest()}")
    for one in windows:
        typer.echo(f"  window {one['text']}: {one['cost_us']} us, {', '.join(one['rules'])}")
    if windows:
        total = sum(one["cost_us"] for one in windows)
        typer.echo(f"  {len(windows)} windows cost each payment about {total:.1f} us")


def _windows(book: Book, schema: Schema) -> list[dict[str, Any]]:
    """The windows that a book reads, what each costs, and which rules read it."""
    from risk.rules.book_check import windows_of_rule
    from risk.rules.window_reader import read_window
    from risk.rules.windows import COST_US

    readers: dict[str, list[str]] = {}
    for rule in book.rules:
        for text in windows_of_rule(rule, schema) if rule.state != "retired" else ():
            readers.setdefault(text, []).append(rule.id)
    return [
        {"text": text, "cost_us": COST_US[read_window(text).function], "rules": readers[text]}
        for text in sorted(readers)
    ]


def format_book(
    file: _File,
    check_only: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 where it would change.")
    ] = False,
    drop_comments: Annotated[
        bool, typer.Option("--drop-comments", help="Format a file with comments; they are lost.")
    ] = False,
    report: ReportFile = None,
) -> None:
    """Rewrite FILE in the one canonical form. The content, and so the digest, may change.

    Report keys: book, changed, digest_before, digest. Exit codes: 0, 1 (--check: it would change),
    2 no book, or comments that would be lost.
    """
    from risk.domain.errors import BadBook
    from risk.rules.book_file import canonical_text, comments_of, load_book

    before = read(file)
    text = file.read_text(encoding="utf-8")
    lost = comments_of(text)
    if lost and not drop_comments:
        raise BadBook([f"line {lost[0]}: a comment would be lost; use --drop-comments"])
    made = canonical_text(before)
    changed = made != text
    content = {"book": before.name, "changed": changed, "digest_before": before.digest()}
    write_report(report, {**content, "digest": load_book(made).digest()})
    if changed and check_only:
        typer.echo(f"{file} is not in the canonical form")
        raise typer.Exit(1)
    if changed:
        file.write_text(made, encoding="utf-8")
    typer.echo(f"{file}: {'formatted' if changed else 'unchanged'}")


def reference(
    out: Annotated[
        Path | None, typer.Option("--out", help="Write it; else it is shown.", callback=writable)
    ] = None,
) -> None:
    """The reference page of the rule language, as Markdown."""
    from features.catalogue import CATALOGUE
    from risk.rules.reference import markdown

    text = markdown(CATALOGUE)
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")


def editor_data(
    out: Annotated[
        Path, typer.Option("--out", help="The JSON file.", show_default=False, callback=writable)
    ],
) -> None:
    """Names, types and sentences of the language for editors, as JSON.

    Keys: format, names, functions, windows, entities, others, kinds, kind_groups, spans,
    operators, words, lists, limits.
    """
    from features.catalogue import CATALOGUE
    from risk.cli.lists_desk import lists_at_hand
    from risk.rules.reference import editor_data as data
    from risk.settings import Settings

    write_report(out, data(CATALOGUE, lists_at_hand(Settings())[0]))


def run_examples(file: _File, report: ReportFile = None) -> None:
    """Run the examples of every rule. Report keys: book, digest, rules {id: problems}."""
    from risk.domain.clock import SystemClock
    from risk.rules.book_check import rule_problems

    book = read(file)
    schema, tables = parts()
    now_ms = SystemClock().now_ms()
    found = {rule.id: list(rule_problems(rule, schema, tables, now_ms)) for rule in book.rules}
    write_report(report, {"book": book.name, "digest": book.digest(), "rules": found})
    for rule in book.rules:
        examples = f"{len(rule.examples.hits)} hit, {len(rule.examples.misses)} miss"
        typer.echo(f"{'ok  ' if not found[rule.id] else 'FAIL'} {rule.id}: {examples}")
        for line in found[rule.id]:
            typer.echo(f"     {line}")
    if any(found.values()):
        raise typer.Exit(1)


def list_rules(book: _AnyBook = None, world: _World = None, report: ReportFile = None) -> None:
    """List the rules of the live book, or of another one.

    Without Kafka, known or running, it is the book that ships. Report keys: book, digest, rules
    (as in the file). Exit codes: 0, 1 Kafka or SQL does not answer, 2 no book.
    """
    import msgspec

    found = chosen_book(book, world)
    rules = msgspec.to_builtins(found.rules)
    write_report(report, {"book": found.name, "digest": found.digest(), "rules": rules})
    typer.echo(f"{found.name} ({found.digest()[:12]}), {len(found.rules)} rules")
    width = max((len(rule.id) for rule in found.rules), default=0)
    for rule in found.rules:
        says = f"{rule.reason}: {rule.sentence}"
        typer.echo(f"  {rule.id:<{width}}  {rule.state:<8}{rule.action:<8}{says}")


def show(
    rule: Annotated[str | None, typer.Argument(help="The id of a rule; else all.")] = None,
    book: _AnyBook = None,
    world: _World = None,
    report: ReportFile = None,
) -> None:
    """Show one rule of the live book, or the whole book, as YAML that `check` takes.

    Report keys: those of a rule, or of a book, in the file. Exit codes as list.
    """
    import msgspec

    from risk.rules.book_file import canonical_text

    found = chosen_book(book, world)
    if rule is None:
        write_report(report, msgspec.to_builtins(found))
        typer.echo(canonical_text(found), nl=False)
        return
    one = chosen_rule(found, rule)
    write_report(report, msgspec.to_builtins(one))
    text = canonical_text(msgspec.structs.replace(found, rules=(one,), rate_rules=msgspec.UNSET))
    typer.echo(text.split("rules:\n", 1)[1].rstrip())


def chosen_rule(book: Book, rule: str) -> Rule:
    """The rule of this id; raises BadConfiguration with the nearest one."""
    from risk.domain.errors import BadConfiguration
    from risk.rules.checker import nearest

    ids = [one.id for one in book.rules]
    if rule not in ids:
        hint = nearest(rule, ids)
        raise BadConfiguration(
            f"no rule {rule} in {book.name}" + (f"; did you mean {hint}?" if hint else "")
        )
    return book.rule(rule)


def chosen_book(file: Path | None, world: str | None) -> Book:
    """The book in a file, else the live one of a world, else the one that ships."""
    from risk.cli.proofs import settings_of
    from risk.cli.rules_desk import with_desk
    from risk.local import parts as local_parts

    settings = settings_of(world)
    if file is not None or not (settings.kafka or local_parts.running(settings.state)):
        return read(file)
    return with_desk(world, lambda desk: desk.library.live_book())


def read(file: Path | None) -> Book:
    """The book in a file, else the one that ships."""
    from risk.rules.book_file import STARTER_BOOK, read_book

    return read_book(file or STARTER_BOOK)


def parts(settings: Settings | None = None) -> tuple[Schema, Tables]:
    """What rules may name, and what their literals are resolved with.

    Lists are those that this machine's SQL store has of the world of ``settings``.
    """
    from features.catalogue import CATALOGUE
    from risk.cli.lists_desk import lists_at_hand
    from risk.rules.compiler import Tables
    from risk.rules.schema import Schema
    from risk.settings import Settings
    from risk.tables.load import exchange_rates

    settings = settings or Settings()
    rates = exchange_rates(settings.rates, settings.base_currency)
    types, lists = lists_at_hand(settings)
    return Schema.of(CATALOGUE, types), Tables(rates, lists)
