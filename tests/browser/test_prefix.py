"""The page below a path of a reverse proxy, and what a proxy costs that hides its address from the service."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.conftest import DESKTOP, Town, Watcher, free_port
from tests.browser.test_page import SHELL, open_agent, screen
from tests.support.proxy import proxy_thread

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
expect = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    (folder / "townwatch.toml").write_text('[server]\npath = "/tw"\n')
    running = Town(folder, free_port(), options=(f"--config={folder / 'townwatch.toml'}",))
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.mark.parametrize("strips", [False, True], ids=["keeps", "strips"])
def test_the_page_lives_below_a_path(watcher: Watcher, town: Town, strips: bool) -> None:
    with proxy_thread(town.port, "/tw", strips=strips) as port:
        page = watcher.open(DESKTOP)
        page.goto(town.new_link().replace(f":{town.port}/", f":{port}/"))
        expect(page.get_by_test_id("person")).to_be_visible()
        expect(page.get_by_test_id("connection")).to_have_attribute("data-phase", "live")
        open_agent(page, SHELL)
        expect(screen(page)).to_contain_text("demo:")
        page.goto(f"http://127.0.0.1:{port}/tw/#/operator")
        page.get_by_role("button", name="Make a code").click()
        expect(page.get_by_test_id("secret-text")).to_contain_text(f"http://127.0.0.1:{port}/tw --code")
        page.context.close()


def test_a_proxy_that_hides_the_address_costs_the_websocket_and_not_the_page(watcher: Watcher, town: Town) -> None:
    watcher.expected += ["403", "WebSocket"]
    with proxy_thread(town.port, "/tw", strips=False, host=f"127.0.0.1:{town.port}") as port:
        page: Any = watcher.open(DESKTOP)
        page.goto(town.new_link().replace(f":{town.port}/", f":{port}/"))
        expect(page.get_by_test_id("connection")).to_have_attribute("data-phase", "live", timeout=15_000)
        open_agent(page, SHELL)
        expect(screen(page)).to_contain_text("demo:")
        page.context.close()
