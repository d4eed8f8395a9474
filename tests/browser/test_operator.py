"""The screens of those who run it, used as people use them."""

import re
from typing import Any

import pytest

from tests.browser.conftest import DESKTOP, Town, Watcher
from tests.browser.test_page import Desk

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
expect = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect
LONG = "Ein sehr langer Name eines Dorfes, der nirgends hinpasst und trotzdem ganz dasteht " * 2
RIGHT_TO_LEFT = "قرية التجربة الطويلة"


def secret_of(page: Any) -> str:
    """What is shown once; put away then."""
    text = page.get_by_test_id("secret-text").text_content()
    page.get_by_role("button", name="I have it").click()
    expect(page.get_by_test_id("secret")).to_have_count(0)
    assert text
    return text


def invited(page: Any) -> str:
    """The link of a new person who is called Grace."""
    page.get_by_test_id("invite").click()
    page.get_by_test_id("invite-form").get_by_label("Name").fill("Grace")
    page.get_by_role("button", name="Make a link").click()
    return secret_of(page)


def token_in(page: Any) -> str:
    return page.evaluate("localStorage.getItem('townwatch.token')")


def test_a_machine_is_added_drained_and_lent_to_a_village(desk: Desk) -> None:
    page = desk("#/operator/villages")
    page.get_by_role("button", name="New village").click()
    form = page.get_by_test_id("new-village")
    form.get_by_label("Id, in its address").fill("second")
    form.get_by_label("Name").fill(RIGHT_TO_LEFT)
    form.get_by_role("button", name="Make it").click()
    expect(page).to_have_url(re.compile(r"#/v/second"))
    expect(page.get_by_test_id("village")).to_contain_text(RIGHT_TO_LEFT)

    page.get_by_test_id("person").click()
    page.get_by_test_id("nav-operator").click()
    page.get_by_test_id("enrol").get_by_label("It serves").select_option("second")
    page.get_by_role("button", name="Make a code").click()
    page.get_by_test_id("show-qr").click()
    expect(page.get_by_test_id("qr")).to_be_visible()
    assert re.fullmatch(r"townwatch runner join http://127\.0\.0\.1:\d+ --code twe_\S+", secret_of(page))

    runner = page.get_by_test_id("runner").first
    runner.get_by_role("button", name="Drain").click()
    expect(runner.get_by_role("button", name="Take work again")).to_be_visible()
    runner.get_by_role("button", name="Take work again").click()
    expect(runner.get_by_role("button", name="Drain")).to_be_visible()
    runner.get_by_role("link", name="More of").click()
    page.get_by_test_id("serves-second").check()
    page.reload()
    tick = page.get_by_test_id("serves-second")
    expect(tick).to_be_checked()
    tick.uncheck()
    page.get_by_role("button", name="Withdraw it").click()
    expect(page.get_by_test_id("serves-second")).not_to_be_checked()


def test_a_village_is_renamed_and_goes_when_its_name_is_typed(desk: Desk) -> None:
    page = desk("#/operator/villages")
    page.get_by_role("button", name="New village").click()
    page.get_by_test_id("new-village").get_by_label("Id, in its address").fill("third")
    page.get_by_role("button", name="Make it").click()
    expect(page).to_have_url(re.compile(r"#/v/third"))
    page.goto(re.sub(r"#.*", "#/operator/villages?of=third", page.url))
    page.get_by_label("Name").fill(LONG[:150])
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_test_id("village-row").filter(has_text=LONG[:40])).to_be_visible()
    page.get_by_role("button", name="Delete …").click()
    delete = page.get_by_role("button", name="Delete", exact=True)
    page.get_by_label("to confirm").fill("thirdd")
    expect(delete).to_be_disabled()
    page.get_by_label("to confirm").fill("third")
    delete.click()
    expect(page.get_by_test_id("village-row").filter(has_text="third")).to_have_count(0)


