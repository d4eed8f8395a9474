"""Work is started from the page, told what is next and read, on a runner that takes orders."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import STOP_SECONDS, Town, Watcher
from tests.support.agents import fake_acp_path

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
expect = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect

Desk = Callable[[str], Any]
PATIENCE = 60_000


@pytest.fixture(scope="module")
def runner(town: Town) -> Iterator[None]:
    """This machine's runner, which takes orders."""
    command = [sys.executable, "-P", "-m", "townwatch", "runner", f"--state-dir={town.folder / 'state'}"]
    with (town.folder / "runner.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=town.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    yield
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_SECONDS)


@pytest.fixture(scope="module")
def repository(town: Town) -> Path:
    """A repository with one commit."""
    made = town.folder / "wharf"
    made.mkdir()
    (made / "README").write_text("boats\n")
    git = ["git", "-C", str(made), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    return made


def fill(page: Any, provider: str, command: str, repository: Path, goal: str) -> None:
    choice = page.locator(f'input[name="provider"][value="{provider}"]')
    expect(choice).to_be_enabled(timeout=PATIENCE)
    choice.check()
    page.get_by_test_id("command").fill(command)
    page.get_by_test_id("goal").fill(goal)
    page.get_by_test_id("repo").fill(str(repository))


def start_page(desk: Desk) -> Any:
    """The form, when its runner is there."""
    page = desk("#/start")
    expect(page.locator('input[name="provider"]:enabled').first).to_be_visible(timeout=PATIENCE)
    return page


def test_work_starts_in_a_tree_of_its_own_and_again_like_before(
    desk: Desk, watcher: Watcher, runner: None, repository: Path
) -> None:
    watcher.expected.append("409")  # what the runner refuses at the end
    page = start_page(desk)
    page.get_by_test_id("go").click()
    expect(page.get_by_test_id("wrong")).to_contain_text("command")
    fill(page, "command", "git branch --show-current; cat README; sleep 60", repository, "Count the boats")
    page.get_by_label("a new branch, in a tree of its own").check()
    page.get_by_test_id("branch").fill("tw/boats")
    expect(page.get_by_test_id("then")).to_contain_text("new branch tw/boats")
    page.get_by_test_id("keep-template").locator("summary").click()
    page.get_by_label("Name of the template").fill("boats")
    page.keyboard.press("Enter")  # keeps it, and starts nothing
    expect(page.get_by_test_id("keep-template")).to_contain_text("Kept in this browser")
    page.get_by_test_id("go").click()
    expect(page).to_have_url(re.compile("#/a/"), timeout=PATIENCE)
    expect(page.locator(".xterm-rows")).to_contain_text(re.compile("tw/boats.*boats"), timeout=PATIENCE)

    page.get_by_test_id("like").click()
    expect(page.get_by_test_id("branch")).to_have_value("tw/boats-2")
    expect(page.get_by_test_id("goal")).to_have_value("Count the boats")
    page.goto(page.url.partition("#")[0] + "#/start")
    page.get_by_test_id("template").select_option("boats")
    expect(page.get_by_test_id("branch")).to_have_value("tw/boats")
    expect(page.get_by_test_id("command")).to_have_value(re.compile("^git branch"))
    page.get_by_test_id("repo").fill("/no/such/place")
    page.get_by_test_id("go").click()
    expect(page.get_by_test_id("wrong")).to_contain_text("/no/such/place", timeout=PATIENCE)


def test_budgets_of_the_village_and_of_one_start(desk: Desk, watcher: Watcher, runner: None, repository: Path) -> None:
    watcher.expected.append("409")  # the start that the budget forbids
    page = desk("#/")
    page.get_by_test_id("new-budget").locator("summary").click()
    page.get_by_test_id("set-budget").click()
    expect(page.get_by_test_id("new-budget")).to_contain_text("a number above 0")
    page.get_by_test_id("budget-scope").select_option("house")
    page.get_by_label("Which").fill(str(repository))
    page.get_by_test_id("budget-amount").fill("1")
    page.get_by_test_id("budget-unit").select_option("tokens")
    page.get_by_test_id("set-budget").click()
    budget = page.get_by_test_id("budget").filter(has_text=str(repository))
    expect(budget).to_contain_text("0 tokens of 1 tokens", timeout=PATIENCE)

    page = start_page(desk)
    use = f"{sys.executable} -P -m townwatch usage --input-tokens 5 --model claude-sonnet-4-5; sleep 60"
    fill(page, "command", use, repository, "Spend")
    page.get_by_test_id("budget").fill("0")
    page.get_by_test_id("go").click()
    expect(page.get_by_test_id("wrong")).to_contain_text("number of US dollars above 0")
    page.get_by_test_id("budget").fill("2")
    expect(page.get_by_test_id("then")).to_contain_text("Budget: 2 US dollars")
    page.get_by_test_id("go").click()
    expect(page).to_have_url(re.compile("#/a/"), timeout=PATIENCE)
    card = page.get_by_test_id("approval").and_(page.locator('[data-open="true"]'))
    expect(card).to_contain_text("5 tokens of 1 tokens are used: 1 tokens more, or stop", timeout=PATIENCE)
    expect(card).to_contain_text("Only an owner may allow it")
    page.get_by_role("tab", name="usage").click()
    expect(page.get_by_test_id("cost")).to_contain_text("by list prices as of 2026-11-10", timeout=PATIENCE)
    expect(page.get_by_test_id("budgets-of")).to_contain_text("used up")
    page.get_by_test_id("like").click()
    expect(page.get_by_test_id("budget")).to_have_value("2")
    page.get_by_test_id("go").click()
    expect(page.get_by_test_id("wrong")).to_contain_text("is used up: 5 of 1 tokens", timeout=PATIENCE)

    page = desk("#/")
    page.get_by_test_id("drop-budget").click()
    page.get_by_test_id("drop-budget").click()
    expect(page.get_by_test_id("budget")).to_have_count(0, timeout=PATIENCE)


def test_an_agent_is_told_what_is_next_and_its_story_is_read(desk: Desk, runner: None, repository: Path) -> None:
    page = start_page(desk)
    fill(page, "acp", f"{sys.executable} -I -S {fake_acp_path()} tool", repository, "Make it")
    page.get_by_test_id("go").click()
    expect(page).to_have_url(re.compile("#/a/"), timeout=PATIENCE)
    composer, story = page.get_by_test_id("composer"), page.get_by_test_id("story")
    card = page.get_by_test_id("approval").and_(page.locator('[data-open="true"]'))
    expect(card).to_be_visible(timeout=PATIENCE)
    expect(composer).to_have_attribute("data-mode", "queue")  # a dialog is open: nothing is typed into it
    composer.get_by_role("textbox").fill("and then test it")
    page.reload()
    expect(composer.get_by_role("textbox")).to_have_value("and then test it")
    composer.get_by_test_id("give").click()
    expect(page.get_by_test_id("queue")).to_contain_text("and then test it")
    page.get_by_test_id("queue").get_by_role("button", name="Withdraw").click()
    expect(page.get_by_test_id("queue")).to_have_count(0)

    expect(story).to_contain_text("Make it")
    expect(story.locator(".tale-tool")).to_contain_text("make running")
    card.get_by_test_id("allow").click()
    expect(story.locator(".tale-approval")).to_contain_text("allowed", timeout=20_000)
    expect(composer).to_have_attribute("data-mode", "send", timeout=20_000)

    page.get_by_role("tab", name="usage").click()
    expect(page).to_have_url(re.compile(r"\?tab=usage"))
    page.go_back()
    expect(story).to_be_visible()
