"""Changes of lists: kept with their note, live in one order, refused whole with words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from risk.domain.errors import BadVersion, Unavailable
from risk.domain.findings import NO_LISTS
from risk.lists.csv_file import IMPORT_BYTES_MAX
from risk.lists.desk import ENTRIES_AT_ONCE
from risk.lists.entries import NewEntry
from risk.lists.errors import BadList, ListInUse, UnknownList
from risk.lists.keys import NO_LENGTHS
from risk.lists.manifest import LISTS_MAX, read_manifest
from risk.lists.segments import NEVER_MS, SegmentRef, ref_of, sorted_segment
from risk.lists.wider import matches_of
from risk.rules.book import Book, Rule, State
from risk.versions.version import Version
from tests.support.list_desk import HOUR_MS, NOW_MS, Desk, open_list_desk


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Desk]:
    with open_list_desk(tmp_path) as opened:
        yield opened


def entry(value: str, expires_at_ms: int | None = None, reason: str = "why") -> NewEntry:
    return NewEntry(value=value, reason=reason, expires_at_ms=expires_at_ms)


def csv_file(folder: Path, *lines: str, header: str = "value,reason,expires_at") -> Path:
    path = folder / "entries.csv"
    path.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")
    return path


def test_a_list_lives_from_its_making_to_its_end(at: Desk) -> None:
    at.desk.create("stolen", "card", "block", "ana", sentence="Reported stolen.")
    made = at.desk.add("stolen", [entry("c1"), entry("c2", NOW_MS + HOUR_MS)], "ben")
    before = at.live()
    members = before.values["stolen"]
    assert [members.holds(one, NOW_MS) for one in ("c1", "c2", "c3")] == [True, True, False]
    assert not members.holds("c2", NOW_MS + HOUR_MS)
    at.desk.remove("stolen", ["c1"], "ana", "found again")
    assert not at.live().values["stolen"].holds("c1", NOW_MS)
    assert at.live(made.digest).values["stolen"].holds("c1", NOW_MS), "an older version stays"
    at.desk.drop("stolen", "ana", "not needed")
    assert at.live().digest() == NO_LISTS.digest()
    assert at.lists.all() == []
    notes = at.lists.notes()
    assert [(one.action, one.value, one.actor) for one in reversed(notes)] == [
        ("create", "", "ana"), ("add", "c1", "ben"), ("add", "c2", "ben"), ("remove", "c1", "ana"),
        ("drop", "", "ana"),
    ]  # fmt: skip
    assert notes[2].version == made.digest
    assert notes[0].entries == 1  # of c1 and c2 one was left
    assert [live.number for live in at.outlet.set] == [1, 2, 3, 4]
    assert (at.outlet.set[1].author, at.outlet.set[1].reason) == ("ben", "add stolen")


def test_a_store_that_was_lost_does_not_empty_the_lists_that_judge(
    at: Desk, tmp_path: Path
) -> None:
    at.desk.create("stolen", "card", "block", "ana")
    judging = at.desk.add("stolen", [entry("c1")], "ana")
    with open_list_desk(tmp_path / "fresh") as fresh:
        fresh.outlet.pointers = at.outlet.pointers
        with pytest.raises(BadList, match="this SQL store did not make it"):
            fresh.desk.publish()
        with pytest.raises(BadList, match="this SQL store did not make it"):
            fresh.desk.create("mine", "ip", "none", "ben")
        assert fresh.lists.all() == []
        assert at.outlet.pointers["lists"] == judging
        fresh.desk.publish(anew=True)
        assert fresh.live().digest() == NO_LISTS.digest()
        fresh.desk.create("mine", "ip", "none", "ben")


def test_an_entry_is_written_anew(at: Desk) -> None:
    at.desk.create("stolen", "card", "block", "ana")
    at.desk.add("stolen", [entry("c1", NOW_MS + HOUR_MS)], "ana")
    at.desk.add("stolen", [entry("c1", reason="again")], "ben")
    assert at.live().values["stolen"].holds("c1", NOW_MS + 2 * HOUR_MS)
    (held,) = at.lists.entries("stolen")
    assert (held.reason, held.author, held.expires_at_ms) == ("again", "ben", None)


def test_a_hold_ends(at: Desk) -> None:
    at.desk.create("frozen", "account", "hold", "ana")
    with pytest.raises(BadList, match="entry 1: expires_at: a hold ends"):
        at.desk.add("frozen", [entry("a1")], "ana")
    at.desk.add("frozen", [entry("a1", NOW_MS + HOUR_MS)], "ana")
    (acting,) = at.live().acting
    assert (acting.name, acting.effect) == ("frozen", "hold")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("Stolen", "card", "block", "ana"), "must fit"),
        (("merchant", "card", "block", "ana"), "has a meaning in rules"),
        (("count", "card", "block", "ana"), "has a meaning in rules"),
        (("lambda", "card", "block", "ana"), "has a meaning in rules"),
        (("stolen", "cart", "block", "ana"), "type: 'cart' is none of"),
        (("stolen", "card", "stop", "ana"), "effect: 'stop' is none of"),
        (("stolen", "card", "block", " "), "who does it"),
        (("stolen", "card", "block", "ana", ("ip",)), "fields: ip is none"),
        (("stolen", "text", "block", "ana"), "fields: a list of text"),
        (("stolen", "card", "block", "ana", (), "x" * 301), "sentence"),
        (("known", "card", "block", "ana"), "there is a list known already"),
    ],
)
def test_a_list_that_cannot_be_is_refused(at: Desk, arguments: tuple[str], why: str) -> None:
    at.desk.create("known", "card", "none", "ana")
    with pytest.raises(BadList, match=why):
        at.desk.create(*arguments)  # type: ignore[call-arg]
    assert [one.name for one in at.lists.all()] == ["known"]


def test_a_list_acts_on_the_fields_that_it_names(at: Desk) -> None:
    at.desk.create("far", "country", "block", "ana", ("ip_country", "card_country"))
    at.desk.create("words", "text", "allow", "ana", ("channel",))
    at.desk.create("quiet", "card", "none", "ana")
    fields = {one.name: [name for name, _ in one.reasons] for one in at.live().acting}
    assert fields == {"far": ["ip_country", "card_country"], "words": ["channel"]}


def test_too_many_lists_and_entries_are_refused(at: Desk) -> None:
    at.desk.create("one", "card", "none", "ana")
    (one,) = at.lists.all()
    with at.lists.turn() as turn:
        for number in range(LISTS_MAX - 1):
            turn.put(msgspec.structs.replace(one, name=f"list_{number}"))
    with pytest.raises(BadList, match="200 lists, which is the most"):
        at.desk.create("more", "card", "none", "ana")
    for entries in ([], [entry("c")] * (ENTRIES_AT_ONCE + 1)):
        with pytest.raises(BadList, match="more by import"):
            at.desk.add("list_1", entries, "ana")


def test_wrong_entries_are_all_named_and_nothing_is_changed(at: Desk) -> None:
    at.desk.create("far", "country", "block", "ana")
    wrong = [entry("DE"), entry("XX"), entry("FR", reason=" "), entry("FR", NOW_MS)]
    with pytest.raises(BadList) as refused:
        at.desk.add("far", wrong, "ana")
    assert refused.value.problems == [
        "list far, entry 2: value: 'XX' is no country of ISO 3166-1",
        "list far, entry 3: reason: say why, in 1 to 300 printable characters",
        "list far, entry 4: expires_at: it is in the past",
    ]
    at.desk.add("far", [entry("DE")], "ana")
    with pytest.raises(BadList, match="'FR' is not on the list far"):
        at.desk.remove("far", ["de", "fr"], "ana", "x")
    with pytest.raises(BadList, match="list far, value: 'GERMANY'"):
        at.desk.remove("far", ["germany"], "ana", "x")
    with pytest.raises(UnknownList, match="no list 'fra'; did you mean far"):
        at.desk.add("fra", [entry("DE")], "ana")
    with pytest.raises(UnknownList, match="weir lists list"):
        at.desk.drop("other", "ana", "x")
    assert [one.value for one in at.lists.entries("far")] == ["DE"]


def test_a_list_that_the_live_book_names_cannot_be_dropped(at: Desk) -> None:
    at.desk.create("stolen", "card", "none", "ana")
    cases: list[tuple[str, str, State]] = [
        ("one_rule", "amount > 1 and (card in stolen or amount < 0)", "live"),
        ("two_rule", "not (lower(card) in stolen)", "draft"),
        ("old_rule", "card in stolen", "retired"),
        ("own_rule", 'card in ("a",)', "live"),
    ]
    rules = [
        Rule(
            id=name, name="n", when=when, action="block", reason="CODE", sentence="s",
            customer="c", owner="o", state=state,
        )
        for name, when, state in cases
    ]  # fmt: skip
    book = Book(name="b", rules=tuple(rules))
    body = msgspec.json.encode(book, order="sorted")
    at.outlet.set_live(Version.of("book", body, "ana", 1), "ana", 1, "")
    with pytest.raises(ListInUse, match="names the list stolen: one_rule, two_rule"):
        at.desk.drop("stolen", "ana", "x")
    assert len(at.lists.all()) == 1
    at.outlet.pointers["book"] = msgspec.structs.replace(
        at.outlet.pointers["book"], digest="0" * 64
    )
    at.desk.drop("stolen", "ana", "the book is not here, so nothing can be said")


def test_a_change_that_kafka_did_not_take_becomes_live_with_the_next(at: Desk) -> None:
    at.desk.create("stolen", "card", "block", "ana")
    at.outlet.down = True
    with pytest.raises(Unavailable):
        at.desk.add("stolen", [entry("c1")], "ana")
    assert not at.desk.is_live()
    assert not at.live().values["stolen"].holds("c1", NOW_MS)
    at.outlet.down = False
    live = at.desk.publish()
    assert at.desk.is_live()
    assert at.live().values["stolen"].holds("c1", NOW_MS)
    assert at.desk.publish() == live, "nothing is published twice"
    assert live.digest == at.lists.notes()[0].version


def test_a_file_is_taken_whole(at: Desk, tmp_path: Path) -> None:
    at.desk.create("stolen", "card", "block", "ana")
    at.desk.add("stolen", [entry("c0"), entry("c1")], "ana")
    path = csv_file(tmp_path, "c1,new,2099-01-01T00:00:00Z", "", "c2,,", "c2,last,")
    done = at.desk.import_file("stolen", path, "ben", "monthly")
    assert (done.lines, done.entries, done.duplicates) == (3, 2, 1)
    assert (done.added, done.updated, done.removed, done.total) == (1, 1, 0, 3)
    assert done.version == at.outlet.pointers["lists"].digest
    held = {one.value: (one.reason, one.author) for one in at.lists.entries("stolen")}
    assert held == {"c0": ("why", "ana"), "c1": ("new", "ben"), "c2": ("last", "ben")}
    assert all(at.live().values["stolen"].holds(one, NOW_MS) for one in held)
    note = at.lists.notes("stolen")[0]
    assert (note.action, note.entries, note.file) == ("import", 2, done.sha256)
    again = at.desk.import_file("stolen", path, "ben", "monthly", replace=True)
    assert (again.added, again.updated, again.removed, again.total) == (2, 0, 3, 2)
    assert not at.live().values["stolen"].holds("c0", NOW_MS)
    assert at.lists.notes("stolen")[0].action == "replace"


def test_an_empty_file_empties_a_list_that_it_replaces(at: Desk, tmp_path: Path) -> None:
    at.desk.create("nets", "ip", "block", "ana")
    done = at.desk.import_file("nets", csv_file(tmp_path, "192.0.2.0/24,x,"), "ana", "r")
    assert at.live().values["nets"].holds("192.0.2.9", NOW_MS)
    done = at.desk.import_file("nets", csv_file(tmp_path), "ana", "r", replace=True)
    assert (done.removed, done.total) == (1, 0)
    assert not at.live().values["nets"].holds("192.0.2.9", NOW_MS)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", r"line 1: the file is empty"),
        (b"reason\nx\n", r"line 1: the header names no column 'value'"),
        (b"value,colour\nx,y\n", r"line 1: the header names 'colour'"),
        (b"value,value\nx,y\n", r"line 1: the header names a column twice"),
        (b"value,reason\nc1,x\nc2\n", r"line 3: 1 fields, but the header names 2"),
        (b"value,reason\nc1,x\n4111111111111111,x\n", r"line 3: value: it looks like a card"),
        (b"value,reason,expires_at\nc1,x,soon\n", r"line 2: expires_at: 'soon' is no time"),
        (b"value,reason,expires_at\nc1,x,2001-01-01T00:00:00Z\n", r"line 2: expires_at: .*past"),
        (b"value,reason\nc1,x\n\xff\xfe,x\n", r"line 3: the line is not UTF-8"),
        (b"value,reason\nc1,x\n" + b"x" * 5_000 + b",x\n", r"line 3: the line is longer than"),
        (b'value,reason\n"c1,x\n', r"line 2: unexpected end"),
        (b'value,reason\n"c1"x,x\n', r"line 2: "),
        (b"value,reason\nc\x00,x\n", r"line 2: value: .*control"),
        (b"value\nc1\n", r"line 2: reason: say why"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_named_and_nothing_is_changed(
    at: Desk, tmp_path: Path, text: bytes, why: str
) -> None:
    at.desk.create("stolen", "card", "block", "ana")
    path = tmp_path / "bad.csv"
    path.write_bytes(text)
    version = at.outlet.pointers["lists"]
    with pytest.raises(BadList, match=f"bad.csv, {why}"):
        at.desk.import_file("stolen", path, "ana", "")
    assert at.outlet.pointers["lists"] == version
    assert at.lists.entries("stolen") == []


def test_many_wrong_lines_are_counted_and_a_file_too_large_is_not_read(
    at: Desk, tmp_path: Path
) -> None:
    at.desk.create("far", "country", "block", "ana")
    with pytest.raises(BadList) as refused:
        at.desk.import_file("far", csv_file(tmp_path, *["xx,y,"] * 50), "ana", "")
    assert len(refused.value.problems) == 21
    assert refused.value.problems[-1] == "and 30 more lines"
    huge = tmp_path / "huge.csv"
    with huge.open("wb") as file:
        file.truncate(IMPORT_BYTES_MAX + 1)
    with pytest.raises(BadList, match="cut it into several"):
        at.desk.import_file("far", huge, "ana", "")
    with pytest.raises(BadList, match="cannot be read"):
        at.desk.import_file("far", tmp_path / "absent.csv", "ana", "")


def test_a_file_with_a_mark_of_its_encoding_is_read(at: Desk, tmp_path: Path) -> None:
    at.desk.create("stolen", "card", "block", "ana")
    path = tmp_path / "marked.csv"
    path.write_bytes(b"\xef\xbb\xbfvalue\r\nc1\r\n")
    assert at.desk.import_file("stolen", path, "ana", "monthly").total == 1


def test_a_file_that_changes_while_it_is_read_is_refused(at: Desk, tmp_path: Path) -> None:
    from risk.lists.csv_file import EntryFile

    at.desk.create("stolen", "card", "block", "ana")
    (held,) = at.lists.all()
    path = csv_file(tmp_path, "c1,x,")
    file = EntryFile(path, held, "", NOW_MS)
    found = file.scan()
    csv_file(tmp_path, "c2,x,")
    with pytest.raises(BadList, match="was changed while it was read"):
        list(file.entries(found.sha256))
    csv_file(tmp_path, "c2,x,soon")
    with pytest.raises(BadList, match="line 2: expires_at"):
        list(file.entries(found.sha256))


def test_a_list_has_room_for_so_many(tmp_path: Path) -> None:
    with open_list_desk(tmp_path, entries_max=2) as at:
        at.desk.create("stolen", "card", "block", "ana")
        path = csv_file(tmp_path, "c1,x,", "c2,x,", "c3,x,")
        with pytest.raises(BadList, match="3 entries; a list may have 2"):
            at.desk.import_file("stolen", path, "ana", "")
        assert at.lists.entries("stolen") == []


def test_a_value_is_found_wherever_it_stands(at: Desk) -> None:
    at.desk.create("nets", "ip", "block", "ana")
    at.desk.create("bins", "bin", "none", "ana")
    at.desk.create("words", "text", "none", "ana")
    at.desk.add("nets", [entry("192.0.2.0/24"), entry("192.0.2.7", NOW_MS + 1)], "ana")
    at.desk.add("bins", [entry("411111")], "ana")
    at.desk.add("words", [entry("192.0.2.7")], "ana")

    def found(value: str, type_name: str | None = None) -> list[tuple[str, str, str]]:
        matches = matches_of(at.lists, value, type_name, NOW_MS + 1)
        return sorted((one.list, one.entry.value, one.state) for one in matches)

    assert found("192.0.2.7") == [
        ("nets", "192.0.2.0/24", "active"), ("nets", "192.0.2.7", "expired"),
        ("words", "192.0.2.7", "active"),
    ]  # fmt: skip
    assert found("41111122", "bin") == [("bins", "411111", "active")]
    assert found("41111122", "card") == []


def test_a_chain_that_outgrew_its_list_is_written_anew(at: Desk) -> None:
    at.desk.create("stolen", "card", "block", "ana")
    generator = np.random.default_rng(1)
    until_ms = np.full(70_000, NEVER_MS)
    old = [
        sorted_segment(generator.bytes(16 * 70_000), until_ms, NO_LENGTHS) for _ in range(2)
    ]  # keys of nobody: as if all of them had been removed by hand
    at.outlet.publish([Version.of("entries", one.body(), "ana", 1) for one in old])
    (held,) = at.lists.all()
    with at.lists.turn() as turn:
        turn.put(msgspec.structs.replace(held, segments=tuple(map(ref_of, old))))
    at.desk.add("stolen", [entry("c1")], "ana")
    (held,) = at.lists.all()
    assert [one.entries for one in held.segments] == [100_000, 40_001]
    assert at.live().values["stolen"].holds("c1", NOW_MS)
    with at.lists.turn() as turn:
        lost = (SegmentRef("0" * 64, 1),)
        turn.put(msgspec.structs.replace(held, segments=lost))
    with pytest.raises(BadVersion, match="not on the control topic"):
        at.desk.add("stolen", [entry("c2")], "ana")
    assert at.lists.counts() == {"stolen": 1}


def test_lists_of_another_weir_are_refused() -> None:
    for body in (b"[]", b'{"a":{"type":"x","effect":"block","fields":[],"sentence":""}}'):
        with pytest.raises(BadVersion, match="list"):
            read_manifest(body)
