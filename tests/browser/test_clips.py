"""A part of a recording is shared by a link: made in the player, opened by a person without an account, ended."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import DESKTOP, Town, Watcher, looked_for
from tests.browser.fitting import NOTED_BY_AXE, misfits

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
expect = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect

PATIENCE = 60_000
SCRIPT = "printf 'the first part\\n'; sleep 1; clear; printf 'the second part\\n'; sleep 600"


def test_a_part_is_shared_looked_at_and_ended(
    own_session: Callable[[str, str], None], desk: Callable[[str], Any], watcher: Watcher, town: Town
) -> None:
    watcher.expected += [NOTED_BY_AXE, "401"]  # the link that is over
    own_session("Sharer", SCRIPT)
    page = desk("#/")
    expect(page.get_by_test_id("connection")).to_have_attribute("data-phase", "live")
    page.goto(f"{town.url}#/history?outcome=live")
    row = page.get_by_test_id("past").filter(has_text="Sharer").first
    looked_for(page, row)
    row.get_by_role("link").click()
    screen = page.get_by_test_id("replay")
    expect(screen).to_contain_text("the second part", timeout=PATIENCE)
    page.get_by_test_id("scrubber").press("Home")
    for _ in range(40):
        if "the first part" in (screen.text_content() or ""):
            break
        page.get_by_test_id("scrubber").press("PageUp")
        page.wait_for_timeout(100)
    expect(screen).not_to_contain_text("second")
    page.get_by_test_id("share").click()
    form = page.get_by_test_id("share-form")
    form.get_by_role("button", name="to here").click()
    form.get_by_label("ends after").select_option("1")
    form.get_by_role("button", name="Make a link").click()
    expect(form.get_by_text("It ends on")).to_contain_text(re.compile(r"\d{4}, \d\d:\d\d"))
    link = form.get_by_test_id("share-link").text_content()
    expect(form.get_by_test_id("shared-part")).to_have_count(1)
    assert misfits(page) == []

    theirs = watcher.open(DESKTOP)
    theirs.goto(link)
    expect(theirs.locator("header")).to_contain_text("this link ends on")
    theirs.get_by_test_id("scrubber").press("End")
    expect(theirs.get_by_test_id("replay")).to_contain_text("the first part")
    expect(theirs.get_by_test_id("replay")).not_to_contain_text("second")
    expect(theirs.get_by_test_id("share")).to_have_count(0)
    assert misfits(theirs) == []

    page.get_by_test_id("shared-part").get_by_role("button", name="End").click()
    page.get_by_test_id("shared-part").get_by_role("button", name="Really end it?").click()
    expect(page.get_by_test_id("shared-part")).to_have_count(0)
    theirs.reload()
    expect(theirs.get_by_test_id("over")).to_contain_text("This link is over")
