"""The spool: numbers, ends, bounds. A real file, opened again as a restarted runner opens it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from townwatch.runner.spool.spool import Spool


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


@pytest.fixture
def spool(path: Path) -> Iterator[Spool]:
    found = Spool(path, limit_bytes=100_000)
    found.open_session("s", village="demo", provider="command", started_ms=1)
    yield found
    found.close()


def event(kind: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    return "s", {"type": kind, "sessionId": "s", "orgId": "demo", "ts": 1, **fields}


def output(text: str) -> tuple[str, dict[str, Any]]:
    return event("TERMINAL_CHUNK", data=text, stream="stdout")


def bodies(spool: Spool) -> list[dict[str, Any]]:
    return [json.loads(one.body) for one in spool.unacked("s", 0, 100_000)]


def test_numbers_go_on_after_everything_was_acknowledged_and_the_runner_began_anew(spool: Spool, path: Path) -> None:
    spool.append([output("a"), output("b")])
    spool.ack("s", 2)
    again = Spool(path)
    (stored,) = again.append([output("c")])
    again.close()
    assert stored.seq == 3


def test_numbers_that_the_service_has_are_used_up_whatever_this_disk_remembers(spool: Spool) -> None:
    spool.append([output("a")])
    spool.ack("s", 40)
    (stored,) = spool.append([output("b")])
    assert stored.seq == 41


def test_what_the_events_say_of_the_session_is_known_in_the_same_commit(spool: Spool, path: Path) -> None:
    changed = event("SESSION_STATE_CHANGED", previousState="RUNNING", newState="COMPLETED")
    spool.append([changed, event("SESSION_ENDED", finalState="COMPLETED")])
    again = Spool(path)
    (session,) = again.sessions()
    again.close()
    assert (session.state, session.live, session.last_seq) == ("COMPLETED", False, 2)


def test_an_event_of_a_session_that_nobody_opened_takes_the_whole_batch_back(spool: Spool) -> None:
    with pytest.raises(KeyError):
        spool.append([output("mine"), ("other", {"type": "TERMINAL_CHUNK"})])
    assert spool.size() == (0, 0)
    (stored,) = spool.append([output("mine")])
    assert stored.seq == 1


def test_a_session_is_forgotten_when_it_has_ended_and_nothing_of_it_waits(spool: Spool) -> None:
    spool.append([output("a"), event("SESSION_ENDED", finalState="COMPLETED")])
    spool.ack("s", 1)
    spool.forget("s")
    assert [session.session_id for session in spool.sessions()] == ["s"]
    spool.drop("s", 2)  # refused for good
    spool.forget("s")
    assert spool.sessions() == []
    assert spool.size() == (0, 0)


@pytest.mark.parametrize("length", [1, 80, 5_000], ids=["characters", "lines", "screens"])
def test_full_the_oldest_output_goes_behind_a_marker_and_everything_else_stays(spool: Spool, length: int) -> None:
    written = 0
    while written < 400_000:
        batch = [output("x" * length) for _ in range(20)] + [event("FILE_TOUCHED", path="a.py", reason="write")]
        written += sum(len(one.body) for one in spool.append(batch))
    kept = bodies(spool)
    files = [one for one in kept if one["type"] == "FILE_TOUCHED"]
    gaps = [one for one in kept if "gap" in one]
    structured = sum(len(json.dumps(one)) for one in kept if one["type"] != "TERMINAL_CHUNK" or "gap" in one)
    assert spool.size()[1] <= max(100_000, structured)
    assert len(files) * 20 == written_output(kept)
    assert gaps
    assert all("dropped here" in one["data"] and one["gap"]["fromSeq"] == one["seq"] for one in gaps)


def written_output(kept: list[dict[str, Any]]) -> int:
    """How many pieces of output the spool accounts for: those it has, and those that a gap speaks of."""
    chunks = [one for one in kept if one["type"] == "TERMINAL_CHUNK"]
    return sum(one["gap"]["toSeq"] - one["gap"]["fromSeq"] + 1 if "gap" in one else 1 for one in chunks)


def test_a_gap_says_how_many_bytes_are_gone(spool: Spool) -> None:
    spool.append([output("ä" * 500) for _ in range(300)])
    gap = bodies(spool)[0]["gap"]
    assert gap["bytes"] == (gap["toSeq"] - gap["fromSeq"] + 1) * 1000


def test_the_size_is_known_again_after_a_restart(spool: Spool, path: Path) -> None:
    spool.append([output("x" * 5_000) for _ in range(50)])
    again = Spool(path)
    size = again.size()
    again.close()
    assert size == spool.size()


def test_what_waits_for_a_decision_is_known_in_the_same_commit(spool: Spool, path: Path) -> None:
    asked = [event("APPROVAL_REQUESTED", approval={"approvalId": f"ap_{number}"}) for number in (1, 2)]
    spool.append([*asked, event("APPROVAL_RESOLVED", approvalId="ap_1", decision="allow")])
    again = Spool(path)
    assert again.waiting("s") == ["ap_2"]
    again.append([event("SESSION_ENDED", finalState="FAILED")])
    assert again.waiting("s") == []
    again.close()
