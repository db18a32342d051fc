"""Where serving gets its model: the registry's alias, a checked copy on disk, and its cache.

Reads one documented REST call of MLflow (the alias), so the doors never import MLflow. What
was served once is served again from the cache while MLflow is down.
"""

from __future__ import annotations

import os
import secrets
import shutil
import ssl
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import httpx
import msgspec

from models.bundle import Bundle, check_catalogue, read_bundle
from models.fetch import NO_ROOM
from models.names import TAG_BUNDLE, TAG_SIGNATURE
from models.scorer import Scorer
from models.signature import ModelKeys
from models.verify import verify
from risk.domain.errors import BadModel, Unavailable

_ALIAS_CALL: Final = "/api/2.0/mlflow/registered-models/alias"
_CALL_S: Final = 5.0
_FETCH_S: Final = 60.0
_HEX = frozenset("0123456789abcdef")


class ModelRef(msgspec.Struct, frozen=True, kw_only=True):
    """A version of the registered model; ``bundle`` is its manifest's SHA-256.

    ``signature`` as ``models.signature`` makes it, "" where there is none.
    """

    name: str
    version: str
    run_id: str
    bundle: str
    signature: str = ""


class Catalogue(NamedTuple):
    """The features that this service computes: names in order, and their digest."""

    names: tuple[str, ...]
    digest: str


class _Tag(msgspec.Struct):
    key: str
    value: str = ""


class _Version(msgspec.Struct):
    name: str
    version: str
    run_id: str = ""
    tags: list[_Tag] = []


class _Answer(msgspec.Struct):
    model_version: _Version


class ModelSource:
    """Models named ``name`` in the MLflow server at ``address``; copies under ``cache``.

    ``address`` "" means that there is no server: only the cache is used. Blocking: call it
    from a thread where a loop must go on.

    ``keys`` says who may sign what serves. None asks for no signature: for proofs, which name
    the model by its digests, never for what judges payments.
    """

    def __init__(
        self,
        address: str,
        name: str,
        cache: Path,
        catalogue: Catalogue,
        keys: ModelKeys | None = None,
    ) -> None:
        self._keys = keys
        self._address = address.rstrip("/")
        self._name = name
        self._cache = cache
        self._catalogue = catalogue

    def resolve(self, alias: str) -> ModelRef | None:
        """What ``alias`` points at now, None where it points at nothing.

        Raises Unavailable where MLflow does not answer, BadModel where the version carries no
        digest of ours (it was not registered by Weir).
        """
        if not self._address:
            raise Unavailable("mlflow", "no address is set")
        try:
            answer = httpx.get(
                self._address + _ALIAS_CALL,
                params={"name": self._name, "alias": alias},
                timeout=_CALL_S,
                auth=_credentials(),
                verify=_trusted(),
            )
        except httpx.HTTPError as error:
            raise Unavailable("mlflow", f"{type(error).__name__}: {error}") from None
        if answer.status_code in (400, 404) and _is_absent(answer.content):
            return None
        if answer.status_code != 200:
            raise Unavailable("mlflow", f"status {answer.status_code} for alias {alias}")
        try:
            found = msgspec.json.decode(answer.content, type=_Answer).model_version
        except msgspec.DecodeError as error:
            raise Unavailable("mlflow", f"an answer that cannot be read: {error}") from None
        tags = {tag.key: tag.value for tag in found.tags}
        bundle = tags.get(TAG_BUNDLE, "")
        if len(bundle) != 64 or not _HEX.issuperset(bundle):
            raise BadModel(f"version {found.version} of {self._name} has no tag {TAG_BUNDLE}")
        return ModelRef(
            name=self._name,
            version=found.version,
            run_id=found.run_id,
            bundle=bundle,
            signature=tags.get(TAG_SIGNATURE, ""),
        )

    def load(self, ref: ModelRef) -> Scorer:
        """The scorer of ``ref``, from the cache where it is there; checked in either case.

        Raises BadModel where any check fails (a damaged copy in the cache is fetched again) or
        no copy can be kept, Unavailable where the files cannot be had.
        """
        if self._keys is not None:
            # Before anything is fetched: the manifest's digest, which is signed, fixes the rest.
            self._keys.check(ref.bundle, ref.signature)
        folder = self._folder(ref.bundle)
        if folder.is_dir():
            try:
                return self._checked(ref)
            except BadModel:
                if not self._address:
                    raise
        self._fetch(ref)
        return self._checked(ref)

    def serve(self, ref: ModelRef, alias: str) -> None:
        """Note on disk that ``alias`` serves ``ref``: the model of a start without MLflow."""
        note = self._note(alias)
        note.parent.mkdir(parents=True, exist_ok=True)
        fresh = note.with_name(f".{note.name}.{secrets.token_hex(8)}")
        fresh.write_bytes(msgspec.json.encode(ref))
        os.replace(fresh, note)

    def last_served(self, alias: str) -> ModelRef | None:
        """What ``alias`` served last on this machine, None where nothing is known."""
        try:
            return msgspec.json.decode(self._note(alias).read_bytes(), type=ModelRef)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def cached(self, model_digest: str, calibration_digest: str) -> Bundle | None:
        """The cached bundle that a decision's evidence names, None where it is not here."""
        for folder in sorted(self._cache.glob("bundles/*")):
            try:
                bundle = read_bundle(folder, folder.name)
            except BadModel:
                continue
            if (bundle.model_digest, bundle.calibration_digest) == (
                model_digest,
                calibration_digest,
            ):
                return bundle
        return None

    def _checked(self, ref: ModelRef) -> Scorer:
        folder = self._folder(ref.bundle)
        bundle = read_bundle(folder, ref.bundle)
        check_catalogue(bundle.features, self._catalogue.names, self._catalogue.digest)
        verify(folder)
        scorer = bundle.scorer(ref.version)
        scorer.warm()
        return scorer

    def _fetch(self, ref: ModelRef) -> None:
        """Download in a process of its own, check the digests, and only then keep the files."""
        folder = self._cache / f".fetch.{secrets.token_hex(8)}"
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
            _download(self._address, ref.run_id, folder)
            read_bundle(folder, ref.bundle).write(self._folder(ref.bundle))
        except OSError as error:
            raise BadModel(f"its files cannot be kept in {self._cache}: {error.strerror}") from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _folder(self, bundle: str) -> Path:
        return self._cache / "bundles" / bundle

    def _note(self, alias: str) -> Path:
        return self._cache / f"{self._name}.{alias}.json"


def _download(address: str, run_id: str, folder: Path) -> None:
    # MLflow would read Git and send statistics; neither belongs to a download.
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "models.fetch", address, run_id, str(folder)],
            env=os.environ | quiet,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_FETCH_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable("mlflow", f"no model after {_FETCH_S:.0f} s") from None
    if done.returncode == NO_ROOM:
        raise OSError(0, done.stderr.decode(errors="replace").strip().splitlines()[-1][:300])
    if done.returncode != 0:
        tail = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise Unavailable("mlflow", " ".join(tail) or f"download ended {done.returncode}")


@cache
def _trusted() -> ssl.SSLContext:
    """Reading the certificates takes 20 ms, too long to do at every look."""
    return httpx.create_ssl_context()


def _credentials() -> tuple[str, str] | None:
    """MLflow's own variables for basic authentication, as its client reads them."""
    name = os.environ.get("MLFLOW_TRACKING_USERNAME")
    return (name, os.environ.get("MLFLOW_TRACKING_PASSWORD", "")) if name else None


def _is_absent(body: bytes) -> bool:
    return b"RESOURCE_DOES_NOT_EXIST" in body or (b"alias" in body and b"not found" in body)
