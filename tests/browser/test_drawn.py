"""No pixel without a metric: each row of the table in docs/page.md as an event that comes in, and what is drawn."""

import itertools
import re
import time
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.browser.conftest import Watcher
from tests.browser.test_page import SHELL, Desk, agent_row

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
expect = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect

PAGE = Path(__file__).parents[2] / "docs" / "page.md"
ROW = re.compile(r"^\| (?P<what>.+?) \| `(?P<drawn_as>[\w-]+)` \|", re.MULTILINE)
HOUSE = "/drawn/house"
DISPATCH = """async (events) => {
  const store = await import(`${location.origin}/js/store.js`);
  store.dispatch(events);
}"""
Event = tuple[str, dict[str, Any]]


@attrs.define
class Agent:
    """One that only events know: `n` is in its name, its ids and all that is said of it."""

    n: int

    @property
    def ids(self) -> dict[str, Any]:
        return {"agentId": f"drawn{self.n}", "sessionId": f"s{self.n}", "timestamp": now()}

    @property
    def name(self) -> str:
        return f"Drawn {self.n}."

    def spawn(self) -> Event:
        return "agent_spawn", {**self.ids, "agentType": "claude", "agentName": self.name, "repoPath": HOUSE}

    def work(self, kind: str, seq: int = 5, **payload: Any) -> Event:
        return "work_stream_event", {**self.ids, "type": kind, "seq": seq, "payload": payload}

    def update(self, status: str) -> Event:
        return "agent_update", {**self.ids, "status": status, "ts": now()}

    def listed(self, house: Any = None, **fields: Any) -> Event:
        item = {**self.ids, "lastEventSeq": 9, "state": "RUNNING", "lastEventAt": now(), **fields}
        return "house_changed", {"repoId": "drawn", "ts": now(), "agents": [item], "lastTest": house}

    def approval(self, kind: str = "approval_requested", **fields: Any) -> Event:
        asked = {"approvalId": f"p{self.n}", "category": "shell", "risk": "low", "summary": f"make {self.n}"}
        return kind, {**self.ids, **asked, "requestedAt": now(), "villageId": "demo", **fields}

    def alert(self, kind: str, **fields: Any) -> Event:
        said = {"alertId": f"b{self.n}", "severity": "error", "category": "test", "title": f"Broken {self.n}"}
        return kind, {**self.ids, **said, **fields}


def now() -> int:
    return int(time.time() * 1000)


TEST = {"verdict": "failed", "passed": 1, "failed": 3, "skipped": 0, "finishedAt": 0}
HOUSES = ("houses", [{"repoId": "drawn", "repoPath": HOUSE, "villageId": "demo", "name": "drawn", "version": 1}])

Cases = dict[str, tuple[str, list[Event], str]]
"""What is drawn → (drawn as, the events, the text of it, or its selector)."""


def in_village(a: Agent) -> Cases:
    spawned, asked, alert = a.spawn(), a.approval(), a.alert("alert_raised")
    diff = {"linesAdded": 71, "linesRemoved": 29, "filesChanged": 1}
    pulse = '[aria-label="7 signs of work in 15 minutes"]'
    paused = a.work("status_change", newState="PAUSED_BY_HUMAN")
    repaired = a.alert("bug_bot_progress", progress=0.4)
    return {
        "an agent is there, by its name": ("agent", [spawned], a.name),
        "working, paused, failed, done": ("status", [spawned, paused], "paused"),
        "your turn": ("status", [spawned, a.update("idle")], "your turn"),
        "waits, because a dialog is open in its terminal": ("status", [spawned, a.update("waiting")], "waits for you"),
        "runner lost": ("status", [spawned, a.update("DETACHED")], "runner lost"),
        "idle": ("status", [spawned, a.listed(activityAt=now() - 90_000)], "idle"),
        "the last line that it wrote": ("agent", [spawned, a.work("output", data=f"one\nlast {a.n}\n")], f"last {a.n}"),
        "the last test run": ("last-test", [spawned, a.listed(lastTest=TEST)], "3 fail"),
        "the size of its diff": ("agent", [spawned, a.listed(diff=diff)], "+71 −29"),
        "signs of work in 15 minutes": ("agent", [spawned, a.listed(activity=[0] * 14 + [7])], pulse),
        "a house's last test run in words": ("house", [spawned, a.listed(house=TEST)], "3 fail"),
        "who waits in a house": ("house", [spawned, asked], "2 wait"),
        "an alert, its bug bot": ("alerts", [spawned, alert], f"Broken {a.n}"),
        "how far the repair is": ("alerts", [spawned, alert, repaired], 'progress[value="0.4"]'),
        "a line of the feed": ("feed", [spawned, a.work("session_start")], a.name),
    }


