"""kill -9 of the service right behind a 200: what was promised to a person is kept all the same."""

import signal
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from tests.chaos.test_service_killed import House, free_port
from tests.support.service import quiet_settings
from townwatch.app.identity import local_access
from townwatch.runner.identity import NotEnrolled


def asked(house: House) -> httpx.Client:
    """A client of the owner, once the service answers and has said who its runner is."""
    url, deadline = f"http://127.0.0.1:{house.port}", time.monotonic() + 60
    while True:
        assert time.monotonic() < deadline, "the service does not come up"
        try:
            httpx.get(f"{url}/readyz", timeout=5)
            _, token = trio.run(local_access, quiet_settings(house.state))
            break
        except (httpx.HTTPError, NotEnrolled):
            time.sleep(0.05)
    return httpx.Client(base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=30)


def session_of(http: httpx.Client, state: str) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for one in http.get("/api/runner/sessions").json()["items"]:
            if one["state"] == state:
                return one["sessionId"]
        time.sleep(0.1)
    raise AssertionError(f"no session became {state}")


@pytest.mark.timeout(240)
def test_a_stop_outlives_a_kill_right_behind_its_answer(tmp_path: Path) -> None:
    house = House(tmp_path, free_port())
    try:
        house.start_service()
        asked(house).close()
        program = house.townwatch("run", "--", "sleep", "300", output="run.out")
        with asked(house) as http:
            session_id = session_of(http, "RUNNING")
        program.send_signal(signal.SIGSTOP)
        house.kill_service()  # its connection is over; the frozen runner does not dial the next one
        house.start_service()
        with asked(house) as http:
            answer = http.post(f"/api/runner/sessions/{session_id}/stop")
            assert (answer.status_code, answer.json()["state"]) == (200, "waiting")
        house.kill_service()
        house.start_service()
        program.send_signal(signal.SIGCONT)
        program.wait(timeout=90)
        with asked(house) as http:
            assert session_of(http, "COMPLETED") == session_id
    finally:
        house.close()


def the_approval(http: httpx.Client) -> dict[str, Any]:
    """The one that waits."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if items := http.get("/api/approvals").json()["items"]:
            (found,) = items
            return found
        time.sleep(0.1)
    raise AssertionError("nothing was asked")


@pytest.mark.timeout(240)
def test_an_allow_that_needs_a_second_person_outlives_a_kill_right_behind_its_answer(tmp_path: Path) -> None:
    house = House(tmp_path, free_port())
    try:
        house.start_service()
        rule = {"id": "two", "effect": "ask", "category": "network", "answer": {"people": 2}}
        with asked(house) as http:
            assert http.put("/api/villages/demo/policy", json={"rules": [rule]}).status_code == 200
            ask = [sys.executable, "-P", "-m", "townwatch", "ask", "--category=network", "--risk=low", "send it"]
            program = house.townwatch("run", "--", *ask, output="run.out")
            found = the_approval(http)
            path = f"/api/runner/sessions/{found['sessionId']}/approvals/{found['approvalId']}"
            first = http.post(path, json={"decision": "allow"}).json()
            assert (first["needed"], len(first["allowedBy"])) == (2, 1)
        house.kill_service()
        house.start_service()
        with asked(house) as http:
            assert the_approval(http)["answer"]["allowedBy"] == first["allowedBy"]
            again = http.post(path, json={"decision": "allow"}).json()
            assert again["allowedBy"] == first["allowedBy"], "the same person is no second one"
            assert http.post(path, json={"decision": "deny"}).status_code == 200
        assert program.wait(timeout=90) == 1
    finally:
        house.close()
