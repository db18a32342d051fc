"""What `weir run` shows, on a terminal and in a log."""

from __future__ import annotations

import io

from rich.console import Console

from risk.cli.run_proof import ArchiveCounts, ParityCounts, Proof
from risk.cli.run_view import RunView
from risk.domain.outcome import Outcome
from streams.watch import Stopped, Tally

ADDRESSES = [("API", "http://127.0.0.1:1"), ("MLflow", "http://127.0.0.1:2")]

PROOF = Proof(
    ParityCounts(checked=1_100, equal=1_098, unprovable={"HOLE": 2}), ArchiveCounts(rows=900), []
)


def a_tally() -> Tally:
    tally = Tally(sent=1_200, decisions=1_100, dead_letters=2)
    tally.outcomes.update({"allow": 1_090, "review": 7, "block": 3})
    for milliseconds in (3.0, 4.0, 5.0):
        tally.latency.add(milliseconds)
    tally.stopped.append(Stopped("pay_1", Outcome.BLOCK, 0.91, ("MODEL_BLOCK",)))
    tally.stopped.append(Stopped("pay_2", Outcome.REVIEW, None, ("NO_MODEL", "VELOCITY")))
    return tally


def shown(tallies: list[Tally], *, terminal: bool, proof: Proof = PROOF) -> list[str]:
    console = Console(file=io.StringIO(), record=True, width=160, force_terminal=terminal)
    with RunView(console, ADDRESSES) as view:
        for second, tally in enumerate(tallies, start=1):
            view.show(tally, float(second), 550.0, proof)
    return console.export_text().splitlines()


def test_a_log_has_the_addresses_once_and_a_line_for_each_interval() -> None:
    lines = shown([Tally(), a_tally(), a_tally()], terminal=False)
    assert lines[:2] == ["API: http://127.0.0.1:1", "MLflow: http://127.0.0.1:2"]
    counts = [line for line in lines if "payments" in line]
    assert len(counts) == 3
    assert "p50 - p99 - p99.9 -" in counts[0]
    assert "payments 1,200  decisions 1,100  550/s" in counts[1]
    assert "allow 1,090 review 7 block 3  dead letters 2" in counts[1]
    assert "p50 4.0" in counts[1]


def test_a_log_names_each_stopped_payment_once() -> None:
    lines = shown([a_tally(), a_tally()], terminal=False)
    assert [line for line in lines if "pay_" in line] == [
        "  block pay_1 score 0.910: MODEL_BLOCK",
        "  review pay_2 score -: NO_MODEL VELOCITY",
    ]


def test_a_terminal_has_one_page() -> None:
    text = "\n".join(shown([a_tally()], terminal=True))
    for part in ("API: http://127.0.0.1:1", "payments 1,200", "Last stopped payments", "Ctrl-C"):
        assert part in text
    assert text.index("pay_2") < text.index("pay_1"), "the newest stands first"
    assert "NO_MODEL VELOCITY" in text


def test_the_proof_is_shown_and_what_is_wrong_with_it() -> None:
    wrong = Proof(
        ParityCounts(checked=9, equal=8, unequal=1), ArchiveCounts(), ["parity: 1 differs"]
    )
    for terminal in (False, True):
        text = "\n".join(shown([a_tally()], terminal=terminal))
        assert "proven 1,098 of 1,100, unequal 0, unprovable 2; archived 900 rows" in text
        assert "differs" not in text
        assert "parity: 1 differs" in "\n".join(shown([a_tally()], terminal=terminal, proof=wrong))
