"""`weir bench stream`: the whole way of a payment, against what does less of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from benchmarks.common import Series, interleaved, machine, run, say, show, write_report
from benchmarks.common_parts import Parts, model, parts
from benchmarks.stream_contest import Contest, Found
from benchmarks.stream_scene import Scenes, Size, send_all

CONTESTANTS: Final = ("noop", "send", "quix", "usual", "weir")
QUICK: Final = Size(payments=20_000, accounts=1_000)


def stream(
    report: Annotated[Path | None, typer.Option(help="Write the result as JSON.")] = None,
    seconds: Annotated[float, typer.Option(help="How long each is measured, at most.")] = 10.0,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    payments: Annotated[int, typer.Option(min=1_000, help="In the topic, a round.")] = 100_000,
    only: Annotated[str, typer.Option(help="Contestants, with commas.")] = ",".join(CONTESTANTS),
    quick: Annotated[bool, typer.Option("--quick", help="A look, no measurement.")] = False,
) -> None:
    """Payments from Kafka to decisions, against vanilla Faust and Quix Streams."""
    import asyncio

    names = tuple(only.split(","))
    before = machine()
    size = QUICK if quick else Size(payments)
    found: dict[str, list[Found]] = {name: [] for name in names}
    with parts() as running:
        bundle = model(quick=quick)
        text = running.settings.state / "model.txt"
        text.write_bytes(bundle.files["model.txt"])
        scenes = Scenes(running, bundle, size)
        contest = Contest(running, seconds, text, None)
        scene, at = scenes.make('bench-x', 99), -1
        for number, name in interleaved(names, rounds):
            if number != at:
                scene, at = scenes.make(f"bench-{number}", number), number
                asyncio.run(send_all(scene))
            one = contest.run(name, scene)
            found[name].append(one)
            say(
                f"round {number + 1}: {name} {one.steady.per_s:,.0f}/s, {one.cpu_us} us {one.answers} {one.stages_us} redis {one.steady.us('redis')} kafka {one.steady.us('kafka')} window {one.steady.seconds:.1f} s"
            )


if __name__ == "__main__":
    run(stream)
