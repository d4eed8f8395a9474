"""A grid of live terminals: ticked in the table, deep-linked, and each keyboard a lease as on the agent's own page."""

import re
from typing import Any

import pytest

from tests.browser.conftest import DESKTOP, Town, Watcher
from tests.browser.fitting import NOTED_BY_AXE, misfits
from tests.browser.test_page import CART, SHELL, Desk, agent_row

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
expect = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect


def tile(page: Any, name: str) -> Any:
    return page.get_by_test_id("tile").filter(has=page.get_by_role("link", name=name))


def test_ticked_agents_are_a_grid_in_which_one_types(desk: Desk, watcher: Watcher) -> None:
    watcher.expected.append(NOTED_BY_AXE)
    page = desk("")
    for name in (SHELL, CART):
        agent_row(page, name).get_by_test_id("tick").check()
    page.get_by_test_id("open-grid").click()
    expect(page.get_by_test_id("tile")).to_have_count(2)
    shell, cart = tile(page, SHELL), tile(page, CART)
    expect(shell.locator(".xterm-rows")).to_contain_text("demo:")
    shell.get_by_test_id("terminal").click()
    page.keyboard.type("no-such-thing")  # one looks on: keys go nowhere
    expect(shell.locator("section.tty")).to_have_attribute("data-keyboard", "free")
    page.keyboard.press("Enter")
    expect(shell.locator("section.tty")).to_have_attribute("data-keyboard", "mine")
    expect(cart.locator("section.tty")).not_to_have_attribute("data-keyboard", "mine")
    page.keyboard.type("clear; echo grid-$((6*7))\n")
    expect(shell.locator(".xterm-rows")).to_contain_text("grid-42")
    expect(shell.locator(".xterm-rows")).not_to_contain_text("no-such-thing")
    assert misfits(page) == []

    again = desk("#" + page.url.partition("#")[2])
    expect(again.get_by_test_id("tile")).to_have_count(2)
    expect(tile(again, SHELL).locator(".xterm-rows")).to_contain_text("grid-42")
    expect(tile(again, SHELL).get_by_test_id("holder")).to_contain_text("another window")
    page.keyboard.press("Control+m")
    expect(shell.locator("section.tty")).to_have_attribute("data-keyboard", "free")
    shell.get_by_role("link", name=SHELL).click()
    expect(page).to_have_url(re.compile("#/a/"))


def test_all_that_need_somebody(watcher: Watcher, signed_in: Any, town: Town) -> None:
    page = watcher.open(DESKTOP, signed_in)
    page.goto(f"{town.url}#/grid")
    expect(page.get_by_test_id("tile").first).to_be_visible()
    for state in page.locator(".tile-state").all_text_contents():
        assert re.match("waits for you|failed|runner lost|asks", state), state
    expect(page.get_by_test_id("grid-count")).to_contain_text(re.compile(r"\d of \d"))
