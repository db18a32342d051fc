"""`weir rules` through the real command line: answers, reports, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from risk.cli.rules import parts, register
from risk.domain.decision import decode_decision
from risk.domain.errors import BadBook, BadConfiguration
from risk.lists.entries import HeldList
from risk.rules.book_file import STARTER_BOOK, read_book
from risk.settings import Settings
from risk.storage.lists import SqlLists
from risk.storage.sql import open_store
from risk.tables.load import exchange_rates
from tests.support.proof_world import story

RULES = len(read_book(STARTER_BOOK).rules)


def run(*words: str) -> tuple[int, str]:
    """Exit code and output; errors of ours are raised, as the command line's door gets them."""
    app = typer.Typer()
    register(app)
    result = CliRunner().invoke(app, ["rules", *words])
    if isinstance(result.exception, BadBook | BadConfiguration):
        raise result.exception
    return result.exit_code, result.output


@pytest.fixture
def bad_book(tmp_path: Path) -> Path:
    path = tmp_path / "bad.yaml"
    text = STARTER_BOOK.read_text()
    path.write_text(text.replace("device_accounts_24h >= 4", "device_acounts_24h >= 4"))
    return path


def test_check_accepts_the_starter_book(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    code, output = run("check", str(STARTER_BOOK), "--report", str(report))
    assert code == 0
    assert f"{RULES} rules, 4 rate rules, no problems" in output
    found = json.loads(report.read_text())
    assert set(found) == {"book", "digest", "rules", "problems", "windows"}
    assert found["rules"] == RULES


def test_check_names_every_problem_and_still_reports(bad_book: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    with pytest.raises(BadBook, match="did you mean device_accounts_24h"):
        run("check", str(bad_book), "--report", str(report))
    assert len(json.loads(report.read_text())["problems"]) == 1


def test_test_runs_the_examples(bad_book: Path) -> None:
    code, output = run("test", str(STARTER_BOOK))
    assert code == 0
    assert output.count("ok  ") == RULES
    code, output = run("test", str(bad_book))
    assert code == 1
    assert "FAIL device_many_accounts" in output


def test_list_and_show(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    code, output = run("list", "--report", str(report))
    assert code == 0
    listed = [line.split()[0] for line in output.splitlines()[1:]]
    assert listed == [rule.id for rule in read_book(STARTER_BOOK).rules]
    assert len(json.loads(report.read_text())["rules"]) == RULES
    code, output = run("show", "card_testing", "--book", str(STARTER_BOOK))
    assert code == 0
    assert output.startswith("- id: card_testing")
    assert run("show", "--book", str(STARTER_BOOK)) == (0, STARTER_BOOK.read_text())


def test_a_report_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none" / "report.json"):
        for words in (("list", "--report"), ("reference", "--out"), ("editor-data", "--out")):
            code, output = run(*words, str(path))
            assert (code, words[1] in output) == (2, True)


@pytest.mark.parametrize(
    ("name", "line"), [("card_testin", "did you mean card_testing"), ("zzz", "no rule zzz in")]
)
def test_show_suggests_the_nearest_rule(name: str, line: str) -> None:
    with pytest.raises(BadConfiguration, match=line):
        run("show", name)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadBook, match="cannot be read"):
        run("check", str(tmp_path / "none.yaml"))


def test_format_writes_the_canonical_form_and_keeps_comments(tmp_path: Path) -> None:
    path, report = tmp_path / "book.yaml", tmp_path / "report.json"
    path.write_text(
        STARTER_BOOK.read_text().replace("card_declines_1h >= 4", "card_declines_1h>=4")
    )
    assert run("format", str(path), "--check")[0] == 1
    assert run("format", str(path), "--report", str(report))[0] == 0
    assert json.loads(report.read_text())["changed"] is True
    assert path.read_text() == STARTER_BOOK.read_text()
    assert "unchanged" in run("format", str(path), "--check")[1]
    path.write_text("# mine\n" + path.read_text())
    with pytest.raises(BadBook, match="line 1: a comment would be lost"):
        run("format", str(path))
    assert run("format", str(path), "--drop-comments")[0] == 0


def test_explain_tells_a_rule_and_a_payment(tmp_path: Path) -> None:
    values, report = tmp_path / "values.json", tmp_path / "report.json"
    values.write_text('{"card_declines_1h": 5, "amount": 3000}')
    code, output = run(
        "explain", "declines_then_payment", "--file", str(values), "--report", str(report)
    )
    assert code == 0
    assert "Block the payment when card declines (1 hour) is at least 4" in output
    assert "+ card_declines_1h >= 4: held (card_declines_1h = 5.0)" in output
    found = json.loads(report.read_text())
    assert found["answer"] == "failed"
    assert found["condition"]["parts"][1]["values"] == {"amount": 3000.0}


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("[]", "expected a JSON object"),
        ('{"amont": 1}', "did you mean amount"),
        ('{"evidence": 1}', "is no decision"),
    ],
)
def test_explain_refuses_a_file_that_is_neither(tmp_path: Path, content: str, line: str) -> None:
    values = tmp_path / "values.json"
    values.write_text(content)
    with pytest.raises(BadConfiguration, match=line):
        run("explain", "declines_then_payment", "--file", str(values))


