"""What the page says is so whenever one opened it, and it says since when it knows."""

import os
import re
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import DESKTOP, Town, Watcher

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
expect = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect

Desk = Callable[[str], Any]
OwnSession = Callable[[str, str], None]
SHELL = "A shell for you"
ALERT = """printf 'the last thing it said\\n'; sleep 600"""
MISSED_MS = 13_000


def row(page: Any, name: str) -> Any:
    return page.get_by_test_id("agent").filter(has_text=name)


def test_the_last_line_is_there_also_for_who_comes_later(desk: Desk, own_session: OwnSession) -> None:
    own_session("Late looked at", ALERT)
    first = desk("")
    expect(row(first, "Late looked at")).to_contain_text("the last thing it said")
    second = desk("")
    expect(row(second, "Late looked at")).to_contain_text("the last thing it said")
    second.reload()
    expect(row(second, "Late looked at")).to_contain_text("the last thing it said")


def test_no_agent_is_denied_that_is_behind_many_others(desk: Desk, town: Town) -> None:
    """The lists give their agents one by one: the page reads them to the end."""
    page = desk("#/approvals")
    expect(page.get_by_test_id("person")).to_be_visible()

    def short_pages(route: Any) -> None:
        url = re.sub(r"limit=\d+", "limit=1", route.request.url)
        route.continue_(url=url)

    page.route("**/api/**limit=*", short_pages)
    page.reload()
    page.goto(f"{town.url}#/")
    expect(row(page, SHELL)).to_be_visible()
    agent = row(page, SHELL).get_attribute("data-agent")
    page.goto(f"{town.url}#/approvals")
    page.reload()
    page.goto(f"{town.url}#/a/{agent}")
    expect(page.get_by_role("heading", level=1)).to_have_text(SHELL)


def test_that_an_agent_is_not_there_is_said_only_when_it_is_known(desk: Desk, watcher: Watcher, town: Town) -> None:
    watcher.expected += ["Failed to load resource", "503"]
    page = desk("#/approvals")
    expect(page.get_by_test_id("person")).to_be_visible()
    page.route("**/api/villages/*/agents*", lambda route: route.fulfill(status=503, body="{}"))
    page.reload()
    page.goto(f"{town.url}#/a/nobody-of-this-name")
    expect(page.get_by_text("Looking for the agent")).to_be_visible()
    page.wait_for_timeout(4000)
    expect(page.get_by_text("There is no such agent")).to_have_count(0)
    page.unroute("**/api/villages/*/agents*")
    expect(page.get_by_text("There is no such agent")).to_be_visible()


ASK = """async ([method, path, body]) => {
  const headers = { "content-type": "application/json", authorization: `Bearer ${localStorage["townwatch.token"]}` };
  return (await fetch(`/api${path}`, { method, headers, body: JSON.stringify(body) })).status;
}"""


def test_a_link_to_a_village_shows_that_village_or_says_that_there_is_none(desk: Desk, town: Town) -> None:
    page = desk("")
    expect(row(page, SHELL)).to_be_visible()
    page.goto(f"{town.url}#/v/made-elsewhere")
    expect(page.get_by_text("There is no such village")).to_be_visible()
    assert page.evaluate(ASK, ["POST", "/villages", {"villageId": "made-elsewhere", "name": "Made elsewhere"}]) == 201
    try:
        page.goto(f"{town.url}#/v/demo")
        expect(row(page, SHELL)).to_be_visible()
        page.goto(f"{town.url}#/v/made-elsewhere")
        expect(page.get_by_text("No agent works here yet")).to_be_visible()
        expect(row(page, SHELL)).to_have_count(0)
        page.goto(f"{town.url}#/grid?v=nowhere")
        expect(page.get_by_text("There is no such village")).to_be_visible()
    finally:
        page.evaluate(ASK, ["DELETE", "/villages/made-elsewhere", None])


