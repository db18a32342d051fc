"""A model as files: native text, JSON side files, and a manifest that names every byte.

====================  ===================================================================
``model.txt``         LightGBM's native text
``features.json``     names in column order, digest of the feature catalogue
``calibration.json``  the calibration table (``models.calibrate``)
``usual.json``        sentences and usual values of the features; older bundles have none
``golden.json``       vectors, and the scores that every machine must get for them
``metrics.json``      what the model did on payments later than its training
``card.md``           the model card
``manifest.json``     SHA-256 of each of the above; its own SHA-256 names the bundle
====================  ===================================================================
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import msgspec
import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from models.calibrate import Calibration, CalibrationTable
from models.native import NativeModel
from models.scorer import Scorer
from models.wording import USUAL, Wording
from risk.domain.errors import BadModel
from risk.domain.ids import digest

MANIFEST: Final = "manifest.json"
SERVING_FILES: Final = ("model.txt", "features.json", "calibration.json", "golden.json")
FILES: Final = (*SERVING_FILES, "metrics.json", "card.md")
FILES_WITH_WORDING: Final = (*FILES, USUAL)
FILE_BYTES_MAX: Final = 64 * 1024 * 1024

S = TypeVar("S", bound=msgspec.Struct)


class FeatureList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file ``features.json``."""

    version: Literal[1] = 1
    catalogue: str
    names: tuple[str, ...]


