"""/v1/lists: make, fill, read and remove lists; the key says who. Lists are those of a world."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated, Final

import msgspec
from fastapi import Depends, FastAPI, Query, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from api.auth import Allow, key_of
from api.desks import present
from api.door import door_of
from api.list_schemas import (
    EntriesWanted,
    ListChanged,
    ListImported,
    ListIndex,
    ListMatches,
    ListPage,
    ListRecord,
    ListRemovals,
    ListWanted,
    told_entry,
    told_list,
    told_match,
    told_note,
)
from api.openapi import described
from api.problems import Problem
from api.routes.books import as_json, body_of
from risk.domain.errors import InvalidEvent
from risk.domain.times import parse_rfc3339
from risk.lists.csv_file import IMPORT_BYTES_MAX
from risk.lists.desk import ListDesk
from risk.lists.entries import NewEntry, the_list
from risk.lists.wider import matches_of
from risk.versions.version import Live

PAGE_MAX: Final = 1_000
UPLOAD_S: Final = 600.0
_READ: Final = (401, 403, 404, 422, 429, 500, 503)
_SENT: Final = (400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 500, 503)
_ALLOWED: Final = [Depends(Allow("lists"))]


def register(app: FastAPI) -> None:
    """Add the routes of lists."""
    _register_reading(app)
    _register_looking(app)
    _register_lists(app)
    _register_entries(app)


def _register_reading(app: FastAPI) -> None:
    @app.get("/v1/lists", dependencies=_ALLOWED, **described(
        "List the lists", "Every list with its type, effect and number of entries.",
        answers={200: "ListIndex"}, problems=_READ,
    ))  # fmt: skip
    async def listed(request: Request) -> Response:
        store = _desk(request).store
        held, counts = await asyncio.to_thread(lambda: (store.all(), store.counts()))
        return as_json(ListIndex(lists=[told_list(one, counts.get(one.name, 0)) for one in held]))

    @app.get("/v1/lists/{name}", dependencies=_ALLOWED, **described(
        "Read a list", "Its entries by value, those behind `after`, at most `limit`.",
        answers={200: "ListPage"}, problems=_READ,
    ))  # fmt: skip
    async def show(
        request: Request,
        name: str,
        after: str = "",
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 100,
    ) -> Response:
        def read() -> ListPage:
            store = _desk(request).store
            held = the_list(store.all(), name)
            page = store.entries(name, after, limit)
            more = page[-1].value if len(page) == limit else None
            told = told_list(held, store.counts().get(name, 0))
            return ListPage(about=told, entries=[told_entry(one) for one in page], after=more)

        return as_json(await asyncio.to_thread(read))


def _register_looking(app: FastAPI) -> None:
    @app.get("/v1/lists/{name}/notes", dependencies=_ALLOWED, **described(
        "Read the record of a list", "Who changed what, when and why, the newest first, also of "
        "a list that was removed.", answers={200: "ListRecord"}, problems=_READ,
    ))  # fmt: skip
    async def notes(
        request: Request, name: str, limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 100
    ) -> Response:
        def read() -> ListRecord:
            store = _desk(request).store
            found = store.notes(name, limit)
            if not found:
                the_list(store.all(), name)
            return ListRecord(notes=[told_note(one) for one in found])

        return as_json(await asyncio.to_thread(read))

    @app.get("/v1/listed", dependencies=_ALLOWED, **described(
        "Find a value", "The lists on which `value` stands; an address also in a network, a BIN "
        "also by fewer digits. `type` asks lists of one type.",
        answers={200: "ListMatches"}, problems=_READ,
    ))  # fmt: skip
    async def listed_value(
        request: Request,
        value: Annotated[str, Query(max_length=256)],
        kind: Annotated[str | None, Query(alias="type")] = None,
    ) -> Response:
        store, now_ms = _desk(request).store, door_of(request).runtime.clock.now_ms()
        found = await asyncio.to_thread(matches_of, store, value, kind, now_ms)
        return as_json(ListMatches(value=value, matches=[told_match(one) for one in found]))


def _register_lists(app: FastAPI) -> None:
    @app.post("/v1/lists", dependencies=_ALLOWED, status_code=201, **described(
        "Make a list", "`effect` is block, allow, hold or none (only rules read it).",
        body="ListWanted", answers={201: "ListChanged"}, problems=_SENT,
    ))  # fmt: skip
    async def create(request: Request) -> Response:
        given, desk, by = await body_of(request, ListWanted), _desk(request), key_of(request).name
        live = await asyncio.to_thread(
            desk.create, given.name, given.type, given.effect, by, given.fields, given.sentence
        )
        return _changed(given.name, live, 201)

    @app.delete("/v1/lists/{name}", dependencies=_ALLOWED, **described(
        "Remove a list", "With its entries; the record stays. Refused while the live book names "
        "it.", answers={200: "ListChanged"}, problems=_SENT,
    ))  # fmt: skip
    async def drop(
        request: Request, name: str, reason: Annotated[str, Query(min_length=1, max_length=300)]
    ) -> Response:
        desk, by = _desk(request), key_of(request).name
        return _changed(name, await asyncio.to_thread(desk.drop, name, by, reason))


def _register_entries(app: FastAPI) -> None:
    @app.post("/v1/lists/{name}/entries", dependencies=_ALLOWED, **described(
        "Put entries on a list", "All or none. One that stands there is written anew. Workers "
        "and APIs judge by it within two seconds.",
        body="EntriesWanted", answers={200: "ListChanged"}, problems=_SENT,
    ))  # fmt: skip
    async def add(request: Request, name: str) -> Response:
        given = await body_of(request, EntriesWanted)
        desk, by = _desk(request), key_of(request).name
        entries = [
            NewEntry(
                value=one.value,
                reason=one.reason,
                expires_at_ms=_time_ms(one.expires_at, f"/entries/{place}/expires_at"),
            )
            for place, one in enumerate(given.entries)
        ]
        return _changed(name, await asyncio.to_thread(desk.add, name, entries, by))

    @app.post("/v1/lists/{name}/removals", dependencies=_ALLOWED, **described(
        "Take values off a list", "All or none.", body="ListRemovals",
        answers={200: "ListChanged"}, problems=_SENT,
    ))  # fmt: skip
    async def remove(request: Request, name: str) -> Response:
        given, desk, by = await body_of(request, ListRemovals), _desk(request), key_of(request).name
        live = await asyncio.to_thread(desk.remove, name, given.values, by, given.reason)
        return _changed(name, live)

    @app.post("/v1/lists/{name}/import", dependencies=_ALLOWED, **described(
        "Import a CSV file", "The body is the file (`text/csv`, columns value, reason, "
        "expires_at), at most 256 MiB: every line, or nothing. `replace=true` takes off what it "
        "does not name. The answer comes when all of it judges.",
        answers={200: "ListImported"}, problems=_SENT,
    ))  # fmt: skip
    async def import_file(
        request: Request,
        name: str,
        reason: Annotated[str, Query(max_length=300)] = "",
        replace: bool = False,
    ) -> Response:
        desk, by = _desk(request), key_of(request).name
        with tempfile.TemporaryDirectory(prefix="weir-import-") as folder:
            path = Path(folder) / "body.csv"
            await _received(request, path)
            done = await asyncio.to_thread(
                lambda: desk.import_file(name, path, by, reason, replace=replace)
            )
        told = {key: value for key, value in msgspec.structs.asdict(done).items() if key != "file"}
        return as_json(ListImported(**told))


async def _received(request: Request, path: Path) -> None:
    """Write the body to ``path``; raises a Problem, or InvalidEvent where it is too large."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "text/csv":
        raise Problem("UNSUPPORTED_MEDIA_TYPE", "the body is not text/csv")
    size_bytes = 0
    try:
        async with asyncio.timeout(UPLOAD_S):
            with path.open("wb") as file:
                async for chunk in request.stream():
                    size_bytes += len(chunk)
                    if size_bytes > IMPORT_BYTES_MAX:
                        raise InvalidEvent("TOO_LARGE", f"at most {IMPORT_BYTES_MAX} bytes")
                    file.write(chunk)
    except TimeoutError:
        raise Problem("BODY_TIMEOUT", f"the body took over {UPLOAD_S:g} s") from None
    except ClientDisconnect:
        raise Problem("HTTP_ERROR", "the caller left before the body was whole") from None


def _desk(request: Request) -> ListDesk:
    return present(door_of(request).desks.lists, "lists")


def _changed(name: str, live: Live, status: int = 200) -> Response:
    return as_json(ListChanged(list=name, version=live.digest, number=live.number), status)


def _time_ms(text: str | None, pointer: str) -> int | None:
    try:
        return None if text is None else parse_rfc3339(text)
    except ValueError as error:
        raise InvalidEvent("INVALID_TIME", str(error), pointer) from None
