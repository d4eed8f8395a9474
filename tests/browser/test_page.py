"""What a person sees and does on the page, in headless Chromium against the running service and the demo's agents."""

import re
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import DESKTOP, PHONE, Town, Watcher

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
expect = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect

Desk = Callable[[str], Any]
OwnSession = Callable[[str, str], None]
SHELL = "A shell for you"
CART = "Ada · fix the cart"
LEDGER = "Linus · two accounts"
PATIENCE = 60_000
"""ms for what the demo does in its own time."""


def agent_row(page: Any, name: str) -> Any:
    return page.get_by_test_id("agent").filter(has_text=name)


def open_agent(page: Any, name: str) -> None:
    agent_row(page, name).get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


def screen(page: Any) -> Any:
    return page.locator(".xterm-rows")


def take_keyboard(page: Any) -> None:
    """By its button; nothing where this page holds it already."""
    terminal = page.locator("section.tty")
    expect(terminal).to_have_attribute("data-keyboard", re.compile("free|mine|elsewhere"))
    if terminal.get_attribute("data-keyboard") != "mine":
        page.get_by_test_id("drive").click()
    expect(terminal).to_have_attribute("data-keyboard", "mine")


def type_into_terminal(page: Any, text: str) -> None:
    take_keyboard(page)
    page.get_by_test_id("terminal").click()
    page.keyboard.type(text)


def test_the_link_signs_in_once_and_leaves_the_address(watcher: Watcher, town: Town) -> None:
    link = town.new_link()
    page = watcher.open(DESKTOP)
    page.goto(link)
    expect(page.get_by_test_id("person")).to_be_visible()
    assert "code=" not in page.url
    page.reload()
    expect(page.get_by_test_id("person")).to_be_visible()

    watcher.expected.append("401")
    stranger = watcher.open(DESKTOP)
    stranger.goto(link)
    expect(stranger.get_by_role("alert")).to_contain_text("used already")


def test_the_village_shows_its_houses_and_agents(desk: Desk) -> None:
    page = desk("")
    expect(page.get_by_test_id("house")).to_have_count(2)
    expect(page.get_by_test_id("street")).to_contain_text("shop")
    expect(page.get_by_test_id("street")).to_contain_text("payments")
    for name in (SHELL, CART, LEDGER):
        expect(agent_row(page, name)).to_be_visible()
    assert re.search(r"#/v/.+", page.url)


def test_the_connection_is_live_and_tells_its_round_trip(desk: Desk) -> None:
    page = desk("")
    expect(page.get_by_test_id("connection")).to_have_text(re.compile(r"live \d+ ms"))


def test_a_terminal_shows_what_is_there_and_takes_the_keyboard(desk: Desk) -> None:
    page = desk("")
    open_agent(page, SHELL)
    expect(screen(page)).to_contain_text("demo:")
    type_into_terminal(page, "echo sum-$((6*7))\n")
    expect(screen(page)).to_contain_text("sum-42")


def test_who_comes_later_sees_the_same_screen(desk: Desk) -> None:
    first = desk("")
    open_agent(first, SHELL)
    type_into_terminal(first, "echo early-$((2*21))\n")
    expect(screen(first)).to_contain_text("early-42")
    second = desk(first.url.partition("/#")[2] and "#" + first.url.partition("#")[2])
    expect(screen(second)).to_contain_text("early-42")


def test_the_size_of_the_screen_reaches_the_program(desk: Desk) -> None:
    page = desk("")
    open_agent(page, SHELL)
    type_into_terminal(page, "stty size\n")
    columns = page.locator(".tty-size").inner_text().split(" ")[0]
    expect(screen(page)).to_contain_text(re.compile(rf"size\d+ {columns}demo:"))


def test_an_approval_is_allowed_and_the_agent_goes_on(desk: Desk) -> None:
    page = desk("#/approvals")
    card = page.get_by_test_id("approval").filter(has_text="git push")
    expect(card).to_have_attribute("data-open", "true", timeout=PATIENCE)
    expect(card).to_contain_text("medium risk")
    expect(card).to_contain_text(CART)
    card.get_by_test_id("allow").click()
    expect(page.get_by_test_id("held").filter(has_text="git push")).to_be_visible()
    page.get_by_test_id("nav-village").click()
    expect(agent_row(page, CART).get_by_test_id("status")).to_have_text("working", timeout=PATIENCE)


def test_the_asker_hears_why_it_was_denied(desk: Desk, own_session: OwnSession) -> None:
    page = desk("#/approvals")
    own_session("Denied", f'{sys.executable} -P -m townwatch ask --category shell --risk low "touch a"; echo exit-$?')
    card = page.get_by_test_id("approval").filter(has_text="touch a")
    expect(card).to_have_attribute("data-open", "true", timeout=PATIENCE)
    card.get_by_label("Note to the agent").fill("not today")
    card.get_by_test_id("deny").click()
    expect(page.get_by_test_id("outcome").filter(has_text="not today")).to_contain_text("denied by you")
    page.get_by_test_id("nav-village").click()
    open_agent(page, "Denied")
    expect(screen(page)).to_contain_text("exit-1")
    expect(screen(page)).to_contain_text("not today")


def test_a_command_of_this_terminal_is_on_the_page_at_the_same_moment(desk: Desk, own_session: OwnSession) -> None:
    page = desk("")
    own_session("Mine", "echo here-$((6*7)); sleep 20")
    expect(agent_row(page, "Mine")).to_be_visible()
    open_agent(page, "Mine")
    expect(screen(page)).to_contain_text("here-42")


