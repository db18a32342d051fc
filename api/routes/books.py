"""/v1/books: read, check and compare rule books; what was proposed, and the record."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from fastapi import Depends, FastAPI, Query, Request
from starlette.responses import Response

from api.auth import Allow
from api.book_schemas import (
    BookAnswer,
    BookCheck,
    BookDifference,
    BookHistory,
    BookList,
    ProposalAnswer,
    ProposalList,
    ProposalWhole,
)
from api.desks import present
from api.door import door_of
from api.limits import read_json_body
from api.openapi import described
from risk.books.desk import BookDesk
from risk.books.difference import differences
from risk.books.library import LIVE
from risk.books.life import Proposal
from risk.domain.errors import InvalidEvent
from risk.rules.book import Book
from risk.rules.book_file import dump_book, load_book
from risk.rules.book_shape import book_of

BODY_BYTES_MAX: Final = 4 * 1024 * 1024
_READ: Final = (401, 403, 404, 422, 429, 500, 503)
_SENT: Final = (400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 503)
T = TypeVar("T")


class Given(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request with a book, as YAML text or as JSON."""

    book: str | dict[str, Any]
    against: str = LIVE


def register(app: FastAPI) -> None:
    """Add the routes that change nothing."""
    _register_reading(app)
    _register_asking(app)


def _register_reading(app: FastAPI) -> None:
    allowed = [Depends(Allow("read"))]

    @app.get("/v1/books", dependencies=allowed, **described(
        "List the rule books",
        "Every immutable version, the newest first; `standing` says which one is live.",
        answers={200: "BookList"}, problems=_READ,
    ))  # fmt: skip
    async def listed(request: Request) -> Response:
        return as_json(BookList(books=await desk_of(request).listed()))

    @app.get("/v1/books/history", dependencies=allowed, **described(
        "Read the record of books",
        "Who proposed, approved, published, paused and rolled back what, when and why.",
        answers={200: "BookHistory"}, problems=_READ,
    ))  # fmt: skip
    async def history(request: Request) -> Response:
        desk = desk_of(request)
        notes = await desk.notes()
        return as_json(BookHistory(live=await desk.library.pointer(), notes=notes))

    @app.get("/v1/books/proposals", dependencies=allowed, **described(
        "List what was proposed", "The newest first; `approver` is empty until one signs.",
        answers={200: "ProposalList"}, problems=_READ,
    ))  # fmt: skip
    async def proposals(request: Request) -> Response:
        found = await desk_of(request).proposals()
        return as_json(ProposalList(proposals=[told(one) for one in found]))

    @app.get("/v1/books/proposals/{subject}", dependencies=allowed, **described(
        "Read a proposal", "What it changes of the live book, and the evidence, to be read "
        "before it is signed.", answers={200: "ProposalWhole"}, problems=_READ,
    ))  # fmt: skip
    async def proposal(request: Request, subject: str) -> Response:
        desk = desk_of(request)
        found = await desk.proposal(subject)
        new = await desk.library.book(found.subject.book)
        body = ProposalWhole(
            subject=subject,
            proposal=found,
            changes=differences(await desk.library.live_book(), new),
            evidence=msgspec.Raw(await desk.evidence(found.subject.evidence)),
        )
        return as_json(body)

    @app.get("/v1/books/{digest}", dependencies=allowed, **described(
        "Read a rule book", "`digest` may be cut to its first characters; `live` is the live "
        "book. `?form=yaml` answers the file that lives well in git.",
        answers={200: "BookAnswer"}, problems=_READ,
    ))  # fmt: skip
    async def show(
        request: Request, digest: str, form: Annotated[Literal["json", "yaml"], Query()] = "json"
    ) -> Response:
        book = await desk_of(request).library.book(digest)
        if form == "yaml":
            return Response(dump_book(book), media_type="application/yaml")
        return as_json(BookAnswer(digest=book.digest(), book=book))


def _register_asking(app: FastAPI) -> None:
    allowed = [Depends(Allow("read"))]

    @app.post("/v1/books/check", dependencies=allowed, **described(
        "Check a rule book", "Says everything that keeps it from going live; every rule's own "
        "examples are run. Nothing is kept.",
        body="BookGiven", answers={200: "BookCheck"}, problems=_SENT,
    ))  # fmt: skip
    async def check(request: Request) -> Response:
        desk, book = desk_of(request), read_book((await body_of(request, Given)).book)
        problems = await desk.library.problems(book, desk.now_ms)
        content = BookCheck(
            name=book.name, digest=book.digest(), rules=len(book.rules), problems=problems
        )
        return as_json(content)

    @app.post("/v1/books/diff", dependencies=allowed, **described(
        "Compare rule books", "Says in plain words what a book changes of the live one, or of "
        "`against`.", body="BookCompared", answers={200: "BookDifference"}, problems=_SENT,
    ))  # fmt: skip
    async def diff(request: Request) -> Response:
        given = await body_of(request, Given)
        new = read_book(given.book)
        old = await desk_of(request).library.book(given.against)
        content = BookDifference(old=old.digest(), new=new.digest(), changes=differences(old, new))
        return as_json(content)


def desk_of(request: Request) -> BookDesk:
    """The desk of books; raises Unavailable where the process has none."""
    return present(door_of(request).desks.books, "books")


async def body_of(request: Request, kind: type[T]) -> T:
    """The body as ``kind``; raises InvalidEvent or a Problem."""
    raw = await read_json_body(request, BODY_BYTES_MAX)
    try:
        return await asyncio.to_thread(msgspec.json.decode, raw, type=kind)
    except msgspec.ValidationError as error:
        raise InvalidEvent("WRONG_TYPE", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEvent("INVALID_JSON", str(error)) from None


def read_book(given: str | dict[str, Any]) -> Book:
    """The book as YAML text or as JSON; raises BadBook."""
    return load_book(given) if isinstance(given, str) else book_of(given)


def told(proposal: Proposal) -> ProposalAnswer:
    """A proposal under the hash that is signed."""
    return ProposalAnswer(subject=proposal.subject.digest(), proposal=proposal)


def as_json(content: msgspec.Struct, status: int = 200) -> Response:
    """``content`` as it is answered."""
    return Response(msgspec.json.encode(content), status, media_type="application/json")
