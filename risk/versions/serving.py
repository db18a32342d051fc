"""Turns live versions into what judges, and swaps it in whole; what is unfit is refused."""

from __future__ import annotations

from typing import Final

import msgspec

from risk.domain.errors import BadBook, BadConfiguration, BadVersion
from risk.judgement import Judgement, Rules
from risk.policy import Policy
from risk.rules.book import Book
from risk.rules.book_check import check_book
from risk.rules.compiler import Tables
from risk.rules.evaluator import CompiledBook
from risk.rules.schema import Schema
from risk.versions.version import Kind, Version

# The kinds that a live pointer may change; the others are named by evidence only.
LIVE_KINDS: Final[tuple[Kind, ...]] = ("book", "policy")


def book_in(version: Version) -> Book:
    """The book that ``version`` is; raises BadVersion where its bytes are none.

    Older code may have written it: fields that are new since then have their defaults.
    """
    try:
        return msgspec.json.decode(version.body, type=Book)
    except msgspec.DecodeError as error:
        raise BadVersion(f"book {version.digest[:12]}: {error}") from None


def policy_in(version: Version) -> Policy:
    """The policy that ``version`` is, as ``book_in``; raises BadVersion or BadConfiguration."""
    try:
        return msgspec.json.decode(version.body, type=Policy)
    except msgspec.DecodeError as error:
        raise BadVersion(f"policy {version.digest[:12]}: {error}") from None


class Serving:
    """The book and the policy of a process. ``refusals`` says by kind why a version is not live."""

    def __init__(self, judgement: Judgement, schema: Schema, tables: Tables) -> None:
        self._judgement = judgement
        self._schema = schema
        self._tables = tables
        self.refusals: dict[Kind, str] = {}

    def prepare(self, version: Version) -> Rules | Policy:
        """Check ``version`` and make what judges of it. Touches nothing; may take seconds.

        Raises BadVersion, BadBook or BadConfiguration.
        """
        version.check()
        if version.kind == "policy":
            policy = policy_in(version)
            _canonical(version, policy.digest())
            return policy
        if version.kind != "book":
            raise BadVersion(f"a {version.kind} cannot be made live by itself")
        book = book_in(version)
        _canonical(version, book.digest())
        # Whether a rule has expired is a matter of publishing; here it only falls silent.
        check_book(book, self._schema, self._tables, now_ms=0)
        return CompiledBook(book, self._schema, self._tables)

    def swap(self, prepared: Rules | Policy) -> None:
        """Judge with ``prepared`` from the next batch on; the rest of the versions stays."""
        judgement = self._judgement
        held = judgement.versions
        rules = held.rules if isinstance(prepared, Policy) else prepared
        policy = prepared if isinstance(prepared, Policy) else held.policy
        judgement.versions = judgement.constants.versions(held.scoring, rules, policy)

    def digest_of(self, kind: Kind) -> str:
        """The digest of what judges now; "" for a kind that is not live by itself."""
        digests = self._judgement.versions.digests
        return {"book": digests.book, "policy": digests.policy}.get(kind, "")


def _canonical(version: Version, digest: str) -> None:
    """What goes live must bear the digest that decisions will name."""
    if digest != version.digest:
        raise BadVersion(f"{version.kind} {version.digest[:12]}: not in its canonical form")


def refusal(error: BadVersion | BadBook | BadConfiguration) -> str:
    """Why a version is not live, as one line."""
    return " ".join(str(error).split())
