"""The write side of the registry: runs, versions and aliases in MLflow.

Used by training and by people, never by a door. Needs the ``mlflow`` package and a server.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Final

from models.bundle import Bundle
from models.life import Change, State, changes_in, state_of
from models.names import (
    ARTIFACT_FOLDER,
    CHALLENGER,
    CHAMPION,
    TAG_BUNDLE,
    TAG_CALIBRATION,
    TAG_CATALOGUE,
    TAG_LIFE,
    TAG_MODEL,
    TAG_RETIRED,
    TAG_SIGNATURE,
)
from models.signature import ModelKeys
from risk.domain.errors import BadModel, Unavailable

if TYPE_CHECKING:
    from mlflow import MlflowClient

_ENVIRONMENT: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    # A server that is down must be noticed in seconds, not after MLflow's minutes of retries.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}
_BATCH: Final = 500  # metrics in one call; MLflow takes 1,000


@dataclass(frozen=True, slots=True)
class Version:
    """A registered version. ``metrics`` are those of its run; digests are SHA-256 in hex."""

    name: str
    version: str
    run_id: str
    created_at_ms: int
    aliases: tuple[str, ...]
    bundle: str
    model: str
    calibration: str
    catalogue: str
    metrics: Mapping[str, float]
    parameters: Mapping[str, str]
    signature: str = ""
    retired: bool = False

    @property
    def state(self) -> State:
        """Where the version stands in its life."""
        return state_of(self.aliases, retired=self.retired)


class Registry:
    """Versions of the model ``name`` in the MLflow server at ``address``.

    Every method raises Unavailable where the server does not answer. What is published is signed
    with ``keys``; without them it may not serve.
    """

    def __init__(self, address: str, name: str, keys: ModelKeys | None = None) -> None:
        self._address = address
        self._keys = keys
        self.name = name

    def publish(
        self,
        bundle: Bundle,
        parameters: Mapping[str, str],
        *,
        alias: str | None = CHAMPION,
        plots: Mapping[str, bytes] | None = None,
        files: Mapping[str, bytes] | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> str:
        """Log a run with the files of ``bundle``, register it, point ``alias`` at it.

        ``plots`` are pictures by file name, ``files`` other artifacts by path, ``metrics`` numbers
        besides the bundle's. Returns the version's number. The alias moves last: whoever follows
        it finds the files in place. None leaves the version a draft that nothing follows.
        Raises BadConfiguration where the key cannot be used.
        """
        signature = self._keys.sign(bundle.digest) if self._keys else ""
        with _answering(self._address) as client:
            pictures = {f"plots/{name}": body for name, body in (plots or {}).items()}
            run_id = self._log_run(client, bundle, parameters, pictures | dict(files or {}))
            self._log_metrics(client, run_id, metrics or {})
            client.set_terminated(run_id)
            self._create_name(client)
            registered = client.create_model_version(
                self.name,
                source=f"{client.get_run(run_id).info.artifact_uri}/{ARTIFACT_FOLDER}",
                run_id=run_id,
                tags={
                    TAG_BUNDLE: bundle.digest,
                    TAG_MODEL: bundle.model_digest,
                    TAG_CALIBRATION: bundle.calibration_digest,
                    TAG_CATALOGUE: bundle.features.catalogue,
                    **({TAG_SIGNATURE: signature} if signature else {}),
                },
                description=bundle.files["card.md"].decode(),
                await_creation_for=0,  # the version is there when the server answers
            )
            version = str(registered.version)
            if alias is not None:
                at_ms = int(registered.creation_timestamp)
                self._move(
                    client,
                    Change(
                        action="publish", alias=alias, version=version, bundle=bundle.digest,
                        before=_pointed(client, self.name).get(alias, ""), by="training",
                        at_ms=at_ms, reason="registered by training",
                    ),
                )  # fmt: skip
            return version

    def point(self, alias: str, version: str) -> None:
        """Move ``alias`` to ``version``; raises BadModel where there is no such version.

        Leaves no trace; people use ``change``.
        """
        self.version(version)
        with _answering(self._address) as client:
            client.set_registered_model_alias(self.name, alias, version)

    def change(self, change: Change) -> None:
        """Write ``change`` down, then do it: move or (version "") remove the alias, retire.

        The version that an alias leaves for another one is retired where it was live, and what
        goes live leaves the shadow. Raises BadModel where there is no such version.
        """
        if change.version:
            self.version(change.version)
        with _answering(self._address) as client:
            self._move(client, change)

    def changes(self) -> list[Change]:
        """What was changed, oldest first."""
        with _answering(self._address) as client:
            if not client.search_registered_models(f"name = '{self.name}'"):
                return []
            return changes_in(client.get_registered_model(self.name).tags)

    def _move(self, client: MlflowClient, change: Change) -> None:
        held = client.get_registered_model(self.name)
        number = 1 + len(changes_in(held.tags))
        # Written first: an alias never moves without a word about it.
        client.set_registered_model_tag(self.name, f"{TAG_LIFE}{number:06d}", change.text())
        version = change.version
        if change.action == "retire":
            client.set_model_version_tag(self.name, version, TAG_RETIRED, "true")
            for alias, pointed in held.aliases.items():
                if str(pointed) == version:
                    client.delete_registered_model_alias(self.name, alias)
            return
        client.set_model_version_tag(self.name, version, TAG_RETIRED, "false")
        client.set_registered_model_alias(self.name, change.alias, version)
        if change.alias != CHAMPION:
            return
        if change.before not in ("", version):
            client.set_model_version_tag(self.name, change.before, TAG_RETIRED, "true")
        if str(held.aliases.get(CHALLENGER, "")) == version:
            client.delete_registered_model_alias(self.name, CHALLENGER)

    def version(self, version: str) -> Version:
        """One version; raises BadModel where there is none of this number."""
        for known in self.versions():
            if known.version == version:
                return known
        raise BadModel(f"{self.name} has no version {version}; see `weir models list`")

    def card(self, version: str) -> str:
        """The model card of a version, Markdown."""
        with _answering(self._address) as client:
            return str(client.get_model_version(self.name, version).description or "")

    def versions(self) -> list[Version]:
        """Every version, newest first; none where nothing was registered."""
        with _answering(self._address) as client:
            found = client.search_model_versions(f"name = '{self.name}'")
            if not found:
                return []
            aliases: dict[str, list[str]] = {}
            for alias, number in _pointed(client, self.name).items():
                aliases.setdefault(number, []).append(alias)
            versions = []
            for one in found:
                run_id = one.run_id or ""
                run = client.get_run(run_id).data
                number = str(one.version)
                versions.append(
                    Version(
                        name=self.name,
                        version=number,
                        run_id=run_id,
                        created_at_ms=int(one.creation_timestamp),
                        aliases=tuple(sorted(aliases.get(number, ()))),
                        bundle=one.tags.get(TAG_BUNDLE, ""),
                        model=one.tags.get(TAG_MODEL, ""),
                        calibration=one.tags.get(TAG_CALIBRATION, ""),
                        catalogue=one.tags.get(TAG_CATALOGUE, ""),
                        metrics=dict(run.metrics),
                        parameters=dict(run.params),
                        signature=one.tags.get(TAG_SIGNATURE, ""),
                        retired=one.tags.get(TAG_RETIRED) == "true",
                    )
                )
            return sorted(versions, key=lambda known: -int(known.version))

    def _log_run(
        self,
        client: MlflowClient,
        bundle: Bundle,
        parameters: Mapping[str, str],
        files: Mapping[str, bytes],
    ) -> str:
        from mlflow.entities import Metric, Param

        experiment = client.get_experiment_by_name(self.name)
        experiment_id = (
            client.create_experiment(self.name) if experiment is None else experiment.experiment_id
        )
        run = client.create_run(experiment_id, run_name=bundle.digest[:12])
        run_id = str(run.info.run_id)
        began_ms = int(run.info.start_time)
        client.log_batch(
            run_id,
            metrics=[Metric(name, value, began_ms, 0) for name, value in bundle.metrics().items()],
            params=[Param(name, value) for name, value in parameters.items()],
        )
        with tempfile.TemporaryDirectory(prefix="weir-model-") as place:
            bundle.write(Path(place) / ARTIFACT_FOLDER)
            client.log_artifacts(run_id, str(Path(place) / ARTIFACT_FOLDER), ARTIFACT_FOLDER)
            for name, body in files.items():
                file = Path(place) / "files" / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(body)
            if files:
                client.log_artifacts(run_id, str(Path(place) / "files"))
        return run_id

    def _log_metrics(self, client: MlflowClient, run_id: str, metrics: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        began_ms = int(client.get_run(run_id).info.start_time)
        known = [(name, value) for name, value in metrics.items() if isfinite(value)]
        for start in range(0, len(known), _BATCH):
            client.log_batch(
                run_id,
                [Metric(name, value, began_ms, 0) for name, value in known[start : start + _BATCH]],
            )

    def _create_name(self, client: MlflowClient) -> None:
        from mlflow.exceptions import MlflowException

        try:
            client.create_registered_model(self.name, description="Risk of payments; see the card.")
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


def _pointed(client: MlflowClient, name: str) -> dict[str, str]:
    """Alias to version number."""
    aliases = client.get_registered_model(name).aliases
    return {alias: str(number) for alias, number in aliases.items()}


@contextmanager
def _answering(address: str) -> Iterator[MlflowClient]:
    """A client of the server; MLflow's and its transport's errors become Unavailable."""
    if not address:
        raise Unavailable("mlflow", "no address is set; `make run` starts a server")
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        yield MlflowClient(tracking_uri=address, registry_uri=address)
    except MlflowException as error:
        raise Unavailable("mlflow", str(error).splitlines()[0]) from error
