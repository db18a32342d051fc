"""Where `weir dataset --dataset NAME` finds its history: imported, a file, or made up."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Protocol, cast

import msgspec
import zstandard

from models.trainset_events import Source, TruthLike
from risk.domain.errors import BadConfiguration
from risk.domain.event import AnyEvent
from risk.domain.times import parse_rfc3339, rfc3339
from risk.simulator.export import SUFFIXES, truth_file
from risk.simulator.parquet import FIELDS

HANDBOOK: Final = "handbook"
SIMULATED: Final = "simulated"
_DECODER: Final[msgspec.json.Decoder[AnyEvent]] = msgspec.json.Decoder(AnyEvent)
_ROWS: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeUp:
    """Sizes of a world that is made up on the spot; None is that world's default."""

    seed: int = 1
    days: float | None = None
    accounts: int | None = None
    start: str | None = None

    @property
    def named(self) -> bool:
        """Whether anything was asked for."""
        return self != MadeUp()


def source_of(state: Path, name: str, sizes: MadeUp) -> Source:
    """The history that ``name`` means. Raises BadConfiguration."""
    if name == HANDBOOK:
        return _handbook(sizes)
    if name == SIMULATED:
        return _simulated(sizes)
    if sizes.named:
        raise BadConfiguration(
            f"--seed, --days, --accounts and --start make up `--dataset {HANDBOOK}` and"
            f" `--dataset {SIMULATED}`; {name} is there already"
        )
    if any(name.endswith(suffix) for suffix in SUFFIXES):
        return _file(Path(name))
    return _imported(state, name)


class _Truth(Protocol):
    """What a made-up world knows of its frauds."""

    def scenario(self, payment_id: str) -> str | None: ...


def _imported(state: Path, name: str) -> Source:
    from streams.importer.dataset import dataset_folder, read_manifest
    from streams.importer.merge import ordered

    folder = dataset_folder(state, name)
    manifest = read_manifest(folder)

    def events() -> Iterator[TruthLike]:
        for timed in ordered(folder, manifest):
            yield TruthLike(timed.event, None)

    return Source({"kind": "data set", "name": name, "digest": manifest.digest}, events)


def _handbook(sizes: MadeUp) -> Source:
    from risk.simulator.handbook import CUSTOMERS, DAYS, START_MS, HandbookWorld

    start_ms = START_MS if sizes.start is None else _start_ms(sizes.start)
    days = DAYS if sizes.days is None else sizes.days
    if days != int(days) or days < 1:
        raise BadConfiguration(f"--days {days:g}: the handbook world has whole days, 1 or more")
    customers = CUSTOMERS if sizes.accounts is None else sizes.accounts
    try:
        world = HandbookWorld(sizes.seed, start_ms, int(days), customers)
        truth = world.truth
    except ValueError as error:
        raise BadConfiguration(str(error)) from None
    told = _told(HANDBOOK, sizes.seed, (days, customers), start_ms)
    return Source(told, lambda: _with_truth(world.events(), lambda: truth))


def _simulated(sizes: MadeUp) -> Source:
    from risk.cli.simulate_job import ACCOUNTS, DAYS, START
    from risk.simulator.world import World

    start_ms = _start_ms(sizes.start or START)
    days = DAYS if sizes.days is None else sizes.days
    accounts = ACCOUNTS if sizes.accounts is None else sizes.accounts
    if days <= 0:
        raise BadConfiguration(f"--days {days:g}: take more than 0")
    try:
        world = World(sizes.seed, accounts, start_ms)
    except ValueError as error:
        raise BadConfiguration(str(error)) from None
    told = _told(SIMULATED, sizes.seed, (days, accounts), start_ms)
    return Source(told, lambda: _with_truth(world.events(days), lambda: world.truth))


def _told(kind: str, seed: int, sizes: tuple[float, int], start_ms: int) -> dict[str, Any]:
    return {
        "kind": kind,
        "seed": seed,
        "days": float(sizes[0]),
        "accounts": sizes[1],
        "start": rfc3339(start_ms),
    }


def _start_ms(text: str) -> int:
    try:
        return parse_rfc3339(text)
    except ValueError as error:
        raise BadConfiguration(f"--start {text!r}: {error}") from None


def _with_truth(events: Iterable[AnyEvent], truth: Callable[[], _Truth]) -> Iterator[TruthLike]:
    for event in events:
        yield TruthLike(event, truth().scenario(event.id))


def _file(path: Path) -> Source:
    """What `weir simulate --out` wrote."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadConfiguration(f"--dataset {path}: {error.strerror}") from None
    told = {"kind": "file", "name": path.name, "digest": found}
    if path.name.endswith(".parquet"):
        return Source(told, lambda: _parquet(path))
    return Source(told, lambda: _lines(path))


def _lines(path: Path) -> Iterator[TruthLike]:
    scenarios = _scenarios(path)
    with path.open("rb") as raw, _plain(raw, path.suffix) as lines:
        for number, line in enumerate(lines, 1):
            try:
                event = _DECODER.decode(line)
            except msgspec.DecodeError as error:
                raise BadConfiguration(f"{path} line {number} is not an event: {error}") from None
            yield TruthLike(event, scenarios.get(event.id))


def _plain(raw: IO[bytes], suffix: str) -> IO[bytes]:
    if suffix == ".zst":
        import io

        reader = zstandard.ZstdDecompressor().stream_reader(raw)
        return io.BufferedReader(cast("io.RawIOBase", reader), 1 << 16)
    if suffix == ".gz":
        return cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
    return raw


def _scenarios(path: Path) -> dict[str, str]:
    """The truth beside a file of lines; nothing where that is not there."""
    beside = truth_file(path)
    if beside is None or not beside.is_file():
        return {}
    try:
        lines = [msgspec.json.decode(line) for line in beside.read_bytes().splitlines()]
        return {line["payment_id"]: line["scenario"] for line in lines}
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise BadConfiguration(f"{beside} is not the truth of a simulated file: {error}") from None


def _parquet(path: Path) -> Iterator[TruthLike]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = ["type", *(name for name, _ in FIELDS)]
            for batch in file.iter_batches(_ROWS, columns=[*names, "scenario"]):
                for row in batch.to_pylist():
                    scenario = row.pop("scenario")
                    held = {name: value for name, value in row.items() if value is not None}
                    yield TruthLike(msgspec.convert(held, AnyEvent), scenario)
    except (pa.ArrowInvalid, KeyError, msgspec.ValidationError) as error:
        raise BadConfiguration(f"{path} is not what `weir simulate` writes: {error}") from None
