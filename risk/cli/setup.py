"""``weir setup``: fetch what Kafka needs, compile the feature kernel. Repeating it is harmless."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from risk.local.jars import Jar


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="setup")(setup)


def setup(
    report: Annotated[
        Path | None,
        typer.Option(help="Write JSON: jars, jars_fetched, kernel_s, seconds."),
    ] = None,
    relock: Annotated[
        bool, typer.Option(help="Resolve Kafka anew and rewrite kafka.lock (for maintainers).")
    ] = False,
) -> None:
    """Make this machine ready; afterwards nothing is asked of the network."""
    import msgspec

    from risk.domain.clock import SystemClock
    from risk.local import jars
    from risk.local.parts import jar_cache
    from risk.settings import Settings

    clock, cache = SystemClock(), jar_cache(Settings().state)
    began_s = clock.monotonic_s()
    if relock:
        _relock()
    locked = jars.read_lock()
    fetched = _fetch(cache, locked)
    typer.echo(f"Kafka: {len(locked)} jars, {fetched} fetched now, sums right.")
    kernel_began_s = clock.monotonic_s()
    _compile()
    kernel_s = round(clock.monotonic_s() - kernel_began_s, 1)
    typer.echo(f"Feature kernel: compiled ({kernel_s} s).")
    seconds = round(clock.monotonic_s() - began_s, 1)
    numbers = {"jars": len(locked), "jars_fetched": fetched, "kernel_s": kernel_s}
    if report:
        report.write_bytes(msgspec.json.encode(numbers | {"seconds": seconds}))


def _fetch(cache: Path, locked: tuple[Jar, ...]) -> int:
    from rich.progress import Progress

    from risk.local import jars

    absent = jars.missing(cache, locked)
    present = [jar for jar in locked if jar not in absent]
    needed = [*absent, *jars.altered(cache, present)]
    if needed:
        with Progress(transient=True) as progress:
            task = progress.add_task("Fetching Kafka", total=len(needed))
            jars.fetch(cache, needed, lambda _jar: progress.advance(task))
    return len(needed)


def _compile() -> None:
    from features.proof import rebuilder
    from streams import partitioner

    rebuilder.warm()
    partitioner.warm()


def _relock() -> None:
    import tempfile

    from risk.local import jars

    with tempfile.TemporaryDirectory() as folder:
        jars.LOCK.write_text(jars.lock_text(Path(folder)))
    typer.echo(f"{jars.LOCK.name} is written; read the difference before you commit it.")