def test_a_person_is_invited_gets_a_role_and_is_told_what_they_may_not(
    desk: Desk, watcher: Watcher, town: Town
) -> None:
    page = desk("#/operator/people")
    page.get_by_test_id("invite").click()
    form = page.get_by_test_id("invite-form")
    form.get_by_label("Name").fill("Ada")
    form.get_by_label("Village").select_option("")
    form.get_by_role("button", name="Make a link").click()
    link = secret_of(page)
    add = page.get_by_test_id("add-member")
    add.get_by_label("Person").select_option("Ada")
    add.get_by_role("button", name="Add").click()
    row = page.get_by_test_id("member").filter(has_text="Ada")
    expect(row).to_be_visible()

    theirs = watcher.open(DESKTOP)
    theirs.goto(link)
    expect(theirs.get_by_test_id("person")).to_have_text("Ada")
    theirs.goto(f"{town.url}#/operator/people")
    expect(theirs.get_by_test_id("members")).to_contain_text("Ada")
    expect(theirs.get_by_test_id("people")).to_have_count(0)
    expect(theirs.get_by_role("link", name="Audit")).to_have_count(0)
    theirs.goto(f"{town.url}#/operator/audit")
    expect(theirs.get_by_test_id("empty")).to_contain_text("You manage no village")

    row.get_by_label("Role of Ada").select_option("owner")
    row.get_by_role("button", name="Change").click()
    expect(row.get_by_role("button", name="Change")).to_have_count(0)
    theirs.goto(f"{town.url}#/operator/audit?village=demo")
    theirs.reload()
    expect(theirs.get_by_test_id("audit")).to_contain_text("member.put")


def test_a_token_is_shown_once_used_and_revoked(desk: Desk, town: Town) -> None:
    page = desk("#/operator/tokens")
    page.get_by_label("What it is for").fill("the deploy script")
    page.get_by_role("button", name="Make it").click()
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")  # as over plain HTTP
    page.get_by_test_id("secret").get_by_role("button", name="Copy").click()
    expect(page.get_by_test_id("secret").get_by_role("button", name="copied")).to_be_visible()
    token = secret_of(page)
    me = page.request.get(f"{town.url}api/me", headers={"authorization": f"Bearer {token}"})
    assert me.status == 200 and me.json()["scopes"] == ["read"]
    row = page.get_by_test_id("token").filter(has_text="the deploy script")
    row.get_by_role("button", name="Revoke").click()
    row.get_by_role("button", name="Really revoke?").click()
    expect(row).to_have_count(0)
    assert page.request.get(f"{town.url}api/me", headers={"authorization": f"Bearer {token}"}).status == 401


def test_rules_are_corrected_tried_and_saved(desk: Desk, watcher: Watcher) -> None:
    watcher.expected.append("400")
    page = desk("#/operator/rules")
    page.get_by_role("button", name="Edit as text").click()
    text = page.get_by_label("Rules, one a line")
    text.fill('{"id": "git", "effect": "allow", "command": "git status *"}\n{"id": "x", "effect": "maybe"}')
    page.get_by_test_id("try-rules").click()
    expect(page.get_by_test_id("rule-error")).to_contain_text(re.compile("line 2.*effect"))
    text.fill('{"id": "git", "effect": "allow", "command": "git status *"}\n{"id": ')
    expect(page.get_by_test_id("rule-error")).to_contain_text("line 2")
    expect(page.get_by_role("button", name="Save")).to_be_disabled()
    text.fill('{"id": "git", "effect": "allow", "command": "git status *"}')
    page.get_by_test_id("try-rules").click()
    expect(page.get_by_test_id("trial")).to_be_visible()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("table", name="Rules")).to_contain_text("run git status *")


def test_a_webhook_is_added_tested_rotated_and_switched_off(desk: Desk) -> None:
    page = desk("#/operator/webhooks")
    page.get_by_test_id("add-webhook").click()
    form = page.get_by_test_id("new-webhook")
    form.get_by_label("Address").fill("https://hooks.example/townwatch")
    form.get_by_role("button", name="Add it").click()
    first = secret_of(page)
    row = page.get_by_test_id("webhook")
    row.get_by_role("link", name="More of").click()
    page.get_by_test_id("test-webhook").click()
    expect(page.get_by_test_id("delivery").first).to_contain_text("webhook.test")
    page.get_by_role("button", name="New secret").click()
    page.get_by_role("button", name="Really make a new one?").click()
    assert secret_of(page) != first
    row.get_by_role("button", name="Switch off").click()
    expect(row).to_contain_text("off")


