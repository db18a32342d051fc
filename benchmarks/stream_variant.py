"""A worker with another book or other partitions than those that ship, for the sweep.

Weir fixes both: eight partitions are part of the contract, and the book is the one that
ships. So the sweep starts ``python -m benchmarks.stream_variant worker``, which changes these
two and is `weir worker` otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import msgspec

RULES: Final = "WEIR_BENCH_RULES"
PARTITIONS: Final = "WEIR_BENCH_PARTITIONS"


def book_of(book: Any, rules: int) -> Any:
    """``book`` with its rules repeated, each under an id of its own, until there are ``rules``."""
    held = book.rules
    chosen = [
        msgspec.structs.replace(held[place % len(held)], id=f"rule_{place:04d}")
        for place in range(rules)
    ]
    return msgspec.structs.replace(book, rules=type(held)(chosen))


@contextmanager
def partitions(count: int) -> Iterator[None]:
    """While open, events, labels, decisions and ledger have ``count`` partitions each."""
    from streams.topics import Topic, Topics

    def all_of(topics: Any) -> tuple[Topic, ...]:
        return tuple(
            Topic(one.name, count if one.partitions == 8 else one.partitions, one.compacted)
            for one in shipped(topics)
        )

    shipped = Topics.all
    changed: Any = Topics
    changed.all = all_of
    try:
        yield
    finally:
        changed.all = shipped


def main() -> None:
    """`weir` with the changes that the environment names."""
    from risk.cli.__main__ import main as weir

    bootstrap: Any = import_module("risk.bootstrap")
    read_book = bootstrap.read_book

    def read(path: Path) -> Any:
        return book_of(read_book(path), int(os.environ[RULES]))

    if RULES in os.environ:
        bootstrap.read_book = read
    with partitions(int(os.environ.get(PARTITIONS, "8"))):
        weir()


if __name__ == "__main__":
    main()
