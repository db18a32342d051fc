"""/v1/backtests: what a book would have done, as a job beside the payments."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from fastapi import Depends, FastAPI, Request
from starlette.responses import Response

from api.auth import Allow, key_of
from api.backtest_schemas import BacktestAnswer, BacktestList
from api.desks import present
from api.door import door_of
from api.openapi import described
from api.problems import Problem
from api.routes.books import as_json, body_of, read_book
from risk.backtest.jobs import BacktestJobs, Wanted
from risk.domain.errors import BadConfiguration, InvalidEvent
from risk.policy import Policy
from risk.rules.book import Book
from risk.rules.book_file import dump_book

_READ: Final = (401, 403, 404, 422, 429, 500, 503)
_SENT: Final = (400, 401, 403, 408, 413, 415, 422, 429, 500, 503)
_ALLOWED: Final = [Depends(Allow("rules"))]


class Given(Wanted, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request with a book, as YAML text or as JSON, and what to test it on."""

    book: str | dict[str, Any]


def register(app: FastAPI) -> None:
    """Add the routes of back-tests."""

    @app.post("/v1/backtests", status_code=202, dependencies=_ALLOWED, **described(
        "Back-test a rule book", "Queues it; one runs at a time, at low priority, in a process of "
        "its own. The fields are the options of `weir rules backtest`.",
        body="BacktestWanted", answers={202: "Backtest"}, problems=_SENT,
    ))  # fmt: skip
    async def ask(request: Request) -> Response:
        given, jobs = await body_of(request, Given), jobs_of(request)
        book, text = await asyncio.to_thread(_book, given.book)
        try:
            policy = None if given.policy is None else policy_body(given.policy)
            arguments = given.arguments()
        except (msgspec.ValidationError, BadConfiguration) as error:
            raise InvalidEvent("WRONG_TYPE", str(error)) from None
        job = jobs.ask((book.name, text), arguments, key_of(request).name, policy)
        return as_json(BacktestAnswer(job=job), status=202)

    @app.get("/v1/backtests", dependencies=_ALLOWED, **described(
        "List the back-tests", "Those of this API process, the newest first. Reports are read one "
        "by one.", answers={200: "BacktestList"}, problems=_READ,
    ))  # fmt: skip
    async def listed(request: Request) -> Response:
        return as_json(BacktestList(jobs=jobs_of(request).all()))

    @app.get("/v1/backtests/{job_id}", dependencies=_ALLOWED, **described(
        "Look at a back-test", "How far it is; once `state` is `done`, with the report that "
        "`POST /v1/books/proposals` takes as evidence.",
        answers={200: "Backtest"}, problems=_READ,
    ))  # fmt: skip
    async def show(request: Request, job_id: str) -> Response:
        jobs = jobs_of(request)
        try:
            job, report = jobs.job(job_id), jobs.report(job_id)
        except KeyError:
            raise _unknown(job_id) from None
        told = msgspec.UNSET if report is None else msgspec.Raw(report)
        return as_json(BacktestAnswer(job=job, report=told))

    @app.delete("/v1/backtests/{job_id}", dependencies=_ALLOWED, **described(
        "Cancel a back-test", "Ends its process within seconds. One that has ended stays as it is.",
        answers={200: "Backtest"}, problems=_READ,
    ))  # fmt: skip
    async def cancel(request: Request, job_id: str) -> Response:
        try:
            job = jobs_of(request).cancel(job_id)
        except KeyError:
            raise _unknown(job_id) from None
        return as_json(BacktestAnswer(job=job))


def jobs_of(request: Request) -> BacktestJobs:
    """The jobs of this process; raises Unavailable where it runs none."""
    return present(door_of(request).desks.backtests, "backtests")


def policy_body(told: dict[str, Any]) -> bytes:
    """The policy as JSON; raises BadConfiguration or ValidationError where it is none."""
    return msgspec.convert(told, Policy).body()


def _book(given: str | dict[str, Any]) -> tuple[Book, str]:
    """The book, and its text. YAML takes a third of a second, so this runs in a thread."""
    book = read_book(given)
    return book, dump_book(book)


def _unknown(job_id: str) -> Problem:
    return Problem("NOT_FOUND", f"this process knows no back-test {job_id[:40]!r}")
