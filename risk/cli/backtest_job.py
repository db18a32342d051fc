"""What `weir rules backtest` does: the candidate, the data, and the report."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from features.proof.history import History
    from risk.backtest.block import Block
    from risk.backtest.judging import Candidate
    from risk.backtest.report import Closed, Report, Signed, Source
    from risk.backtest.run import Backtest
    from risk.backtest.truth import Labels
    from risk.cli.backtest_meter import Meter
    from risk.judgement import Scoring
    from risk.policy import Policy
    from risk.rules.book import Book
    from risk.settings import Settings
    from streams.backtest_read import Gathered, Words
    from streams.backtest_windows import Windows

RULES_ALONE = "none"  # in place of a model's alias


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked for. Exactly one source: a data set's folder, the archive, or the topics.

    ``policy`` and ``against`` None: what the newest decision named, and the stored outcomes.
    ``model`` None: the stored scores; "none": no model at all, so rules judge alone.
    """

    book: Book
    from_ms: int
    to_ms: int
    label_delay_days: float = 10.0
    policy: Policy | None = None
    model: str | None = None
    against: Book | None = None
    capacity: float | None = None
    closed_loop: bool = False
    archive: bool = False
    dataset: Path | None = None


@dataclass(frozen=True, slots=True)
class _Data:
    kind: str
    name: str
    blocks: Iterable[Block]
    words: Words
    as_of_ms: int
    left_out: dict[str, int]
    policy: str
    history: Callable[[], Awaitable[History]] | None = None


def run(settings: Settings, wish: Wish, meter: Meter) -> Report:
    """Judge the stored decisions anew; the report.

    Raises BadBook, BadConfiguration, BadModel, BadVersion, Unavailable.
    """
    import msgspec

    from risk.backtest.run import Asked, Backtest, delay_ms
    from risk.backtest.truth import Labels
    from risk.domain.clock import SystemClock

    began = time.perf_counter()
    wish = until_now(wish, settings.world, SystemClock().now_ms())
    tried = _tried(settings, wish)
    with _data(settings, wish, meter) as data:
        policy = wish.policy or _policy(settings, data.policy)
        candidate = replace(tried, policy=policy)
        old = None if wish.against is None else replace(candidate, book=wish.against)
        asked = Asked(
            source=_source(data),
            digests=_signed(candidate),
            from_ms=wish.from_ms,
            to_ms=wish.to_ms,
            label_delay_days=wish.label_delay_days,
            baseline=_baseline(wish),
            capacity=wish.capacity,
        )
        labels = Labels(data.words, data.as_of_ms, delay_ms(wish.label_delay_days))
        test = Backtest(candidate, asked, labels, old)
        windows = _windows(settings, wish, data, test, meter)
        for block in data.blocks:
            test.add(block if windows is None else windows.into(block))
        closed = None
        if wish.closed_loop:
            closed = _closed(settings, wish, data, (candidate, labels), meter)
        report = test.report(data.left_out, closed)
    return msgspec.structs.replace(report, seconds=round(time.perf_counter() - began, 3))


def until_now(wish: Wish, world: str, now_ms: int) -> Wish:
    """In the live world the range ends now: decisions go on, and each reading must see the same."""
    from streams.topics import LIVE_WORLD

    if world != LIVE_WORLD or wish.dataset is not None or now_ms <= wish.from_ms:
        return wish
    return replace(wish, to_ms=min(wish.to_ms, now_ms))


def _windows(
    settings: Settings, wish: Wish, data: _Data, test: Backtest, meter: Meter
) -> Windows | None:
    """The windows that rules read and evidence lacks; None where there are none to be made."""
    from risk.cli.proofs import rates_of
    from streams.backtest_windows import lacking, rebuilt

    named = sorted({name for one in test.judge.vectors for name in one.names if "(" in name})
    if data.history is None or not named:
        return None
    names = lacking(data.blocks, named)
    if not names:
        return None
    history = asyncio.run(_opened(data.history))
    meter.expect(_records(history))
    times = (wish.from_ms, wish.to_ms)
    return asyncio.run(rebuilt(history, names, times, rates_of(settings), meter))


def _closed(
    settings: Settings, wish: Wish, data: _Data, of: tuple[Candidate, Labels], meter: Meter
) -> Closed:
    from risk.cli.proofs import rates_of
    from risk.domain.errors import BadConfiguration
    from streams.backtest_loop import closed_loop

    if data.history is None:
        raise BadConfiguration("--closed-loop needs history: the topics or the archive of a world")
    history = asyncio.run(_opened(data.history))
    times = (wish.from_ms, wish.to_ms)
    meter.expect(_records(history))
    return asyncio.run(closed_loop(history, of, times, rates_of(settings), meter))


def _records(history: History) -> int:
    return sum(span.end - span.first for span in history.extent.spans)


async def _opened(history: Callable[[], Awaitable[History]]) -> History:
    return await history()


def _baseline(wish: Wish) -> str:
    return "stored outcomes" if wish.against is None else f"book {wish.against.digest()}"


