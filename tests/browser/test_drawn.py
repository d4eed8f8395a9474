"""No pixel without a metric: each row of the table in docs/page.md, as an event that comes in and what is drawn of it."""

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

    def listed(self, **fields: Any) -> Event:
        item = {**self.ids, "lastEventSeq": 9, "state": "RUNNING", "lastEventAt": now(), **fields}
        return "house_changed", {"repoId": "drawn", "ts": now(), "agents": [item], "lastTest": fields.get("lastTest")}

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

VILLAGE: dict[str, tuple[str, Any, Any]] = {
    "an agent is there, by its name": ("agent", lambda a: [a.spawn()], lambda a: a.name),
    "working, paused, failed, done": (
        "status", lambda a: [a.spawn(), a.work("status_change", newState="PAUSED_BY_HUMAN")], lambda a: "paused"),
    "your turn": ("status", lambda a: [a.spawn(), a.update("idle")], lambda a: "your turn"),
    "waits, because a dialog is open in its terminal": (
        "status", lambda a: [a.spawn(), a.update("waiting")], lambda a: "waits for you"),
    "runner lost": ("status", lambda a: [a.spawn(), a.update("DETACHED")], lambda a: "runner lost"),
    "idle": ("status", lambda a: [a.spawn(), a.listed(activityAt=now() - 90_000)], lambda a: "idle"),
    "the last line that it wrote": (
        "agent", lambda a: [a.spawn(), a.work("output", data=f"first\nlast {a.n}\n")], lambda a: f"last {a.n}"),
    "the last test run": ("last-test", lambda a: [a.spawn(), a.listed(lastTest=TEST)], lambda a: "3 fail"),
    "the size of its diff": (
        "agent",
        lambda a: [a.spawn(), a.listed(diff={"linesAdded": 71, "linesRemoved": 29, "filesChanged": 1})],
        lambda a: "+71 −29"),
    "signs of work in 15 minutes": (
        "agent", lambda a: [a.spawn(), a.listed(activity=[0] * 14 + [7])], lambda a: '[aria-label="7 signs of work in 15 minutes"]'),
    "a house's last test run in words": ("house", lambda a: [a.spawn(), a.listed(lastTest=TEST)], lambda a: "3 fail"),
    "who waits in a house": ("house", lambda a: [a.spawn(), a.approval()], lambda a: "waits"),
    "an alert, its bug bot": ("alerts", lambda a: [a.spawn(), a.alert("alert_raised")], lambda a: f"Broken {a.n}"),
    "how far the repair is": (
        "alerts", lambda a: [a.spawn(), a.alert("alert_raised"), a.alert("bug_bot_progress", progress=0.4)], lambda a: 'progress[value="0.4"]'),
    "a line of the feed": ("feed", lambda a: [a.spawn(), a.work("session_start")], lambda a: a.name),
}  # fmt: skip
"""What is drawn → (drawn as, the events, the text or the selector of what is drawn)."""

ASKS: dict[str, tuple[str, Any, Any]] = {
    "what waits, whole": ("approval", lambda a: [a.spawn(), a.approval()], lambda a: f"make {a.n}"),
    "an allow that is held": (
        "held",
        lambda a: [a.spawn(), a.approval(), a.approval("approval_decided", decision="allow", resolvedBy="Olga", releaseAt=now() + 60_000)],
        lambda a: "Olga"),
    "how it was answered": (
        "outcome",
        lambda a: [a.spawn(), a.approval(), a.approval("approval_resolved", decision="deny", resolvedBy="Olga", resolvedAt=now())],
        lambda a: f"make {a.n}"),
}  # fmt: skip

