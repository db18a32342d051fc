"""Publications that meet: nobody undoes what another did, and evidence is of what is live."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from risk.books.desk import BookDesk
from risk.books.evidence import read_evidence
from risk.bootstrap import shipped_book
from risk.domain.errors import BookRefused
from risk.lists.manifest import ListVersion, manifest_body
from risk.policy import Policy
from risk.rules.book import Book
from risk.versions.version import Live, Version
from tests.support.book_desk import ControlTwin, open_desk
from tests.support.book_evidence import evidence_of

SHIPPED = shipped_book()
CHEAPER = msgspec.structs.replace(Policy(), review_minor=Policy().review_minor + 1)


def named(name: str) -> Book:
    return msgspec.structs.replace(SHIPPED, name=name)


async def approved(desk: BookDesk, book: Book) -> str:
    evidence = read_evidence(evidence_of(book.digest()))
    subject = (await desk.propose(book, evidence, "ana")).subject.digest()
    await desk.approve(subject, "ben")
    return subject


async def make_live(desk: BookDesk, kind: str, body: bytes) -> None:
    version = Version.of("policy" if kind == "policy" else "lists", body, "ana", 1)
    await desk.library.control.set_live(version, author="ana", at_ms=1)


async def test_what_was_approved_over_another_book_is_proposed_again(tmp_path: Path) -> None:
    with open_desk(tmp_path) as desk:
        first, second = named("First"), named("Second")
        subjects = [await approved(desk, book) for book in (first, second)]
        await desk.publish(subjects[0], "ben")
        with pytest.raises(BookRefused, match="became live meanwhile") as refused:
            await desk.publish(subjects[1], "ben")
        assert refused.value.code == "LIVE_CHANGED"
        assert first.digest()[:12] in str(refused.value)
        assert await desk.library.live_digest() == first.digest()
        assert await approved(desk, second) == subjects[1]
        assert (await desk.publish(subjects[1], "ben")).previous == first.digest()


async def test_of_two_at_once_one_is_told(tmp_path: Path) -> None:
    with open_desk(tmp_path) as desk:
        subjects = [await approved(desk, named(name)) for name in ("First", "Second")]
        acts = [desk.publish(one, "ben") for one in subjects]
        found = await asyncio.gather(*acts, return_exceptions=True)
        (done,) = [one for one in found if isinstance(one, Live)]
        (refused,) = [one for one in found if isinstance(one, BookRefused)]
        assert refused.code == "LIVE_CHANGED"
        control = desk.library.control
        assert isinstance(control, ControlTwin)
        assert control.set == [done]
        notes = [one.book for one in await desk.notes() if one.action == "publish"]
        assert notes == [done.digest]


async def test_evidence_of_another_policy_is_made_again(tmp_path: Path) -> None:
    with open_desk(tmp_path) as desk:
        book = named("First")
        subject = await approved(desk, book)
        await make_live(desk, "policy", CHEAPER.body())
        with pytest.raises(BookRefused, match=r"policy .* is live; make the report") as refused:
            await desk.publish(subject, "ben")
        assert refused.value.code == "EVIDENCE_STALE"
        assert Policy().digest()[:12] in str(refused.value)
        assert CHEAPER.digest()[:12] in str(refused.value)
        with pytest.raises(BookRefused, match="policy"):
            await approved(desk, named("Second"))
        assert await desk.library.live_digest() == SHIPPED.digest()


async def test_lists_that_changed_since_are_on_the_record(tmp_path: Path) -> None:
    with open_desk(tmp_path) as desk:
        subject = await approved(desk, named("First"))
        cards = ListVersion(type="card", effect="none", fields=("card",), sentence="s")
        await make_live(desk, "lists", manifest_body({"bad_cards": cards}))
        live = await desk.publish(subject, "ben")
        assert live.reason == "publish: lists have changed since the evidence"
        assert (await desk.notes())[-1].reason == "lists have changed since the evidence"
