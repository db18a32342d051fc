"""Decisions as callers see them."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def without_evidence(body: bytes) -> bytes:
    """The published decision without its evidence: the same bytes for the same decision.

    >>> without_evidence(b'{"outcome":"allow","evidence":{"vector":[1.50]},"score":0.10}')
    b'{"outcome":"allow","score":0.10}'
    """
    fields = _FIELDS.decode(body)
    fields.pop("evidence", None)
    return msgspec.json.encode(fields)


def decision_response(body: bytes, *, evidence: bool) -> Response:
    """200 with the decision; with its evidence the bytes are exactly the published ones."""
    return Response(body if evidence else without_evidence(body), media_type="application/json")
