"""The OpenAPI text is the application's, and its schemas hold for what is answered."""

from __future__ import annotations

import json

from jsonschema import Draft202012Validator

from api.contract import openapi
from risk.contracts import render
from tests.support.http import Site


async def test_the_served_text_is_the_checked_in_one(site: Site) -> None:
    answer = await site.client.get("/openapi.json")
    assert answer.text == render(openapi())


async def test_answers_fit_their_schemas(site: Site) -> None:
    document = openapi()
    key = site.key()
    calls = [
        ("post", "/v1/decisions", site.payment()),
        ("post", "/v1/decisions", site.payment(amount_minor=-1)),
        ("post", "/v1/decisions", site.payment(amount_minor=3)),
        ("get", "/v1/decisions/{payment_id}", None),
        ("post", "/v1/events", site.payment()),
        ("get", "/healthz", None),
        ("get", "/readyz", None),
    ]
    for method, path, body in calls:
        url = path.replace("{payment_id}", "pay_1")
        answer = await site.client.request(method, url, json=body, headers=key)
        told = document["paths"][path][method]["responses"][str(answer.status_code)]
        content = told["content"][answer.headers["content-type"]]["schema"]
        schema = {**content, "components": document["components"]}
        Draft202012Validator(schema).validate(answer.json())


def test_each_operation_names_its_scope() -> None:
    for path, operations in openapi()["paths"].items():
        for operation in operations.values():
            public = path in ("/healthz", "/readyz", "/openapi.json", "/docs")
            assert ("security" in operation) != public, path
            assert operation["summary"]
            assert json.dumps(operation).count("HTTPValidationError") == 0
