"""The SQL store opens on a fresh machine, up to date, once for all processes."""

from __future__ import annotations

import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from risk.domain.errors import BadConfiguration, Unavailable
from risk.settings import Settings
from risk.storage.sql import connection, open_store
from risk.storage.tables import METADATA


def settings_at(home: Path, database: str = "") -> Settings:
    return Settings(home=home, database=database)


def test_a_fresh_state_folder_gets_a_private_database(tmp_path: Path) -> None:
    home = tmp_path / "var"
    engine = open_store(settings_at(home))
    with connection(engine) as link:
        assert link.execute(text("SELECT count(*) FROM api_keys")).scalar_one() == 0
        assert link.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
    engine.dispose()
    assert stat.S_IMODE((home / "weir.db").stat().st_mode) == 0o600
    open_store(settings_at(home)).dispose()


def test_a_store_that_is_opened_twice_keeps_its_changes(tmp_path: Path) -> None:
    """Locks of POSIX go with the first file that a process closes, whoever opened it."""
    engines = [open_store(settings_at(tmp_path)) for _ in range(2)]
    touch = "UPDATE list_turns SET turn = 1"
    other = "import sqlite3, sys; link = sqlite3.connect(sys.argv[1]); link.execute(sys.argv[2])"
    command = [sys.executable, "-c", f"{other}; link.commit(); link.close()"]
    subprocess.run([*command, str(tmp_path / "weir.db"), touch], check=True)
    assert (tmp_path / "weir.db-wal").exists()  # in use here, so no other process may delete it
    for engine in engines:
        engine.dispose()


def test_migrations_make_exactly_the_tables_of_the_code(tmp_path: Path) -> None:
    engine = open_store(settings_at(tmp_path))
    with connection(engine) as link:
        assert compare_metadata(MigrationContext.configure(link), METADATA) == []
    engine.dispose()


def test_processes_that_start_together_migrate_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        engines = list(pool.map(lambda _: open_store(settings_at(tmp_path)), range(4)))
    with connection(engines[0]) as link:
        assert link.execute(text("SELECT version_num FROM alembic_version")).all() == [("0005",)]
    for engine in engines:
        engine.dispose()


def test_an_address_nobody_can_use_is_named(tmp_path: Path) -> None:
    for address in ("not an address", "oracle9://x"):
        with pytest.raises(BadConfiguration, match="WEIR_DATABASE"):
            open_store(settings_at(tmp_path, address))


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "weir.db").write_bytes(b"SQLite format 3\x00" + b"x" * 4096)
    with pytest.raises(Unavailable, match=r"sql cannot be reached: DatabaseError: file is not a d"):
        open_store(settings_at(tmp_path))


def test_a_database_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="sql"):
        open_store(settings_at(tmp_path, f"sqlite:///{tmp_path}/no/such/folder.db"))
    with pytest.raises(Unavailable, match="sql"):
        open_store(settings_at(tmp_path, "postgresql://weir@127.0.0.1:1/weir"))