class Golden(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file ``golden.json``: vectors (null is missing) and the exact scores they give."""

    version: Literal[1] = 1
    vectors: list[list[float | None]]
    scores: list[float]

    def matrix(self) -> NDArray[np.float64]:
        """The vectors, NaN where missing."""
        return np.array(self.vectors, dtype=np.float64)


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file ``manifest.json``: file name to SHA-256 in hex."""

    version: Literal[1] = 1
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class Bundle:
    """The files of one model, by name; immutable. ``digest`` is the manifest's SHA-256."""

    files: Mapping[str, bytes]
    manifest: bytes

    @property
    def digest(self) -> str:
        return digest(self.manifest)

    @property
    def model_digest(self) -> str:
        return digest(self.files["model.txt"])

    @property
    def calibration_digest(self) -> str:
        return digest(self.files["calibration.json"])

    @property
    def features(self) -> FeatureList:
        """Names and catalogue; raises BadModel where the file is not what it should be."""
        return _decoded(self.files["features.json"], FeatureList, "features.json")

    @property
    def golden(self) -> Golden:
        return _decoded(self.files["golden.json"], Golden, "golden.json")

    @property
    def calibration(self) -> CalibrationTable:
        return _decoded(self.files["calibration.json"], CalibrationTable, "calibration.json")

    @property
    def wording(self) -> Wording | None:
        """Sentences and usual values, None of a bundle from before there were any."""
        body = self.files.get(USUAL)
        return None if body is None else _decoded(body, Wording, USUAL)

    def metrics(self) -> dict[str, float]:
        """The numbers of ``metrics.json`` that are plain numbers."""
        found: dict[str, Any] = msgspec.json.decode(self.files["metrics.json"])
        return {
            name: float(value)
            for name, value in found.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }

    def scorer(self, version: str = "") -> Scorer:
        """The served model. Only for bundles that ``models.verify`` has passed."""
        return Scorer(
            NativeModel(self.files["model.txt"].decode()),
            Calibration(self.calibration),
            self.features.names,
            (self.model_digest, self.calibration_digest),
            version,
            self.wording,
        )

    def write(self, folder: Path) -> None:
        """Put the bundle at ``folder``, whole or not at all, also beside other writers.

        A whole one that is there stays; a damaged one is replaced. Writers of one folder, in
        this process and in others, take turns by a lock on the folder above.
        """
        folder.parent.mkdir(parents=True, exist_ok=True)
        turn = os.open(folder.parent, os.O_RDONLY)
        try:
            fcntl.flock(turn, fcntl.LOCK_EX)
            if not self._stands_at(folder):
                self._replace(folder)
                if not self._stands_at(folder):
                    raise BadModel(f"the model could not be written to {folder}")
        finally:
            os.close(turn)

    def _replace(self, folder: Path) -> None:
        fresh = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}")
        fresh.mkdir()
        try:
            for name, body in {**self.files, MANIFEST: self.manifest}.items():
                (fresh / name).write_bytes(body)
            if folder.is_dir():
                folder.rename(fresh.with_suffix(".damaged"))
            fresh.rename(folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.rmtree(fresh.with_suffix(".damaged"), ignore_errors=True)

    def _stands_at(self, folder: Path) -> bool:
        try:
            return read_bundle(folder, self.digest) == self
        except BadModel:
            return False


def make_bundle(
    text: str,
    features: FeatureList,
    calibration: CalibrationTable,
    vectors: NDArray[np.float64],
    papers: Mapping[str, bytes],
    wording: Wording | None = None,
) -> Bundle:
    """The bundle of a trained model. ``vectors`` become golden; ``papers`` are the metrics
    and the card; ``wording`` goes with the calibration. The same arguments give the same bytes."""
    words = {} if wording is None else {USUAL: _encoded(wording)}
    if wording is not None:
        wording.check(features.names)
        calibration = msgspec.structs.replace(calibration, usual=digest(words[USUAL]))
    scorer = Scorer(NativeModel(text), Calibration(calibration), features.names, ("", ""))
    golden = Golden(
        vectors=[[None if isnan(value) else value for value in row] for row in vectors.tolist()],
        scores=[float(scorer.score(row[None, :])[0]) for row in vectors],
    )
    files = {
        "model.txt": text.encode(),
        "features.json": _encoded(features),
        "calibration.json": _encoded(calibration),
        "golden.json": _encoded(golden),
        **words,
        **papers,
    }
    manifest = Manifest(files={name: digest(files[name]) for name in sorted(files)})
    return Bundle(files, _encoded(manifest))


def read_bundle(folder: Path, expected: str | None = None) -> Bundle:
    """The bundle at ``folder``, every byte checked against the manifest.

    ``expected`` is the manifest's SHA-256 as the registry knows it, None to skip that check.
    Raises BadModel where a file is absent, too large or changed.
    """
    manifest = _read(folder, MANIFEST)
    if expected is not None and digest(manifest) != expected:
        raise BadModel(f"{MANIFEST} is not the one that was registered (digest {expected[:12]})")
    named = _decoded(manifest, Manifest, MANIFEST).files
    if set(named) not in (set(FILES), set(FILES_WITH_WORDING)):
        raise BadModel(f"{MANIFEST} must name exactly {', '.join(FILES)} (and {USUAL})")
    files: dict[str, bytes] = {
        name: _read(folder, name) for name in FILES_WITH_WORDING if name in named
    }
    for name, body in files.items():
        if digest(body) != named[name]:
            raise BadModel(f"{name} was changed after it was registered")
    bundle = Bundle(files, manifest)
    # Decisions name the calibration, and through it the wording: they must belong together.
    if bundle.calibration.usual != named.get(USUAL, UNSET):
        raise BadModel(f"calibration.json names another {USUAL} than {MANIFEST}")
    return bundle


def files_named(folder: Path) -> tuple[str, ...]:
    """The files that the manifest at ``folder`` asks for, of those that a bundle may have.

    One that was damaged asks for those that every bundle has: ``read_bundle`` then refuses it.
    """
    try:
        named = _decoded(_read(folder, MANIFEST), Manifest, MANIFEST).files
    except BadModel:
        return FILES
    return FILES_WITH_WORDING if USUAL in named else FILES


def check_catalogue(features: FeatureList, names: Sequence[str], catalogue: str) -> None:
    """Raise BadModel unless the model was trained on exactly this feature catalogue."""
    if features.catalogue != catalogue or features.names != tuple(names):
        unknown = sorted(set(features.names) ^ set(names))
        detail = f"; names differ in {', '.join(unknown[:5])}" if unknown else ""
        raise BadModel(
            f"the model was trained on feature catalogue {features.catalogue[:12]},"
            f" this service computes {catalogue[:12]}{detail}: train again"
        )


def _read(folder: Path, name: str) -> bytes:
    try:
        with (folder / name).open("rb") as file:
            body = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise BadModel(f"{name} of the model cannot be read: {error.strerror}") from None
    if len(body) > FILE_BYTES_MAX:
        raise BadModel(f"{name} is larger than {FILE_BYTES_MAX} bytes")
    return body


def _encoded(struct: msgspec.Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(struct, order="deterministic"), indent=0)


def _decoded(body: bytes, kind: type[S], name: str) -> S:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadModel(f"{name} is not valid: {error}") from None
