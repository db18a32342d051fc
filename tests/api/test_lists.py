"""/v1/lists over HTTP: scopes, the record says who, answers fit their schemas, bad input."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from api.contract import openapi
from api.desks import Desks
from tests.support.http import Site, open_site
from tests.support.list_desk import Desk, open_list_desk

UNTIL = "2099-01-01T00:00:00.000Z"


@dataclass
class Lists:
    site: Site
    desk: Desk
    key: dict[str, str]

    async def ask(
        self, method: str, path: str, body: Any = None, status: int = 200, **more: Any
    ) -> Any:
        """The answer, which must have this status and fit the contract."""
        headers = more.pop("headers", self.key)
        answer = await self.site.client.request(method, path, json=body, headers=headers, **more)
        assert answer.status_code == status, answer.text
        document = openapi()
        parts = path.split("?", maxsplit=1)[0].split("/")
        if len(parts) > 3:
            parts[3] = "{name}"
        told = document["paths"]["/".join(parts)][method.lower()]["responses"][str(status)]
        content = told["content"][answer.headers["content-type"]]["schema"]
        schema = {**content, "components": document["components"]}
        Draft202012Validator(schema).validate(answer.json())
        return answer.json()


@pytest.fixture
async def lists(tmp_path: Path) -> AsyncIterator[Lists]:
    with open_list_desk(tmp_path) as desk:
        async with open_site(tmp_path, desks=Desks(lists=desk.desk)) as site:
            yield Lists(site, desk, site.key("lists", name="ana"))


async def test_a_list_is_made_filled_read_and_removed(lists: Lists) -> None:
    made = {"name": "stolen", "type": "card", "effect": "block", "sentence": "Stolen."}
    await lists.ask("POST", "/v1/lists", made, 201)
    entries = [
        {"value": "c1", "reason": "police", "expires_at": UNTIL},
        {"value": "c2", "reason": "police"},
    ]
    changed = await lists.ask("POST", "/v1/lists/stolen/entries", {"entries": entries})
    assert changed["version"] == lists.desk.outlet.pointers["lists"].digest
    assert lists.desk.live().values["stolen"].holds("c1", 0.0)
    page = await lists.ask("GET", "/v1/lists/stolen?limit=1")
    assert (page["about"]["entries"], page["after"]) == (2, "c1")
    assert page["entries"][0]["expires_at"] == UNTIL
    rest = await lists.ask("GET", "/v1/lists/stolen?after=c1&limit=2")
    assert ([one["value"] for one in rest["entries"]], rest["after"]) == (["c2"], None)
    found = await lists.ask("GET", "/v1/listed?value=c2&type=card")
    assert found["matches"][0]["entry"]["author"] == "ana"
    removal = {"values": ["c1"], "reason": "found"}
    await lists.ask("POST", "/v1/lists/stolen/removals", removal)
    await lists.ask("DELETE", "/v1/lists/stolen?reason=over")
    assert (await lists.ask("GET", "/v1/lists"))["lists"] == []
    record = await lists.ask("GET", "/v1/lists/stolen/notes")
    assert [(one["action"], one["actor"]) for one in record["notes"]] == [
        ("drop", "ana"), ("remove", "ana"), ("add", "ana"), ("add", "ana"), ("create", "ana"),
    ]  # fmt: skip


async def test_the_record_of_a_list_that_never_was_is_not_empty_but_refused(lists: Lists) -> None:
    told = await lists.ask("GET", "/v1/lists/nobody/notes", status=404)
    assert told["code"] == "UNKNOWN_LIST"


async def test_a_file_is_imported_whole_or_not(lists: Lists) -> None:
    await lists.ask("POST", "/v1/lists", {"name": "nets", "type": "ip"}, 201)
    key = lists.key | {"Content-Type": "text/csv"}
    path = "/v1/lists/nets/import?reason=monthly"
    done = await lists.ask("POST", path, headers=key, content=b"value\n192.0.2.0/24\n::1\n")
    assert (done["added"], done["total"]) == (2, 2)
    bad = await lists.ask(
        "POST", path + "&replace=true", status=422, headers=key, content=b"value\n1.2.3\n"
    )
    assert (bad["code"], bad["problems"]) == (
        "BAD_LIST", ["body.csv, line 2: value: '1.2.3' is no IP address and no network"],
    )  # fmt: skip
    assert (await lists.ask("GET", "/v1/lists"))["lists"][0]["entries"] == 2
    wrong = await lists.ask("POST", path, headers=lists.key, content=b"value\n", status=415)
    assert wrong["code"] == "UNSUPPORTED_MEDIA_TYPE"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/v1/lists", {"name": "amount", "type": "card"}, 422, "BAD_LIST"),
        ("POST", "/v1/lists", {"name": "one", "typ": "card"}, 422, "WRONG_TYPE"),
        ("GET", "/v1/lists/absent", None, 404, "UNKNOWN_LIST"),
        ("POST", "/v1/lists/known/entries", {"entries": []}, 422, "BAD_LIST"),
        ("POST", "/v1/lists/known/entries",
         {"entries": [{"value": "c", "reason": "r", "expires_at": "soon"}]}, 422, "INVALID_TIME"),
        ("POST", "/v1/lists/known/removals", {"values": ["c"], "reason": "r"}, 422, "BAD_LIST"),
        ("DELETE", "/v1/lists/known", None, 422, "INVALID_QUERY"),
        ("GET", "/v1/lists/known?limit=0", None, 422, "INVALID_QUERY"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_said(
    lists: Lists, method: str, path: str, body: Any, status: int, code: str
) -> None:
    await lists.ask("POST", "/v1/lists", {"name": "known", "type": "card"}, 201)
    assert (await lists.ask(method, path, body, status))["code"] == code


async def test_lists_need_their_scope_and_a_desk(lists: Lists, tmp_path: Path) -> None:
    other = lists.site.key("read", "decide", "rules", "admin")
    assert (await lists.ask("GET", "/v1/lists", status=403, headers=other))["code"] == "FORBIDDEN"
    async with open_site(tmp_path / "bare") as bare:
        answer = await bare.client.get("/v1/lists", headers=bare.key("lists"))
        assert answer.status_code == 503
