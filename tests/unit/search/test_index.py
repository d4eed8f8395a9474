"""The index behind a real log, on SQLite and on PostgreSQL: it catches up, forgets, is built anew, harms nothing."""

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.support.cast import event
from tests.support.databases import database, database_url, postgres_server
from townwatch.app.search import index
from townwatch.app.search.index import KEEP_FREE, SearchIndex
from townwatch.contracts.codec import encode
from townwatch.store.database import Database
from townwatch.store.log.event_log import EventLog
from townwatch.store.log.records import LogRecord, Retention
from townwatch.store.search import postgres, sqlite
from townwatch.store.search.postgres import PostgresSearch
from townwatch.store.search.query import parse
from townwatch.store.search.records import Found, SearchError, SearchStore, SearchTooSlow, Wanted
from townwatch.store.search.sqlite import SqliteSearch

__all__ = ["database", "database_url", "postgres_server"]

VILLAGE = "v1"


@attrs.define(eq=False)
class Shelf:
    """A log, and an index behind it that can be closed and opened again as after a crash."""

    log: EventLog
    open_store: Callable[[], SearchStore]
    path: Path
    free: int = 1 << 40
    index: Any = None
    _seqs: dict[str, Any] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.again()

    def again(self) -> None:
        """As a new process: nothing of the old one's memory."""
        self.index = SearchIndex(self.log, self.open_store, lambda: self.free)
        self.log.on_removed = self.index.removed

    def say(self, *texts: str, session: str = "s1", village: str = VILLAGE) -> None:
        """Prompts, each one event."""
        for text in texts:
            inner = {"type": "agent.prompt", "providerId": "codex", "timestamp": 1, "text": text}
            self.event("PROVIDER_EVENT_FORWARDED", session, village, providerEvent=inner)

    def event(self, kind: str, session: str = "s1", village: str = VILLAGE, **fields: Any) -> None:
        seq = next(self._seqs.setdefault(session, itertools.count(1)))
        body = encode({**event(kind, seq, session, **fields), "ts": 1_000_000 + seq})
        self.log.append([LogRecord(session, seq, village, kind, 1_000_000 + seq, body)])

    def catch_up(self) -> None:
        while self.index.step():
            pass

    def find(self, text: str, **more: Any) -> Found:
        return self.index.find(Wanted(query=parse(text), village_ids=more.pop("villages", [VILLAGE]), **more))

    def texts(self, text: str, **more: Any) -> list[str]:
        return [one.text for one in self.find(text, **more).matches]

    def behind(self) -> int:
        return self.index.freshness([VILLAGE]).behind


@pytest.fixture
def shelf(tmp_path: Path, database: Database) -> Iterator[Shelf]:
    def store() -> SearchStore:
        return SqliteSearch(tmp_path / "search.db") if database.is_sqlite else PostgresSearch(database)

    with EventLog.open(tmp_path / "journal.db", "normal", reserve_bytes=0) as log:
        made = Shelf(log, store, tmp_path / "search.db")
        yield made
        made.index.close()


def test_what_was_said_is_found_newest_first_with_its_place(shelf: Shelf) -> None:
    shelf.say("first cart", "second cart", "a wagon")
    shelf.catch_up()
    assert shelf.texts("cart") == ["second cart", "first cart"]
    found = shelf.find('"first cart"').matches[0]
    assert (found.session_id, found.kind, found.seq, found.at_ms) == ("s1", "prompt", 1, 1_000_001)
    assert shelf.texts("CAR*") == ["second cart", "first cart"]
    assert shelf.texts("cart !second") == ["first cart"]
    assert shelf.texts('"cart first"') == []


def test_only_the_villages_sessions_and_kinds_that_are_named(shelf: Shelf) -> None:
    shelf.say("here", session="s1")
    shelf.say("here too", session="s2")
    shelf.say("not here", session="s3", village="v2")
    shelf.event("TEST_RUN_STARTED", command="here -q")
    shelf.catch_up()
    assert shelf.texts("here", villages=[]) == []
    assert sorted(shelf.texts("here")) == ["here", "here -q", "here too"]
    assert shelf.texts("here", session_ids=["s2", "s3"]) == ["here too"]
    assert shelf.texts("here", session_ids=[]) == []
    assert shelf.texts("here", kind="test") == ["here -q"]


def test_pages_have_every_match_once_and_the_whole_number(shelf: Shelf) -> None:
    shelf.say(*(f"word {number}" for number in range(7)))
    shelf.catch_up()
    seen: list[str] = []
    before = None
    while True:
        page = shelf.find("word", limit=3, before=before)
        assert (page.total, page.more_than_total) == (7, False)
        seen += [one.text for one in page.matches]
        before = page.next
        if before is None:
            break
    assert seen == [f"word {number}" for number in range(6, -1, -1)]