def test_the_audit_log_is_narrowed_by_person_action_and_day(desk: Desk) -> None:
    page = desk("#/operator/audit")
    expect(page.get_by_test_id("entry").first).to_be_visible()
    page.get_by_test_id("by-action").select_option("auth.")
    expect(page.get_by_test_id("audit")).not_to_contain_text("runner.")
    expect(page.get_by_test_id("foot")).to_contain_text(re.compile(r"\d+ of \d+ entr"))
    page.get_by_test_id("by-who").select_option("Owner")
    expect(page.get_by_test_id("entry").first).to_contain_text("auth.sign_in")
    page.get_by_test_id("by-day").fill("2001-01-01")
    expect(page.get_by_test_id("foot")).to_contain_text("Nothing fits.")
    assert "who=user_owner" in page.url and "action=auth." in page.url and "day=2001-01-01" in page.url


def test_all_other_sign_ins_end_at_once(desk: Desk, watcher: Watcher, town: Town) -> None:
    watcher.expected.append("401")
    page, other = watcher.open(DESKTOP), watcher.open(DESKTOP)
    link = invited(desk("#/operator/people"))
    page.goto(link)
    expect(page.get_by_test_id("person")).to_have_text("Grace")
    other.goto(town.url)
    other.evaluate("token => localStorage.setItem('townwatch.token', token)", token_in(page))
    other.reload()
    expect(other.get_by_test_id("connection")).to_contain_text("live")
    page.goto(f"{town.url}#/operator/devices")
    expect(page.get_by_test_id("connection-row")).to_have_count(2)
    page.get_by_role("button", name="Sign out everywhere else").click()
    page.get_by_role("button", name="Really end all other sign-ins?").click()
    expect(page.get_by_test_id("connection-row")).to_have_count(1)
    expect(page.get_by_test_id("person")).to_have_text("Grace")
    expect(other.get_by_test_id("anonymous")).to_be_visible()


def test_one_sign_in_is_ended_by_itself_and_rights_are_given_and_taken(
    desk: Desk, watcher: Watcher, town: Town
) -> None:
    watcher.expected.append("401")
    page = desk("#/operator/people")
    page.get_by_test_id("invite").click()
    page.get_by_test_id("invite-form").get_by_label("Name").fill("Joan")
    page.get_by_role("button", name="Make a link").click()
    theirs = watcher.open(DESKTOP)
    theirs.goto(secret_of(page))
    expect(theirs.get_by_test_id("person")).to_have_text("Joan")

    row = page.get_by_test_id("account").filter(has_text="Joan")
    row.get_by_role("button", name="Make administrator").click()
    row.get_by_role("button", name="Really make administrator?").click()
    expect(row).to_contain_text("administrator")
    theirs.goto(f"{town.url}#/operator/people")
    theirs.reload()
    expect(theirs.get_by_test_id("account").filter(has_text="Joan")).to_be_visible()
    row.get_by_role("button", name="Not administrator").click()
    row.get_by_role("button", name="Really take the rights?").click()
    expect(row.get_by_role("button", name="Make administrator")).to_be_visible()

    row.get_by_role("button", name="Sign-ins").click()
    past = page.get_by_test_id("sign-in-row")
    expect(past).to_have_count(1)
    expect(past).to_contain_text("one-time link")
    expect(past).to_contain_text("127.0.0.1")
    past.get_by_role("button", name="End").click()
    past.get_by_role("button", name="Really end it?").click()
    expect(theirs.get_by_test_id("anonymous")).to_be_visible()
    page.get_by_role("button", name="show 1 that is over").click()
    expect(page.get_by_test_id("sign-in-row")).to_contain_text("no, ended")

    page.goto(f"{town.url}#/operator/devices")
    expect(page.get_by_test_id("sign-in-row").filter(has_text="this one")).to_have_count(1)
