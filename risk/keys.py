"""API keys: who may call what, for which tenant, until when. Only keyed hashes are stored."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, get_args

from risk.domain.clock import Clock
from risk.domain.errors import BadConfiguration, Unavailable, WeirError
from risk.domain.ids import looks_like_card_number

Scope = Literal["decide", "read", "events", "rules", "approve", "lists", "admin"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
PREFIX: Final = "weir_"  # lets scanners find a leaked key
TOKEN_BYTES: Final = 32
TOKEN_CHARS_MAX: Final = 128
RATE_PER_S_DEFAULT: Final = 1_000
RATE_PER_S_MAX: Final = 100_000
LIFETIME_MS_DEFAULT: Final = 90 * 24 * 60 * 60 * 1000
LIFETIME_MS_MAX: Final = 366 * 24 * 60 * 60 * 1000

# A revocation takes effect within CACHE_MS: keys in memory are read again after FRESH_MS, and
# what is older than CACHE_MS is never trusted, also when the database does not answer.
FRESH_MS: Final = 2_000
CACHE_MS: Final = 5_000
# A key that was made a moment ago is not in the cache, so an unknown one may cause a read,
# but not more often than this, whatever is sent.
MISS_MS: Final = 250
USE_NOTED_MS: Final = 60_000


class InvalidKey(WeirError):
    """The key is unknown, revoked or expired; the caller is not told which."""

    code = "UNAUTHENTICATED"
    http_status = 401
    operator = "Make a key with `weir keys create`; `weir keys list` shows which are in force."


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is stored. Times are milliseconds UTC; ``key_hash`` is HMAC-SHA256 in hex."""

    key_id: str
    tenant: str
    name: str
    scopes: frozenset[Scope]
    key_hash: str
    rate_per_s: int
    created_at_ms: int
    expires_at_ms: int
    revoked_at_ms: int | None = None
    last_used_at_ms: int | None = None

    def in_force(self, now_ms: int) -> bool:
        """True until the key is revoked or expires."""
        return self.revoked_at_ms is None and now_ms < self.expires_at_ms


class KeyStore(Protocol):
    """Where keys are kept. Each method may raise Unavailable."""

    def add(self, key: ApiKey) -> None: ...

    def all(self) -> list[ApiKey]:
        """Every key, newest first."""
        ...

    def revoke(self, key_id: str, now_ms: int) -> bool:
        """False where no such key is in force."""
        ...

    def note_use(self, used_at_ms: dict[str, int]) -> None:
        """Raise the last use of each key id to the given time."""
        ...


def hash_token(token: str, secret: bytes) -> str:
    """HMAC-SHA256 of the token in hex: useless without the secret."""
    return hmac.new(secret, token.encode(), hashlib.sha256).hexdigest()


def make_key(
    *, secret: bytes, tenant: str, name: str, scopes: Sequence[str], now_ms: int,
    lifetime_ms: int = LIFETIME_MS_DEFAULT, rate_per_s: int = RATE_PER_S_DEFAULT,
) -> tuple[ApiKey, str]:  # fmt: skip
    """A new key and its token (256 random bits after the prefix), which is shown only once.

    Raises BadConfiguration for a scope, lifetime or rate that no key may have.
    """
    known: list[Scope] = [scope for scope in SCOPES if scope in scopes]
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not known:
        raise BadConfiguration(f"scopes {unknown}: give at least one of {', '.join(SCOPES)}")
    if not 0 < lifetime_ms <= LIFETIME_MS_MAX:
        raise BadConfiguration("a key lives more than 0 and at most 366 days")
    if not 0 < rate_per_s <= RATE_PER_S_MAX:
        raise BadConfiguration(f"the rate is 1 to {RATE_PER_S_MAX} requests per second")
    if not 0 < len(name) <= 128 or not name.isprintable() or looks_like_card_number(name):
        raise BadConfiguration("the name says who uses the key, in 1 to 128 printable characters")
    token = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    key = ApiKey(
        key_id="k" + secrets.token_hex(6),
        tenant=tenant,
        name=name,
        scopes=frozenset(known),
        key_hash=hash_token(token, secret),
        rate_per_s=rate_per_s,
        created_at_ms=now_ms,
        expires_at_ms=now_ms + lifetime_ms,
    )
    return key, token


class KeyRing:
    """The keys in force, kept in memory for seconds, so that a request needs no database.

    Methods may be called from any thread. ``verify`` and ``refresh`` may read the store, so
    the HTTP door asks ``cached`` first and calls those in a thread.
    """

    def __init__(self, store: KeyStore, secret: bytes, clock: Clock) -> None:
        self._store = store
        self._secret = secret
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str, ApiKey] = {}
        self._read_at_ms: int | None = None
        self._used_at_ms: dict[str, int] = {}
        self._noted_at_ms = clock.now_ms()

    def cached(self, token: str) -> ApiKey | None:
        """The key of ``token`` if memory may answer for it, None if the store must be asked."""
        return self._find(token) if self._age_ms() < CACHE_MS else None

    def stale(self) -> bool:
        """True when it is time to call ``refresh``."""
        return self._age_ms() >= FRESH_MS

    def verify(self, token: str) -> ApiKey:
        """The key in force of ``token``; raises InvalidKey, or Unavailable without keys to trust.

        Blocks on the database where memory cannot answer.
        """
        if not token.startswith(PREFIX) or len(token) > TOKEN_CHARS_MAX or not token.isascii():
            raise InvalidKey("the key does not have the form of a Weir key")
        with self._lock:
            unknown = self._find(token) is None
            if self._age_ms() >= CACHE_MS or (unknown and self._age_ms() >= MISS_MS):
                self._read()
        found = self._find(token)
        if found is None:
            raise InvalidKey("the key is not known, or not in force")
        return found

    def refresh(self) -> None:
        """Read the keys anew if they are stale. Blocks on the database; raises as ``verify``."""
        with self._lock:
            if self.stale():
                self._read()

    def _age_ms(self) -> int:
        if self._read_at_ms is None:
            return CACHE_MS
        return max(0, round(self._clock.monotonic_s() * 1000) - self._read_at_ms)

    def _find(self, token: str) -> ApiKey | None:
        # The look-up is by keyed hash, so its timing tells nothing about any key.
        hashed = hash_token(token, self._secret)
        key = self._keys.get(hashed)
        now_ms = self._clock.now_ms()
        if key is None or not hmac.compare_digest(key.key_hash, hashed):
            return None
        if not key.in_force(now_ms):
            return None
        self._used_at_ms[key.key_id] = now_ms
        return key

    def _read(self) -> None:
        """Take the keys from the store anew; keep those in memory while they may be trusted."""
        # The answer is as old as the question.
        asked_at_ms = round(self._clock.monotonic_s() * 1000)
        try:
            self._keys = {key.key_hash: key for key in self._store.all()}
            self._read_at_ms = asked_at_ms
            self._note_use()
        except Unavailable:
            if self._age_ms() >= CACHE_MS:
                raise

    def _note_use(self) -> None:
        now_ms = self._clock.now_ms()
        if now_ms - self._noted_at_ms >= USE_NOTED_MS:
            self._store.note_use(dict(self._used_at_ms))
            self._noted_at_ms = now_ms
