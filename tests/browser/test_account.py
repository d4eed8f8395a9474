"""A person's own things on the page: their connections, and a password to sign in with."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import DESKTOP, Town, Watcher
from tests.browser.test_page import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

SEEN_PHASES = """() => {
  const pill = document.querySelector("[data-testid=connection]");
  window.phases = [];
  new MutationObserver(() => window.phases.push(pill.dataset.phase)).observe(pill, { attributeFilter: ["data-phase"] });
}"""
"""Note what the connection's pill says, however briefly."""


def test_somebody_sees_where_they_are_connected_and_closes_one(desk: Callable[[str], Any]) -> None:
    here, there = desk(""), desk("")
    for page in (here, there):
        expect(page.get_by_test_id("connection")).to_contain_text("live")
    here.get_by_test_id("person").click()
    here.get_by_test_id("my-connections").locator("summary").click()
    listed = here.get_by_test_id("connections").locator("li")
    expect(listed.filter(has_text="this one")).to_have_count(1)
    others = listed.filter(has=here.get_by_role("button", name="Close"))
    before = others.count()
    assert before >= 1
    there.evaluate(SEEN_PHASES)
    others.last.get_by_role("button", name="Close").click()
    expect(others).to_have_count(before - 1)
    there.wait_for_function("() => window.phases.some((phase) => phase !== 'live')")  # it comes back by itself


def test_a_password_opens_the_door(watcher: Watcher, town: Town) -> None:
    command = [sys.executable, "-P", "-m", "townwatch", "user", "add", "Grace", "--email=grace@example.org"]
    command += ["--village=demo", "--role=viewer", f"--state-dir={town.folder / 'state'}"]
    link = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
    page = watcher.open(DESKTOP)
    page.goto(link)
    expect(page.get_by_test_id("person")).to_have_text("Grace")
    page.get_by_test_id("person").click()
    page.get_by_test_id("my-password").locator("summary").click()
    page.get_by_label("New password").fill("correct horse battery staple")
    page.get_by_role("button", name="Set it").click()
    expect(page.get_by_test_id("person")).to_have_text("Grace")

    watcher.expected.append("401")
    later = watcher.open(DESKTOP)
    later.goto(town.url)
    later.get_by_test_id("with-password").locator("visible=true").locator("summary").click()
    later.get_by_label("E-mail").fill("grace@example.org")
    later.get_by_label("Password").fill("wrong")
    later.get_by_role("button", name="Sign in with a password").click()
    expect(later.get_by_role("alert").first).to_be_visible()
    later.get_by_label("Password").fill("correct horse battery staple")
    later.get_by_role("button", name="Sign in with a password").click()
    expect(later.get_by_test_id("person")).to_have_text("Grace")


def test_an_administrator_locks_somebody_out_and_lets_them_in_again(
    desk: Callable[[str], Any], watcher: Watcher, town: Town
) -> None:
    command = [sys.executable, "-P", "-m", "townwatch", "user", "add", "Mallory", "--email=mallory@example.org"]
    command += ["--village=demo", "--role=viewer", f"--state-dir={town.folder / 'state'}"]
    link = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
    theirs = watcher.open(DESKTOP)
    theirs.goto(link)
    expect(theirs.get_by_test_id("connection")).to_contain_text("live")

    watcher.expected.append("401")
    here = desk("#/operator/people")
    row = here.get_by_test_id("people").get_by_test_id("account").filter(has_text="Mallory")
    row.get_by_role("button", name="Lock out").click()
    row.get_by_role("button", name="Really lock out?").click()
    expect(row).to_contain_text("locked out")
    expect(theirs.get_by_text("You were signed out")).to_be_visible()
    expect(theirs.get_by_test_id("person")).to_have_count(0)  # and the page is live again, as a visitor's
    row.get_by_role("button", name="Let in again").click()
    expect(row).not_to_contain_text("locked out")
