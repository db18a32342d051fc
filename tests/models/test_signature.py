"""Signatures of models: made once, checked against trusted keys, refused otherwise."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from models.signature import KEY_FILE, TRUSTED, ModelKeys, keys_folder
from risk.domain.errors import BadConfiguration, BadModel

BUNDLE = "a" * 64


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return keys_folder(tmp_path)


def test_a_key_is_made_once_and_is_nobody_elses_business(folder: Path) -> None:
    keys = ModelKeys(folder)
    signature = keys.sign(BUNDLE)
    assert stat.S_IMODE((folder / KEY_FILE).stat().st_mode) == 0o600
    assert keys.sign(BUNDLE) == signature  # Ed25519 has no chance in it
    keys.check(BUNDLE, signature)
    # Who only serves has the public key alone.
    (folder / KEY_FILE).unlink()
    ModelKeys(folder).check(BUNDLE, signature)


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        ("", "has no signature"),
        ("../../x.00", "not trusted here"),
        ("0" * 16 + ".00", "not trusted here"),
        ("KEY.zz", "does not fit"),
        ("KEY." + "00" * 64, "does not fit"),
        ("KEY", "does not fit"),
    ],
)
def test_other_signatures_are_refused(folder: Path, signature: str, message: str) -> None:
    keys = ModelKeys(folder)
    own = keys.sign(BUNDLE).partition(".")[0]
    with pytest.raises(BadModel, match=message):
        keys.check(BUNDLE, signature.replace("KEY", own))


def test_a_signature_is_for_one_bundle(folder: Path) -> None:
    keys = ModelKeys(folder)
    with pytest.raises(BadModel, match="does not fit"):
        keys.check("b" * 64, keys.sign(BUNDLE))


def test_trust_is_withdrawn_with_the_public_key(folder: Path) -> None:
    keys = ModelKeys(folder)
    signature = keys.sign(BUNDLE)
    (public,) = (folder / TRUSTED).iterdir()
    other = generate_private_key(65537, 1024).public_key()
    public.write_bytes(other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(BadModel, match="does not hold the Ed25519 key"):
        keys.check(BUNDLE, signature)
    public.write_bytes(b"nonsense")
    with pytest.raises(BadModel, match="is no public key"):
        keys.check(BUNDLE, signature)
    public.unlink()
    with pytest.raises(BadModel, match="not trusted here"):
        keys.check(BUNDLE, signature)


def test_a_key_that_cannot_be_used_is_named(folder: Path) -> None:
    keys = ModelKeys(folder)
    keys.sign(BUNDLE)
    (folder / KEY_FILE).chmod(0o640)
    with pytest.raises(BadConfiguration, match="may be read by others"):
        keys.sign(BUNDLE)
    (folder / KEY_FILE).chmod(0o600)
    (folder / KEY_FILE).write_bytes(b"nonsense")
    with pytest.raises(BadConfiguration, match="is no private key"):
        keys.sign(BUNDLE)
