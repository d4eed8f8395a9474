"""Every screen for every reader; the palette, the keys, filters in the address, and how the page calls."""

import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import DESKTOP, PATIENCE_MS, Town, Watcher
from tests.browser.fitting import CUT, NOTED_BY_AXE, misfits
from tests.browser.test_page import CART, SHELL, Desk, agent_row, open_agent, screen

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
expect = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect

SCREENS = (
    "#/",
    "#/approvals",
    "#/start",
    "#/history",
    "#/history?q=test*",
    "#/grid?of=busy",
    "#/calls",
    "#/supervision",
    "{house}",
    "{agent}",
    "{agent}?tab=changes",
    "{agent}?tab=tests",
    "{agent}?tab=usage",
    "#/s/{session}",
    "#/a/nobody",
    "#/operator/runners",
    "#/operator/runners?of={runner}",
    "#/operator/people",
    "#/operator/villages?of=demo",
    "#/operator/rules",
    "#/operator/webhooks",
    "#/operator/audit",
    "#/operator/limits",
    "#/operator/tokens",
    "#/operator/devices",
    "#/operator/nothing",
)
UNREADY = re.compile("^(Looking|Opening|Asking|Reading) ")


def unfold(page: Any, pop: str, *folds: str) -> None:
    page.get_by_test_id(pop).click()
    for fold in folds:
        page.get_by_test_id(fold).locator("summary").first.click()
        expect(page.get_by_text(UNREADY)).to_have_count(0)


BAD_LINK = """async () => {
  const store = await import(`${location.origin}/js/store.js`);
  for (const ms of [4321, 12345]) store.linkEvent({ type: "round-trip", ms });
  const room = "agent:a-name-as-long-as-runners-may-give-one-1234567890";
  store.linkEvent({ type: "gap", gap: { room, from: 1234567890, to: 2345678901, bytes: 12345678 } });
}"""
DIALOGS: dict[str, Callable[[Any], None]] = {
    "palette": lambda page: page.keyboard.press("Control+k"),
    "keys": lambda page: page.keyboard.press("?"),
    "menu": lambda page: unfold(page, "person", "my-preferences", "my-connections", "my-password"),
    "connection": lambda page: unfold(page, "connection"),
    "a bad connection": lambda page: (page.evaluate(BAD_LINK), unfold(page, "connection")),
    "legend": lambda page: page.get_by_text("How to read it").click(),
    "a new budget": lambda page: page.get_by_test_id("new-budget").locator("summary").click(),
}
"""What opens over the village's screen, and goes by Escape."""


def test_the_head_fits_every_width(watcher: Watcher, desk: Desk) -> None:
    page = desk("")
    expect(agent_row(page, CART)).to_be_visible()
    for state in ("good", "bad"):
        if state == "bad":
            page.evaluate(BAD_LINK)
        for width in range(320, 1500, 20):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate(CUT) == [], f"a {state} connection, {width} px"


def test_every_screen_fits_every_reader(watcher: Watcher, desk: Desk, town: Town) -> None:
    watcher.expected.append(NOTED_BY_AXE)
    page = desk("")
    expect(agent_row(page, CART)).to_be_visible()
    agent = agent_row(page, CART).get_by_role("link").first.get_attribute("href")
    house = page.get_by_test_id("house").first.get_attribute("href")
    ask = """async (path) => (await (await fetch(path, {
      headers: { authorization: `Bearer ${localStorage["townwatch.token"]}` } })).json()).items[0]"""
    places = {
        "agent": agent,
        "house": house,
        "session": page.evaluate(ask, "/api/runner/sessions")["sessionId"],
        "runner": page.evaluate(ask, "/api/runners")["runnerId"],
    }
    found: dict[str, list[str]] = {}
    for route in SCREENS:  # each as it is, not the word that it is fetched
        page.goto(f"{town.url}{route.format(**places)}")
        expect(page.get_by_test_id("connection")).to_have_attribute("data-phase", "live")
        expect(page.locator("main h1")).to_have_count(1)
        expect(page.locator("main").get_by_text(UNREADY)).to_have_count(0)
        found[route] = misfits(page)
    page.goto(f"{town.url}#/")
    expect(agent_row(page, CART)).to_be_visible()  # keys that come before the page are lost
    for name, opens in DIALOGS.items():
        opens(page)
        found[name] = misfits(page)
        page.keyboard.press("Escape")
    page.goto(f"{town.url}#/start")
    if (look := page.get_by_test_id("look-earlier")).is_visible():
        look.click()
        expect(look).to_have_text("Look again")
        found["earlier conversations"] = misfits(page)
    page.goto(f"{town.url}#/s/{places['session']}")
    page.get_by_test_id("share").click()
    expect(page.get_by_test_id("share-form")).to_be_visible()
    found["share a part"] = misfits(page)
    assert {where: what for where, what in found.items() if what} == {}


def test_what_a_stranger_sees_fits_every_reader(watcher: Watcher, town: Town) -> None:
    watcher.expected += [NOTED_BY_AXE, "401", "404"]  # links that are over
    page = watcher.open(DESKTOP)
    page.goto(town.url)
    expect(page.get_by_test_id("anonymous")).to_be_visible()
    found: dict[str, list[str]] = {}
    fold = page.get_by_test_id("with-password").locator("visible=true").locator("summary").first
    if fold.count():
        fold.click()
    found["sign in"] = misfits(page)
    page.get_by_test_id("anonymous").click()
    found["sign in, in the menu"] = misfits(page)
    for over in ("answer.html#twl_nothing", "clip.html#twc_nothing"):
        page.goto(f"{town.url}{over}")
        expect(page.get_by_test_id("over")).to_be_visible(timeout=PATIENCE_MS)
        found[over] = misfits(page)
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
    watcher.expected.append(NOTED_BY_AXE)
    page.route(waits_for, lambda _: None)  # never answered
    page.goto(f"{town.url}{route}")
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    expect(page.locator("main")).to_contain_text(re.compile("Asking|Looking|Opening"))
    assert misfits(page) == []


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
    by_name = page.get_by_role("columnheader", name=re.compile("^Agent"))
    for order in ("ascending", "descending", "none"):
        by_name.get_by_role("button").click()
        expect(by_name).to_have_attribute("aria-sort", order)
    page.get_by_test_id("hide-done").click()
    expect(page).to_have_url(re.compile("hide=done"))
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