def test_rules_are_read_with_the_rates_of_the_settings_and_the_lists_of_the_world(
    tmp_path: Path,
) -> None:
    table = tmp_path / "rates.json"
    shipped = exchange_rates(None, "EUR")
    table.write_bytes(msgspec.json.encode(msgspec.structs.replace(shipped, as_of="2026-02-01")))
    settings = Settings(home=tmp_path, world="other", rates=table)
    engine = open_store(settings)
    with SqlLists(engine, "other").turn() as turn:
        turn.put(
            HeldList(name="watched", type="merchant", effect="none", fields=(), sentence="",
                     segments=(), author="ana", created_at_ms=1)
        )  # fmt: skip
    engine.dispose()
    schema, tables = parts(settings)
    assert tables.rates.digest() == exchange_rates(table, "EUR").digest() != shipped.digest()
    assert schema.lists == {"watched": "merchant"}


def test_explain_takes_one_payment(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="--payment and --file: give one"):
        run("explain", "card_testing", "--file", str(tmp_path), "--payment", "pay_1")


def test_explain_refuses_a_rule_that_does_not_check(bad_book: Path) -> None:
    with pytest.raises(BadBook, match="did you mean device_accounts_24h"):
        run("explain", "device_many_accounts", "--book", str(bad_book))


def test_explain_reads_the_values_that_a_decision_was_made_with(tmp_path: Path) -> None:
    decision = next(one.value for one in story(3, 60) if one.topic == "decisions" and one.value)
    file = tmp_path / "decision.json"
    file.write_bytes(decision)
    code, output = run("explain", "declines_then_payment", "--file", str(file))
    assert code == 0
    assert f"for payment {decode_decision(decision).payment_id}:" in output
    assert "amount = " in output
    told = json.loads(decision)
    told["evidence"]["digests"]["catalogue"] = "0" * 64
    file.write_text(json.dumps(told))
    with pytest.raises(BadConfiguration, match="was decided with the features 000000000000"):
        run("explain", "declines_then_payment", "--file", str(file))
    told["evidence"]["vector"] = None
    file.write_text(json.dumps(told))
    with pytest.raises(BadConfiguration, match="was decided without features"):
        run("explain", "declines_then_payment", "--file", str(file))


def test_the_language_as_page_and_as_data(tmp_path: Path) -> None:
    page, data = tmp_path / "rules.md", tmp_path / "editor.json"
    assert run("reference", "--out", str(page))[0] == 0
    assert run("reference")[1] == page.read_text()
    assert run("editor-data", "--out", str(data))[0] == 0
    assert json.loads(data.read_text())["format"] == 1


def test_evidence_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    page, report = tmp_path / "page.md", tmp_path / "report.json"
    words = ("evidence", "--accounts", "40", "--days", "1.5", "--seed", "3")
    code, output = run(*words, "--out", str(page), "--report", str(report))
    assert code == 0
    assert page.read_text() == output == run(*words)[1]
    found = json.loads(report.read_text())
    assert sum(found["good"].values()) + found["fraud"] == found["payments"] > 50
    assert found["failures"] == 0
    assert set(found["rules"]) == {rule.id for rule in read_book(STARTER_BOOK).rules}
