"""Two people, two browsers, one terminal: the keyboard has one holder on all pages, and looking takes nothing."""

import subprocess
import sys
from typing import Any

import pytest

from tests.browser.conftest import DESKTOP, Town, Watcher
from tests.browser.test_page import SHELL, Desk, open_agent, screen, take_keyboard

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
expect = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect


@pytest.fixture
def olga(town: Town, watcher: Watcher) -> Any:
    """The page of another person, an operator of the village."""
    command = [sys.executable, "-P", "-m", "townwatch", "user", "add", "Olga", "--village=demo", "--role=operator"]
    command.append(f"--state-dir={town.folder / 'state'}")
    done = subprocess.run(command, cwd=town.folder, capture_output=True, text=True, timeout=60, check=True)
    (link,) = [word for word in done.stdout.split() if "code=" in word]
    page = watcher.open(DESKTOP)
    page.goto(link)
    expect(page.get_by_test_id("person")).to_have_text("Olga")
    return page


def state(page: Any) -> Any:
    return page.locator("section.tty")


def test_looking_takes_nothing_and_the_keys_of_the_glass(desk: Desk) -> None:
    page = desk("")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_agent(page, SHELL)
    expect(screen(page)).to_contain_text("demo:")
    page.get_by_test_id("terminal").click()
    page.keyboard.type("no-such-thing")
    expect(state(page)).to_have_attribute("data-keyboard", "free")
    page.keyboard.press("Tab")  # a way out, also while one only looks
    expect(page.locator(".xterm-helper-textarea")).not_to_be_focused()
    page.get_by_test_id("terminal").click()
    page.keyboard.press("Enter")
    expect(state(page)).to_have_attribute("data-keyboard", "mine")
    page.keyboard.type("clear; echo copy-$((6*7))\n")
    expect(screen(page)).to_contain_text("copy-42")
    copied = ""
    for _ in range(40):  # rows move while the size of who took the keyboard arrives
        row = page.locator(".xterm-rows > div").filter(has_text="copy-42").last
        row.dblclick(position={"x": 20, "y": 8}, force=True)
        page.keyboard.press("Control+c")
        page.wait_for_timeout(100)  # the browser writes its clipboard in its own time
        if (copied := page.evaluate("navigator.clipboard.readText()")).strip():
            break
    assert copied == "copy-42", screen(page).inner_text()
    page.keyboard.type("echo still-$((1+1))\n")  # nothing was killed, no ^C was typed
    expect(screen(page)).to_contain_text("still-2")
    page.keyboard.press("Control+Shift+F")
    page.keyboard.type("STILL-2")
    expect(page.get_by_test_id("find-count")).to_have_text("1 of 1")  # the command says $((1+1))
    page.keyboard.press("Escape")
    expect(page.locator(".xterm-helper-textarea")).to_be_focused()

    page.keyboard.type(
        "bind 'set enable-bracketed-paste off'; echo plain-$((3*3))\n"
    )  # else bash asks for pastes as a whole
    expect(screen(page)).to_contain_text("plain-9")
    page.evaluate("navigator.clipboard.writeText('echo one-$((0+1))\\necho two-$((1+1))\\n')")
    page.keyboard.press("Control+v")
    expect(page.get_by_test_id("paste-ask")).to_contain_text("Paste")
    assert "one-1" not in screen(page).inner_text()
    page.get_by_test_id("paste-yes").click()
    expect(screen(page)).to_contain_text("two-2")

    page.get_by_test_id("as-text").click()
    expect(page.get_by_test_id("text")).to_contain_text("two-2")
    page.get_by_test_id("as-text").click()
    page.get_by_test_id("terminal").click()
    page.keyboard.press("Control+m")
    expect(state(page)).to_have_attribute("data-keyboard", "free")


def test_who_holds_it_is_the_same_on_all_pages(desk: Desk) -> None:
    first = desk("")
    open_agent(first, SHELL)
    second = desk("#" + first.url.partition("#")[2])
    take_keyboard(first)
    expect(state(second)).to_have_attribute("data-keyboard", "elsewhere")
    second.get_by_test_id("drive").click()
    expect(state(second)).to_have_attribute("data-keyboard", "mine")
    expect(state(first)).to_have_attribute("data-keyboard", "elsewhere")


def test_two_people_ask_hand_over_and_take_over(desk: Desk, olga: Any, town: Town, watcher: Watcher) -> None:
    watcher.expected += ["ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "WebSocket", "Failed to load resource"]
    ours = desk("")
    open_agent(ours, SHELL)
    olga.goto(town.url + "#" + ours.url.partition("#")[2])
    take_keyboard(ours)
    expect(state(olga)).to_have_attribute("data-keyboard", "other")
    expect(olga.get_by_test_id("holder")).to_contain_text("Owner holds the keyboard")
    expect(ours.get_by_test_id("onlookers")).to_contain_text("1 other looks on")
    olga.get_by_test_id("terminal").click()
    olga.keyboard.press("Enter")  # takes only what is free
    olga.get_by_test_id("ask-keyboard").click()
    ours.get_by_test_id("hand-over").click()
    expect(state(ours)).to_have_attribute("data-keyboard", "other")
    expect(ours.get_by_test_id("holder")).to_contain_text("Olga")
    olga.get_by_test_id("drive").click()
    expect(state(olga)).to_have_attribute("data-keyboard", "mine")
    olga.keyboard.type("echo olga-$((6*7))\n")
    expect(screen(ours)).to_contain_text("olga-42")
    ours.get_by_test_id("over").click()
    ours.get_by_test_id("take-over").click()
    expect(state(ours)).to_have_attribute("data-keyboard", "mine")
    expect(olga.get_by_test_id("holder")).to_contain_text("Owner")
    town.kill()
    town.start()
    expect(ours.get_by_test_id("connection")).to_have_attribute("data-phase", "live", timeout=60_000)
    expect(state(ours)).to_have_attribute("data-keyboard", "mine", timeout=20_000)
    expect(olga.get_by_test_id("connection")).to_have_attribute("data-phase", "live", timeout=60_000)
    expect(olga.get_by_test_id("holder")).to_contain_text("Owner holds the keyboard", timeout=20_000)
