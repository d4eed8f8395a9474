"""Work is read on the page: the diff and comments on it, what failed in a test run, tokens and cost over time."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

from tests.browser.conftest import DESKTOP, STOP_SECONDS, Town, Watcher
from tests.browser.fitting import NOTED_BY_AXE, misfits
from tests.browser.test_page import CART, agent_row, open_agent
from tests.support.agents import fake_acp_path

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
expect = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect

Desk = Callable[[str], Any]
OwnSession = Callable[[str, str], None]
PATIENCE = 60_000
BEFORE = "def total(sum, percent):\n    return sum - sum * percent // 10\n"
AFTER = 'def total(sum, percent):\n    """Cents, after the discount."""\n    return sum - sum * percent // 100\n'


@attrs.define(eq=False)
class Work:
    """An agent that takes prompts, at work in a repository of its own; its session is asked for over REST."""

    town: Town
    token: str
    runner: subprocess.Popen[bytes]
    base: str = ""

    @property
    def repository(self) -> Path:
        return self.town.folder / "wharf"

    def call(self, method: str, path: str, **body: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}"}
        return httpx.request(
            method, f"{self.town.url}api/runner/sessions{path}", json=body, headers=headers, timeout=60
        )

    def git(self, *words: str) -> str:
        git = ["git", "-C", str(self.repository), "-c", "user.name=t", "-c", "user.email=t@example.org"]
        return subprocess.run([*git, *words], check=True, capture_output=True, text=True).stdout.strip()

    def start(self) -> dict[str, str]:
        """{sessionId, agentId}; as soon as the runner is there."""
        order = {
            "villageId": "demo",
            "agentName": "Reader's own",
            "providerId": "acp",
            "command": [sys.executable, "-I", "-S", str(fake_acp_path()), "plain"],
            "repoRef": {"provider": "local", "path": str(self.repository)},
            "task": {"title": "Count", "goal": "Count the boats"},
        }
        deadline = time.monotonic() + 60
        while (answer := self.call("POST", "", **order)).status_code != 201:
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.3)
        return answer.json()

    @property
    def prompts(self) -> list[str]:
        """What the agent itself has been told."""
        said = [json.loads(line) for line in (self.repository / "answers.jsonl").read_text().splitlines()]
        return [one["params"]["prompt"][0]["text"] for one in said if one.get("method") == "session/prompt"]


@pytest.fixture(scope="module")
def work(town: Town, signed_in: Any) -> Iterator[Work]:
    kept = {one["name"]: one["value"] for one in signed_in["origins"][0]["localStorage"]}
    command = [sys.executable, "-P", "-m", "townwatch", "runner", f"--state-dir={town.folder / 'state'}"]
    with (town.folder / "runner.log").open("wb") as log:
        runner = subprocess.Popen(command, cwd=town.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    work = Work(town, kept["townwatch.token"], runner)
    work.repository.mkdir()
    (work.repository / "cart.py").write_text(BEFORE)
    (work.repository / ".gitignore").write_text("answers.jsonl\n")
    work.git("init", "-q", "-b", "main")
    work.git("add", ".")
    work.git("commit", "-qm", "one")
    work.base = work.git("rev-parse", "HEAD")
    yield work
    runner.kill()
    runner.wait(STOP_SECONDS)


@pytest.fixture(scope="module")
def agent(work: Work) -> dict[str, str]:
    """The agent, when it has heard its first prompt and has changed a file."""
    started = work.start()
    deadline = time.monotonic() + 60
    while not (work.repository / "answers.jsonl").exists() or not work.prompts:
        assert time.monotonic() < deadline, "the agent has not begun"
        time.sleep(0.1)
    while work.call("GET", f"/{started['sessionId']}/diff").status_code != 200:  # its baseline is taken beside it
        assert time.monotonic() < deadline, "there is no diff"
        time.sleep(0.1)
    (work.repository / "cart.py").write_text(AFTER)
    return started


def changes(page: Any) -> Any:
    expect(page.get_by_test_id("diff-file").filter(has_text="cart.py")).to_be_visible()
    return page.get_by_test_id("diff-file").filter(has_text="cart.py")


def test_the_diff_is_read_per_file_against_its_base_and_says_when_it_is_old(
    desk: Desk, work: Work, agent: dict[str, str]
) -> None:
    page = desk(f"#/a/{agent['agentId']}")
    page.get_by_role("tab", name="changes").click()
    expect(page).to_have_url(re.compile("tab=changes"))
    file = changes(page)
    expect(page.get_by_test_id("diff-as-of")).to_contain_text(f"against {work.base[:8]}")
    expect(file.locator(".line-del .code")).to_have_text("    return sum - sum * percent // 10")
    expect(file.locator(".line-add .code").first).to_have_text('    """Cents, after the discount."""')
    expect(file.locator(".line-add .code-k")).to_have_text("return")
    expect(file.locator(".line-add .code-s")).to_have_text('"""Cents, after the discount."""')
    expect(file.locator("tr[data-line=o2] .no").first).to_have_text("2")
    expect(page.get_by_test_id("diff-stale")).to_have_count(0)

    (work.repository / "long.txt").write_text("".join(f"line {n} of a long file\n" for n in range(20_000)))
    expect(page.get_by_test_id("diff-stale")).to_contain_text("have changed since", timeout=20_000)
    expect(file).to_be_visible()  # nothing moves by itself
    page.get_by_test_id("read-again").click()
    long = page.get_by_test_id("diff-file").filter(has_text="long.txt")
    expect(long).to_be_visible()
    expect(page.get_by_test_id("diff-stale")).to_have_count(0)
    expect(page.get_by_test_id("diff-note").first).to_contain_text("1 file is cut")
    long.locator("summary").click()
    expect(long.get_by_test_id("cut")).to_contain_text("+20000 −0 in all")
    expect(long).to_contain_text(re.compile(r"600 of \d+ lines"))
    long.get_by_test_id("read-file").click()
    expect(long.get_by_test_id("cut")).to_have_count(0)
    expect(long).to_contain_text("600 of 20000 lines")
    (work.repository / "long.txt").unlink()


def test_comments_are_gathered_by_keyboard_and_reach_the_agent_as_one_prompt(
    desk: Desk, work: Work, agent: dict[str, str]
) -> None:
    page = desk(f"#/a/{agent['agentId']}?tab=changes")
    changes(page)
    page.get_by_test_id("landing").locator("button:enabled").last.focus()
    page.keyboard.press("Tab")
    expect(page.locator(".diff-file summary").first).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Comment on line 1", exact=True)).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("button", name="Comment on line 2", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.type("In whole cents.")
    page.keyboard.press("Control+Enter")
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("button", name="Comment on removed line 2")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.type("Was that ever right?")
    page.reload()  # in the middle of it: nothing is lost
    changes(page)
    expect(page.get_by_test_id("comment")).to_have_count(2)
    prompts = len(work.prompts)
    page.get_by_test_id("send-comments").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("comments-sent")).to_contain_text("2 comments were given to the agent")
    expect(page.get_by_test_id("comment")).to_have_count(0)
    (told,) = work.prompts[prompts:]
    assert told == (
        "2 comments on your changes:\n\n"
        "cart.py:2 (a removed line)\n>     return sum - sum * percent // 10\nWas that ever right?\n\n"
        'cart.py:2\n>     """Cents, after the discount."""\nIn whole cents.'
    )
    page.reload()
    changes(page)
    expect(page.get_by_test_id("comment")).to_have_count(0)
    page.get_by_role("tab", name="timeline").click()
    expect(page.get_by_test_id("story").locator(".tale-prompt").last).to_contain_text("In whole cents.")


def test_changes_are_committed_and_pushed_by_keyboard_alone_and_every_browser_knows(
    desk: Desk, watcher: Watcher, signed_in: Any, town: Town, work: Work, agent: dict[str, str]
) -> None:
    remote = town.folder / "remote.git"
    work.git("init", "-q", "--bare", str(remote))
    work.git("remote", "add", "origin", str(remote))
    work.git("config", "user.name", "Rita")
    work.git("config", "user.email", "rita@example.org")
    (work.repository / "left.txt").write_text("not now\n")
    other = watcher.open(DESKTOP, signed_in)
    other.goto(f"{town.url}#/a/{agent['agentId']}?tab=changes")
    page = desk(f"#/a/{agent['agentId']}?tab=changes")
    state = page.get_by_test_id("landing-state")
    expect(state).to_contain_text("2 files are not committed · the branch is not on origin")
    expect(other.get_by_test_id("landing-state")).to_contain_text("2 files are not committed")

    page.get_by_test_id("read-again").focus()
    page.keyboard.press("Tab")
    expect(page.get_by_test_id("look-again")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("message")).to_be_focused()
    page.keyboard.type("Round in cents")
    left = page.get_by_role("checkbox", name=re.compile("^left.txt"))
    for _ in range(5):
        page.keyboard.press("Tab")
        if left.evaluate("one => one === document.activeElement"):
            break
    page.keyboard.press("Space")
    expect(page.get_by_test_id("land")).to_have_text("Commit 1 file")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_test_id("landing-said")).to_contain_text("Round in cents, 1 file", timeout=PATIENCE)
    expect(state).to_contain_text("1 file is not committed")
    expect(other.get_by_test_id("landing-state")).to_contain_text("1 file is not committed")
    assert work.git("show", "--format=%s", "--name-only", "HEAD").split() == ["Round", "in", "cents", "cart.py"]

    expect(page.locator("[data-act=commit]")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.locator("[data-act=push]")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("land")).to_be_focused()
    page.keyboard.press("Control+Enter")  # main: others build on it, so it is asked a second time
    expect(page.get_by_test_id("back")).to_be_focused()
    expect(page.get_by_test_id("sure")).to_be_enabled()
    page.keyboard.press("Tab")
    expect(page.get_by_test_id("sure")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("landing-said")).to_contain_text("pushed main", timeout=PATIENCE)
    assert work.git("ls-remote", "origin", "main").split()[0] == work.git("rev-parse", "main")
    for one in (page, other):
        expect(one.get_by_test_id("landing-state")).to_contain_text("pushed to origin")
    page.reload()
    expect(state).to_contain_text("pushed to origin")
    page.get_by_test_id("landing-before").locator("summary").click()
    expect(page.get_by_test_id("landing-before").locator("li")).to_have_count(2)
    page.get_by_role("tab", name="timeline").click()
    expect(page.get_by_test_id("story")).to_contain_text(re.compile("committed .* on main: Round in cents"))
    (work.repository / "left.txt").unlink()


def test_what_cannot_be_known_says_why(desk: Desk, watcher: Watcher, own_session: OwnSession) -> None:
    watcher.expected.append("409")
    own_session("Nowhere", "sleep 60")
    page = desk("")
    open_agent(page, "Nowhere")
    page.get_by_role("tab", name="changes").click()
    expect(page.get_by_test_id("diff-unknown")).to_contain_text(re.compile("Not known: .*git repository"))


def test_a_failed_run_shows_what_failed_or_that_it_is_not_known(
    desk: Desk, town: Town, own_session: OwnSession
) -> None:
    page = desk("")
    open_agent(page, CART)
    page.get_by_role("tab", name="tests").click()
    failed = page.get_by_test_id("failures").first
    expect(failed).to_contain_text("AssertionError: -1800 != 900", timeout=PATIENCE)
    passed = page.get_by_test_id("test-runs").locator("li").filter(has_text="passed").first
    expect(passed.get_by_test_id("failures")).to_have_count(0)

    (town.folder / "test_unseen.py").write_text("import time\n\ntime.sleep(1)  # shorter runs may not be seen\n")
    own_session("Unseen", f"exec {sys.executable} -m unittest test_unseen.NoSuch >/dev/null 2>&1")
    page.goto(town.url)
    open_agent(page, "Unseen")
    page.get_by_role("tab", name="tests").click()
    expect(page.get_by_test_id("failures-unknown")).to_contain_text("What failed is not known", timeout=20_000)


def test_cost_over_time_is_what_was_said_and_unknown_where_nobody_said(
    desk: Desk, town: Town, own_session: OwnSession
) -> None:
    report = f"{sys.executable} -P -m townwatch usage --input-tokens=1200 --output-tokens=34"
    own_session("Without a price", report)
    own_session("Costly", f"{report} --cost-usd=0.25")
    own_session("Silent", "true")
    page = desk("")
    for name, cost in (
        ("Without a price", "not known: the agent says its tokens and not what they cost"),
        ("Costly", "$0.25, said by the agent"),
        ("Silent", "not known: the agent has said no tokens and no cost"),
    ):
        page.goto(town.url)
        open_agent(page, name)
        page.get_by_role("tab", name="usage").click()
        expect(page.get_by_test_id("cost")).to_have_text(cost, timeout=20_000)
        if name == "Silent":
            expect(page.get_by_test_id("no-tokens")).to_be_visible()
            continue
        chart = page.get_by_test_id("over-time")
        expect(chart.get_by_role("img", name=re.compile("^Tokens in each 30 s.*highest 1.2 k"))).to_be_visible()
        expect(chart.get_by_role("img", name=re.compile("^Cost"))).to_have_count(1 if name == "Costly" else 0)
        chart.get_by_text("As a table").click()
        row = chart.get_by_role("row").nth(1)
        expect(row).to_contain_text("1.2 k34–$0.25" if name == "Costly" else "1.2 k34–not known")


def test_a_diff_with_comments_and_what_lands_it_fits_every_reader(
    watcher: Watcher, signed_in: Any, town: Town, agent: dict[str, str]
) -> None:
    watcher.expected.append(NOTED_BY_AXE)
    page = watcher.open(DESKTOP, signed_in)
    page.goto(f"{town.url}#/a/{agent['agentId']}?tab=changes")
    file = changes(page)
    file.get_by_role("button", name="Comment on line 2", exact=True).click()
    page.keyboard.type("One")
    page.keyboard.press("Escape")
    file.get_by_role("button", name="Comment on line 3", exact=True).click()
    page.keyboard.type("Two")
    page.get_by_test_id("gathered").locator("summary").click()
    expect(page.get_by_test_id("comment-editor")).to_be_visible()
    found: dict[str, list[str]] = {}  # by what lands it: each has a form of its own
    for act in page.locator("[data-act]:enabled").all():
        act.click()
        found[act.inner_text()] = misfits(page)
    assert found
    assert {where: what for where, what in found.items() if what} == {}


def test_a_refused_prompt_loses_no_comment(desk: Desk, watcher: Watcher, work: Work, agent: dict[str, str]) -> None:
    watcher.expected.append("409")
    page = desk(f"#/a/{agent['agentId']}?tab=changes")
    changes(page).get_by_role("button", name="Comment on line 3", exact=True).click()
    page.keyboard.type("Round half a cent.")
    page.keyboard.press("Escape")
    work.runner.kill()  # the page has not heard of it yet
    work.runner.wait(STOP_SECONDS)
    page.get_by_test_id("send-comments").click()
    expect(page.get_by_test_id("not-sent")).to_contain_text("Nothing is lost")
    expect(page.get_by_test_id("comment")).to_contain_text("Round half a cent.")
    page.get_by_test_id("read-again").click()
    expect(page.get_by_test_id("diff-unknown")).to_contain_text("Could not be read again")
    expect(page.get_by_test_id("comment")).to_be_visible()
    page.reload()
    expect(page.get_by_test_id("diff-unknown")).to_contain_text("Not known")
    expect(page.get_by_test_id("counted")).to_contain_text("cart.py")
    expect(page.get_by_test_id("gathered")).to_contain_text("1 comment, not sent")


def test_a_failure_is_first_until_somebody_who_drives_has_seen_it(
    desk: Desk, watcher: Watcher, signed_in: Any, town: Town, own_session: OwnSession
) -> None:
    own_session("Broken", "exit 3")
    page, other = desk("#/v/demo?tone=needs"), watcher.open(DESKTOP, signed_in)
    other.goto(f"{town.url}#/v/demo?tone=needs")
    row, theirs = (agent_row(one, "Broken") for one in (page, other))
    expect(row.get_by_test_id("status")).to_have_text("failed", timeout=20_000)
    expect(theirs).to_be_visible()
    open_agent(page, "Broken")
    expect(page.get_by_test_id("seen-by")).to_contain_text("seen by Owner")
    expect(theirs).to_have_count(0)  # it needs nobody any more, on all screens
