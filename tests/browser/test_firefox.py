"""The main job in a Firefox: a person signs in, sees who works, reads a live terminal, and types into it."""

from pathlib import Path

import pytest

from tests.browser.conftest import Town
from tests.browser.test_page import SHELL
from tests.support.firefox import firefox_path, open_firefox

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
LIVE = "return document.querySelector('[data-testid=connection]')?.dataset.phase === 'live'"
HELD = "return document.querySelector('section.tty')?.dataset.keyboard === arguments[0]"
SHOWS = "return (document.querySelector('.xterm-rows')?.textContent ?? '').includes(arguments[0])"
OPEN = (
    "const all = [...document.querySelectorAll('[data-testid=agent] a')];"
    "const one = all.find((link) => link.textContent.includes(arguments[0])); one?.click(); return one !== undefined"
)


def test_a_person_watches_and_types(town: Town, tmp_path: Path) -> None:
    program = firefox_path()
    if program is None:
        pytest.skip("no Firefox: apt-get install firefox-esr, or name one in TOWNWATCH_FIREFOX")
    with open_firefox(program, tmp_path) as firefox:
        firefox.go(town.new_link())
        firefox.until("return document.querySelector('[data-testid=person]')?.textContent.includes('Owner')")
        firefox.until(LIVE)
        firefox.until(OPEN, SHELL)
        firefox.until(HELD, "free")
        firefox.until(SHOWS, "demo:")
        firefox.click("[data-testid=drive]")
        firefox.until(HELD, "mine")
        firefox.press("echo seen-$((6*7))")
        firefox.press("Enter")
        firefox.until(SHOWS, "seen-42")
        firefox.press("Control", "m")
        firefox.until(HELD, "free")
