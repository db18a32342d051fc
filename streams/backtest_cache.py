"""Blocks of columns on disk, so that the JSON of an archived decision is read once.

A folder is there whole or not at all. Its name says what it was made from; nothing else needs
to be compared. Columns are memory-mapped: only what rules read is paged in.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from risk.backtest.block import Block, Ids
from risk.backtest.builder import TEXT_NAMES, BlockBuilder
from risk.backtest.columns import Text

FORMAT: Final = 1
_META: Final = "meta.json"
_ROWS: Final = ("keys", "decided_ms", "outcome", "score", "has_features", "features")
_TENANT: Final = "tenant"


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder holds besides its arrays. ``words`` are by name of the column of texts."""

    format: int
    features: list[str]
    numbers: list[str]
    texts: list[str]
    windows: list[str]
    words: dict[str, list[str]]
    left_out: dict[str, int]
    newest: tuple[int, str]


class Stored(NamedTuple):
    """A block, what had no row in it, and when and by which policy its newest was decided."""

    block: Block
    left_out: dict[str, int]
    newest: tuple[int, str]


def cache_name(digest: str, catalogue: str) -> str:
    """The folder of the file with this digest, read with this catalogue of features."""
    fields = ",".join(TEXT_NAMES)
    of = f"{FORMAT}:{digest}:{catalogue}:{fields}"
    return hashlib.sha256(of.encode()).hexdigest()[:32]


def stored_of(builder: BlockBuilder, name: str) -> Stored:
    """What ``builder`` has gathered."""
    return Stored(builder.block(name), builder.left_out, builder.newest)


def store_block(folder: Path, stored: Stored) -> None:
    """Write ``stored`` to ``folder``. Of two with one name the first stays."""
    block = stored.block
    draft = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    draft.mkdir(parents=True)
    try:
        for name in _ROWS:
            _save(draft, name, getattr(block, name))
        _save(draft, "ids_body", block.ids.body)
        _save(draft, "ids_ends", block.ids.ends)
        _save(draft, "numbers", _stacked(list(block.numbers.values()), len(block), np.float64))
        columns = {_TENANT: block.tenant, **block.texts}
        _save(draft, "codes", _stacked([one.codes for one in columns.values()], 0, np.int32))
        windows = list(block.windows.values())
        _save(draft, "window_values", _stacked([one for one, _ in windows], len(block), np.float64))
        _save(draft, "window_known", _stacked([one for _, one in windows], len(block), np.bool_))
        meta = Meta(
            format=FORMAT,
            features=list(block.places),
            numbers=list(block.numbers),
            texts=list(columns),
            windows=list(block.windows),
            words={name: list(one.words) for name, one in columns.items()},
            left_out=stored.left_out,
            newest=stored.newest,
        )
        (draft / _META).write_bytes(msgspec.json.encode(meta))
        os.replace(draft, folder)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        if not (folder / _META).is_file():
            raise


def load_block(folder: Path) -> Stored:
    """What ``store_block`` wrote. Raises FileNotFoundError where there is nothing."""
    meta = msgspec.json.decode((folder / _META).read_bytes(), type=Meta)
    held = {name: _load(folder, name) for name in _ROWS}
    numbers, codes = _load(folder, "numbers"), _load(folder, "codes")
    values, known = _load(folder, "window_values"), _load(folder, "window_known")
    texts = {
        name: Text(codes[place], tuple(meta.words[name])) for place, name in enumerate(meta.texts)
    }
    tenant = texts.pop(_TENANT)
    block = Block(
        name=folder.name,
        ids=Ids(_load(folder, "ids_body"), _load(folder, "ids_ends")),
        tenant=tenant,
        places={name: place for place, name in enumerate(meta.features)},
        numbers={name: numbers[place] for place, name in enumerate(meta.numbers)},
        texts=texts,
        windows={name: (values[place], known[place]) for place, name in enumerate(meta.windows)},
        **held,
    )
    return Stored(block, meta.left_out, meta.newest)


def _stacked(columns: Sequence[Any], rows: int, dtype: Any) -> Any:
    return np.stack(columns) if columns else np.zeros((0, rows), dtype)


def _save(folder: Path, name: str, values: Any) -> None:
    np.save(folder / f"{name}.npy", np.ascontiguousarray(values), allow_pickle=False)


def _load(folder: Path, name: str) -> Any:
    path = folder / f"{name}.npy"
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError:  # an empty array cannot be mapped
        return np.load(path, allow_pickle=False)
