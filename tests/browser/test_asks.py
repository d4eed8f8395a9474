"""What an agent asks, and how an answer on the page is meant, whole, and can be taken back."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import DESKTOP, PHONE, Town, Watcher

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
expect = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect

Desk = Callable[[str], Any]
OwnSession = Callable[[str, str], None]
ASK = f"{sys.executable} -P -m townwatch ask"
PATIENCE = 60_000
ASKS_WITH_CONTEXT = """
import json, os, socket, sys
host, port = os.environ["TOWNWATCH_ASK"].rsplit(":", 1)
mine = {"session": os.environ["TOWNWATCH_SESSION"], "token": os.environ["TOWNWATCH_ASK_TOKEN"]}
line = json.load(open(sys.argv[1])) | mine
with socket.create_connection((host, int(port))) as connection:
    connection.sendall(json.dumps(line).encode() + b"\\n")
    print("answer:", connection.makefile().readline())
"""
"""Asks with a context of its own, as an adapter does."""


@pytest.fixture
def asks(own_session: OwnSession, tmp_path: Path) -> Callable[..., None]:
    """Let a session ask something that only adapters ask."""

    def ask(name: str, category: str, summary: str, risk: str = "low", **context: Any) -> None:
        program, request = tmp_path / "ask.py", tmp_path / f"{name.replace(chr(32), chr(95))}.json"
        program.write_text(ASKS_WITH_CONTEXT)
        fields = {"action": "ask", "category": category, "risk": risk, "summary": summary, "context": context}
        request.write_text(json.dumps(fields))
        own_session(name, f"{sys.executable} {program} {request}; sleep 60")

    return ask


def card(page: Any, text: str) -> Any:
    return page.get_by_test_id("approval").filter(has_text=text).and_(page.locator('[data-open="true"]'))


def open_card(page: Any, text: str) -> Any:
    found = card(page, text)
    expect(found).to_be_visible(timeout=PATIENCE)
    return found


def test_what_is_typed_for_something_else_decides_nothing(desk: Desk, own_session: OwnSession) -> None:
    page = desk("#/approvals")
    own_session("Stray", f'{ASK} --category shell --risk med "rm -rf ~/stray"; echo exit-$?; sleep 60')
    asked = open_card(page, "rm -rf ~/stray")
    expect(asked.get_by_test_id("allow")).to_be_enabled()
    page.keyboard.type("rm a; cd /d a d")  # j and k move the focus; nothing else does anything
    page.keyboard.press("Control+Enter")  # no card has the focus
    asked.focus()
    page.keyboard.type("aAdD yes")
    page.keyboard.press("Enter")
    asked.get_by_label("Note to the agent").fill("make all")
    page.wait_for_timeout(300)
    expect(asked).to_have_attribute("data-open", "true")
    page.keyboard.press("Control+Backspace")  # in a field of the card: the card has the focus
    expect(page.get_by_test_id("outcome").filter(has_text="rm -rf ~/stray")).to_contain_text("denied by you")


def test_what_its_agent_takes_in_its_terminal_only_is_not_offered_here(desk: Desk, asks: Callable[..., None]) -> None:
    page = desk("#/approvals")
    options = [{"id": "always", "label": "Always", "kind": "allow_always"}]
    afar = {"allow": "no", "note": "no", "why": "Gemini takes a yes in its terminal only"}
    asks("Elsewhere", "shell", "touch elsewhere", tool="run_shell_command", options=options, fromAfar=afar)
    asked = open_card(page, "touch elsewhere")
    expect(asked.get_by_test_id("not-from-here")).to_contain_text(afar["why"])
    expect(asked.get_by_test_id("deny")).to_be_enabled()
    expect(asked.locator('[data-decision="allow"]')).to_have_count(0)
    expect(asked.get_by_text("Always")).to_have_count(0)
    asked.get_by_label("Note for the record").fill("no")
    page.keyboard.press("Control+Enter")
    expect(asked).to_have_attribute("data-open", "true")
    page.keyboard.press("Control+Backspace")
    expect(page.get_by_test_id("outcome").filter(has_text="touch elsewhere")).to_contain_text("denied by you")


def test_an_allow_is_held_for_five_seconds_and_taken_back(desk: Desk, own_session: OwnSession) -> None:
    page, other = desk("#/approvals"), desk("#/approvals")
    own_session("Held", f'{ASK} --category shell --risk low "touch held"; echo exit-$?; sleep 60')
    asked = open_card(page, "touch held")
    open_card(other, "touch held")
    asked.focus()
    expect(asked.get_by_test_id("allow")).to_be_enabled()
    page.keyboard.press("Control+Enter")
    held = page.get_by_test_id("held").filter(has_text="touch held")
    expect(held).to_contain_text("Allowed by you")
    expect(other.get_by_test_id("held").filter(has_text="touch held")).to_contain_text(re.compile("in [1-5] s"))
    page.keyboard.press("Control+z")
    expect(card(page, "touch held")).to_be_visible()
    expect(card(other, "touch held")).to_be_visible()

    card(other, "touch held").get_by_test_id("allow").click()
    expect(page.get_by_test_id("held").filter(has_text="touch held")).to_be_visible()
    outcome = page.get_by_test_id("outcome").filter(has_text="touch held")
    expect(outcome).to_contain_text("allowed by", timeout=15_000)  # the service counts to five
    page.reload()
    expect(outcome).to_contain_text("allowed by")
    page.goto(page.url.partition("#")[0])
    page.get_by_test_id("agent").filter(has_text="Held").get_by_role("link").first.click()
    expect(page.locator(".xterm-rows")).to_contain_text("exit-0")


@pytest.mark.parametrize("how", ["mouse", "key", "touch"])
def test_a_high_risk_is_asked_twice(
    watcher: Watcher, signed_in: Any, town: Town, own_session: OwnSession, how: str
) -> None:
    touch = how == "touch"
    size = PHONE if touch else DESKTOP
    page = watcher.open(size, signed_in, **({"has_touch": True, "is_mobile": True} if touch else {}))
    page.goto(f"{town.url}#/approvals")
    own_session(f"High {how}", f'{ASK} --category deploy --risk high "deploy {how}"; sleep 60')
    asked = open_card(page, f"deploy {how}")
    allow, sure = asked.get_by_test_id("allow"), asked.get_by_test_id("sure")
    if how == "mouse":
        allow.dblclick()
    elif how == "touch":
        allow.tap()
    else:
        expect(allow).to_be_enabled()
        asked.focus()
        page.keyboard.press("Control+Enter")
    if how != "mouse":  # the second click of the mouse takes the focus to where it falls, and decides nothing
        expect(asked.get_by_test_id("back")).to_be_focused()
    expect(sure).to_be_visible()
    expect(asked).to_have_attribute("data-open", "true")
    if how == "key":
        page.keyboard.press("Enter")  # on Back
        expect(allow).to_be_visible()
        page.keyboard.press("Control+Enter")
        expect(sure).to_be_enabled()
        page.keyboard.press("Control+Enter")
    elif how == "touch":
        sure.tap()
    else:
        sure.click()
    expect(page.get_by_test_id("held").filter(has_text=f"deploy {how}")).to_be_visible()


def test_the_whole_of_what_is_asked_stands_above_allow(desk: Desk, asks: Callable[..., None]) -> None:
    page = desk("#/approvals")
    lines = "\n".join(["--- a/x.py", "+++ b/x.py", "@@ -1 +1 @@", *(f"+line {n}" for n in range(600))])
    asks("Long edit", "edit", "Edit: x.py", tool="Edit", cwd="/src/app", input={"file_path": "x.py"}, diff=lines)
    asked = open_card(page, "asks to edit x.py")
    expect(asked).to_contain_text("/src/app")
    expect(asked).to_contain_text("400 of 603 lines")
    expect(asked.get_by_test_id("deny")).to_be_enabled()
    expect(asked.get_by_test_id("allow")).to_be_disabled()
    asked.get_by_test_id("read-rest").click()
    expect(asked).to_contain_text("line 599")
    expect(asked.get_by_test_id("allow")).to_be_enabled()

    cut = {"cut": True, "bytes": 99_000, "beginning": "{"}
    asks("Cut", "shell", "Bash: much too long", tool="Bash", input=cut)
    asked = open_card(page, "much too long")
    expect(asked.get_by_test_id("cut")).to_be_visible()
    expect(asked.get_by_test_id("deny")).to_be_enabled()
    expect(asked.get_by_test_id("allow")).to_be_disabled()


def test_a_question_is_answered_with_its_options(desk: Desk, asks: Callable[..., None]) -> None:
    page = desk("#/approvals")
    options = [{"label": "cart_price", "description": "the older one"}, {"label": "price_list"}]
    questions = [
        {"question": "Which table?", "options": options},
        {"question": "Which regions?", "multiSelect": True, "options": [{"label": "EU"}, {"label": "US"}]},
    ]
    asks("Asker", "question", "Which table?; Which regions?", questions=questions)
    asked = open_card(page, "Which regions?")
    allow = asked.get_by_test_id("allow")
    expect(allow).to_have_text("Answer")
    asked.get_by_label("price_list").check()
    expect(allow).to_be_disabled()
    asked.get_by_label("EU").check()
    asked.get_by_label("US").check()
    with page.expect_request("**/approvals/*") as sent:
        allow.click()
    body = sent.value.post_data_json
    assert body["answers"] == {"Which table?": "price_list", "Which regions?": ["EU", "US"]}
    assert (body["decision"], body["holdMs"]) == ("allow", 5000)
    expect(page.get_by_test_id("held").filter(has_text="Which table?")).to_be_visible()


def test_a_link_opens_one_approval(desk: Desk, own_session: OwnSession) -> None:
    page = desk("#/approvals")
    own_session("Linked", f'{ASK} --category network --risk low "fetch linked"; sleep 60')
    open_card(page, "fetch linked")
    page.get_by_test_id("ask-line").filter(has_text="fetch linked").click()
    expect(card(page, "fetch linked")).to_be_focused()
    linked = desk("#" + page.url.partition("#")[2])
    expect(card(linked, "fetch linked")).to_be_focused()


def test_two_people_are_wanted_and_a_rule_is_made_of_the_decision(desk: Desk, own_session: OwnSession) -> None:
    page = desk("#/approvals")
    put = """async (rules) => {
      const authorization = `Bearer ${localStorage["townwatch.token"]}`;
      const headers = { "content-type": "application/json", authorization };
      const body = JSON.stringify({ rules });
      return (await fetch("/api/villages/demo/policy", { method: "PUT", body, headers })).status;
    }"""
    rule = {"id": "two", "effect": "ask", "command": "npm *", "answer": {"people": 2}}
    assert page.evaluate(put, [rule]) == 200
    own_session("Pair", f'{ASK} --category shell --risk low "npm publish"; sleep 60')
    asked = open_card(page, "npm publish")
    expect(asked.get_by_test_id("terms")).to_contain_text("2 people have to allow this: 0 of 2 so far")
    expect(asked.get_by_test_id("allow")).to_be_enabled()
    asked.get_by_test_id("allow").click()
    expect(asked.get_by_test_id("terms")).to_contain_text("1 of 2 so far, by ")
    page.reload()
    asked = open_card(page, "npm publish")
    expect(asked.get_by_test_id("terms")).to_contain_text("1 of 2 so far, by ")
    expect(asked.get_by_test_id("deny")).to_be_enabled()
    asked.get_by_test_id("deny").click()
    settled = page.get_by_test_id("approval").filter(has_text="npm publish").and_(page.locator('[data-open="false"]'))
    settled.first.get_by_test_id("make-rule").click()
    expect(settled.first.get_by_test_id("rule-proposal")).to_contain_text("deny: npm publish")
    expect(settled.first.get_by_test_id("rule-trial")).to_contain_text("it would have answered")
    settled.first.get_by_test_id("save-rule").click()
    expect(settled.first.get_by_test_id("rule-said")).to_contain_text("Saved")
    assert page.evaluate(put, []) == 200
