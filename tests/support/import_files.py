"""Small files and mappings for the tests of the importer."""

from __future__ import annotations

from pathlib import Path

from streams.importer.dataset import Manifest, read_manifest
from streams.importer.mapping import Mapping, load_mapping
from streams.importer.merge import ordered

MAPPING = """
version = 1
kind = "payments"
negative_amounts = "refund"
[fields.id]
column = "id"
prefix = "p-"
[fields.occurred_at]
column = "at"
format = "epoch_ms"
[fields.account]
column = "who"
prefix = "u-"
[fields.amount_minor]
column = "sum"
unit = "major"
[fields.currency]
constant = "EUR"
[outcomes]
column = "why"
[labels]
column = "fraud"
fraud = ["1"]
known_after = "3d"
"""
HEADER = "id,at,who,sum,why,fraud\n"
START_MS = 1_768_478_400_000


def write_mapping(folder: Path, text: str = MAPPING) -> Path:
    path = folder / "mapping.toml"
    path.write_text(text)
    return path


def make_mapping(folder: Path, text: str = MAPPING) -> Mapping:
    return load_mapping(write_mapping(folder, text))


def line(number: int, at_ms: int | None = None, amount: str = "1.50") -> str:
    moment = START_MS + number * 1000 if at_ms is None else at_ms
    why = "Bad PIN" if number % 7 == 0 and not amount.startswith("-") else ""
    fraud = int(number % 11 == 0)
    return f"{number},{moment},{number % 5},{amount},{why},{fraud}\n"


def write_rows(path: Path, count: int) -> Path:
    """``count`` rows in an order far from time, every 50th bad, every 40th a duplicate."""
    lines = []
    for place in range(count):
        number = place * 7919 % count
        amount = "bad" if number % 50 == 3 else "-2.00" if number % 30 == 5 else "1.50"
        lines.append(line(number, amount=amount))
        if number % 40 == 9:
            lines.append(lines[-1])
    path.write_text(HEADER + "".join(lines))
    return path


def bodies(folder: Path, open_max: int = 64) -> list[bytes]:
    """What would be sent, in order."""
    return [timed.body for timed in ordered(folder, manifest(folder), open_max)]


def manifest(folder: Path) -> Manifest:
    return read_manifest(folder)
