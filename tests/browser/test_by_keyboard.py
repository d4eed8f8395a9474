"""Without a pointer: signing in, starting work, watching it, answering, reading its diff, a comment, and the merge."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.browser.conftest import DESKTOP, STOP_SECONDS, Town, Watcher
from tests.browser.test_page import SHELL
from tests.browser.test_reading import AFTER, BEFORE
from tests.support.agents import fake_acp_path

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
expect = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect

PASSWORD = "correct horse battery staple"
PATIENCE = 60_000
MOST_TABS = 120
SCREENS = ("people", "villages", "rules", "webhooks", "audit", "limits", "tokens", "devices", "runners")


def tab_to(page: Any, target: Any) -> None:
    """Tab until the target has the focus, as far as there is anything to reach."""
    expect(target).to_be_visible()
    for _ in range(MOST_TABS):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"not reached: {target}")


def live(page: Any) -> None:
    """No key is pressed before the page listens to the service."""
    expect(page.get_by_test_id("connection")).to_have_attribute("data-phase", "live", timeout=PATIENCE)


@pytest.fixture
def repository(town: Town) -> Iterator[Path]:
    """A repository with one commit, and a runner of this machine that takes orders."""
    command = [sys.executable, "-P", "-m", "townwatch", "runner", f"--state-dir={town.folder / 'state'}"]
    with (town.folder / "runner.log").open("wb") as log:
        runner = subprocess.Popen(command, cwd=town.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    made = town.folder / "quay"
    made.mkdir()
    (made / "cart.py").write_text(BEFORE)
    (made / ".gitignore").write_text("answers.jsonl\n")
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "one"]):
        git(made, *words)
    yield made
    runner.terminate()
    try:
        runner.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        runner.kill()
        runner.wait(STOP_SECONDS)


def git(repository: Path, *words: str) -> str:
    told = ["git", "-C", str(repository), "-c", "user.name=t", "-c", "user.email=t@example.org", *words]
    return subprocess.run(told, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def grace(town: Town) -> str:
    """The address of an owner of the village who has a password."""
    command = [sys.executable, "-P", "-m", "townwatch", "user", "add", "Grace", "--email=grace@example.org"]
    command += ["--village=demo", "--role=owner", f"--state-dir={town.folder / 'state'}"]
    done = subprocess.run(command, cwd=town.folder, capture_output=True, text=True, timeout=60, check=True)
    (code,) = re.findall(r"code=(\S+)", done.stdout)
    token = httpx.post(f"{town.url}api/auth/exchange", json={"code": code}).json()["token"]
    set_ = httpx.put(
        f"{town.url}api/me/password", json={"password": PASSWORD}, headers={"authorization": f"Bearer {token}"}
    )
    assert set_.status_code == 200, set_.text
    return "grace@example.org"


def answers(repository: Path) -> list[dict[str, Any]]:
    """What the agent itself was told."""
    path = repository / "answers.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_day_of_work_without_a_pointer(watcher: Watcher, town: Town, repository: Path, grace: str) -> None:
    page = watcher.open(DESKTOP)
    page.goto(town.url)
    live(page)
    keys = page.keyboard
    # sign in
    tab_to(page, page.get_by_test_id("with-password").locator("visible=true").locator("summary"))
    keys.press("Enter")
    tab_to(page, page.get_by_label("E-mail").locator("visible=true"))
    keys.type(grace)
    keys.press("Tab")
    keys.type(PASSWORD)
    keys.press("Enter")
    expect(page.get_by_test_id("person")).to_have_text("Grace")
    live(page)
    # start
    keys.press("n")
    acp = page.locator('input[name="provider"][value="acp"]')
    expect(acp).to_be_enabled(timeout=PATIENCE)  # its runner has come
    tab_to(page, page.locator('input[name="provider"]:checked'))
    for _ in range(20):
        if acp.is_checked():
            break
        keys.press("ArrowDown")
    tab_to(page, page.get_by_test_id("command"))
    keys.type(f"{sys.executable} -I -S {fake_acp_path()} asks")
    tab_to(page, page.get_by_test_id("goal"))
    keys.type("Mend the cart")
    tab_to(page, page.get_by_test_id("repo"))
    keys.type(str(repository))
    keys.press("Escape")  # the suggestions
    tab_to(page, page.get_by_test_id("go"))
    keys.press("Enter")
    # watch
    expect(page).to_have_url(re.compile("#/a/"), timeout=PATIENCE)
    card = page.locator('[data-approval][data-open="true"]')
    expect(card).to_contain_text("make", timeout=PATIENCE)
    # answer
    page.wait_for_timeout(700)  # buttons of a new card sleep for a moment
    keys.press("j")
    expect(card).to_be_focused()
    keys.press("Control+Enter")
    expect(page.get_by_text("Allowed by you")).to_be_visible()
    for _ in range(150):
        if any(one.get("result", {}).get("outcome") for one in answers(repository)):
            break
        page.wait_for_timeout(100)
    assert [one["result"]["outcome"]["optionId"] for one in answers(repository) if "outcome" in one.get("result", {})]
    # read the diff
    (repository / "cart.py").write_text(AFTER)
    tab_to(page, page.get_by_role("tab", selected=True))
    for _ in range(4):
        if page.get_by_role("tab", name="changes").get_attribute("aria-selected") == "true":
            break
        keys.press("ArrowRight")
    tab_to(page, page.get_by_test_id("read-again"))
    keys.press("Enter")
    first = page.get_by_role("button", name="Comment on line 1", exact=True)
    tab_to(page, first)
    # comment on two lines
    for name in ("Comment on removed line 2", "Comment on line 2"):
        keys.press("ArrowDown")
        expect(page.get_by_role("button", name=name, exact=True)).to_be_focused()
    keys.press("Shift+ArrowDown")
    expect(page.locator(".is-chosen")).to_have_count(2)
    keys.press("Enter")
    expect(page.get_by_test_id("comment-editor")).to_contain_text("Comment on lines 2 to 3")
    keys.type("In whole cents.")
    keys.press("Control+Enter")
    tab_to(page, page.get_by_test_id("send-comments"))
    keys.press("Enter")
    expect(page.get_by_test_id("comments-sent")).to_contain_text("1 comment was")
    for _ in range(150):
        told = [one["params"]["prompt"][0]["text"] for one in answers(repository) if "prompt" in one.get("params", {})]
        if len(told) > 1:
            break
        page.wait_for_timeout(100)
    assert told[1].startswith("A comment on your changes:\n\ncart.py:2-3\n> "), told
    # commit, on a branch of its own
    git(repository, "config", "user.name", "Kay")
    git(repository, "config", "user.email", "kay@example.org")
    for act, words, said in (("branch", "mended", "switched to the branch mended"), ("commit", "mended", "committed")):
        tab_to(page, page.locator(f"[data-act={act}]"))
        keys.press("Enter")
        tab_to(page, page.get_by_test_id({"branch": "branch-name", "commit": "message"}[act]))
        keys.type(words)
        keys.press("Control+Enter")
        expect(page.get_by_test_id("landing-said")).to_contain_text(said, timeout=PATIENCE)
    # merge, in a terminal
    git(repository, "checkout", "-q", "main")
    keys.press("Control+k")
    page.get_by_test_id("palette").wait_for()
    keys.type(SHELL)
    keys.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(SHELL)
    terminal = page.locator("section.tty")
    expect(terminal).to_have_attribute("data-keyboard", "free")
    tab_to(page, page.locator(".xterm-helper-textarea"))
    keys.press("Enter")
    expect(terminal).to_have_attribute("data-keyboard", "mine")
    keys.type(f"git -C {repository} merge -q mended && echo merged-$((6*7))\n")
    expect(page.locator(".xterm-rows")).to_contain_text("merged-42")
    assert git(repository, "log", "-1", "--format=%s", "main") == "mended"
    keys.press("Control+m")
    expect(terminal).to_have_attribute("data-keyboard", "free")


def test_every_screen_of_those_who_run_it_is_reached_and_left(watcher: Watcher, signed_in: Any, town: Town) -> None:
    page = watcher.open(DESKTOP, signed_in)
    page.goto(town.url)
    live(page)
    page.keyboard.press("g")
    page.keyboard.press("o")
    for screen in SCREENS:
        link = page.locator(f'.operator-nav a[href$="#/operator/{screen}"]')
        tab_to(page, link)
        page.keyboard.press("Enter")
        expect(page.get_by_test_id(f"operator-{screen}").locator("h1")).to_be_visible()
    page.locator("body").press("g")
    page.keyboard.press("v")
    expect(page).to_have_url(re.compile("#/v/"))