def test_many_events_of_one_millisecond_keep_their_places(shelf: Shelf) -> None:
    paths = [{"path": f"src/word_{n}.py", "status": "added", "additions": 1, "deletions": 0} for n in range(3)]
    for session in ("s1", "s2", "s3"):
        shelf.event("DIFF_SUMMARY", session, filesChanged=3, linesAdded=3, linesRemoved=0, files=paths)
    shelf.catch_up()
    assert shelf.find("word").total == 3


def test_a_crash_between_two_steps_loses_nothing_and_doubles_nothing(shelf: Shelf) -> None:
    shelf.say("one cart")
    shelf.catch_up()
    shelf.say("two carts")
    assert shelf.behind() == 1
    shelf.again()
    shelf.say("three cart")
    shelf.catch_up()
    assert shelf.texts("cart") == ["three cart", "one cart"]
    assert (shelf.behind(), shelf.find("carts").total) == (0, 1)


def test_the_screen_of_a_terminal_goes_on_over_a_crash(shelf: Shelf) -> None:
    shelf.event("TERMINAL_CHUNK", data="alpha\r\nbeta", stream="stdout")
    shelf.catch_up()
    shelf.again()
    shelf.event("TERMINAL_CHUNK", data=" gamma\r\n", stream="stdout")
    shelf.catch_up()
    assert shelf.texts("alpha") == ["alpha"]
    assert shelf.texts('"beta gamma"') == ["beta gamma"]


def test_a_deleted_session_is_gone_with_its_text_at_once(shelf: Shelf) -> None:
    shelf.say("canary", "canary again")
    shelf.say("canary elsewhere", session="s2")
    shelf.catch_up()
    shelf.log.delete_session("s1")
    assert shelf.texts("canary") == ["canary elsewhere"]
    assert shelf.find("canary").total == 1
    shelf.catch_up()
    shelf.again()
    shelf.catch_up()
    assert shelf.find("canary").total == 1


def test_text_that_was_being_indexed_while_its_session_was_deleted_is_not_stored(shelf: Shelf) -> None:
    shelf.say("canary")
    shelf.index.step()
    shelf.say("canary two")
    store = shelf.index._store
    add = store.add

    def late(advances: Any, first_seq: Any) -> None:
        shelf.log.delete_session("s1")
        add(advances, first_seq)

    store.add = late
    shelf.index.step()
    assert shelf.find("canary").total == 0


def test_what_retention_takes_is_gone_from_the_index(shelf: Shelf) -> None:
    shelf.say("canary old")
    shelf.say("canary new", session="s2")
    shelf.catch_up()
    size = shelf.log.village_sizes()[VILLAGE][1]
    shelf.log.retain(VILLAGE, Retention(max_bytes=size - 1))
    assert shelf.texts("canary") == ["canary new"]
    assert shelf.find("canary").total == 1
    shelf.say("canary newest")
    shelf.catch_up()
    assert shelf.texts("canary") == ["canary newest", "canary new"]


def test_while_text_cannot_be_removed_it_is_not_shown_and_it_goes_later(shelf: Shelf) -> None:
    shelf.say("canary")
    shelf.catch_up()
    store = shelf.index._store
    forget = store.forget

    def broken(_sessions: Any) -> None:
        raise SearchError("the disk is full")

    store.forget = broken
    shelf.log.delete_session("s1")
    assert shelf.texts("canary") == []
    assert shelf.find("canary").total == 1
    store.forget = forget
    shelf.catch_up()
    assert shelf.find("canary").total == 0


def test_what_a_crash_left_of_a_deleted_session_goes_at_the_start(shelf: Shelf) -> None:
    shelf.say("canary")
    shelf.catch_up()
    shelf.log.on_removed = lambda _sessions: None
    shelf.log.delete_session("s1")
    shelf.again()
    shelf.catch_up()
    assert shelf.find("canary").total == 0


def test_without_room_on_the_disk_search_is_behind_and_says_why_and_goes_on_later(shelf: Shelf) -> None:
    shelf.say("before")
    shelf.catch_up()
    shelf.free = KEEP_FREE - 1
    shelf.say("canary")
    with pytest.raises(SearchError, match="less than 64 MB free"):
        shelf.index.step()
    freshness = shelf.index.freshness([VILLAGE])
    assert (freshness.behind, "make room" in (freshness.reason or "")) == (1, True)
    assert shelf.texts("before") == ["before"]
    shelf.free = KEEP_FREE
    shelf.catch_up()
    assert shelf.texts("canary") == ["canary"]
    assert shelf.index.freshness([VILLAGE]).reason is None


