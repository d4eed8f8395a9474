"""The doctor over files that are really damaged: it says which, and `--repair` saves what can be read."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from townwatch.app.doctor import Finding, RepairRefused, examine, repair
from townwatch.app.upkeep.backup import BackupFailed, back_up
from townwatch.cli import main as cli
from townwatch.config import reading
from townwatch.config.settings import Settings
from townwatch.contracts.records import LogRecord
from townwatch.store import users
from townwatch.store.database import Database
from townwatch.store.log.event_log import EventLog

EVENTS = 3000


def body(session: str, seq: int) -> bytes:
    told = {"type": "FILE_TOUCHED", "sessionId": session, "orgId": "demo", "seq": seq, "path": "p" * 300}
    return json.dumps(told).encode()


def filled(state: Path) -> Settings:
    """A journal of two sessions and tables with 200 people, closed in order."""
    with EventLog.open(state / "journal.db", reserve_bytes=0) as log:
        for session in ("s1", "s2"):
            log.append(
                [LogRecord(session, n, "demo", "FILE_TOUCHED", 1.0, body(session, n)) for n in range(1, EVENTS + 1)]
            )
    database = Database.open(state / "townwatch.db")
    for number in range(200):
        database.run(users.create, f"Person {number}", 1, email=f"p{number}@example.org")
    database.close()
    state.chmod(0o700)
    return reading.load(None, {"TOWNWATCH_STATE_DIR": str(state)})


def flip(file: Path, begin: int, count: int) -> None:
    content = bytearray(file.read_bytes())
    for place in range(begin, min(begin + count, len(content))):
        content[place] ^= 0xA5
    file.write_bytes(content)


def levels(found: list[Finding], check: str) -> set[str]:
    return {finding.level for finding in found if finding.check == check}


def events_of(state: Path, session: str) -> list[int]:
    with EventLog.open(state / "journal.db", reserve_bytes=0) as log:
        found: list[int] = []
        while page := log.read(session, found[-1] if found else 0):
            found += [record.seq for record in page]
        return found


def test_a_sound_directory_has_nothing_but_ok(tmp_path: Path) -> None:
    found = examine(filled(tmp_path))
    assert {finding.level for finding in found if finding.check not in ("git", "disk", "shell")} == {"ok"}
    assert {"state directory", "disk", "journal", "tables", "spool", "clock", "settings", "git", "shell"} <= {
        finding.check for finding in found
    }


def test_an_empty_directory_is_no_fault(tmp_path: Path) -> None:
    found = examine(reading.load(None, {"TOWNWATCH_STATE_DIR": str(tmp_path / "none")}))
    assert "fail" not in levels(found, "journal") | levels(found, "tables") | levels(found, "state directory")


def test_a_machine_with_a_runner_says_which_agents_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "codex"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho codex-cli 0.999.0\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("OPENAI_API_KEY", "not-real")
    state = tmp_path / "state"
    state.mkdir()
    set_ = reading.load(None, {"TOWNWATCH_STATE_DIR": str(state)})
    assert not [one for one in examine(set_) if one.check.startswith("agent")]
    (state / "runner.json").write_text("{}")
    (state / "runner.json").chmod(0o600)
    lines = [one.line() for one in examine(set_) if one.check == "agent codex"]
    assert lines == ["ok    agent codex: 0.999.0, tested with 0.171.0, signed in"]


def header(file: Path) -> None:
    flip(file, 0, 64)


def middle(file: Path) -> None:
    flip(file, file.stat().st_size // 2, 8192)


def truncated(file: Path) -> None:
    os.truncate(file, file.stat().st_size * 2 // 3)


@pytest.mark.parametrize("harm", [header, middle, truncated])
def test_a_damaged_journal_is_found_and_saved(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    set_ = filled(tmp_path)
    harm(tmp_path / "journal.db")
    assert "fail" in levels(examine(set_), "journal")
    repair(set_)
    assert "fail" not in levels(examine(set_), "journal")
    assert list(tmp_path.glob("journal.db.damaged-*"))
    saved = {session: events_of(tmp_path, session) for session in ("s1", "s2")}
    share = sum(map(len, saved.values())) / (2 * EVENTS)
    assert share > (0.99 if harm is header else 0.5), share
    with EventLog.open(tmp_path / "journal.db", reserve_bytes=0) as log:
        missing = {
            s: [seq for loss in log.losses() if loss.session_id == s for seq in range(loss.from_seq, loss.to_seq + 1)]
            for s in saved
        }
        for session, seqs in saved.items():  # every event is there, or known to be missing
            assert sorted({*seqs, *missing[session]}) == list(range(1, EVENTS + 1))
            assert seqs == sorted(set(seqs))


@pytest.mark.parametrize("harm", [header, middle, truncated])
def test_damaged_tables_are_found_and_saved(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    set_ = filled(tmp_path)
    harm(tmp_path / "townwatch.db")
    assert "fail" in levels(examine(set_), "tables")
    repair(set_)
    assert "fail" not in levels(examine(set_), "tables")
    database = Database.open(tmp_path / "townwatch.db")
    people = database.run(users.count)
    database.close()
    assert people == 200 if harm is header else people >= 0


def test_a_damaged_index_is_made_anew_and_nothing_is_lost(tmp_path: Path) -> None:
    set_ = filled(tmp_path)
    with sqlite3.connect(tmp_path / "journal.db") as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'event_by_session'").fetchone()
    connection.close()
    flip(tmp_path / "journal.db", (root - 1) * 4096 + 8, 64)
    repair(set_)
    assert "fail" not in levels(examine(set_), "journal")
    assert events_of(tmp_path, "s1") == list(range(1, EVENTS + 1))


def test_unreadable_rows_are_set_aside_without_touching_the_rest(tmp_path: Path) -> None:
    set_ = filled(tmp_path)
    for name, sql in (
        ("journal.db", "UPDATE event SET type = CAST(X'FF' AS TEXT) WHERE seq IN (5, 6) AND session = 1"),
        ("townwatch.db", "UPDATE users SET created_ms = 'x' WHERE email = 'p3@example.org'"),
    ):
        with sqlite3.connect(tmp_path / name) as connection:
            connection.execute(sql)
        connection.close()
    found = examine(set_)
    assert "fail" in levels(found, "journal")
    assert "fail" in levels(found, "tables")
    repair(set_)
    found = examine(set_)
    assert "warn" in levels(found, "journal")
    assert "fail" not in levels(found, "journal") | levels(found, "tables")
    assert len(events_of(tmp_path, "s1")) == EVENTS - 2


def test_a_log_behind_its_witness_is_told(tmp_path: Path) -> None:
    set_ = filled(tmp_path)
    (tmp_path / "old").mkdir()
    shutil.copy2(tmp_path / "journal.db", tmp_path / "old")
    with EventLog.open(tmp_path / "journal.db", reserve_bytes=0) as log:
        log.append([LogRecord("s1", EVENTS + 1, "demo", "FILE_TOUCHED", 1.0, body("s1", EVENTS + 1))])
    shutil.copy2(tmp_path / "old" / "journal.db", tmp_path / "journal.db")
    told = [finding.text for finding in examine(set_) if finding.check == "journal"]
    assert any(f"events {EVENTS + 1} to {EVENTS + 1}" in text for text in told)
    (tmp_path / "journal.db").unlink()
    assert "fail" in levels(examine(set_), "journal")


def test_a_torn_witness_leaves_the_other_slot(tmp_path: Path) -> None:
    filled(tmp_path)
    newest = max(
        tmp_path.glob("journal-heads.*"), key=lambda file: json.loads(file.read_bytes().split(b"\n")[0])["generation"]
    )
    os.truncate(newest, newest.stat().st_size // 2)
    with EventLog.open(tmp_path / "journal.db", reserve_bytes=0) as log:
        assert log.losses() == []


def test_files_that_others_can_read_are_told_and_closed(tmp_path: Path) -> None:
    set_ = filled(tmp_path)
    (tmp_path / "journal.db").chmod(0o644)
    tmp_path.chmod(0o755)
    assert levels(examine(set_), "state directory") == {"warn", "fail"}
    repair(set_)
    assert levels(examine(set_), "state directory") == {"ok"}


def test_nothing_is_repaired_under_a_running_service(tmp_path: Path) -> None:
    set_ = filled(tmp_path)
    with EventLog.open(tmp_path / "journal.db", reserve_bytes=0), pytest.raises(RepairRefused):
        repair(set_)


def test_the_command_prints_a_line_a_check_and_its_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filled(tmp_path)
    arguments = ["doctor", "--state-dir", str(tmp_path)]
    assert cli.app(arguments, result_action="return_value") == 0
    assert "ok    journal: journal.db is sound" in capsys.readouterr().out
    header(tmp_path / "journal.db")
    assert cli.app([*arguments, "--json"], result_action="return_value") == 1
    assert json.loads(capsys.readouterr().out)["worst"] == "fail"


def test_a_backup_taken_while_events_come_is_one_sound_state(tmp_path: Path) -> None:
    state, copy = tmp_path / "state", tmp_path / "copy"
    filled(state)
    with EventLog.open(state / "journal.db", reserve_bytes=0) as log:
        log.append([LogRecord("s3", n, "demo", "FILE_TOUCHED", 1.0, body("s3", n)) for n in range(1, 50)])
        back_up(state, copy)
        log.append([LogRecord("s3", 50, "demo", "FILE_TOUCHED", 1.0, body("s3", 50))])
    assert events_of(copy, "s3") == list(range(1, 50))
    with pytest.raises(BackupFailed, match="not empty"):
        back_up(state, copy)
    assert copy.stat().st_mode & 0o077 == 0
