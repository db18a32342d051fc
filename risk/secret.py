"""The secret behind the hashes of API keys: from the settings, else from the state folder."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from risk.domain.errors import BadConfiguration
from risk.settings import Settings

FILE_NAME: Final = "secret"
SECRET_CHARS_MIN: Final = 32


def load_secret(settings: Settings) -> bytes:
    """The secret's bytes; made once, mode 0600, where neither setting nor file gives one.

    Raises BadConfiguration for a short secret, or a file that others may read.
    """
    given = settings.secret.get_secret_value()
    if given:
        return _strong(given, "WEIR_SECRET")
    path = settings.state / FILE_NAME
    if not path.exists():
        _make(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise BadConfiguration(f"{path.name} may be read by others: chmod 600 it, renew the keys")
    return _strong(path.read_text().strip(), path.name)


def _strong(secret: str, source: str) -> bytes:
    if len(secret) < SECRET_CHARS_MIN or len(set(secret)) < 10:
        raise BadConfiguration(
            f"{source} is weak: at least {SECRET_CHARS_MIN} characters, "
            "as `openssl rand -hex 32` gives"
        )
    return secret.encode()


def _make(path: Path) -> None:
    """Write a new secret whole or not at all; of two that try, the first one's stands."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, f"{secrets.token_hex(32)}\n".encode())
        os.fsync(handle)
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        os.close(handle)
        draft.unlink()
