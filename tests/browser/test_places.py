"""Making a village and granting a runner, on the page."""

import re
from typing import Any

import pytest

from tests.browser.conftest import DESKTOP, Town, Watcher

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
expect = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect


def opened(page: Any, fold: str) -> Any:
    page.get_by_test_id("person").click()
    page.get_by_test_id(fold).locator("summary").click()
    return page.get_by_test_id(fold)


def test_an_administrator_makes_a_village_and_lets_a_runner_serve_it(watcher: Watcher, town: Town) -> None:
    page = watcher.open(DESKTOP)
    page.goto(town.new_link())
    expect(page.get_by_test_id("person")).to_be_visible()
    fold = opened(page, "my-village")
    fold.get_by_label("Id, in its address").fill("second")
    fold.get_by_role("button", name="Make it").click()
    expect(page).to_have_url(re.compile(r"#/v/second"))
    expect(page.get_by_test_id("village")).to_contain_text("second")

    runners = opened(page, "my-runners").get_by_test_id("runners")
    expect(runners.get_by_test_id("serves-demo")).to_be_checked()
    tick = runners.get_by_test_id("serves-second")
    expect(tick).not_to_be_checked()
    tick.check()
    page.reload()
    tick = opened(page, "my-runners").get_by_test_id("serves-second")
    expect(tick).to_be_checked()
    tick.uncheck()
