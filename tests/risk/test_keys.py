"""Keys: made once, stored as keyed hashes, gone within five seconds of a revocation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from risk.domain.clock import ManualClock
from risk.domain.errors import BadConfiguration, Unavailable
from risk.keys import CACHE_MS, LIFETIME_MS_MAX, ApiKey, InvalidKey, KeyRing, make_key
from risk.settings import Settings
from risk.storage.api_keys import SqlKeyStore
from risk.storage.sql import connection, open_store

SECRET = b"a secret of the tests, long enough 0123456789"
NOW_MS = 1_800_000_000_000


class Switched:
    """A key store whose database can be taken away."""

    def __init__(self, store: SqlKeyStore) -> None:
        self._store = store
        self.down = False
        self.reads = 0

    def _answer(self) -> SqlKeyStore:
        if self.down:
            raise Unavailable("sql", "switched off")
        return self._store

    def add(self, key: ApiKey) -> None:
        self._answer().add(key)

    def all(self) -> list[ApiKey]:
        self.reads += 1
        return self._answer().all()

    def revoke(self, key_id: str, now_ms: int) -> bool:
        return self._answer().revoke(key_id, now_ms)

    def note_use(self, used_at_ms: dict[str, int]) -> None:
        self._answer().note_use(used_at_ms)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Switched]:
    engine = open_store(Settings(home=tmp_path))
    yield Switched(SqlKeyStore(engine))
    engine.dispose()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_MS)


@pytest.fixture
def ring(store: Switched, clock: ManualClock) -> KeyRing:
    return KeyRing(store, SECRET, clock)


def a_key(now_ms: int = NOW_MS, lifetime_ms: int = 10**9) -> tuple[ApiKey, str]:
    return make_key(
        secret=SECRET,
        tenant="main",
        name="shop",
        scopes=["decide", "read"],
        now_ms=now_ms,
        lifetime_ms=lifetime_ms,
    )


def test_a_token_has_256_bits_and_is_not_stored(store: Switched, tmp_path: Path) -> None:
    key, token = a_key()
    store.add(key)
    assert re.fullmatch(r"weir_[A-Za-z0-9_-]{43}", token)
    assert token.removeprefix("weir_").encode() not in (tmp_path / "weir.db").read_bytes()
    assert store.all() == [key]


def test_a_key_opens_and_another_secret_makes_it_useless(
    store: Switched, ring: KeyRing, clock: ManualClock
) -> None:
    key, token = a_key()
    store.add(key)
    assert ring.cached(token) is None
    assert ring.verify(token) == key
    assert ring.cached(token) == key
    with pytest.raises(InvalidKey):
        KeyRing(store, SECRET + b"x", clock).verify(token)


@pytest.mark.parametrize(
    "token", ["", "weir_", "other_" + "a" * 43, "weir_" + "a" * 200, "weir_é", "weir_" + "a" * 43]
)
def test_what_is_no_key_is_refused(ring: KeyRing, token: str) -> None:
    with pytest.raises(InvalidKey):
        ring.verify(token)


def test_a_revocation_takes_effect_within_five_seconds(
    store: Switched, ring: KeyRing, clock: ManualClock
) -> None:
    key, token = a_key()
    store.add(key)
    ring.verify(token)
    assert store.revoke(key.key_id, NOW_MS)
    assert not store.revoke(key.key_id, NOW_MS)
    clock.advance(CACHE_MS)
    assert ring.cached(token) is None
    with pytest.raises(InvalidKey):
        ring.verify(token)


def test_a_refresh_sees_a_revocation_sooner(
    store: Switched, ring: KeyRing, clock: ManualClock
) -> None:
    key, token = a_key()
    store.add(key)
    ring.verify(token)
    store.revoke(key.key_id, NOW_MS)
    ring.refresh()
    assert ring.cached(token) == key, "fresh keys are not read again"
    clock.advance(2_000)
    assert ring.stale()
    ring.refresh()
    assert ring.cached(token) is None


def test_an_expired_key_is_refused_at_once(
    store: Switched, ring: KeyRing, clock: ManualClock
) -> None:
    key, token = a_key(lifetime_ms=1_000)
    store.add(key)
    ring.verify(token)
    clock.advance(1_000)
    with pytest.raises(InvalidKey):
        ring.verify(token)


def test_a_flood_of_unknown_keys_reads_the_store_four_times_a_second(
    store: Switched, ring: KeyRing, clock: ManualClock
) -> None:
    for place in range(1_000):
        with pytest.raises(InvalidKey):
            ring.verify(f"weir_{place:043d}")
        clock.advance(1)
    assert store.reads <= 5


def test_without_database_keys_are_trusted_for_five_seconds_only(
    store: Switched, ring: KeyRing, clock: ManualClock
) -> None:
    key, token = a_key()
    store.add(key)
    ring.verify(token)
    store.down = True
    clock.advance(CACHE_MS - 1)
    ring.refresh()
    assert ring.verify(token) == key
    clock.advance(1)
    with pytest.raises(Unavailable):
        ring.verify(token)


def test_the_last_use_is_noted(store: Switched, ring: KeyRing, clock: ManualClock) -> None:
    key, token = a_key()
    store.add(key)
    ring.verify(token)
    clock.advance(61_000)
    ring.verify(token)
    clock.advance(61_000)
    ring.refresh()
    assert store.all()[0].last_used_at_ms == NOW_MS + 61_000


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"scopes": ["root"]}, "scopes"),
        ({"scopes": []}, "scopes"),
        ({"lifetime_ms": LIFETIME_MS_MAX + 1}, "366 days"),
        ({"rate_per_s": 0}, "rate"),
        ({"name": ""}, "name"),
        ({"name": "4111111111111111"}, "name"),
    ],
)
def test_a_key_nobody_should_have_is_not_made(change: dict[str, object], named: str) -> None:
    given: dict[str, object] = {
        "secret": SECRET, "tenant": "main", "name": "shop", "scopes": ["read"], "now_ms": 0,
    }  # fmt: skip
    with pytest.raises(BadConfiguration, match=named):
        make_key(**(given | change))  # type: ignore[arg-type]


def test_the_table_holds_the_hash_only(store: Switched, tmp_path: Path) -> None:
    key, token = a_key()
    store.add(key)
    engine = open_store(Settings(home=tmp_path))
    with connection(engine) as link:
        row = link.execute(text("SELECT * FROM api_keys")).mappings().one()
    engine.dispose()
    assert token not in [str(value) for value in row.values()]
    assert len(row["key_hash"]) == 64
