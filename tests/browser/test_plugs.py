"""The supervision page while plugs are pulled: by an administrator of a service started for it, by nobody else."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import DESKTOP, PHONE, Town, Watcher, free_port

Desk = Callable[[str], Any]
PATIENCE = 20_000
ASK = """((path, options = {}) => fetch(path, {...options, headers: {
  "content-type": "application/json", authorization: "Bearer " + localStorage["townwatch.token"],
}}))"""
"""fetch() as the person who is signed in."""


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A service that was started with --chaos."""
    running = Town(tmp_path_factory.mktemp("plugs"), free_port(), options=("--chaos",))
    try:
        running.start()
        yield running
    finally:
        running.stop()


def row(page: Any, path: str) -> Any:
    return page.locator(f'tr[data-node="{path}"]')


def choose(page: Any, path: str) -> Any:
    """The drawer of a node."""
    row(page, path).get_by_role("button").click()
    return page.get_by_test_id("drawer")


def test_the_tree_says_what_the_service_says(desk: Desk, town: Town) -> None:
    page = desk("#/supervision")
    router = row(page, "townwatch/router")
    expect(router).to_contain_text("up")
    expect(router).to_contain_text("/ 4096")
    told = page.evaluate(f"async () => (await {ASK}('/api/supervision')).json()")
    for child in told["children"]:
        shown = row(page, f"townwatch/{child['id']}")
        expect(shown).to_contain_text(child["state"])
        if child["strategy"]:
            expect(shown).to_contain_text(child["strategy"].replace("_", " "))
            expect(shown).to_contain_text(f"/{child['intensity']}")
        if child["mailbox"]:
            expect(shown).to_contain_text(f"/ {child['mailbox']['capacity']}")


def test_a_button_kills_and_the_tree_shows_it_and_heals(desk: Desk) -> None:
    page = desk("#/supervision")
    drawer = choose(page, "townwatch/ledger/journal")
    drawer.get_by_role("button", name="kill-actor").click()
    expect(drawer.get_by_test_id("told")).to_contain_text("it answered again after", timeout=PATIENCE)
    happenings = drawer.get_by_test_id("happenings")
    expect(happenings).to_contain_text("pulled by /api/chaos")
    expect(happenings).to_contain_text("restarted")
    journal = row(page, "townwatch/ledger/journal")
    expect(journal).to_contain_text("Killed: pulled by /api/chaos")
    expect(journal).to_contain_text("up")
    expect(journal.locator(".restarts")).to_have_text("1")
    expect(page.get_by_test_id("verdict")).to_have_text("all holds")
    expect(page.get_by_test_id("vitals")).to_contain_text("townwatch/ledger/journal")


def test_what_everybody_feels_is_asked_twice_and_nobody_is_lost(desk: Desk, watcher: Watcher) -> None:
    watcher.expected += ["Failed to load resource", "WebSocket connection"]  # its own connections end, too
    page = desk("#/supervision")
    panel = page.get_by_test_id("chaos")
    panel.get_by_role("button", name="kill-listener").click()
    panel.get_by_role("button", name="Really kill-listener").click()
    expect(panel.get_by_test_id("told")).to_contain_text("kill-listener")
    expect(row(page, "townwatch/listener").locator(".restarts")).to_have_text("1", timeout=PATIENCE)
    expect(page.get_by_test_id("connection")).to_have_attribute("data-phase", "live", timeout=PATIENCE)
    expect(page.get_by_test_id("verdict")).to_have_text("all holds", timeout=PATIENCE)


def test_a_full_disk_is_said_and_passes(desk: Desk) -> None:
    page = desk("#/supervision")
    panel = page.get_by_test_id("chaos")
    panel.get_by_role("button", name="full-disk").click()
    expect(page.get_by_test_id("verdict")).to_have_text("not ready", timeout=PATIENCE)
    expect(page.get_by_test_id("vitals")).to_contain_text("the journal cannot write")
    expect(page.get_by_test_id("verdict")).to_have_text("all holds", timeout=PATIENCE)


def test_nobody_kills_a_process_that_stays_dead(desk: Desk) -> None:
    button = desk("#/supervision").get_by_test_id("chaos").get_by_role("button", name="kill-process")
    expect(button).to_be_disabled()
    expect(button).to_have_attribute("title", re.compile("--keep"))


def test_keys_reach_every_node(desk: Desk) -> None:
    page = desk("#/supervision")
    row(page, "townwatch/timers").get_by_role("button").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("drawer")).to_contain_text("rest for one")
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("drawer")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_a_phone_pulls_plugs_too(watcher: Watcher, signed_in: Any, town: Town, scheme: str) -> None:
    page = watcher.open(PHONE, signed_in, has_touch=True, is_mobile=True, color_scheme=scheme)
    page.goto(f"{town.url}#/supervision")
    page.get_by_text("Pull a plug").tap()
    expect(page.get_by_test_id("chaos").get_by_role("button", name="kill-router")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_who_is_no_administrator_sees_no_plugs_and_no_names(watcher: Watcher, town: Town) -> None:
    watcher.expected.append("403")  # asked for below
    state = f"--state-dir={town.folder / 'state'}"
    command = [
        sys.executable,
        "-P",
        "-m",
        "townwatch",
        "user",
        "add",
        "Vera",
        "--village",
        "demo",
        "--role",
        "viewer",
        state,
    ]
    done = subprocess.run(command, cwd=town.folder, capture_output=True, text=True, timeout=30, check=True)
    found = re.search(r"http://\S+\?code=\S+", done.stdout)
    assert found, done.stdout
    page = watcher.open(DESKTOP)
    page.goto(found[0])
    page.get_by_test_id("person").wait_for()
    page.evaluate("location.hash = '#/supervision'")
    choose(page, "townwatch/router")
    expect(page.get_by_test_id("drawer")).to_contain_text("Administrators see here")
    expect(page.get_by_test_id("chaos")).to_have_count(0)
    expect(page.locator("[data-fault]")).to_have_count(0)
    fault = """{method: "POST", body: '{"fault": "kill-router"}'}"""
    asked = ("'/api/chaos'", f"'/api/chaos/faults', {fault}", "'/api/supervision/events'")
    statuses = [page.evaluate(f"async () => (await {ASK}({one})).status") for one in asked]
    assert statuses == [403, 403, 403]
