"""What `weir run` shows while payments flow: a live page on a terminal, else a line a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from risk.cli.run_proof import Proof
    from streams.watch import Stopped, Tally

_COLOURS = {"allow": "green", "review": "yellow", "block": "red"}


class RunView:
    """Shows a Tally. ``addresses`` are (name, address) pairs to open."""

    def __init__(self, console: Console, addresses: list[tuple[str, str]]) -> None:
        self._console = console
        self._addresses = addresses
        self._shown: set[str] = set()
        self._live = Live(console=console, refresh_per_second=4) if console.is_terminal else None

    def __enter__(self) -> RunView:
        if self._live is not None:
            self._live.__enter__()
        else:
            for name, address in self._addresses:
                self._console.print(f"{name}: {address}")
        return self

    def __exit__(self, *problem: object) -> None:
        if self._live is not None:
            self._live.__exit__(None, None, None)

    def show(self, tally: Tally, elapsed_s: float, per_s: float, proof: Proof) -> None:
        """The present counts. ``per_s`` is decisions a second of the last interval."""
        if self._live is not None:
            self._live.update(self._page(tally, elapsed_s, per_s, proof))
            return
        line = f"{_line(tally, elapsed_s, per_s)}  {_proven(proof)}"
        self._console.print(line, highlight=False, soft_wrap=True)
        for problem in proof.problems:
            self._console.print(
                problem, style="bold red", highlight=False, soft_wrap=True, markup=False
            )
        for one in tally.stopped:
            if one.payment_id not in self._shown:
                self._shown.add(one.payment_id)
                self._console.print("  " + _stopped_line(one), highlight=False, soft_wrap=True)

    def _page(self, tally: Tally, elapsed_s: float, per_s: float, proof: Proof) -> Group:
        head = Text(_line(tally, elapsed_s, per_s), style="bold")
        proven = Text("\n".join([_proven(proof), *proof.problems]))
        proven.stylize("bold red" if proof.problems else "green")
        table = Table(title="Last stopped payments", title_justify="left", expand=True)
        for column in ("payment", "outcome", "score", "reasons"):
            table.add_column(column)
        for one in reversed(tally.stopped):
            table.add_row(
                one.payment_id,
                Text(one.outcome.value, style=_COLOURS[one.outcome.value]),
                _score(one),
                " ".join(one.reasons),
            )
        places = Text("\n".join(f"{name}: {address}" for name, address in self._addresses))
        return Group(
            places, head, proven, table, Text("Ctrl-C stops everything; state stays.", "dim")
        )


def _line(tally: Tally, elapsed_s: float, per_s: float) -> str:
    latency = tally.latency.summary()
    outcomes = " ".join(f"{name} {tally.outcomes[name]:,}" for name in _COLOURS)
    return (
        f"{elapsed_s:6.0f} s  payments {tally.sent:,}  decisions {tally.decisions:,}"
        f"  {per_s:,.0f}/s  {outcomes}  dead letters {tally.dead_letters}"
        f"  latency ms p50 {_ms(latency['p50'])} p99 {_ms(latency['p99'])}"
        f" p99.9 {_ms(latency['p999'])}"
    )


def _proven(proof: Proof) -> str:
    parity, archive = proof.parity, proof.archive
    judged = ""
    if parity.judgements is not None:
        judged = f"; judged again {parity.judgements.equal:,} of {parity.judgements.checked:,}"
    return (
        f"proven {parity.equal:,} of {parity.checked:,}, unequal {parity.unequal},"
        f" unprovable {sum(parity.unprovable.values())}{judged}; archived {archive.rows:,} rows"
    )


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"


def _score(one: Stopped) -> str:
    return "-" if one.score is None else f"{one.score:.3f}"


def _stopped_line(one: Stopped) -> str:
    return f"{one.outcome.value} {one.payment_id} score {_score(one)}: {' '.join(one.reasons)}"
