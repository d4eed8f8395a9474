"""Takes the documentation's pictures of the page: ``python -m tests.browser.screenshots`` writes docs/images/*.png."""

import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import expect, sync_playwright

from tests.browser.conftest import CHROMIUM_ARGS, DESKTOP, Town, chromium_path, free_port

IMAGES = Path(__file__).parents[2] / "docs" / "images"
CART = "Ada · fix the cart"
SETTLE_MS = 1500


def picture(page: Any, name: str) -> None:
    page.wait_for_timeout(SETTLE_MS)
    page.screenshot(path=IMAGES / f"{name}.png")


def tour(browser: Any, town: Town) -> None:
    """Every screen, with the demo's approval waiting and its ledger crashed."""
    desk = browser.new_context(viewport=DESKTOP, color_scheme="dark")
    page = desk.new_page()
    page.goto(town.link)
    expect(page.get_by_test_id("agent").filter(has_text="failed")).to_be_visible(timeout=60_000)
    expect(page.get_by_test_id("approval").first).to_be_visible(timeout=60_000)
    expect(page.get_by_test_id("alerts")).to_be_visible(timeout=60_000)
    picture(page, "village")
    page.get_by_test_id("agent").filter(has_text=CART).get_by_role("link", name=CART).click()
    page.get_by_role("tab", name="tests").click()
    picture(page, "agent")
    page.goto(f"{town.url}#/supervision")
    page.wait_for_timeout(SETTLE_MS)
    picture(page, "supervision")

    state = desk.storage_state()
    light = browser.new_context(viewport=DESKTOP, color_scheme="light", storage_state=state).new_page()
    light.goto(town.url)
    picture(light, "village-light")
    phone = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
    small = browser.new_context(color_scheme="dark", storage_state=state, **phone).new_page()
    small.goto(town.url)
    picture(small, "phone-village")
    small.get_by_test_id("agent").filter(has_text="Linus").get_by_role("link").first.tap()
    picture(small, "phone-agent")


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=CHROMIUM_ARGS)
        town = Town(Path(folder), free_port())
        try:
            town.start()
            tour(browser, town)
        finally:
            town.stop()
            browser.close()


if __name__ == "__main__":
    main()
