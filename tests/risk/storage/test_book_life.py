"""Proposals, approvals and notes in the SQL store."""

from __future__ import annotations

from pathlib import Path

import pytest

from risk.books.life import Note, Proposal, Subject, approved
from risk.domain.errors import BadVersion, BookRefused
from risk.settings import Settings
from risk.storage.book_life import TURN_MS, SqlBookLife
from risk.storage.sql import open_store

SUBJECT = Subject(book="a" * 64, evidence="b" * 64, from_ms=1, to_ms=2)


def test_a_proposal_is_approved_once_and_everything_is_kept(tmp_path: Path) -> None:
    engine = open_store(Settings(home=tmp_path))
    life, other = SqlBookLife(engine, "main"), SqlBookLife(engine, "else")
    proposal = Proposal(subject=SUBJECT, author="ana", proposed_at_ms=5, base="d" * 64)
    life.propose(proposal)
    assert life.proposal(SUBJECT) == proposal
    assert other.proposal(SUBJECT) is None
    with pytest.raises(BadVersion, match="proposed before"):
        life.propose(proposal)
    signed = approved(proposal, "ben", 6, b"s" * 32)
    life.approve(signed)
    with pytest.raises(BadVersion, match="at the same time"):
        life.approve(signed)
    assert life.proposals() == [signed]
    anew = Proposal(subject=SUBJECT, author="cem", proposed_at_ms=8, base="e" * 64)
    life.propose(anew)
    assert life.proposals() == [anew]
    notes = [
        Note(action=one, book="a" * 64, subject="", actor="ana", at_ms=7, reason="r")
        for one in ("propose", "publish")
    ]
    for note in notes:
        life.note(note)
    assert life.notes() == notes
    assert other.notes() == []
    engine.dispose()


def test_books_are_made_live_in_turns(tmp_path: Path) -> None:
    engine = open_store(Settings(home=tmp_path))
    life, other = SqlBookLife(engine, "main"), SqlBookLife(engine, "else")
    turn = life.take_turn(1_000_000)
    other.take_turn(1_000_000)
    with pytest.raises(BookRefused, match="right now") as refused:
        life.take_turn(1_000_000 + TURN_MS)
    assert refused.value.code == "LIVE_CHANGED"
    life.end_turn(turn)
    lost = life.take_turn(1_000_001)
    held = life.take_turn(1_000_002 + TURN_MS)  # whoever had it died
    life.end_turn(lost)  # or came back to life: the turn is another's now
    with pytest.raises(BookRefused, match="right now"):
        life.take_turn(1_000_003 + TURN_MS)
    life.end_turn(held)
    life.take_turn(1_000_004 + TURN_MS)
    engine.dispose()
