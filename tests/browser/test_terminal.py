"""The page's terminal after a reload is the terminal it was: modes, widths, and what keys and pastes send."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.test_page import SHELL, Desk, open_agent, screen, type_into_terminal

pytestmark = pytest.mark.browser
SHOWS_INPUT = "stty -echo -icanon -icrnl; cat -v"


def paste(page: Any, text: str) -> None:
    page.evaluate(
        """(text) => {
          const data = new DataTransfer();
          data.setData("text/plain", text);
          const target = document.querySelector(".xterm-helper-textarea");
          target.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
        }""",
        text,
    )


def test_an_emoji_is_two_cells_wide_on_the_page(desk: Desk) -> None:
    page = desk("")
    open_agent(page, SHELL)
    type_into_terminal(page, "clear; printf '\\360\\237\\230\\200X\\033[1;3HY\\n'\n")
    expect(screen(page).locator("div").first).to_contain_text("😀Y")


def test_keys_and_pastes_after_a_reload_are_what_the_program_asked_for(desk: Desk) -> None:
    page = desk("")
    open_agent(page, SHELL)
    asks = "printf '\\033[?2004h\\033[?1h\\033[>1u\\033[2J\\033[Hready-%s' 42; "
    type_into_terminal(page, f"{asks}{SHOWS_INPUT}\n")
    expect(screen(page)).to_contain_text("ready-42")
    page.reload()
    expect(screen(page)).to_contain_text("ready-42")
    type_into_terminal(page, "x")
    expect(screen(page)).to_contain_text("42x")
    page.keyboard.press("ArrowUp")
    expect(screen(page)).to_contain_text("^[OA")
    page.locator(".keys .key", has_text="↑").dispatch_event("click")  # shown on phones only
    expect(screen(page)).to_contain_text("^[OA^[OA")
    page.keyboard.press("Shift+Enter")
    expect(screen(page)).to_contain_text("^[[13;2u")
    paste(page, "one\ntwo")
    expect(screen(page)).to_contain_text("^[[200~one^Mtwo^[[201~")
    page.keyboard.press("Control+c")
    page.keyboard.type("stty sane; printf '\\033[?2004l\\033[?1l\\033[<u'\n")
