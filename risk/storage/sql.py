"""Opening the SQL store: SQLite in the state folder, or the database of the settings."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from risk.domain.errors import BadConfiguration, Unavailable
from risk.settings import Settings

SQLITE_FILE: Final = "weir.db"
_BUSY_MS: Final = 5_000
_CONNECT_S: Final = 5
# Any number that no other program uses on the same database for its advisory locks.
_MIGRATION_LOCK: Final = 0x77656972


def open_store(settings: Settings) -> Engine:
    """An engine on a database whose tables are up to date.

    Raises BadConfiguration for an address nobody can use, Unavailable where the database
    does not answer.
    """
    engine = _engine(settings)
    try:
        migrate(engine, settings.state)
    except Unavailable:
        engine.dispose()
        raise
    return engine


@contextmanager
def connection(engine: Engine) -> Iterator[Connection]:
    """One transaction; a database that fails to answer is Unavailable("sql")."""
    try:
        with engine.begin() as link:
            yield link
    except (DBAPIError, PoolTimeout) as error:
        # Further lines of a driver may quote a row.
        said = str(getattr(error, "orig", error)).partition("\n")[0]
        raise Unavailable("sql", f"{type(error).__name__}: {said}") from error


def migrate(engine: Engine, state: Path) -> None:
    """Bring the tables to the newest version; processes that start together take turns."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    folder = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    with _turn(engine, state), connection(engine) as link:
        if link.dialect.name == "postgresql":
            link.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        config.attributes["connection"] = link
        command.upgrade(config, "head")


def _engine(settings: Settings) -> Engine:
    if not settings.database:
        settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = settings.state / SQLITE_FILE
        # Made by us first, so that nobody else may read it. A file that is there is not opened:
        # closing it would drop the locks of this process, and another one then deletes the log
        # (-wal) that our connections write to.
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": _BUSY_MS / 1000})
        event.listen(engine, "connect", _set_up_sqlite)
        return engine
    try:
        url = make_url(settings.database)
        if url.drivername in ("postgres", "postgresql"):
            url = url.set(drivername="postgresql+psycopg")
        if url.get_backend_name() == "sqlite":
            engine = create_engine(url)
            event.listen(engine, "connect", _set_up_sqlite)
            return engine
        return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": _CONNECT_S})
    except (ArgumentError, NoSuchModuleError) as error:
        raise BadConfiguration(
            "WEIR_DATABASE is not an address of PostgreSQL or SQLite "
            f"({type(error).__name__}); write postgresql://user@host/name, or leave it empty"
        ) from None


def _set_up_sqlite(link: Any, _record: object) -> None:
    """Readers do not wait for a writer, writers wait for each other."""
    cursor = link.cursor()
    for pragma in (f"busy_timeout = {_BUSY_MS}", "journal_mode = WAL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


@contextmanager
def _turn(engine: Engine, state: Path) -> Iterator[None]:
    """SQLite has no advisory lock, so a file beside it takes its place."""
    if engine.dialect.name != "sqlite":
        yield
        return
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (state / f"{SQLITE_FILE}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