def _source(data: _Data) -> Source:
    from risk.backtest.report import Source

    return Source(kind=data.kind, name=data.name)


def _tried(settings: Settings, wish: Wish) -> Candidate:
    """What is tried, by the policy that ships; raises BadBook where it cannot be tested at all."""
    from risk.backtest.judging import Candidate
    from risk.cli.rules import parts
    from risk.domain.clock import SystemClock
    from risk.policy import Policy
    from risk.rules.book_check import check_book

    schema, tables = parts(settings)
    now_ms = SystemClock().now_ms()
    for book in (wish.book, wish.against):
        if book is not None:
            check_book(book, schema, tables, now_ms)
    return Candidate(wish.book, schema, tables, Policy(), _scoring(settings, wish.model))


def _policy(settings: Settings, digest: str) -> Policy:
    """The policy of this digest; "" is the one that ships."""
    from risk.domain.errors import BadVersion
    from risk.policy import Policy
    from risk.versions.serving import policy_in
    from risk.versions.store import VersionStore

    shipped = Policy()
    if digest in ("", shipped.digest()):
        return shipped
    found = VersionStore(settings.state / "versions").get("policy", digest)
    if found is None:
        raise BadVersion(
            f"policy {digest[:12]}, which the newest decision names, is not in"
            f" {settings.state}/versions; copy the folder, or name one with --policy FILE"
        )
    return policy_in(found)


def _scoring(settings: Settings, alias: str | None) -> Scoring | None:
    if alias is None:
        return None
    if alias == RULES_ALONE:
        from risk.backtest.judging import RulesAlone

        return RulesAlone()
    from risk.cli.train_job import model_of

    return model_of(settings, alias, "rules")


def _signed(candidate: Candidate) -> Signed:
    from features.catalogue import catalogue_digest
    from risk.backtest.report import Signed

    scoring = candidate.scoring
    return Signed(
        book=candidate.book.digest(),
        lists=candidate.lists.digest(),
        policy=candidate.policy.digest(),
        model=scoring.model_digest if scoring else "",
        calibration=scoring.calibration_digest if scoring else "",
        catalogue=catalogue_digest(),
        rates=candidate.tables.rates.digest(),
    )


@contextmanager
def _data(settings: Settings, wish: Wish, meter: Meter) -> Iterator[_Data]:
    if wish.dataset is not None:
        yield _of_dataset(wish.dataset)
    elif wish.archive:
        gathered = _archived(settings, wish, meter)
        yield _of_world(settings, "archive", gathered, lambda: _history(settings, wish))
    else:
        from risk.cli.proofs import parts_of

        folder = settings.state / "cache"
        folder.mkdir(parents=True, exist_ok=True)
        with (
            parts_of(settings, "rules") as ready,
            tempfile.TemporaryDirectory(prefix="backtest-", dir=folder) as scratch,
        ):
            gathered = asyncio.run(_topics(ready, wish, Path(scratch), meter))
            yield _of_world(settings, "topics", gathered, lambda: _history(ready, wish))


def _of_dataset(folder: Path) -> _Data:
    from streams.backtest_dataset import Dataset

    held = Dataset(folder)
    left_out = dict(held.manifest.left_out)
    blocks = [held.block()]
    return _Data("dataset", folder.name, blocks, held.words(), held.as_of_ms, left_out, "")


async def _history(settings: Settings, wish: Wish) -> History:
    from risk.cli.proofs import history_of

    return await history_of(settings, wish.from_ms, wish.to_ms, archive=wish.archive)


def _of_world(
    settings: Settings,
    kind: str,
    found: Gathered,
    history: Callable[[], Awaitable[History]],
) -> _Data:
    """In the live world labels count that are known by now, elsewhere by the last arrival."""
    from risk.domain.clock import SystemClock
    from streams.topics import LIVE_WORLD

    live = settings.world == LIVE_WORLD
    as_of_ms = SystemClock().now_ms() if live else found.until_ms
    return _Data(
        kind, settings.world, found, found.words, as_of_ms, found.left_out, found.newest[1],
        history,
    )  # fmt: skip


async def _topics(settings: Settings, wish: Wish, scratch: Path, meter: Meter) -> Gathered:
    from risk.cli.proofs import history_of, rates_of
    from streams.backtest_read import gather_topics

    history = await history_of(settings, wish.from_ms)
    times = (wish.from_ms, wish.to_ms)
    meter.expect(_records(history))
    return await gather_topics(history, times, rates_of(settings), scratch, meter)


def _archived(settings: Settings, wish: Wish, meter: Meter) -> Gathered:
    from risk.cli.proofs import rates_of
    from streams.archive_store import archive_folder
    from streams.backtest_read import gather_archive

    root = archive_folder(settings.state, settings.world)
    cache = settings.state / "cache" / "backtest"
    times = (wish.from_ms, wish.to_ms)
    return gather_archive(root, times, rates_of(settings), cache, meter)
