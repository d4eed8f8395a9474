"""What was said is found again: in the history, by the palette, and in the player at the very place."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import PHONE, Town, Watcher, looked_for

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
expect = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect

Desk = Callable[[str], Any]
PATIENCE = 60_000
SCRIPT = "printf 'before\\n'; printf '\\033[31mcan\\033[0mary <i>4711</i>\\n'; sleep 1; clear; printf 'behind it\\n'"


@pytest.fixture
def past(own_session: Callable[[str, str], None], desk: Desk) -> Any:
    """The history, when a session of one's own is in it and has ended."""
    own_session("Lovelace", SCRIPT)
    page = desk("#/history?outcome=completed")
    row = page.get_by_test_id("past").filter(has_text="Lovelace").first
    looked_for(page, row)
    return page


def test_a_hit_opens_the_session_where_it_was_said_and_back_restores_the_search(past: Any) -> None:
    page = past
    expect(page.get_by_test_id("foot")).to_have_text(re.compile(r"^\d+ of \d+ sessions?"))
    page.get_by_test_id("words").fill('"canary i 4711"')
    expect(page).to_have_url(re.compile("q=%22canary"))
    hit = page.get_by_test_id("hit").filter(has_text="Lovelace").first
    expect(hit).to_be_visible(timeout=PATIENCE)
    expect(hit.locator("mark")).to_have_text(["canary <i>4711"])
    expect(page.get_by_test_id("foot")).to_have_text(re.compile("of [0-9]+ places?"))
    hit.click()
    expect(page).to_have_url(re.compile(r"#/s/[^?]+\?at=\d+"))
    screen = page.get_by_test_id("replay")
    expect(screen).to_contain_text("canary <i>4711</i>", timeout=PATIENCE)
    expect(screen).not_to_contain_text("behind it")

    scrubber = page.get_by_test_id("scrubber")
    scrubber.press("End")
    expect(screen).to_contain_text("behind it")
    scrubber.press("Home")
    expect(screen).not_to_contain_text("canary")
    page.get_by_test_id("play").click()
    expect(screen).to_contain_text("behind it", timeout=PATIENCE)
    expect(page.get_by_test_id("play")).to_have_text("Play")

    page.go_back()
    expect(page.get_by_test_id("words")).to_have_value('"canary i 4711"')
    expect(page.get_by_test_id("hit").first).to_be_visible(timeout=PATIENCE)
    page.get_by_test_id("words").fill("nothing-says-this")
    expect(page.get_by_test_id("foot")).to_contain_text("Nothing is found")


def test_the_palette_searches_and_filters_are_in_the_address(desk: Desk) -> None:
    page = desk("#/history")
    expect(page.get_by_test_id("past").first).to_be_visible(timeout=PATIENCE)
    page.get_by_test_id("by-outcome").select_option("live")
    expect(page).to_have_url(re.compile("outcome=live"))
    page.keyboard.press("Control+k")
    page.get_by_test_id("palette").fill("discount zebra")
    page.get_by_role("option", name=re.compile("Search for")).click()
    expect(page).to_have_url(re.compile(r"#/history\?q=discount"))
    expect(page.get_by_test_id("words")).to_have_value("discount zebra")
    page.go_back()
    expect(page.get_by_test_id("by-outcome")).to_have_value("live")


def test_history_and_player_fit_a_phone(watcher: Watcher, signed_in: Any, town: Town) -> None:
    page = watcher.open(PHONE, signed_in)
    page.goto(f"{town.url}#/history")
    expect(page.get_by_test_id("past").first).to_be_visible(timeout=PATIENCE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.get_by_test_id("past").first.get_by_role("link").click()
    expect(page.get_by_test_id("player")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
