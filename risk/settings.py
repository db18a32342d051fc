"""One frozen tree of settings, from the environment; secrets are masked in its text.

Addresses left empty mean "the running local part, else start it" (``risk.local``).
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from risk.domain import limits


class Settings(BaseSettings):
    """Every setting; the environment variable is the name in capitals after ``WEIR_``."""

    model_config = SettingsConfigDict(env_prefix="WEIR_", frozen=True, extra="ignore")

    home: Path = Field(default=Path("var"), description="State folder: data, caches, run.json.")
    kafka: str = Field(default="", description="Bootstrap servers, host:port[,host:port].")
    redis: str = Field(default="", description="redis:// or unix:// address of Redis or Valkey.")
    database: str = Field(default="", description="SQLAlchemy address of the SQL store.")
    mlflow: str = Field(default="", description="http:// address of the MLflow server.")
    api: str = Field(default="", description="http:// address of the API, for clients.")
    world: str = Field(default="live", pattern="^[a-z0-9][a-z0-9-]{0,31}$")
    base_currency: str = Field(default="EUR", pattern="^[A-Z]{3}$")
    rates: Path | None = Field(
        default=None, description="JSON file of exchange rates; empty: the table that ships."
    )
    model_alias: str = Field(default="champion")
    secret: SecretStr = Field(
        default=SecretStr(""),
        description="Key for API key hashes; empty: the one in the state folder.",
    )
    worker_slot: str = Field(default="0", description="Static membership of a worker.")
    metrics_port: int = Field(
        default=0, description="Worker metrics on loopback; 0 is a free port."
    )
    parked_days: float = Field(
        default=7.0,
        gt=0,
        le=180,
        description="How long a label or an outcome waits for its payment to be known.",
    )
    http_deadline_ms: int = Field(default=limits.HTTP_DEADLINE_MS, gt=0)
    event_deadline_ms: int = Field(default=limits.EVENT_DEADLINE_MS, gt=0)
    batch_payments_max: int = Field(
        default=limits.BATCH_PAYMENTS_MAX, gt=0, le=limits.BATCH_PAYMENTS_MAX
    )

    @property
    def state(self) -> Path:
        """The state folder as an absolute path."""
        return self.home.expanduser().resolve()
