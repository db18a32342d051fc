"""Progress: a bar on a terminal, each stage once elsewhere."""

from __future__ import annotations

import io

from rich.console import Console

from risk.cli.progress import stages


def test_elsewhere_each_stage_is_one_line() -> None:
    console = Console(file=io.StringIO(), record=True, width=80)
    with stages(console) as say:
        for stage, share in (("Reading [1]", 0.0), ("Reading [1]", 0.3), ("Training", 0.6)):
            say(stage, share)
    assert console.export_text().splitlines() == ["Reading [1]", "Training"]


def test_on_a_terminal_the_bar_says_the_stage() -> None:
    console = Console(file=io.StringIO(), record=True, width=80, force_terminal=True)
    with stages(console) as say:
        say("Reading", 0.1)
        say("Training", 1.0)
    text = console.export_text()
    assert "Training" in text
    assert "━" in text


def test_nothing_is_shown_until_there_is_something() -> None:
    for terminal in (False, True):
        console = Console(file=io.StringIO(), record=True, force_terminal=terminal)
        with stages(console):
            pass
        assert console.export_text().strip() == ""
