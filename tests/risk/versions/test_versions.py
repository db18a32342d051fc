"""Versions: what is kept is what was put, damage is named, and only what is fit is swapped in."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from features.catalogue import CATALOGUE
from risk.bootstrap import new_judgement, shipped_book, shipped_versions
from risk.domain.errors import BadBook, BadConfiguration, BadVersion
from risk.domain.findings import NO_LISTS
from risk.policy import Policy
from risk.rules.book import Book
from risk.rules.compiler import Tables
from risk.rules.schema import Schema
from risk.tables.load import exchange_rates
from risk.versions.serving import Serving, book_in, policy_in, refusal
from risk.versions.store import VersionStore
from risk.versions.version import KINDS, Kind, Live, Version

RATES = exchange_rates(None, "EUR")


def version(kind: Kind, body: bytes) -> Version:
    return Version.of(kind, body, "ana", 5)


def of_book(book: Book) -> Version:
    return version("book", msgspec.json.encode(book, order="sorted"))


def of_policy(policy: Policy) -> Version:
    return version("policy", policy.body())


def live(of: Version, number: int = 1) -> Live:
    return Live(kind=of.kind, digest=of.digest, previous="", number=number, author="a", at_ms=1)


def test_what_is_kept_comes_back_once(tmp_path: Path) -> None:
    store, one = VersionStore(tmp_path / "v"), of_policy(Policy(review_at=0.2))
    assert store.put(one)
    assert not store.put(one)
    assert store.get("policy", one.digest) == one
    assert store.get("book", one.digest) is None
    assert store.all() == [("policy", one.digest)]


def test_damage_is_named_and_never_returned(tmp_path: Path) -> None:
    store, one = VersionStore(tmp_path), of_policy(Policy())
    store.put(one)
    path = tmp_path / "policy" / one.digest
    path.write_bytes(path.read_bytes().replace(b"0.1", b"0.2", 1))
    with pytest.raises(BadVersion, match=r"its content has digest .*; remove the file"):
        store.get("policy", one.digest)
    path.write_bytes(b"x")
    with pytest.raises(BadVersion, match=r"damaged"):
        store.get("policy", one.digest)
    path.write_bytes(msgspec.msgpack.encode(version("policy", b"{}")))
    with pytest.raises(BadVersion, match=r"holds policy"):
        store.get("policy", one.digest)


def test_a_body_that_is_not_its_digest_is_not_kept(tmp_path: Path) -> None:
    other = msgspec.structs.replace(of_policy(Policy()), body=b"{}")
    with pytest.raises(BadVersion, match=r"its content has digest"):
        VersionStore(tmp_path).put(other)


@pytest.mark.parametrize("digest", ["", "../../etc", "g" * 64, "a" * 63])
def test_a_name_that_is_no_digest_reaches_no_file(tmp_path: Path, digest: str) -> None:
    with pytest.raises(BadVersion, match=r"no version can be called"):
        VersionStore(tmp_path).get("book", digest)


def test_live_pointers_are_noted_by_kind(tmp_path: Path) -> None:
    store, book, policy = VersionStore(tmp_path), of_book(shipped_book()), of_policy(Policy())
    assert store.live() == {}
    store.set_live(live(policy))
    store.set_live(live(book))
    store.set_live(live(policy, 2))
    assert store.live() == {"book": live(book), "policy": live(policy, 2)}
    (tmp_path / "live.json").write_bytes(b"{")
    assert store.live() == {}


# Parts of lists, and what books were proposed with.
OTHERS = ("entries", "evidence")


def test_what_ships_is_what_a_first_decision_names() -> None:
    digests = new_judgement(RATES).versions.digests
    named = {name: getattr(digests, name) for name in KINDS if name not in OTHERS}
    assert {one.kind: one.digest for one in shipped_versions(RATES, 1)} == named


def serving() -> Serving:
    return Serving(new_judgement(RATES), Schema.of(CATALOGUE), Tables(RATES))


def test_a_swap_changes_its_kind_and_nothing_else() -> None:
    serves = serving()
    before = {kind: serves.digest_of(kind) for kind in KINDS}
    assert (before["lists"], before["rates"]) == (NO_LISTS.digest(), "")
    policy = of_policy(Policy(review_at=0.2))
    serves.swap(serves.prepare(policy))
    assert serves.digest_of("policy") == policy.digest
    assert serves.digest_of("book") == before["book"]
    shipped = shipped_book()
    book = of_book(msgspec.structs.replace(shipped, rules=shipped.rules[:2]))
    serves.swap(serves.prepare(book))
    assert (serves.digest_of("policy"), serves.digest_of("book")) == (policy.digest, book.digest)


def unfit_rule() -> Version:
    shipped = shipped_book()
    bad = msgspec.structs.replace(shipped.rules[0], when="card_paymets_1h > 3")
    return of_book(msgspec.structs.replace(shipped, rules=(bad,)))


@pytest.mark.parametrize(
    ("unfit", "why"),
    [
        (version("book", b"{"), "book"),
        (version("book", msgspec.json.encode(shipped_book()) + b" "), "canonical"),
        (version("policy", b"[]"), "policy"),
        (version("policy", b"{}"), "canonical"),
        (version("policy", b'{"review_at":2}'), "review_at"),
        (version("rates", b"{}"), "cannot be made live by itself"),
        (version("lists", b"[]"), "lists"),
        (version("lists", b"{} "), "canonical"),
        (unfit_rule(), "card_paymets_1h"),
    ],
)
def test_what_is_unfit_is_refused_and_says_why(unfit: Version, why: str) -> None:
    serves = serving()
    before = serves.digest_of("book"), serves.digest_of("policy")
    with pytest.raises((BadVersion, BadBook, BadConfiguration)) as raised:
        serves.prepare(unfit)
    assert why in refusal(raised.value)  # type: ignore[arg-type]
    assert "\n" not in refusal(raised.value)  # type: ignore[arg-type]
    assert (serves.digest_of("book"), serves.digest_of("policy")) == before


def test_books_and_policies_read_back_equal() -> None:
    assert book_in(of_book(shipped_book())) == shipped_book()
    assert policy_in(of_policy(Policy())) == Policy()


def test_a_policy_of_before_keeps_its_digest_when_fields_are_added() -> None:
    first = (
        b'{"block_at":0.6,"degraded_amount_max_minor":5000,"fallback":"review","fee_minor":2000,'
        b'"loss_share":1.0,"margin_share":0.01,"prevalence":0.01,"reference_prevalence":0.01,'
        b'"review_at":0.1,"review_minor":300,"review_miss_share":0.1,"review_stop_share":0.05,'
        b'"stopped_customer_minor":1500}'
    )
    serves = serving()
    serves.swap(serves.prepare(version("policy", first)))
    assert serves.digest_of("policy") == version("policy", first).digest
    assert Policy().body() == first
