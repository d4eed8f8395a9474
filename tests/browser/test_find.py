"""What was said is found again: in the history, by the palette, and in the player at the very place."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest

from tests.browser.conftest import PHONE, Town, Watcher, looked_for

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
expect = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect

Desk = Callable[[str], Any]
OwnSession = Callable[[str, str], None]
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


def test_a_session_of_any_size_is_played_in_parts(desk: Desk, own_session: OwnSession, town: Town) -> None:
    """With parts of twenty events instead of 200 000."""
    lines = "for n in $(seq 70); do echo line $n of seventy; sleep 0.07; done"
    own_session("Seventy lines", f"{lines}; echo the end")
    page = desk("")

    def short_parts(route: Any) -> None:
        answer = route.fetch()
        text = answer.text().replace("PART = 200_000", "PART = 20").replace("LEAD = 20_000", "LEAD = 5")
        route.fulfill(response=answer, body=text)

    page.route("**/js/replay.js*", short_parts)
    row = page.get_by_test_id("agent").filter(has_text="Seventy lines")
    expect(row).to_contain_text("exited by itself", timeout=60_000)
    agent = row.get_by_role("link").first.get_attribute("href") or ""
    session = page.evaluate(
        """async (id) => { const { agents } = await import(`${location.origin}/js/store.js`);
        return agents.peek()[id].sessionId; }""",
        unquote(agent.removeprefix("#/a/")),
    )
    page.goto(f"{town.url}#/s/{session}")
    page.reload()
    part, glass = page.get_by_test_id("part"), page.get_by_test_id("replay")
    expect(part).to_have_text(re.compile(r"part ([4-9]|1\d) of \1$"))
    expect(glass).to_contain_text("the end")
    number = int((part.inner_text()).split()[1])
    page.get_by_role("link", name="earlier").click()
    expect(part).to_have_text(f"part {number - 1} of {number}")
    expect(glass).to_contain_text("of seventy")
    expect(glass).not_to_contain_text("the end")
    page.goto(f"{town.url}#/s/{session}?part=1")
    expect(glass).to_contain_text("line 1 of seventy")
    expect(page.get_by_role("link", name="earlier")).to_have_count(0)
    page.goto(f"{town.url}#/s/{session}?at=45")
    expect(part).to_have_text(f"part 3 of {number}")
    expect(page.get_by_test_id("player")).to_have_attribute("data-seq", "45")
