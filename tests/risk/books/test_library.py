"""What a book may name, and how a book is found."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from risk.bootstrap import shipped_book
from risk.domain.errors import BookRefused
from risk.lists.manifest import ListVersion, manifest_body
from risk.rules.book import Examples
from risk.versions.version import Version
from tests.support.book_desk import open_desk

SHIPPED = shipped_book()
ON_LIST = msgspec.structs.replace(
    next(rule for rule in SHIPPED.rules if rule.state == "live"),
    id="on_a_list", when="card in bad_cards", state="shadow", examples=Examples(),
)  # fmt: skip
BOOK = msgspec.structs.replace(SHIPPED, name="Lists", rules=(ON_LIST,), rate_rules=msgspec.UNSET)


async def test_a_book_may_name_the_live_lists_and_no_others(tmp_path: Path) -> None:
    with open_desk(tmp_path) as desk:
        (problem,) = await desk.library.problems(BOOK, 1)
        assert "bad_cards" in problem
        cards = ListVersion(type="card", effect="none", fields=("card",), sentence="s")
        body = manifest_body({"bad_cards": cards})
        version = Version.of("lists", body, "ana", 1)
        await desk.library.control.set_live(version, author="ana", at_ms=1)
        assert await desk.library.problems(BOOK, 1) == []


async def test_a_book_is_found_by_the_begin_of_its_digest_only_where_it_is_one(
    tmp_path: Path,
) -> None:
    with open_desk(tmp_path) as desk:
        assert await desk.library.book(SHIPPED.digest()[:10]) == SHIPPED
        assert await desk.library.book("live") == SHIPPED
        for unknown in ("", "zz", "0" * 64):
            with pytest.raises(BookRefused, match="0 books begin with") as refused:
                await desk.library.book(unknown)
            assert refused.value.http_status == 404
        with pytest.raises(BookRefused, match="no book was published yet"):
            await desk.roll_back("", "ana", "why")
