"""The schemas of books in the OpenAPI text, made from the classes that are answered."""

from __future__ import annotations

from typing import Final

import msgspec

from api.schema_parts import schemas_of
from risk.books.desk import Listed
from risk.books.life import Note, Proposal
from risk.contracts import Schema
from risk.rules.book import Book
from risk.versions.version import Live

_PREFIX: Final = "Books"
_TEXT: Final[Schema] = {"type": "string"}
_REASON: Final[Schema] = {"type": "string", "description": "Why; kept for ever."}


class BookAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A book whole."""

    digest: str
    book: Book


class BookList(msgspec.Struct, frozen=True, kw_only=True):
    """All books, the newest first."""

    books: list[Listed]


class BookCheck(msgspec.Struct, frozen=True, kw_only=True):
    """``problems`` name the rule, line, column, what was expected and the nearest known name."""

    name: str
    digest: str
    rules: int
    problems: list[str]


class BookDifference(msgspec.Struct, frozen=True, kw_only=True):
    """What the new book changes of the old one (digests), in plain words."""

    old: str
    new: str
    changes: list[str]


class ProposalAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """``subject`` is the hash of (book, evidence, range) that is signed."""

    subject: str
    proposal: Proposal


class ProposalWhole(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal with what is to be read before it is signed."""

    subject: str
    proposal: Proposal
    changes: list[str]
    evidence: msgspec.Raw


class ProposalList(msgspec.Struct, frozen=True, kw_only=True):
    """What was proposed, the newest first."""

    proposals: list[ProposalAnswer]


class BookHistory(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what to books; ``live`` is null while what ships judges."""

    live: Live | None
    notes: list[Note]


_ANSWERS: Final = (
    BookAnswer, BookList, BookCheck, BookDifference, ProposalAnswer, ProposalWhole, ProposalList,
    BookHistory, Live,
)  # fmt: skip


def book_schemas(ref: str) -> dict[str, Schema]:
    """Name to schema; names are those of classes, and begin with ``Books`` where they are parts."""
    whole = {kind.__name__: kind.__name__ for kind in _ANSWERS} | {"Live": "LivePointer"}
    made = schemas_of(_ANSWERS, ref, lambda name: whole.get(name, _PREFIX + name))
    made["ProposalWhole"]["properties"]["evidence"] = {"$ref": f"{ref}BookEvidence"}
    return made | _requests(ref)


def _requests(ref: str) -> dict[str, Schema]:
    book = {
        "description": "A book as YAML text, or as JSON.",
        "oneOf": [_TEXT, {"$ref": f"{ref}{_PREFIX}Book"}],
    }
    evidence: Schema = {
        "type": "object",
        "description": "The report of `weir rules backtest --report FILE` about this book.",
    }
    return {
        "BookEvidence": evidence,
        "BookGiven": _object({"book": book}),
        "BookCompared": _object(
            {"book": book, "against": {**_TEXT, "description": "A digest; else `live`."}}, ("book",)
        ),
        "BookProposed": _object({"book": book, "evidence": {"$ref": f"{ref}BookEvidence"}}),
        "BookShadowed": _object({"book": book, "reason": _REASON}, ("book",)),
        "RuleMoved": _object({"rule": _TEXT, "reason": _REASON}),
        "BookWanted": _object(
            {"to": {**_TEXT, "description": "A digest; else the book before."}, "reason": _REASON},
            ("reason",),
        ),
    }


def _object(properties: dict[str, Schema], required: tuple[str, ...] | None = None) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties if required is None else required),
        "additionalProperties": False,
    }
