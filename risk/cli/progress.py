"""Progress of long work: a bar on a terminal, a line per stage elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def stages(console: Console) -> Iterator[Callable[[str, float], None]]:
    """A function that takes a sentence and the share done (0 to 1) of the whole work.

    Nothing is shown until it is called.
    """
    if not console.is_terminal:
        said: set[str] = set()

        def say(stage: str, _share: float) -> None:
            if stage not in said:
                said.add(stage)
                console.print(stage, highlight=False, markup=False)

        yield say
        return
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console
    )
    task = bar.add_task("", total=1.0, visible=False)

    def draw(stage: str, share: float) -> None:
        bar.update(task, description=stage, completed=share, visible=True)

    with bar:
        yield draw
