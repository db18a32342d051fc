"""Rule books over HTTP: the same desk as the commands, and the key says who."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from jsonschema import Draft202012Validator

from api.contract import openapi
from api.desks import Desks
from risk.bootstrap import shipped_book
from risk.rules.book import Book, Examples
from risk.rules.book_file import dump_book, load_book
from tests.support.book_desk import Gate, open_desk
from tests.support.book_evidence import evidence_of
from tests.support.http import Site, open_site

SHIPPED = shipped_book()
LIVE_RULE = next(rule for rule in SHIPPED.rules if rule.state == "live")
FRESH = msgspec.structs.replace(
    LIVE_RULE,
    id="fresh_rule",
    when='mcc == "5999" and channel == "moto"',
    state="draft",
    examples=Examples(
        hits=({"mcc": "5999", "channel": "moto"},), misses=({"mcc": "5411", "channel": "moto"},)
    ),
)
DOCUMENT = openapi()


@dataclass
class Books:
    """A site with a desk, spoken to by people that have keys of their own."""

    site: Site
    gate: Gate
    people: dict[str, dict[str, str]]

    async def ask(
        self, who: str, method: str, path: str, body: Any = None, *, status: int = 200
    ) -> dict[str, Any]:
        answer = await self.answer(who, method, path, body)
        assert answer.status_code == status, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def answer(self, who: str, method: str, path: str, body: Any = None) -> httpx.Response:
        url = f"/v1/books{path}"
        answer = await self.site.client.request(method, url, json=body, headers=self.people[who])
        described = _described(method.lower(), url.partition("?")[0])["responses"]
        content = described[str(answer.status_code)]["content"]
        schema = content.get(answer.headers["content-type"])
        if schema is not None:
            whole = {**schema["schema"], "components": DOCUMENT["components"]}
            Draft202012Validator(whole).validate(answer.json())
        return answer

    async def published(self, book: Book) -> str:
        """Propose, approve and publish; the digest."""
        body = given(book)
        subject = (await self.ask("ana", "POST", "/proposals", body, status=201))["subject"]
        await self.ask("ben", "POST", f"/proposals/{subject}/approve")
        self.gate.closed = True  # it is asked once, when the book is proposed
        await self.ask("ben", "POST", f"/proposals/{subject}/publish")
        self.gate.closed = False
        return book.digest()


def _described(method: str, path: str) -> dict[str, Any]:
    operations: dict[str, dict[str, Any]] = DOCUMENT["paths"]
    if path in operations:
        return dict(operations[path][method])
    *begin, last = path.split("/")
    if last in ("approve", "publish"):
        return dict(operations[f"/v1/books/proposals/{{subject}}/{last}"][method])
    word = "subject" if begin[-1] == "proposals" else "digest"
    return dict(operations["/".join([*begin, f"{{{word}}}"])][method])


def given(book: Book) -> dict[str, Any]:
    return {"book": dump_book(book), "evidence": json.loads(evidence_of(book.digest()))}


def named(name: str, **change: Any) -> Book:
    return msgspec.structs.replace(SHIPPED, name=name, **change)


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    gate = Gate()
    with open_desk(tmp_path, gate) as desk:
        async with open_site(tmp_path, desks=Desks(books=desk)) as site:
            both = ("read", "rules", "approve")
            people = {name: site.key(*both, name=name) for name in ("ana", "ben", "Ana ")}
            people["reader"] = site.key("read", name="reader")
            yield Books(site, gate, people)


async def test_a_book_goes_live_by_two_people_and_back(books: Books) -> None:
    second = named("Second book")
    proposed = await books.ask("ana", "POST", "/proposals", given(second), status=201)
    subject = proposed["subject"]
    assert proposed["proposal"]["author"] == "ana"
    assert (await books.ask("ben", "POST", f"/proposals/{subject}/publish", status=409))[
        "code"
    ] == ("NOT_APPROVED")
    whole = await books.ask("ben", "GET", f"/proposals/{subject}")
    assert whole["changes"] == [f"the book is called 'Second book', not {SHIPPED.name!r}"]
    assert whole["evidence"]["digest"] == second.digest()
    for author in ("ana", "Ana "):  # another key of the same person
        refused = await books.ask(author, "POST", f"/proposals/{subject}/approve", status=403)
        assert refused["code"] == "FOUR_EYES"
    await books.ask("ben", "POST", f"/proposals/{subject}/approve")
    again = await books.ask("ben", "POST", f"/proposals/{subject}/approve", status=409)
    assert again["code"] == "ALREADY_DONE"
    refused = await books.ask("ana", "POST", f"/proposals/{subject}/publish", status=403)
    assert refused["code"] == "FOUR_EYES"
    live = await books.ask("ben", "POST", f"/proposals/{subject}/publish")
    assert (live["digest"], live["author"], live["number"]) == (second.digest(), "ben", 1)
    listed = (await books.ask("reader", "GET", ""))["books"]
    assert {one["standing"]: one["digest"] for one in listed} == {
        "live": second.digest(), "ships": SHIPPED.digest(),
    }  # fmt: skip
    await books.ask("ana", "POST", "/rollback", {"reason": "too strict"})
    refused = await books.ask("ana", "POST", "/rollback", {"reason": "x"}, status=409)
    assert "--to" in refused["detail"]
    await books.ask("ana", "POST", "/rollback", {"to": second.digest()[:9], "reason": "it was not"})
    told = await books.ask("reader", "GET", "/history")
    assert [(note["action"], note["actor"]) for note in told["notes"]] == [
        ("propose", "ana"), ("approve", "ben"), ("publish", "ben"), ("rollback", "ana"),
        ("rollback", "ana"),
    ]  # fmt: skip
    assert told["live"]["digest"] == second.digest()


async def test_books_are_read_checked_and_compared(books: Books) -> None:
    live = await books.ask("reader", "GET", "/live")
    assert msgspec.convert(live["book"], Book) == SHIPPED
    answer = await books.answer("reader", "GET", f"/{SHIPPED.digest()[:8]}?form=yaml")
    assert load_book(answer.text) == SHIPPED
    assert (await books.ask("reader", "GET", "/0000", status=404))["code"] == "UNKNOWN_BOOK"
    good = await books.ask("reader", "POST", "/check", {"book": live["book"]})
    assert (good["digest"], good["problems"]) == (SHIPPED.digest(), [])
    wrong = msgspec.structs.replace(FRESH, when="card_payment_5m > 3 and amount")
    (first, *_) = (
        await books.ask("reader", "POST", "/check", {"book": dump_book(named("x", rules=(wrong,)))})
    )["problems"]
    assert "rule fresh_rule" in first
    assert "column 1" in first
    assert "card_payments_5m" in first
    body = {"book": dump_book(named("Other"))}
    told = await books.ask("reader", "POST", "/diff", body)
    assert told["changes"] == [f"the book is called 'Other', not {SHIPPED.name!r}"]
    same = body | {"against": SHIPPED.digest()}
    assert (await books.ask("reader", "POST", "/diff", same)) == told


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"evidence": {}}, "EVIDENCE_UNFIT", "missing required field"),
    ({"evidence": []}, "EVIDENCE_UNFIT", "object"),
    (
        {"evidence": json.loads(evidence_of(SHIPPED.digest()))},
        "EVIDENCE_MISMATCH",
        "about book",
    ),
    ({"book": "name: ["}, "BAD_BOOK", "line 1"),
    ({"book": "format: 9\nname: x\n"}, "BAD_BOOK", "newer"),
    ({"book": {"name": "x"}}, "BAD_BOOK", "rules"),
    ({"book": 3}, "WRONG_TYPE", "book"),
    ({"author": "ben"}, "WRONG_TYPE", "author"),
]


async def test_what_may_not_be_proposed_says_why(books: Books) -> None:
    for change, code, why in REFUSED:
        body = given(named("x")) | change
        told = await books.ask("ana", "POST", "/proposals", body, status=422)
        assert told["code"] == code
        assert why in told["detail"]
    nobody = await books.ask("ben", "POST", "/proposals/abc/approve", status=404)
    assert nobody["code"] == "UNKNOWN_PROPOSAL"
    assert nobody["title"] == "This may not be done to a book; nothing was changed."
    assert (await books.ask("reader", "GET", "/history"))["notes"] == []
    assert (await books.ask("reader", "GET", "/proposals"))["proposals"] == []


async def test_a_rule_is_drafted_watched_in_the_shadow_then_live(books: Books) -> None:
    acting = named("With it", rules=(*SHIPPED.rules, msgspec.structs.replace(FRESH, state="live")))
    told = await books.ask("ana", "POST", "/proposals", given(acting), status=422)
    assert told["problems"] == [told["detail"]]
    assert "fresh_rule would act on a condition that was not in the shadow" in told["detail"]
    draft = dump_book(named("Draft", rules=(FRESH,)))
    shadowed = await books.ask("ana", "POST", "/shadow", {"book": draft})
    rules = (await books.ask("ana", "GET", f"/{shadowed['digest']}"))["book"]["rules"]
    assert rules[-1]["id"] == "fresh_rule"
    assert rules[-1]["state"] == "shadow"
    books.gate.closed = True
    told = await books.ask("ana", "POST", "/proposals", given(acting), status=409)
    assert "not covered" in told["detail"]
    books.gate.closed = False
    await books.published(acting)
    pause = {"rule": "fresh_rule", "reason": "a complaint"}
    await books.ask("ana", "POST", "/pause", {**pause, "reason": " "}, status=422)
    refused = await books.ask("ana", "POST", "/retire", pause, status=422)
    assert "pause a live rule first" in refused["detail"]
    await books.ask("ana", "POST", "/pause", pause)
    await books.ask("ana", "POST", "/retire", pause)
    back = await books.ask("ana", "POST", "/proposals", given(acting), status=422)
    assert "fresh_rule was retired" in back["detail"]


async def test_a_book_may_be_larger_than_an_event_but_not_endless(books: Books) -> None:
    body = {"book": "x" * (4 * 1024 * 1024 + 1)}
    assert (await books.ask("reader", "POST", "/check", body, status=413))["code"] == "TOO_LARGE"
    assert len(dump_book(SHIPPED)) > 16 * 1024


async def test_a_process_without_a_desk_says_so(site: Site) -> None:
    answer = await site.client.get("/v1/books", headers=site.key())
    assert (answer.status_code, answer.json()["code"]) == (503, "UNAVAILABLE")
