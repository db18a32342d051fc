"""Who trained a model: an Ed25519 signature over the digest of its bundle (RFC 8032).

    KEYS/training.key        private key, PEM, mode 0600, made at the first signing
    KEYS/trusted/ID.pub      public keys, PEM; whose owner may put a model live here

A machine that only serves needs the public keys. Who removes one withdraws the trust: models of
that key are refused from the next load on.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from risk.domain.errors import BadConfiguration, BadModel
from risk.domain.ids import digest

KEY_FILE: Final = "training.key"
TRUSTED: Final = "trusted"
# What is signed begins with this, so that a signature for something else is none for a model.
_PREFIX: Final = b"weir model bundle v1 "
_ID_CHARS: Final = 16


def keys_folder(state: Path) -> Path:
    """Where a state folder has its keys."""
    return state / "keys"


class ModelKeys:
    """The keys of ``folder``. Reads the files at each call, so changes count at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def sign(self, bundle: str) -> str:
        """The signature of the bundle with this digest, ``KEY_ID.HEX``.

        The first call makes the key and trusts it here. Raises BadConfiguration where the key
        cannot be used or others may read it.
        """
        key = self._private()
        self._trust(key.public_key())
        return f"{key_id(key.public_key())}.{key.sign(_PREFIX + bundle.encode()).hex()}"

    def check(self, bundle: str, signature: str) -> None:
        """Raise BadModel unless a trusted key has signed the bundle with this digest."""
        if not signature:
            raise BadModel("the model has no signature: only what `weir train` made may serve")
        name, _, said = signature.partition(".")
        public = self._trusted(name)
        try:
            public.verify(bytes.fromhex(said), _PREFIX + bundle.encode())
        except (InvalidSignature, ValueError):
            raise BadModel(
                f"the signature does not fit the model: it was changed after key {name[:_ID_CHARS]}"
                " signed it, or never signed by it"
            ) from None

    def _trusted(self, name: str) -> Ed25519PublicKey:
        unknown = BadModel(
            f"the model is signed by key {name[:_ID_CHARS]!r}, which is not trusted here:"
            f" put its public key into {self._folder / TRUSTED}"
        )
        if len(name) != _ID_CHARS or not set(name) <= set("0123456789abcdef"):
            raise unknown
        path = self._folder / TRUSTED / f"{name}.pub"
        try:
            public = load_pem_public_key(path.read_bytes())
        except OSError:
            raise unknown from None
        except (ValueError, UnsupportedAlgorithm) as error:
            raise BadModel(f"{path} is no public key: {error}") from None
        if not isinstance(public, Ed25519PublicKey) or key_id(public) != name:
            raise BadModel(f"{path} does not hold the Ed25519 key that its name says")
        return public

    def _private(self) -> Ed25519PrivateKey:
        path = self._folder / KEY_FILE
        if not path.exists():
            raw = Ed25519PrivateKey.generate().private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            )
            _write_once(path, raw, 0o600)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise BadConfiguration(
                f"{path} may be read by others: remove it and what it signed, or chmod 600 it"
            )
        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise BadConfiguration(f"{path} is no private key: {error}") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise BadConfiguration(f"{path} is not an Ed25519 key; remove it to have one made")
        return key

    def _trust(self, public: Ed25519PublicKey) -> None:
        path = self._folder / TRUSTED / f"{key_id(public)}.pub"
        if not path.exists():
            raw = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            _write_once(path, raw, 0o644)


def key_id(public: Ed25519PublicKey) -> str:
    """The first 16 hex digits of the SHA-256 of the raw public key."""
    return digest(public.public_bytes(Encoding.Raw, PublicFormat.Raw))[:_ID_CHARS]


def _write_once(path: Path, body: bytes, mode: int) -> None:
    """Write whole or not at all; of two that try, the first one's stands."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        os.write(handle, body)
        os.fsync(handle)
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        os.close(handle)
        draft.unlink()
