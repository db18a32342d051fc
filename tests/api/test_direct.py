"""A direct route answers as the same route would with FastAPI's solver."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.direct import DirectRoute
from tests.support.http import open_site


@pytest.mark.parametrize("path", ("/v1/decisions", "/v1/events"))
async def test_a_query_makes_no_difference(tmp_path: Path, path: str) -> None:
    async with open_site(tmp_path) as site:
        route = next(one for one in site.app.routes if getattr(one, "path", "") == path)
        assert isinstance(route, DirectRoute)
        good = site.payment() if path == "/v1/decisions" else None
        good = good or site.payment(type="login", amount_minor=None, currency=None)
        only_metrics = site.key("admin")
        headers = site.key("decide", "events")
        for body, sent in (
            (good, headers),
            (good, {}),
            (good, only_metrics),
            ({**good, "id": ""}, headers),
            ({**good, "surprise": 1}, headers),
        ):
            plain = await site.client.post(path, json=body, headers=sent)
            queried = await site.client.post(f"{path}?evidence=false", json=body, headers=sent)
            assert plain.status_code == queried.status_code
            assert plain.content == queried.content
            assert dict(plain.headers) == dict(queried.headers)


@pytest.mark.parametrize("method", ("PUT", "DELETE", "PATCH"))
async def test_other_methods_are_refused(tmp_path: Path, method: str) -> None:
    async with open_site(tmp_path) as site:
        answer = await site.client.request(method, "/v1/decisions", headers=site.key())
        assert answer.status_code == 405
        assert answer.headers["allow"] == "POST"
        assert answer.json()["code"] == "METHOD_NOT_ALLOWED"
