"""The service is killed while somebody looks: the page says so, comes back by itself, and has everything."""

import re
from typing import Any

import pytest

from tests.browser.conftest import DESKTOP, Town, Watcher
from tests.browser.test_page import take_keyboard

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
expect = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect

SHELL = "A shell for you"


def type_until_taken(page: Any, text: str) -> None:
    """The runner comes back in its own time; until then typing is refused, and the page says so. It takes no half line:
    what follows something that was refused is left out.
    """
    for _ in range(30):
        page.keyboard.type(text, delay=40)
        page.wait_for_timeout(1000)
        if page.locator(".trouble").count() == 0:
            return
    raise AssertionError(page.locator(".trouble").inner_text())


def test_nobody_presses_reload(watcher: Watcher, signed_in: Any, town: Town) -> None:
    watcher.expected += ["ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "WebSocket", "Failed to load resource"]
    page = watcher.open(DESKTOP, signed_in)
    page.goto(town.url)
    page.get_by_test_id("agent").filter(has_text=SHELL).get_by_role("link", name=SHELL).click()
    expect(page.locator(".xterm-rows")).to_contain_text("demo:")
    take_keyboard(page)
    page.get_by_test_id("terminal").click()
    page.keyboard.type("echo before-$((6*7))\n")
    expect(page.locator(".xterm-rows")).to_contain_text("before-42")
    page.evaluate("window.sameVisit = true")

    town.kill()
    expect(page.get_by_test_id("connection")).to_have_text(re.compile("reconnecting"))
    expect(page.locator(".xterm-rows")).to_contain_text("demo:")

    town.start()
    expect(page.get_by_test_id("connection")).to_have_attribute("data-phase", "live", timeout=30_000)
    assert page.evaluate("window.sameVisit") is True
    expect(page.get_by_role("heading", level=1)).to_have_text(SHELL)
    expect(page.get_by_test_id("person")).to_be_visible()

    take_keyboard(page)
    page.get_by_test_id("terminal").click()
    type_until_taken(page, "echo after-$((6*7))\n")
    expect(page.locator(".xterm-rows")).to_contain_text("after-42")
    expect(page.locator(".xterm-rows")).not_to_contain_text("not found")
    shown = page.locator(".xterm-rows").inner_text()
    assert shown.count("before-42") == 1 and shown.index("before-42") < shown.index("after-42")


def test_a_token_that_is_no_good_any_more_is_told(watcher: Watcher, signed_in: Any, town: Town) -> None:
    watcher.expected.append("401")
    page = watcher.open(DESKTOP, signed_in)
    page.goto(town.url)
    expect(page.get_by_test_id("person")).to_be_visible()
    page.evaluate("localStorage.setItem('townwatch.token', 'twj_nonsense')")
    page.reload()
    expect(page.get_by_test_id("anonymous")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("signed out")