def test_a_link_to_a_house_is_good_from_whichever_village_one_looks_at(desk: Desk, town: Town) -> None:
    page = desk("")
    expect(row(page, SHELL)).to_be_visible()
    house = page.get_by_test_id("house").first
    link, name = house.get_attribute("href"), house.locator(".house-name").inner_text()
    assert page.evaluate(ASK, ["POST", "/villages", {"villageId": "other", "name": "Other"}]) == 201
    try:
        page.goto(f"{town.url}#/v/other")
        expect(page.get_by_text("No agent works here yet")).to_be_visible()
        page.reload()
        page.goto(f"{town.url}{link}")
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
        expect(page.get_by_test_id("village")).to_have_value("demo")
        page.goto(f"{town.url}#/h/house_that_nobody_built")
        expect(page.get_by_text("There is no such house")).to_be_visible()
    finally:
        page.evaluate(ASK, ["DELETE", "/villages/other", None])


def test_a_silent_service_ends_live_and_nothing_is_invented(watcher: Watcher, signed_in: Any, town: Town) -> None:
    watcher.expected += ["WebSocket", "Failed to load resource", "ERR_"]
    page = watcher.open(DESKTOP, signed_in)
    page.goto(town.url)
    link = page.get_by_test_id("connection")
    expect(link).to_have_attribute("data-phase", "live")
    expect(row(page, SHELL)).to_be_visible()
    assert town.process is not None
    os.kill(town.process.pid, signal.SIGSTOP)
    try:
        expect(link).to_have_attribute("data-phase", "silent", timeout=MISSED_MS)
        expect(page.get_by_test_id("as-of")).to_have_text(re.compile(r"^as of \d\d:\d\d:\d\d$"))
        before = page.get_by_test_id("agents").inner_text()
        page.wait_for_timeout(3000)
        assert page.get_by_test_id("agents").inner_text() == before, "no age goes on while nobody knows"
        for button in page.get_by_test_id("allow").all():
            expect(button).to_be_disabled()
    finally:
        os.kill(town.process.pid, signal.SIGCONT)
    expect(link).to_have_attribute("data-phase", "live", timeout=30_000)
    expect(page.get_by_test_id("as-of")).to_have_count(0)


def test_the_latest_of_a_long_session_is_there_for_who_comes_later(desk: Desk, own_session: OwnSession) -> None:
    """More events than a page of its history has, and more than four of them."""
    write = "for n in $(seq 600); do echo $n > long/$turn-$n.txt; done"  # no more at once than is told
    turns = f"for turn in 1 2 3 4; do {write}; sleep 3; done"
    own_session("Long at work", f"mkdir long; sleep 1; {turns}; echo all written; sleep 600")
    early = desk("")
    expect(row(early, "Long at work")).to_contain_text("all written", timeout=60_000)
    late = desk("")
    row(late, "Long at work").get_by_role("link").first.click()
    late.get_by_role("tab", name="timeline").click()
    expect(late.get_by_test_id("story")).to_contain_text("long/4-600.txt", timeout=30_000)


def test_the_houses_of_a_village_are_one_join(watcher: Watcher, signed_in: Any, town: Town) -> None:
    """Each alone, the last of two hundred would be joined after a minute: a page joins sixteen times in 5 s."""
    page = watcher.open(DESKTOP, signed_in)
    sent: list[str] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda data: sent.append(str(data))))
    page.goto(town.url)
    expect(page.get_by_test_id("house").first).to_be_visible()
    houses = page.get_by_test_id("house").count()

    def joins() -> list[str]:
        return [text for text in sent if '"join' in text]

    for _ in range(100):
        if any('"repos":[' in text for text in joins()):
            break
        page.wait_for_timeout(50)
    page.wait_for_timeout(500)
    (village, many) = joins()
    assert '"join_village"' in village
    assert many.count('"house_') >= houses, many  # one that has not said where it works is not drawn
