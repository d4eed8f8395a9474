"""Signing in at a real provider, in a real browser: the button, the provider's own pages, and back to where one was."""

from collections.abc import Iterator

import pytest

from tests.browser.conftest import DESKTOP, Town, Watcher, free_port
from tests.support.provider import CLIENT, SECRET, open_provider

pytestmark = [pytest.mark.browser, pytest.mark.node, pytest.mark.timeout(180)]
expect = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect

CONFIG = """
[oidc]
issuer = "{issuer}"
client_id = "{client}"
client_secret = "{secret}"
label = "Example ID"
allowed_domains = ["example.org"]

[[oidc.grants]]
village = "demo"
role = "operator"
"""


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    running = Town(tmp_path_factory.mktemp("town"), free_port())
    with open_provider(f"{running.url}auth/oidc/callback") as issuer:
        config = CONFIG.format(issuer=issuer, client=CLIENT, secret=SECRET)
        (running.folder / "townwatch.toml").write_text(config, encoding="utf-8")
        try:
            running.start()
            yield running
        finally:
            running.stop()


def sign_in_as(page, town: Town, login: str) -> None:
    page.goto(f"{town.url}#/supervision")
    button = page.get_by_test_id("provider")
    if not button.is_visible():
        page.get_by_test_id("anonymous").click()
    page.get_by_test_id("provider").filter(visible=True).first.click()
    page.get_by_placeholder("Enter any login").fill(login)
    page.get_by_placeholder("and password").fill("x")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()


def test_the_button_signs_in_and_comes_back_to_where_one_was(watcher: Watcher, town: Town) -> None:
    watcher.expected += ["Failed to load resource"]  # the provider has no icon
    page = watcher.open(DESKTOP)
    sign_in_as(page, town, "ada")
    expect(page.get_by_test_id("person")).to_have_text("Ada Lovelace")
    assert page.url == f"{town.url}#/supervision"
    page.get_by_test_id("person").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/session/end**")  # the provider asks whether to end its own session too
    page.goto(town.url)
    expect(page.get_by_test_id("anonymous")).to_be_visible()


def test_the_way_out_leads_to_the_provider_however_late_the_answer_is(watcher: Watcher, town: Town) -> None:
    """The page's live connection has ended by then, which says that the token is no good any more."""
    watcher.expected += ["Failed to load resource", "WebSocket"]
    page = watcher.open(DESKTOP)
    sign_in_as(page, town, "ada")
    expect(page.get_by_test_id("person")).to_have_text("Ada Lovelace")
    expect(page.get_by_test_id("connection")).to_have_attribute("data-phase", "live")

    def late(route) -> None:
        answer = route.fetch()
        page.wait_for_timeout(4000)
        route.fulfill(response=answer)

    page.route("**/api/auth/logout", late)
    page.get_by_test_id("person").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/session/end**")


def test_who_may_not_come_in_is_told_so(watcher: Watcher, town: Town) -> None:
    watcher.expected += ["Failed to load resource"]
    page = watcher.open(DESKTOP)
    sign_in_as(page, town, "bob")
    expect(page.get_by_role("alert")).to_contain_text("you have no access here")
    assert "sign-in" not in page.url