def among_approvals(a: Agent) -> Cases:
    asked = [a.spawn(), a.approval()]
    held = a.approval("approval_decided", decision="allow", resolvedBy="Olga", releaseAt=now() + 60_000)
    denied = a.approval("approval_resolved", decision="deny", resolvedBy="Olga", resolvedAt=now())
    return {
        "what waits, whole": ("approval", asked, f"make {a.n}"),
        "an allow that is held": ("held", [*asked, held], "Olga"),
        "how it was answered": ("outcome", [*asked, denied], f"make {a.n}"),
    }


def of_agent(a: Agent) -> Cases:
    olga = {"userId": "u", "name": "Olga"}
    keyboard = {"sessionId": f"s{a.n}", "holder": olga, "since": now(), "asking": []}
    presence = {"room": f"agent:drawn{a.n}", "people": [olga], "visitors": 1}
    told = a.work("agent_prompt", 6, id="1", text="Do it")
    tool = a.work("agent_tool", 7, id="t", name="Bash", title="make it", status="ok")
    failed = a.work("agent_turn", 8, id="u", result="failed", reason="no credit is left")
    steps = [{"text": "one", "status": "completed"}, {"text": "two", "status": "pending"}]
    counts = {"passed": 1, "failed": 1, "skipped": 0, "exitCode": 1, "duration": 10, "verdict": "failed"}
    run = [
        a.work("test_start", 6, runId="r", command="pytest -q"),
        a.work("test_finish", 7, runId="r", failureText="assert 1 == 2", **counts),
    ]
    tick = {**a.ids, "intervalMs": 30_000, "units": {"inputTokens": 4321, "costUsd": 0.5}}
    return {
        "who holds the keyboard": ("holder", [("keyboard", keyboard)], "Olga holds the keyboard"),
        "who looks on": ("onlookers", [("presence", presence)], "2 others look on"),
        "what the agent was told, said and did": ("story", [told, tool], "make it"),
        "why its turn failed": ("story", [failed], "no credit is left"),
        "its plan": ("plan", [a.work("agent_plan", items=steps)], "Plan: 1 of 2"),
        "a test run, and what failed in it": ("test-runs", run, "assert 1 == 2"),
        "a file that it touched": ("touched", [a.work("file_edit", path="src/drawn.py")], "src/drawn.py"),
        "tokens and cost": ("usage", [("usage_tick", tick)], "$0.50"),
    }


TABS = {"test-runs": "tests", "touched": "changes", "usage": "usage"}
GONE = "that it is gone"


def documented() -> dict[str, str]:
    return {found["what"]: found["drawn_as"] for found in ROW.finditer(PAGE.read_text())}


def found(page: Any, case: tuple[str, list[Event], str], agent: Agent) -> Any:
    """Where it is drawn: what is of one agent, in its row."""
    drawn_as, _events, what = case
    row = page.locator(f'[data-agent="drawn{agent.n}"]')
    place = row if drawn_as == "agent" else page.get_by_test_id(drawn_as)
    if drawn_as in ("status", "last-test"):
        place = row.get_by_test_id(drawn_as)
    return place.locator(what) if "[" in what else place.filter(has_text=what)


def tell(page: Any, events: list[Event]) -> None:
    page.evaluate(DISPATCH, [list(one) for one in events])


def test_the_table_names_what_is_tried_here() -> None:
    a = Agent(0)
    tried = {what: case[0] for what, case in {**in_village(a), **among_approvals(a), **of_agent(a)}.items()}
    assert documented() == tried | {GONE: "alerts"}


def test_what_is_drawn_comes_from_an_event(desk: Desk, watcher: Watcher) -> None:
    watcher.expected += ["404", "ERR_FAILED"]  # the service knows nothing of these agents, and its lists are not read
    page = desk("")
    expect(agent_row(page, SHELL)).to_be_visible()
    page.route("**/api/villages/*/agents*", lambda route: route.abort())
    tell(page, [HOUSES])
    agents = (Agent(n) for n in itertools.count())
    for what in in_village(Agent(0)):
        agent = next(agents)
        case = in_village(agent)[what]
        drawn = found(page, case, agent)
        expect(drawn, what).to_have_count(0)
        tell(page, case[1])
        expect(drawn.first, what).to_be_visible()
    broken = page.get_by_test_id("alerts").filter(has_text="Broken")
    expect(broken).not_to_have_count(0)
    for n in range(len(in_village(Agent(0)))):
        tell(page, [Agent(n).alert("bug_bot_resolved")])
    expect(broken, GONE).to_have_count(0)

    for cases, route in ((among_approvals, "#/approvals"), (of_agent, "#/a/drawn{n}?tab={tab}")):
        for what in cases(Agent(0)):
            agent = next(agents)
            case = cases(agent)[what]
            tell(page, [agent.spawn()])
            page.evaluate("hash => { location.hash = hash; }", route.format(n=agent.n, tab=TABS.get(case[0], "")))
            expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(f"{agent.name}|Approvals"))
            drawn = found(page, case, agent)
            expect(drawn, what).to_have_count(0)
            tell(page, case[1])
            expect(drawn.first, what).to_be_visible()
