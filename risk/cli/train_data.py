"""Where training, evaluation and scores get their rows: a training set, made or there already."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.rows import Rows
    from risk.settings import Settings

DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which payments: of a data set (a name, a file, or the folder of a training set), or world."""

    dataset: str | None
    world: str | None
    archive: bool
    begin: str | None
    end: str | None
    label_delay_days: float
    seed: int = 1
    days: float | None = None
    accounts: int | None = None

    def check(self) -> None:
        """Raise BadConfiguration where it names nothing, or two things."""
        from risk.domain.errors import BadConfiguration

        if (self.dataset is None) == (self.world is None):
            raise BadConfiguration("name either --dataset or --world")
        if self.archive and self.world is None:
            raise BadConfiguration("--archive goes with --world")


def rows_wanted(settings: Settings, wanted: Wanted) -> Rows:
    """The rows, from a training set that is made in the state folder where it is not there.

    Raises BadConfiguration where there is nothing, or vectors of another catalogue.
    """
    from models.rows import rows_of
    from models.trainset import MANIFEST_FILE, open_trainset

    wanted.check()
    if wanted.dataset is not None and (Path(wanted.dataset) / MANIFEST_FILE).is_file():
        return _within(rows_of(open_trainset(Path(wanted.dataset))), wanted)
    folder = _folder(settings, wanted)
    # What a world served grows while we look, so its set is made anew each time.
    if wanted.world is not None or not folder.exists():
        _make(settings, wanted, folder)
    return rows_of(open_trainset(folder))


def _within(rows: Rows, wanted: Wanted) -> Rows:
    """The rows of a ready set that lie in the range."""
    from models.rows import part_of
    from risk.cli.proofs import range_ms

    return part_of(rows, *range_ms(wanted.begin, wanted.end))


def _folder(settings: Settings, wanted: Wanted) -> Path:
    """A place for the set, named after everything that decides its bytes."""
    from features.catalogue import catalogue_digest
    from risk.cli.dataset_sources import MadeUp, source_of
    from risk.tables.load import exchange_rates

    rates = exchange_rates(settings.rates, settings.base_currency).digest()
    told: object = wanted.world
    if wanted.dataset is not None:
        sizes = made_up(wanted)
        assert isinstance(sizes, MadeUp)
        told = dict(source_of(settings.state, wanted.dataset, sizes).told)
    key = [told, wanted.begin, wanted.end, wanted.label_delay_days, catalogue_digest(), rates]
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:20]
    return settings.state / "cache" / "trainsets" / name


def made_up(wanted: Wanted) -> object:
    """The sizes of `simulated` and `handbook`; nothing for other data sets."""
    from risk.cli.dataset_sources import HANDBOOK, SIMULATED, MadeUp

    if wanted.dataset not in (HANDBOOK, SIMULATED):
        return MadeUp()
    return MadeUp(seed=wanted.seed, days=wanted.days, accounts=wanted.accounts)


def _make(settings: Settings, wanted: Wanted, folder: Path) -> None:
    import shutil

    from models.trainset_events import Asked
    from risk.cli.dataset import of_dataset, of_world
    from risk.cli.proofs import range_ms

    from_ms, to_ms = range_ms(wanted.begin, wanted.end)
    asked = Asked(
        None if wanted.begin is None else from_ms,
        None if wanted.end is None else to_ms,
        round(wanted.label_delay_days * DAY_MS),
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    if wanted.world is None:
        assert wanted.dataset is not None
        of_dataset(wanted.dataset, asked, folder, made_up(wanted))
        return
    if folder.exists():
        shutil.rmtree(folder)
    of_world(wanted.world, asked, folder, archive=wanted.archive)
