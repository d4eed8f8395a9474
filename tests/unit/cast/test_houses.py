"""What goes on in a house: lights, smoke, banner; how long they last; when its version rises."""

from typing import Any

from townwatch.actors.rendering.houses import HouseState, after, expire, next_change
from townwatch.contracts.codec import encode
from townwatch.contracts.decoding.runner_events import decode_event

NOW = 1_764_000_000_000
HOUSE = HouseState(repo_id="house_1", village_id="demo", repo_path="/src/app")


def event(kind: str, **fields: Any) -> Any:
    return decode_event(encode({"type": kind, "sessionId": "s1", "orgId": "demo", "ts": NOW, "seq": 1, **fields}))


CHUNK = event("TERMINAL_CHUNK", data="x", stream="stdout")
TESTING = event("TEST_RUN_STARTED", command="pytest")
APPROVAL = {
    "approvalId": "a",
    "sessionId": "s1",
    "category": "shell",
    "summary": "x",
    "risk": "low",
    "requestedAt": NOW,
}
ASKED = event("APPROVAL_REQUESTED", approval=APPROVAL)
ANSWERED = event("APPROVAL_RESOLVED", approvalId="a", decision="allow")


def finished(code: int) -> Any:
    return event("TEST_RUN_FINISHED", exitCode=code, passed=1, failed=0, skipped=0, duration=5)


def test_work_lights_the_house_for_ninety_seconds() -> None:
    lit = after(HOUSE, CHUNK, NOW)
    assert (lit.lights.active, lit.lights.expires_at, lit.version) == (True, NOW + 90_000, 1)
    assert expire(lit, NOW + 89_999).lights.active
    dark = expire(lit, NOW + 90_000)
    assert (dark.lights.active, dark.version) == (False, 2)


def test_a_busy_terminal_is_no_change_with_every_line() -> None:
    lit = after(HOUSE, CHUNK, NOW)
    assert after(lit, CHUNK, NOW + 500) is lit
    assert after(lit, CHUNK, NOW + 1_500).version == 2


def test_a_test_run_smokes_until_it_ends_and_is_seen_for_five_seconds_at_least() -> None:
    smoking = after(HOUSE, TESTING, NOW)
    assert (smoking.smoke.active, smoking.smoke.build_status) == (True, "in_progress")
    done = after(smoking, finished(1), NOW + 100)
    assert (done.smoke.active, done.smoke.build_status, done.smoke.expires_at) == (True, "failed", NOW + 5_000)
    assert expire(done, NOW + 5_000).smoke.active is False
    assert expire(done, NOW + 5_000).smoke.build_status == "failed"


def run(kind: str, run_id: str, **fields: Any) -> Any:
    return event(kind, runId=run_id, **fields)


def test_a_verdict_that_is_not_known_is_no_build_status() -> None:
    done = after(after(HOUSE, TESTING, NOW), event("TEST_RUN_FINISHED", duration=5, verdict="unknown"), NOW)
    assert (done.smoke.active, done.smoke.build_status) == (True, None)


def test_runs_beside_each_other_smoke_until_the_last_and_a_failure_is_not_hidden() -> None:
    house = HOUSE
    for run_id in "ab":
        house = after(house, run("TEST_RUN_STARTED", run_id, command="pytest"), NOW)
    house = after(house, run("TEST_RUN_FINISHED", "b", duration=1, verdict="failed"), NOW + 1)
    assert house.smoke.build_status == "in_progress"
    house = after(house, run("TEST_RUN_FINISHED", "a", duration=1, verdict="passed"), NOW + 2)
    assert house.smoke.build_status == "failed"
    house = after(house, run("TEST_RUN_STARTED", "c", command="pytest"), NOW + 3)
    house = after(house, run("TEST_RUN_FINISHED", "c", duration=1, verdict="passed"), NOW + 4)
    assert house.smoke.build_status == "passed"


def test_the_banner_hangs_while_an_approval_waits() -> None:
    asked = after(HOUSE, ASKED, NOW)
    assert (asked.banner.active, asked.banner.context_ids) == (True, ["s1:a"])
    answered = after(asked, ANSWERED, NOW + 10)
    assert answered.banner.expires_at == NOW + 2_000
    assert expire(answered, NOW + 2_000).banner.active is False


def test_the_next_change_is_the_earliest_expiry() -> None:
    assert next_change([HOUSE]) is None
    assert next_change([after(after(HOUSE, CHUNK, NOW), TESTING, NOW)]) == NOW + 90_000
