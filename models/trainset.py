"""A training set on disk: rows of Parquet, and a manifest that says what may be believed of it.

``FOLDER/rows.parquet`` has a row for each payment, ``FOLDER/manifest.json`` is ``Manifest``. A
folder is there whole or not at all, and the same input gives the same bytes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.catalogue import FEATURE_NAMES, catalogue_digest
from models.dataset import Samples
from risk.domain.errors import BadConfiguration
from risk.domain.times import parse_rfc3339, to_ms

VERSION: Final = 1
ROWS_FILE: Final = "rows.parquet"
MANIFEST_FILE: Final = "manifest.json"
MOMENT: Final = pa.timestamp("ms", tz="UTC")
WORDS: Final = pa.list_(pa.struct([("known_at", MOMENT), ("fraud", pa.bool_())]))
# ``scenario`` is the truth of a made-up world: nobody knows it at the time, so never a feature.
BEFORE: Final = (
    ("payment_id", pa.string()), ("tenant", pa.string()), ("type", pa.string()),
    ("account", pa.string()), ("occurred_at", MOMENT), ("arrived_at", MOMENT),
    ("amount_base_minor", pa.int64()), ("currency", pa.string()), ("channel", pa.string()),
    ("country", pa.string()), ("mcc", pa.string()), ("scenario", pa.string()),
)  # fmt: skip
AFTER: Final = (
    ("label", pa.bool_()), ("label_known_at", MOMENT), ("label_words", WORDS),
    ("served_score", pa.float64()), ("served_outcome", pa.string()),
    ("served_propensity", pa.float64()),
)  # fmt: skip


class Maturity(msgspec.Struct, frozen=True, kw_only=True):
    """The payments of one UTC day: ``mature`` ones had the whole label delay to be found out.

    ``age_days`` is how old the day's end is when labels are looked at.
    """

    day: str
    age_days: float
    payments: int
    mature: int
    share: float
    labelled: int
    frauds: int


class RowsFile(msgspec.Struct, frozen=True, kw_only=True):
    """The file of rows, and what its bytes must be."""

    name: str
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file ``manifest.json``.

    Labels count that were known at ``labels_as_of``, which is ``to`` and the label delay;
    the source tells of labels up to ``labels_until``. ``left_out`` counts, by cause, decided
    payments whose vector could not be proven. ``certificate`` is that of parity (null where
    nothing was served: then the vectors are those that serving would have computed).
    """

    version: int = VERSION
    source: dict[str, Any]
    from_: str = msgspec.field(name="from")
    to: str
    label_delay_days: float
    labels_as_of: str
    labels_until: str
    catalogue: str
    features: tuple[str, ...]
    rates: str
    rows: int
    labelled: int
    frauds: int
    left_out: dict[str, int]
    maturity: list[Maturity]
    scenarios: dict[str, int]
    certificate: dict[str, Any] | None
    libraries: dict[str, str]
    file: RowsFile


def schema() -> Any:
    """The Arrow schema of the rows: what is told of a payment, its vector, its label."""
    fields = [pa.field(name, kind) for name, kind in BEFORE]
    fields += [pa.field(name, pa.float64(), nullable=False) for name in FEATURE_NAMES]
    fields += [pa.field(name, kind) for name, kind in AFTER]
    return pa.schema(fields)


@dataclass(frozen=True, slots=True)
class Trainset:
    """A set that was checked; made by ``open_trainset``."""

    folder: Path
    manifest: Manifest

    @property
    def path(self) -> Path:
        """The rows."""
        return self.folder / ROWS_FILE

    def table(self, columns: list[str] | None = None) -> Any:
        """Rows in their order as an Arrow table, only ``columns`` where they are named."""
        return pq.read_table(self.path, columns=columns)

    def columns(self) -> list[str]:
        """The names of the columns that its file has."""
        names: list[str] = pq.read_schema(self.path).names
        return names

    def matrix(self) -> NDArray[np.float64]:
        """Vectors (n, F) in catalogue order, NaN where missing; read group by group."""
        out = np.empty((self.manifest.rows, len(FEATURE_NAMES)), np.float64)
        done = 0
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(columns=list(FEATURE_NAMES)):
                for place, column in enumerate(batch.columns):
                    out[done : done + len(batch), place] = column.to_numpy(zero_copy_only=False)
                done += len(batch)
        return out

    def samples(self) -> Samples:
        """The set as ``models.dataset`` has it, so ``split_by_time`` and the rest apply."""
        told = self.table(["occurred_at", "amount_base_minor", "label_words"])
        amount = told["amount_base_minor"].fill_null(-1).to_numpy()
        words = told["label_words"].to_pylist()
        return Samples(
            matrix=self.matrix(),
            time_ms=told["occurred_at"].cast(pa.int64()).to_numpy(),
            amount_base=amount,
            labels={
                row: tuple((to_ms(word["known_at"]), word["fraud"]) for word in said)
                for row, said in enumerate(words)
                if said
            },
        )

    @property
    def labels_as_of_ms(self) -> int:
        """When the labels were looked at, or when the source ended if that was before."""
        manifest = self.manifest
        return min(parse_rfc3339(manifest.labels_as_of), parse_rfc3339(manifest.labels_until))


def open_trainset(folder: Path, *, any_catalogue: bool = False) -> Trainset:
    """The set at ``folder``, its bytes checked against the manifest.

    Raises BadConfiguration where there is none, it was changed, or its vectors are those of
    another feature catalogue (``any_catalogue`` allows that, for who reads columns by name).
    """
    manifest = read_manifest(folder)
    path = folder / manifest.file.name
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadConfiguration(f"{path} cannot be read: {error.strerror}") from None
    if found != manifest.file.sha256:
        raise BadConfiguration(f"{path} was changed after it was written; make the set again")
    mine = catalogue_digest()
    if not any_catalogue and (manifest.catalogue, manifest.features) != (mine, FEATURE_NAMES):
        raise BadConfiguration(
            f"training set {folder} has vectors of feature catalogue {manifest.catalogue[:12]},"
            f" this code computes {mine[:12]}; make the set again with `weir dataset`"
        )
    return Trainset(folder, manifest)


def read_manifest(folder: Path) -> Manifest:
    """The manifest at ``folder``; raises BadConfiguration."""
    path = folder / MANIFEST_FILE
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (FileNotFoundError, NotADirectoryError):
        raise BadConfiguration(
            f"there is no training set at {folder}; make it with `weir dataset`"
        ) from None
    except msgspec.DecodeError as error:
        raise BadConfiguration(f"{path} is damaged: {error}") from None
    if manifest.version != VERSION or manifest.file.name != ROWS_FILE:
        raise BadConfiguration(f"training set {folder} has another format; make it again")
    return manifest