AGENT: dict[str, tuple[str, Any, Any]] = {
    "who holds the keyboard": (
        "holder", lambda a: [("keyboard", {"sessionId": f"s{a.n}", "holder": {"userId": "u", "name": "Olga"}, "since": now(), "asking": []})],
        lambda a: "Olga holds the keyboard"),
    "who looks on": (
        "onlookers", lambda a: [("presence", {"room": f"agent:drawn{a.n}", "people": [{"userId": "u", "name": "Olga"}], "visitors": 1})],
        lambda a: "2 others look on"),
    "what the agent was told, said and did": (
        "story", lambda a: [a.work("agent_prompt", 6, id="1", text="Do it"), a.work("agent_tool", 7, id="t", name="Bash", title="make", status="ok")],
        lambda a: re.compile("Do it.*make", re.DOTALL)),
    "its plan": ("plan", lambda a: [a.work("agent_plan", items=[{"text": "one", "status": "done"}, {"text": "two", "status": "pending"}])],
        lambda a: re.compile("Plan: 1 of 2|Plan: 0 of 2")),
    "a test run, and what failed in it": (
        "test-runs",
        lambda a: [a.work("test_start", 6, runId="r", command="pytest -q"),
                   a.work("test_finish", 7, runId="r", passed=1, failed=1, skipped=0, exitCode=1, duration=10, verdict="failed", failureText="assert 1 == 2")],
        lambda a: "assert 1 == 2"),
    "a file that it touched": ("touched", lambda a: [a.work("file_edit", path="src/drawn.py", reason="write")], lambda a: "src/drawn.py"),
    "tokens and cost": (
        "usage", lambda a: [("usage_tick", {**a.ids, "intervalMs": 30_000, "units": {"inputTokens": 4321, "costUsd": 0.5}})], lambda a: "$0.50"),
}  # fmt: skip
TABS = {"test-runs": "tests", "touched": "changes", "usage": "usage"}
GONE = "that it is gone"


def documented() -> dict[str, str]:
    return {found["what"]: found["drawn_as"] for found in ROW.finditer(PAGE.read_text())}


def found(page: Any, drawn_as: str, what: Any) -> Any:
    place = page.get_by_test_id(drawn_as)
    selector = isinstance(what, str) and "[" in what
    return place.locator(what) if selector else place.filter(has_text=what)


def tell(page: Any, events: list[Event]) -> None:
    page.evaluate(DISPATCH, [list(one) for one in events])


def test_the_table_names_what_is_tried_here() -> None:
    tried = {what: case[0] for what, case in {**VILLAGE, **ASKS, **AGENT}.items()} | {GONE: "alerts"}
    assert documented() == tried


def test_what_is_drawn_comes_from_an_event(desk: Desk, watcher: Watcher) -> None:
    watcher.expected.append("404")  # the service knows nothing of these agents
    page = desk("")
    expect(agent_row(page, SHELL)).to_be_visible()
    page.route("**/api/villages/*/agents*", lambda route: route.abort())  # no list takes them away meanwhile
    watcher.expected.append("ERR_FAILED")
    tell(page, [HOUSES])
    for n, (what, (drawn_as, events, text)) in enumerate(VILLAGE.items()):
        agent = Agent(n)
        in_row = page.locator(f'[data-agent="drawn{n}"]')
        scope = in_row if drawn_as in ("status", "last-test") else page
        drawn = (
            in_row.filter(has_text=text(agent)) if drawn_as == "agent" and "[" not in text(agent)
            else in_row.locator(text(agent)) if drawn_as == "agent"
            else found(scope, drawn_as, text(agent))
        )  # fmt: skip
        before = drawn.count()
        tell(page, events(agent))
        expect(drawn, what).not_to_have_count(before) if before else expect(drawn.first, what).to_be_visible()
    broken = found(page, "alerts", "Broken")
    expect(broken).not_to_have_count(0)
    for n in range(len(VILLAGE)):
        tell(page, [Agent(n).alert("bug_bot_resolved")])
    expect(found(page, "alerts", "Broken")).to_have_count(0)

    page.evaluate("location.hash = '#/approvals'")
    for n, (what, (drawn_as, events, text)) in enumerate(ASKS.items(), len(VILLAGE)):
        drawn = found(page, drawn_as, text(Agent(n)))
        expect(drawn, what).to_have_count(0)
        tell(page, events(Agent(n)))
        expect(drawn.first, what).to_be_visible()

    for n, (what, (drawn_as, events, text)) in enumerate(AGENT.items(), len(VILLAGE) + len(ASKS)):
        agent = Agent(n)
        tell(page, [agent.spawn()])
        page.evaluate(f"location.hash = '#/a/drawn{n}?tab={TABS.get(drawn_as, '')}'")
        expect(page.get_by_role("heading", level=1)).to_have_text(agent.name)
        drawn = found(page, drawn_as, text(agent))
        expect(drawn, what).to_have_count(0)
        tell(page, events(agent))
        expect(drawn, what).to_have_count(1)