def test_a_decision_made_elsewhere_arrives_by_itself(desk: Desk) -> None:
    asker, other = desk(""), desk("#/approvals")
    open_agent(asker, SHELL)
    ask = f'{sys.executable} -P -m townwatch ask --category network --risk low "fetch b-$((1+1))"'
    type_into_terminal(asker, f"{ask}; echo exit-$?\n")
    mine = asker.get_by_test_id("approval").filter(has_text="fetch b-2")
    expect(mine).to_be_visible(timeout=PATIENCE)
    theirs = other.get_by_test_id("approval").filter(has_text="fetch b-2")
    theirs.get_by_test_id("allow").click()
    expect(asker.get_by_test_id("outcome").filter(has_text="fetch b-2")).to_contain_text("allowed", timeout=15_000)
    expect(screen(asker)).to_contain_text("exit-0")


def test_test_runs_and_changes_are_shown(desk: Desk) -> None:
    page = desk("")
    open_agent(page, CART)
    page.get_by_role("tab", name="tests").click()
    runs = page.get_by_test_id("test-runs").locator("li")
    expect(runs.filter(has_text="failed").first).to_be_visible(timeout=PATIENCE)
    expect(runs.filter(has_text="passed").first).to_be_visible(timeout=PATIENCE)
    expect(runs.first).to_contain_text("unittest")
    page.get_by_role("tab", name="changes").click()
    expect(page.get_by_text("cart.py").first).to_be_visible(timeout=PATIENCE)


def test_a_crash_says_its_exit_code(desk: Desk) -> None:
    page = desk("")
    row = agent_row(page, LEDGER)
    expect(row.get_by_test_id("status")).to_have_text("failed", timeout=PATIENCE)
    open_agent(page, LEDGER)
    expect(page.get_by_test_id("agent-state")).to_contain_text("code 3")
    expect(screen(page)).to_contain_text("AttributeError")
    expect(page.get_by_test_id("stop")).to_have_count(0)


def test_an_alert_and_its_line_in_the_feed(desk: Desk) -> None:
    page = desk("")
    expect(page.get_by_test_id("alerts")).to_contain_text("No test covers a discount", timeout=PATIENCE)
    page.get_by_role("button", name="alert", exact=True).click()
    expect(page.get_by_test_id("feed")).to_contain_text("error: No test covers")


def test_usage_is_shown(desk: Desk) -> None:
    page = desk("")
    open_agent(page, CART)
    page.get_by_role("tab", name="usage").click()
    expect(page.get_by_test_id("usage")).to_contain_text("agent time", timeout=PATIENCE)


def test_the_supervision_tree_is_live(desk: Desk) -> None:
    page = desk("#/supervision")
    tree = page.get_by_test_id("tree")
    expect(tree).to_contain_text("journal")
    expect(tree).to_contain_text("router")
    page.get_by_role("button", name="journal", exact=True).first.click()
    expect(page.get_by_role("complementary")).to_contain_text("mailbox")


def test_a_phone_reaches_everything_and_nothing_scrolls_sideways(watcher: Watcher, signed_in: Any, town: Town) -> None:
    page = watcher.open(PHONE, signed_in, has_touch=True, is_mobile=True)
    page.goto(town.url)
    expect(page.get_by_test_id("connection")).to_have_attribute("data-phase", "live")
    for route in ("", "#/approvals", "#/supervision", "house", "agent"):
        page.goto(town.url + ("" if route in ("house", "agent") else route))
        if route == "house":
            page.get_by_test_id("house").first.tap()
            expect(page.get_by_role("heading", level=1)).to_be_visible()
        if route == "agent":
            agent_row(page, SHELL).get_by_role("link").first.tap()
            expect(screen(page)).to_contain_text("demo:")
            page.get_by_test_id("drive").tap()
            page.get_by_role("button", name="^C").tap()
            page.get_by_test_id("drive").tap()
            expect(page.locator("section.tty")).to_have_attribute("data-keyboard", "free")
        for name in ("village", "approvals", "start"):
            expect(page.get_by_test_id(f"nav-{name}")).to_be_in_viewport()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], route


def test_a_key_on_a_phone_is_typed(watcher: Watcher, signed_in: Any, town: Town) -> None:
    page = watcher.open(PHONE, signed_in, has_touch=True, is_mobile=True)
    page.goto(town.url)
    agent_row(page, SHELL).get_by_role("link").first.tap()
    expect(screen(page)).to_contain_text("demo:")
    take_keyboard(page)
    page.get_by_test_id("terminal").tap()
    page.keyboard.type("echo phone-$((40+2))")
    page.get_by_role("button", name="Enter", exact=True).tap()
    expect(screen(page)).to_contain_text("phone-42")


def test_without_signing_in_nothing_can_be_done(watcher: Watcher, town: Town) -> None:
    watcher.expected.append("401")
    page = watcher.open(DESKTOP)
    page.goto(town.url)
    expect(page.get_by_test_id("anonymous")).to_be_visible()
    expect(page.get_by_label("Sign-in link or code").first).to_be_attached()
    for name in ("allow", "deny", "stop", "drive"):
        expect(page.get_by_test_id(name)).to_have_count(0)


def test_a_session_is_stopped(desk: Desk) -> None:
    page = desk("")
    open_agent(page, SHELL)
    page.get_by_test_id("stop").click()
    expect(page.get_by_test_id("stop")).to_have_text("Really stop")
    page.get_by_test_id("stop").click()
    expect(page.get_by_test_id("agent-state")).to_contain_text(re.compile("done|failed"), timeout=PATIENCE)
    expect(page.get_by_text("the process has ended")).to_be_visible()
