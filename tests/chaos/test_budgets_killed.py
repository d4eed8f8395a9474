"""No session spends more than one tick past its budget, whoever is killed: counted from the agents' own bills.

Agents write each bill into a file and then tell it, as a CLI tells what a request has cost. They share a budget of
their village, and each has one of its own, while a nemesis kills the service with -9, freezes it, and kills runners
with -9. Then everything comes to rest: what is left asks, one allow lets it go on, and the bills are counted. For
longer:

TOWNWATCH_KILLS=40 TOWNWATCH_SEED=3 python -m pytest -s tests/chaos/test_budgets_killed.py
"""

import os
import random
import signal
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

from tests.chaos.test_promises_killed import asked
from tests.chaos.test_service_killed import House, free_port

ROUNDS = int(os.environ.get("TOWNWATCH_KILLS", "3"))
SEED = int(os.environ.get("TOWNWATCH_SEED", "1"))
AGENTS = 3
TICK = 0.05
VILLAGE, EACH = 1 + 0.5 * ROUNDS, 0.5 + 0.3 * ROUNDS
BUDGETS = "/api/villages/demo/budgets"
AGENT = f"""
import os, subprocess, sys, time
bill = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
tell = [sys.executable, "-P", "-m", "townwatch", "usage", "--input-tokens", "100", "--cost-usd", "{TICK}"]
while True:
    os.write(bill, (os.environ["TOWNWATCH_SESSION"] + "\\n").encode())
    subprocess.run(tell, check=True)
    time.sleep(0.02)
"""


@attrs.define(eq=False)
class Shop:
    house: House
    script: Path
    runs: list[Any] = attrs.field(factory=list[Any])

    def start_agent(self) -> None:
        bills = self.house.folder / "bills"
        self.runs.append(
            self.house.townwatch(
                "run", "--", sys.executable, str(self.script), str(bills), output=f"run{len(self.runs)}.out"
            )
        )

    def bills(self) -> dict[str, float]:
        """Session → what it was billed."""
        found: dict[str, float] = defaultdict(float)
        path = self.house.folder / "bills"
        for session_id in path.read_text().split() if path.exists() else ():
            found[session_id] += TICK
        return found

    def strike(self, dice: random.Random) -> None:
        """One act of the nemesis."""
        match dice.choice(("service", "freeze", "runner")):
            case "service":
                self.house.kill_service()
                time.sleep(dice.uniform(0.2, 1.5))
                self.house.start_service()
            case "freeze":
                assert self.house.service is not None
                self.house.service.send_signal(signal.SIGSTOP)
                time.sleep(dice.uniform(0.5, 2.0))
                self.house.service.send_signal(signal.SIGCONT)
            case _:
                victim = dice.choice([one for one in self.runs if one.poll() is None])
                victim.kill()
                victim.wait()
                self.start_agent()


def wait_for_bills(http: httpx.Client) -> None:
    """Until every agent's runner was told of the budgets: one that never heard of any holds none."""
    deadline = time.monotonic() + 90
    while True:
        assert time.monotonic() < deadline, "the agents do not begin"
        (each,) = [one for one in http.get(BUDGETS).json()["items"] if one["scope"] == "session"]
        if sum(one["used"] > 0 and one["leased"] > 0 for one in each["accounts"]) == AGENTS:
            return
        time.sleep(0.1)


def questions(http: httpx.Client) -> list[dict[str, Any]]:
    items = http.get("/api/approvals?villageId=demo").json()["items"]
    return [one for one in items if one["category"] == "budget"]


def rest(shop: Shop, http: httpx.Client) -> list[dict[str, Any]]:
    """The questions, once every session that lives waits for its budget."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        alive = {one["sessionId"] for one in http.get("/api/runner/sessions?live=true").json()["items"]}
        states = http.get("/api/runner/sessions?live=true").json()["items"]
        found = questions(http)
        if alive and found and all(one["state"] == "PAUSED_BY_HUMAN" or one["detached"] for one in states):
            return found
        time.sleep(0.2)
    raise AssertionError(f"the budget is not used up: {http.get(BUDGETS).text}\n{shop.bills()}")


def check(shop: Shop, village: float) -> None:
    bills = shop.bills()
    assert all(spent <= EACH + TICK + 1e-9 for spent in bills.values()), bills
    assert sum(bills.values()) <= village + TICK * len(bills) + 1e-9, bills


@pytest.mark.timeout(180 + 15 * ROUNDS)
def test_no_session_spends_more_than_a_tick_past_its_budgets(tmp_path: Path) -> None:
    house = House(tmp_path, free_port())
    script = tmp_path / "agent.py"
    script.write_text(AGENT)
    shop, dice = Shop(house, script), random.Random(SEED)
    try:
        house.start_service()
        with asked(house) as http:
            for terms in ({"scope": "village", "amount": VILLAGE}, {"scope": "session", "amount": EACH}):
                assert http.post(BUDGETS, json={**terms, "unit": "usd"}).status_code == 201
            for _ in range(AGENTS):
                shop.start_agent()
            wait_for_bills(http)
        for _ in range(ROUNDS):
            time.sleep(dice.uniform(0.3, 1.0))
            shop.strike(dice)
            check(shop, VILLAGE)
        with asked(house) as http:
            waiting = [one for one in rest(shop, http) if "The village's budget" in one["summary"]]
            check(shop, VILLAGE)
            before = sum(shop.bills().values())
            assert before > 0
            if waiting:  # else each session has come to the end of its own budget first
                one = waiting[0]
                path = f"/api/runner/sessions/{one['sessionId']}/approvals/{one['approvalId']}"
                assert http.post(path, json={"decision": "allow"}).status_code == 200
                house.kill_service()  # right behind the answer: the raise is a row
                house.start_service()
        if waiting:
            deadline = time.monotonic() + 60
            while sum(shop.bills().values()) <= before:
                assert time.monotonic() < deadline, "the allowed budget is not spent"
                time.sleep(0.1)
            with asked(house) as http:
                (village,) = [one for one in http.get(BUDGETS).json()["items"] if one["scope"] == "village"]
                assert village["accounts"][0]["of"] == pytest.approx(2 * VILLAGE)
                rest(shop, http)
            check(shop, 2 * VILLAGE)
    finally:
        house.close()
