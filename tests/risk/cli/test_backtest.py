"""`weir rules backtest` as its users call it: on a data set, on real topics, and with bad input."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from risk.backtest.report import decode_report
from risk.books.evidence import read_evidence
from risk.cli.backtest_job import Wish, until_now
from risk.rules.book_file import STARTER_BOOK, read_book
from streams.topics import Topics
from tests.support.proof_world import publish, story

WEIR = (sys.executable, "-m", "risk.cli", "rules", "backtest")
BOOK = """\
format: 1
name: Tried
rules:
  - id: large
    name: Large
    when: amount > 250000
    action: block
    reason: LARGE
    sentence: A large amount.
    customer: We could not approve this payment.
    owner: tests
    state: live
    examples:
      hits: [{amount: 300000}]
      misses: [{amount: 1}]
  - id: many_declines
    name: Declines
    when: count(account, "3h", kind="declined") >= 1
    action: review
    reason: DECLINES
    sentence: Declines before.
    customer: We are checking this payment.
    owner: tests
    state: live
    examples:
      hits: [{'count(account, "3h", kind="declined")': 1}]
      misses: [{'count(account, "3h", kind="declined")': 0}]
"""


def weir(home: Path, *arguments: str, **settings: str) -> tuple[int, str, Any]:
    report = home / "report.json"
    report.unlink(missing_ok=True)
    book = home / "book.yaml"
    if not book.exists():
        book.write_text(BOOK, encoding="utf-8")
    done = subprocess.run(
        [*WEIR, str(book), "--report", str(report), *arguments],
        env={**os.environ, "WEIR_HOME": str(home), **settings},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    told = report.read_bytes() if report.exists() else None
    return done.returncode, done.stdout + done.stderr, told


@pytest.mark.services
def test_on_topics_with_windows_and_the_closed_loop(kafka: str, tmp_path: Path) -> None:
    world = f"backtest-{os.getpid()}"
    asyncio.run(publish(kafka, Topics(world), story(21, 150)))
    code, said, raw = weir(
        tmp_path, "--world", world, "--closed-loop", "--label-delay-days", "0", "--capacity", "5",
        "--job", str(tmp_path / "progress.json"), WEIR_KAFKA=kafka,
    )  # fmt: skip
    assert code == 0, said
    report = decode_report(raw)
    assert report.source.kind == "topics"
    assert report.payments > 50
    assert report.untested == {}
    assert report.hits["large"] > 0
    assert report.flips["allow -> block"] + report.flips["review -> block"] > 0
    assert report.closed_loop is not None
    assert report.closed_loop.closed.payments == report.payments
    assert read_evidence(raw).report == report  # an approver can sign it
    progress = json.loads((tmp_path / "progress.json").read_bytes())
    assert 0 < progress["records"] <= progress["total"]
    assert list((tmp_path / "cache").glob("backtest-*")) == []
    code, said, _ = weir(
        tmp_path, "--world", world, "--to", "2001-01-01T00:00:00Z", WEIR_KAFKA=kafka
    )
    assert (code, "look at --from and --to" in said) == (2, True)


def test_in_the_live_world_the_range_ends_when_the_test_begins() -> None:
    """Decisions go on while the topics are read, and the closed loop reads them again."""
    wish = Wish(book=read_book(STARTER_BOOK), from_ms=1_000, to_ms=9_000)
    assert until_now(wish, "live", 5_000).to_ms == 5_000
    assert until_now(wish, "live", 9_001) == wish
    assert until_now(wish, "live", 999) == wish  # nothing was decided yet, and that is said
    assert until_now(wish, "made-up", 5_000) == wish


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--dataset", "nowhere"), "there is no training set at nowhere"),
        (("--dataset", "x", "--archive"), "--dataset stands alone"),
        (("--archive", "--from", "2026-02-01T00:00:00Z", "--to", "2026-01-01T00:00:00Z"), "before"),
        (("--archive", "--from", "yesterday"), "--from and --to"),
        (("--archive", "--policy", "nowhere.json"), "--policy nowhere.json: cannot be read"),
        (("--archive", "--against", "nowhere.yaml"), "nowhere.yaml"),
        (("--archive",), "nothing that can be judged was decided"),
    ],
)
def test_bad_input_is_named(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    code, said, raw = weir(tmp_path, *arguments)
    assert (code, raw) == (2, None), said
    assert says in said


def test_a_policy_that_is_none_and_a_book_that_is_wrong(tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text('{"review_at": "high"}')
    code, said, _ = weir(tmp_path, "--archive", "--policy", str(policy))
    assert (code, "review_at" in said) == (2, True)
    (tmp_path / "book.yaml").write_text(BOOK.replace("amount >", "amuont >"), encoding="utf-8")
    code, said, _ = weir(tmp_path, WEIR_KAFKA="127.0.0.1:9")
    assert code == 2  # before anything is read
    assert "did you mean amount?" in said


def test_on_a_data_set(tmp_path: Path) -> None:
    folder = str(tmp_path / "set")
    subprocess.run(
        [*WEIR[:3], "dataset", "--dataset", "simulated", "--accounts", "30", "--days", "2",
         "--label-delay-days", "0", "--out", folder],
        env={**os.environ, "WEIR_HOME": str(tmp_path)}, check=True, capture_output=True,
        timeout=200,
    )  # fmt: skip
    against = ("--against", str(STARTER_BOOK))
    code, said, raw = weir(tmp_path, "--dataset", folder, *against, "--model", "none")
    assert code == 4, said  # windows cannot be made from a data set
    report = decode_report(raw)
    assert report.digests.model == "none"
    assert "many_declines" in report.untested
    assert "NOT TESTED many_declines" in said
    assert report.hits["large"] >= 0
    assert report.source.kind == "dataset"
    code, said, _ = weir(tmp_path, "--dataset", folder, *against)
    assert (code, "--model none" in said) == (2, True)
    code, said, _ = weir(tmp_path, "--dataset", folder, "--model", "none")
    assert (code, "--against BOOK.yaml" in said) == (2, True)
