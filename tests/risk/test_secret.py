"""The secret is made once, is private, and a weak one is refused."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from risk.domain.errors import BadConfiguration
from risk.secret import load_secret
from risk.settings import Settings


def test_made_once_and_private(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "var")
    with ThreadPoolExecutor(8) as pool:
        secrets = set(pool.map(lambda _: load_secret(settings), range(8)))
    assert len(secrets) == 1
    assert len(secrets.pop()) == 64
    assert stat.S_IMODE((tmp_path / "var" / "secret").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "var").iterdir()] == ["secret"]


def test_a_given_secret_comes_first(tmp_path: Path) -> None:
    given = "0123456789abcdef0123456789abcdef"
    settings = Settings(home=tmp_path, secret=SecretStr(given))
    assert load_secret(settings) == given.encode()
    assert given not in repr(settings)


@pytest.mark.parametrize("weak", ["changeme", "a" * 64])
def test_a_weak_secret_is_refused(tmp_path: Path, weak: str) -> None:
    with pytest.raises(BadConfiguration, match="WEIR_SECRET"):
        load_secret(Settings(home=tmp_path, secret=SecretStr(weak)))


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    load_secret(settings)
    (tmp_path / "secret").chmod(0o644)
    with pytest.raises(BadConfiguration, match="chmod 600"):
        load_secret(settings)
