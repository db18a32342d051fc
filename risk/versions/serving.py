"""Turns live versions into what judges, and swaps it in whole; what is unfit is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from risk.domain.errors import BadBook, BadConfiguration, BadVersion
from risk.domain.findings import ListSnapshot
from risk.judgement import Judgement, Rules
from risk.lists.manifest import list_types, manifest_digest, read_manifest, snapshot_of
from risk.lists.members import Tables as MemberTables
from risk.lists.segments import Segment, read_segment
from risk.policy import Policy
from risk.rules.book import Book
from risk.rules.book_check import check_book
from risk.rules.compiler import Tables
from risk.rules.evaluator import CompiledBook
from risk.rules.schema import Schema
from risk.versions.store import VersionStore
from risk.versions.version import Kind, Version

# The kinds that a live pointer may change; the others are named by evidence only.
# Lists come first: a book is published after the lists that it names.
LIVE_KINDS: Final[tuple[Kind, ...]] = ("lists", "book", "policy")


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


@dataclass(frozen=True, slots=True)
class Listing:
    """Lists, the types of their values by name, and the book compiled with them."""

    lists: ListSnapshot
    types: dict[str, str]
    rules: Rules


class Serving:
    """The book, the policy and the lists of a process.

    ``refusals`` says by kind why a version is not live. The entries of lists are in ``store``.
    """

    def __init__(
        self,
        judgement: Judgement,
        schema: Schema,
        tables: Tables,
        store: VersionStore | None = None,
    ) -> None:
        self._judgement = judgement
        self._schema = schema
        self._rates = tables.rates
        self._members = MemberTables(segments_in(store))
        self.refusals: dict[Kind, str] = {}

    def prepare(self, version: Version, beside: Version | None = None) -> Rules | Policy | Listing:
        """Check ``version`` and make what judges of it. Touches nothing; may take seconds.

        ``beside`` is the live book, where it is another than the one that judges: lists that
        lack what the old book names come together with the new one. Raises BadVersion, BadBook
        or BadConfiguration.
        """
        version.check()
        if version.kind == "policy":
            policy = policy_in(version)
            _canonical(version, policy.digest())
            return policy
        if version.kind == "lists":
            return self._listing(version, beside)
        if version.kind != "book":
            raise BadVersion(f"a {version.kind} cannot be made live by itself")
        return self._compiled(version, self._schema, self._judgement.versions.lists)

    def swap(self, prepared: Rules | Policy | Listing) -> None:
        """Judge with ``prepared`` from the next batch on; the rest of the versions stays."""
        judgement = self._judgement
        held = judgement.versions
        rules, policy, lists = held.rules, held.policy, held.lists
        if isinstance(prepared, Policy):
            policy = prepared
        elif isinstance(prepared, Listing):
            rules, lists = prepared.rules, prepared.lists
            self._schema = self._schema.with_lists(prepared.types)
        else:
            rules = prepared
        judgement.versions = judgement.constants.versions(held.scoring, rules, policy, lists)

    def digest_of(self, kind: Kind) -> str:
        """The digest of what judges now; "" for a kind that is not live by itself."""
        digests = self._judgement.versions.digests
        held = {"book": digests.book, "policy": digests.policy, "lists": digests.lists}
        return held.get(kind, "")

    def _compiled(self, version: Version, schema: Schema, lists: ListSnapshot) -> CompiledBook:
        book = book_in(version)
        _canonical(version, book.digest())
        tables = Tables(self._rates, lists)
        # Whether a rule has expired is a matter of publishing; here it only falls silent.
        check_book(book, schema, tables, now_ms=0)
        return CompiledBook(book, schema, tables)

    def _listing(self, version: Version, beside: Version | None) -> Listing:
        lists = read_manifest(version.body)
        _canonical(version, manifest_digest(lists))
        types = list_types(lists)
        schema = self._schema.with_lists(types)
        made = snapshot_of(lists, self._members)
        rules = self._judgement.versions.rules
        if isinstance(rules, CompiledBook):
            missing = sorted(rules.lists - set(lists))
            if not missing:
                rules = rules.with_lists(made)
            elif beside is not None:
                rules = self._compiled(beside, schema, made)
            else:
                raise BadVersion(
                    f"lists {version.digest[:12]}: the book that judges names {missing[0]},"
                    " which is not among them"
                )
        return Listing(made, types, rules)


def segments_in(store: VersionStore | None) -> Callable[[str], Segment]:
    """Finds segments of lists by their digest; raises BadVersion where one is not in ``store``."""

    def find(digest: str) -> Segment:
        found = None if store is None else store.get("entries", digest)
        if found is None:
            raise BadVersion(f"entries {digest[:12]} of a list are not on the control topic")
        return read_segment(found.body)

    return find


def _canonical(version: Version, digest: str) -> None:
    """What goes live must bear the digest that decisions will name."""
    if digest != version.digest:
        raise BadVersion(f"{version.kind} {version.digest[:12]}: not in its canonical form")


def refusal(error: BadVersion | BadBook | BadConfiguration) -> str:
    """Why a version is not live, as one line."""
    return " ".join(str(error).split())