def test_a_question_that_takes_too_long_is_stopped_and_harms_nothing(
    shelf: Shelf, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.say(*["canary"] * 20)
    shelf.catch_up()
    monkeypatch.setattr(sqlite, "FIND_SECONDS", 0.0)
    monkeypatch.setattr(sqlite, "_STEPS", 1)
    monkeypatch.setattr(postgres, "FIND_SECONDS", 0.02)
    monkeypatch.setattr(postgres, "_FROM", f"{postgres._FROM} AND pg_sleep(1) IS NOT NULL")
    with pytest.raises(SearchTooSlow, match="narrow it"):
        shelf.find("canary")
    assert database.outage.reason() is None
    monkeypatch.undo()
    assert shelf.find("canary").total == 20


def test_an_index_that_was_deleted_is_built_again_while_the_service_runs(shelf: Shelf, database: Database) -> None:
    shelf.say("canary")
    shelf.catch_up()
    if database.is_sqlite:
        shelf.path.unlink()
    else:
        with database.engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE search_piece")
    shelf.catch_up()
    assert shelf.texts("canary") == ["canary"]


def test_an_index_of_another_version_is_built_again(shelf: Shelf, database: Database) -> None:
    shelf.say("canary")
    shelf.catch_up()
    shelf.index.close()
    if database.is_sqlite:
        with sqlite3.connect(shelf.path) as db:
            db.execute("PRAGMA user_version = 99")
        db.close()
    else:
        with database.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE search_version SET version = 99")
    shelf.again()
    shelf.catch_up()
    assert shelf.texts("canary") == ["canary"]


def test_an_event_that_cannot_be_read_keeps_no_other_from_being_found(shelf: Shelf) -> None:
    shelf.say("one")
    shelf.log.append([LogRecord("s1", 2, VILLAGE, "USAGE_TICK", 1, b"{}")])
    next(shelf._seqs["s1"])
    shelf.say("three")
    shelf.catch_up()
    assert (shelf.texts("three"), shelf.behind()) == (["three"], 0)


def test_a_session_with_much_to_read_does_not_keep_others_waiting(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(40):
        shelf.event("TERMINAL_CHUNK", "m1", data="some output\r\n", stream="stdout")
    for session in ("a2", "z2"):  # older than that: each has its turn
        shelf.say("canary", session=session)
    monkeypatch.setattr(index, "STEP_SECONDS", -1.0)  # a step is one event
    for _ in range(6):
        shelf.index.step()
    assert shelf.find("canary").total == 2
    assert shelf.behind() == 40 - 4
    shelf.event("TEST_RUN_STARTED", "now", command="canary -q")
    for _ in range(40):
        shelf.event("USAGE_TICK", "now")
    shelf.index.step()
    assert shelf.texts("canary", kind="test") == ["canary -q"]


def test_a_damaged_file_is_replaced_and_built_again(tmp_path: Path) -> None:
    path = tmp_path / "search.db"
    path.write_bytes(b"this is no database" * 1000)
    with EventLog.open(tmp_path / "journal.db", "normal", reserve_bytes=0) as log:
        shelf = Shelf(log, lambda: SqliteSearch(path), path)
        shelf.say("canary")
        shelf.catch_up()
        assert shelf.texts("canary") == ["canary"]
        assert path.stat().st_mode & 0o777 == 0o600
        shelf.index.close()


def test_a_full_disk_stops_the_index_and_nothing_else(tmp_path: Path) -> None:
    with EventLog.open(tmp_path / "journal.db", "normal", reserve_bytes=0) as log:
        shelf = Shelf(log, lambda: SqliteSearch(tmp_path / "search.db"), tmp_path / "search.db")
        shelf.say("before")
        shelf.catch_up()
        writer = shelf.index._store._writer
        (pages,) = writer.execute("PRAGMA page_count").fetchone()
        writer.execute(f"PRAGMA max_page_count = {pages}").fetchall()  # as SQLite says that a disk is full
        shelf.say(*(f"canary{number} " * 200 for number in range(50)))
        with pytest.raises(SearchError, match="the disk is full"):
            shelf.catch_up()
        assert log.position == 51
        assert shelf.behind() > 0
        assert "the disk is full" in (shelf.index.freshness([VILLAGE]).reason or "")
        assert shelf.texts("before") == ["before"]
        writer.execute("PRAGMA max_page_count = 1000000").fetchall()
        shelf.catch_up()
        assert (shelf.find("canary49").total, shelf.behind()) == (1, 0)
        shelf.index.close()


def test_the_words_of_removed_text_leave_the_file(tmp_path: Path) -> None:
    path = tmp_path / "search.db"
    with EventLog.open(tmp_path / "journal.db", "normal", reserve_bytes=0) as log:
        shelf = Shelf(log, lambda: SqliteSearch(path), path)
        shelf.say("canary4711")
        shelf.say("something else", session="s2")
        shelf.catch_up()
        log.delete_session("s1")
        shelf.catch_up()
        shelf.index.close()
    left = b"".join(one.read_bytes() for one in tmp_path.glob("search.db*"))
    assert b"canary4711" not in left
    assert b"something" in left
