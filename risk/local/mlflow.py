"""An MLflow tracking server of our own: SQLite, one worker, no jobs, no telemetry."""

from __future__ import annotations

import http.client
import sys

from risk.local.ports import HOST
from risk.local.process import Command, plain_environment
from risk.local.server import Server

_PROBE_S = 2.0
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "GIT_PYTHON_REFRESH": "quiet",
    # Our own folder ``models`` must not stand before the packages that MLflow imports.
    "PYTHONSAFEPATH": "1",
}


class MlflowServer(Server):
    """The model registry's server, on loopback, artifacts served from its own folder."""

    name = "mlflow"
    ready_s = 120.0

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def prepare(self) -> None:
        (self.data / "artifacts").mkdir(exist_ok=True)

    def command(self) -> Command:
        argv = (
            *(sys.executable, "-m", "mlflow", "server"),
            *("--backend-store-uri", f"sqlite:///{self.data / 'mlflow.db'}"),
            *("--artifacts-destination", str(self.data / "artifacts"), "--serve-artifacts"),
            *("--host", HOST, "--port", str(self.port), "--workers", "1"),
            *("--uvicorn-opts", "--no-access-log"),
        )
        environment = plain_environment() | QUIET
        return Command(self.name, argv, self.log, env=environment, folder=self.data, stop_s=5.0)

    def answers(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=_PROBE_S)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
