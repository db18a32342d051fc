"""/v1/books: propose, approve, publish, shadow, pause, retire, roll back. The key says who."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from fastapi import Depends, FastAPI, Request
from starlette.responses import Response

from api.auth import Allow, key_of
from api.openapi import described
from api.routes.books import as_json, body_of, desk_of, read_book, told
from risk.books.evidence import read_evidence
from risk.domain.errors import InvalidEvent

_PROBLEMS: Final = (400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 500, 503)
_BARE: Final = (401, 403, 404, 409, 422, 429, 500, 503)


class Proposed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A book, and the report of its back-test."""

    book: str | dict[str, Any]
    evidence: msgspec.Raw


class Shadowed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A book with rules for the shadow."""

    book: str | dict[str, Any]
    reason: str = ""


class RuleMoved(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule of the live book, and why."""

    rule: str
    reason: str


class BookWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The digest of a book that was live, and why."""

    reason: str
    to: str = ""


def register(app: FastAPI) -> None:
    """Add the routes that change which book judges."""
    _register_four_eyes(app)
    _register_alone(app)


def _register_four_eyes(app: FastAPI) -> None:
    @app.post("/v1/books/proposals", dependencies=[Depends(Allow("rules"))], status_code=201,
        **described(
        "Propose a book", "The key's name is the author. The evidence must be the report of a "
        "back-test of this very book. `subject`, the hash of (book, evidence, range of data), is "
        "what somebody else signs.", body="BookProposed", answers={201: "ProposalAnswer"},
        problems=_PROBLEMS,
    ))  # fmt: skip
    async def propose(request: Request) -> Response:
        given = await body_of(request, Proposed)
        book = read_book(given.book)
        evidence = await asyncio.to_thread(read_evidence, bytes(given.evidence))
        proposal = await desk_of(request).propose(book, evidence, key_of(request).name)
        return as_json(told(proposal), 201)

    @app.post("/v1/books/proposals/{subject}/approve", dependencies=[Depends(Allow("approve"))],
        **described(
        "Approve a proposal", "Signs exactly this subject. A key of the author's name cannot.",
        answers={200: "ProposalAnswer"}, problems=_BARE,
    ))  # fmt: skip
    async def approve(request: Request, subject: str) -> Response:
        signed = await desk_of(request).approve(subject, key_of(request).name)
        return as_json(told(signed))

    @app.post("/v1/books/proposals/{subject}/publish", dependencies=[Depends(Allow("approve"))],
        **described(
        "Publish an approved proposal", "The book judges on every worker and API within two "
        "seconds. A key of the author's name cannot.",
        answers={200: "LivePointer"}, problems=_BARE,
    ))  # fmt: skip
    async def publish(request: Request, subject: str) -> Response:
        return as_json(await desk_of(request).publish(subject, key_of(request).name))


def _register_alone(app: FastAPI) -> None:
    allowed = [Depends(Allow("rules"))]

    @app.post("/v1/books/shadow", dependencies=allowed, **described(
        "Put rules into the shadow", "The rules of the book that do not act yet are evaluated "
        "beside the live ones. What acts stays as it is, so nobody has to approve.",
        body="BookShadowed", answers={200: "LivePointer"}, problems=_PROBLEMS,
    ))  # fmt: skip
    async def shadow(request: Request) -> Response:
        given = await body_of(request, Shadowed)
        draft, actor = read_book(given.book), key_of(request).name
        return as_json(await desk_of(request).shadow(draft, actor, given.reason.strip()))

    @app.post("/v1/books/pause", dependencies=allowed, **described(
        "Pause a rule", "A live rule acts no more at once; it goes on in the shadow.",
        body="RuleMoved", answers={200: "LivePointer"}, problems=_PROBLEMS,
    ))  # fmt: skip
    async def pause(request: Request) -> Response:
        given = await body_of(request, RuleMoved)
        why = _said(given.reason)
        return as_json(await desk_of(request).pause(given.rule, key_of(request).name, why))

    @app.post("/v1/books/retire", dependencies=allowed, **described(
        "Retire a rule", "A rule that does not act is out of use for ever; its id stays.",
        body="RuleMoved", answers={200: "LivePointer"}, problems=_PROBLEMS,
    ))  # fmt: skip
    async def retire(request: Request) -> Response:
        given = await body_of(request, RuleMoved)
        why = _said(given.reason)
        return as_json(await desk_of(request).retire(given.rule, key_of(request).name, why))

    @app.post("/v1/books/rollback", dependencies=allowed, **described(
        "Roll back", "Makes a book live again that was live before: `to`, else the book before.",
        body="BookWanted", answers={200: "LivePointer"}, problems=_PROBLEMS,
    ))  # fmt: skip
    async def rollback(request: Request) -> Response:
        given = await body_of(request, BookWanted)
        why = _said(given.reason)
        return as_json(await desk_of(request).roll_back(given.to, key_of(request).name, why))


def _said(reason: str) -> str:
    if not reason.strip():
        raise InvalidEvent("MISSING_FIELD", "say why; it is kept for ever", "/reason")
    return reason.strip()
