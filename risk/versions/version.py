"""A version: bytes under their SHA-256. A live pointer: which version judges now."""

from __future__ import annotations

import hashlib
from typing import Final, Literal, get_args

import msgspec

from risk.domain.errors import BadVersion

# ``lists`` is all lists of one version, ``entries`` a part of what stands on one of them.
# ``evidence`` is the report of a back-test that a book was proposed with.
Kind = Literal["book", "policy", "lists", "entries", "rates", "catalogue", "evidence"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One immutable version. ``digest`` is the SHA-256 of ``body`` in hex.

    ``author`` is who made it ("weir" for what ships), ``created_at_ms`` when.
    """

    kind: Kind
    digest: str
    body: bytes
    author: str
    created_at_ms: int

    @classmethod
    def of(cls, kind: Kind, body: bytes, author: str, created_at_ms: int) -> Version:
        """The version that ``body`` is."""
        digest = hashlib.sha256(body).hexdigest()
        return cls(kind=kind, digest=digest, body=body, author=author, created_at_ms=created_at_ms)

    def check(self) -> None:
        """Raise BadVersion where the body is not what the digest says."""
        found = hashlib.sha256(self.body).hexdigest()
        if found != self.digest:
            raise BadVersion(f"{self.kind} {self.digest[:12]}: its content has digest {found[:12]}")


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """The version of a kind that judges from now on. ``number`` grows by one each time.

    ``previous`` is the digest before ("" for the first), ``reason`` why it was changed.
    """

    kind: Kind
    digest: str
    previous: str
    number: int
    author: str
    at_ms: int
    reason: str = ""
