"""Every screen for every reader: no violation of axe-core, no sideways scroll at 320 px, both themes; palette, keys."""

import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import DESKTOP, Town, Watcher
from tests.browser.test_page import CART, SHELL, Desk, agent_row, open_agent, screen

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
expect = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect

AXE = Path(__file__).parents[1] / "js" / "node_modules" / "axe-core" / "axe.min.js"
SMALL = {"width": 320, "height": 640}
VIOLATIONS = """async (context) =>
  (await axe.run(context ?? document, { preload: false, resultTypes: ["violations"] })).violations
  .map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => node.target.join(" ")).join(", ")}`)"""


NOT_PROGRAMS = {"exclude": [".xterm-rows"]}
"""The page without what programs print in a terminal: their colours are theirs."""


def violations(page: Any, context: Any = None) -> list[str]:
    """What axe-core finds on the page as it is."""
    if not AXE.exists():
        pytest.skip("the npm packages of tests/js are missing: make test installs them")
    if page.locator("[data-approval]").count():
        page.wait_for_timeout(700)  # buttons of a card sleep for a moment
    if page.evaluate("typeof axe === 'undefined'"):  # half a megabyte: once for a document, not for each of its screens
        page.evaluate(AXE.read_text())
    return page.evaluate(VIOLATIONS, context)


@pytest.mark.parametrize("size", [DESKTOP, SMALL], ids=["desktop", "small"])
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_no_screen_has_a_violation_or_scrolls_sideways(
    watcher: Watcher, signed_in: Any, town: Town, size: dict[str, int], scheme: str
) -> None:
    watcher.expected.append("Applying inline style")  # axe-core's own
    page = watcher.open(size, signed_in, color_scheme=scheme)
    page.goto(town.url)
    expect(agent_row(page, CART)).to_be_visible()
    agent = agent_row(page, CART).get_by_role("link").first.get_attribute("href")
    house = page.get_by_test_id("house").first.get_attribute("href")
    tabs = [f"{agent}?tab={name}" for name in ("timeline", "changes", "tests", "usage")]
    found: dict[str, list[str]] = {}
    for route in (
        "#/",
        "#/approvals",
        "#/start",
        "#/history",
        "#/history?q=test*",
        "#/supervision",
        "#/calls",
        house,
        agent,
        *tabs,
    ):
        page.goto(f"{town.url}{route}")
        expect(page.get_by_test_id("connection")).to_have_attribute("data-phase", "live")
        expect(page.locator("main .empty-quiet")).to_have_count(0)  # the screen, not the word that it is fetched
        found[str(route)] = violations(page)
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > size["width"]:
            found[str(route)].append(f"{wide} px wide")
    page.goto(town.url)
    expect(page.get_by_test_id("connection")).to_have_attribute("data-phase", "live")
    expect(agent_row(page, CART)).to_be_visible()  # keys that come before the page are lost
    for name, opens in (("palette", "Control+k"), ("keys", "?")):
        page.keyboard.press(opens)
        expect(page.get_by_role("dialog")).to_be_visible()
        found[name] = violations(page)
        page.keyboard.press("Escape")
    page.get_by_test_id("person").click()
    page.get_by_test_id("my-preferences").get_by_text("Theme and notifications").click()
    found["menu"] = violations(page)
    assert {where: what for where, what in found.items() if what} == {}


@pytest.mark.parametrize(
    ("route", "waits_for"),
    [
        ("#/supervision", "**/api/supervision"),
        ("#/operator/runners", "**/api/villages*"),
        ("#/operator/runners", "**/views/operator/operator.js"),
    ],
)
def test_a_screen_whose_answer_takes_long_has_a_heading_meanwhile(
    watcher: Watcher, signed_in: Any, town: Town, route: str, waits_for: str
) -> None:
    page = watcher.open(DESKTOP, signed_in)
    page.goto(town.url)
    expect(agent_row(page, CART)).to_be_visible()
    watcher.expected.append("Applying inline style")  # axe-core's own
    page.route(waits_for, lambda _: None)  # never answered
    page.goto(f"{town.url}{route}")
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    expect(page.locator("main")).to_contain_text(re.compile("Asking|Looking|Opening"))
    assert violations(page) == []


def test_the_palette_finds_and_opens(desk: Desk) -> None:
    page = desk("")
    expect(agent_row(page, SHELL)).to_be_visible()
    page.keyboard.press("Control+k")
    page.get_by_test_id("palette").fill("shell you")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(SHELL)
    expect(screen(page)).to_contain_text("demo:")
    page.keyboard.press("g")
    page.keyboard.press("a")
    expect(page).to_have_url(re.compile("#/approvals"))


def test_a_key_that_comes_before_the_dialog_has_told_that_it_closed_is_not_lost(desk: Desk) -> None:
    page = desk("")
    expect(agent_row(page, SHELL)).to_be_visible()
    page.keyboard.press("Control+k")
    expect(page.get_by_role("dialog", name="Find or do")).to_be_visible()
    page.evaluate("""() => {
      document.querySelector("dialog").close();  // the event "close" is a task of its own, later
      document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "?", bubbles: true }));
    }""")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.wait_for_timeout(300)  # the event has come
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_counters_filter_and_the_address_says_so(desk: Desk) -> None:
    page = desk("")
    expect(agent_row(page, SHELL)).to_be_visible()
    page.get_by_test_id("search").fill("shell")
    expect(page.get_by_test_id("roster-foot")).to_contain_text(re.compile(r"1 of \d+ agents match"))
    expect(page.get_by_test_id("agent")).to_have_count(1)
    again = desk("#" + page.url.partition("#")[2])
    expect(again.get_by_test_id("agent")).to_have_count(1)
    page.get_by_test_id("clear").click()
    page.get_by_test_id("by").select_option("house")
    expect(page.get_by_test_id("group").first).to_be_visible()
    page.get_by_test_id("count-done").click()
    expect(page.get_by_test_id("count-done")).to_have_attribute("aria-pressed", "true")
    page.go_back()
    expect(page.get_by_test_id("count-done")).to_have_attribute("aria-pressed", "false")


def test_it_calls(watcher: Watcher, signed_in: Any, town: Town) -> None:
    page = watcher.open(DESKTOP, signed_in)
    page.context.grant_permissions(["notifications"])
    page.add_init_script(
        "window.told = []; window.Notification = class { constructor(title) { told.push(title); }"
        " static async requestPermission() { return 'granted'; } close() {} };"
        " document.hasFocus = () => false;"
    )
    page.goto(town.url)
    page.get_by_test_id("person").click()
    page.get_by_test_id("my-preferences").get_by_text("Theme and notifications").click()
    page.get_by_test_id("desktop").check()
    page.keyboard.press("Escape")
    open_agent(page, SHELL)
    stop = page.get_by_test_id("drive")
    stop.click()
    page.get_by_test_id("terminal").click()
    page.keyboard.type("townwatch ask --category network --risk low calling\n")
    expect(page).to_have_title(re.compile("^◆ "), timeout=30_000)
    expect(page.locator('link[rel="icon"]')).to_have_attribute("href", re.compile("ffb224"))
    deadline = time.monotonic() + 30
    while not page.evaluate("told.some((title) => title.includes('needs you'))"):  # the page forbids eval, and so waits
        assert time.monotonic() < deadline, page.evaluate("told")
        page.wait_for_timeout(100)
    page.get_by_test_id("approval").filter(has_text="calling").get_by_test_id("deny").click()
    page.get_by_test_id("person").click()
    page.get_by_test_id("theme").get_by_label("light", exact=True).check()
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"
