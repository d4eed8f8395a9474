"""What an agent writes is text on the page, wherever it is shown: no markup, no script, nothing unseen."""

import shlex
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import Watcher
from tests.browser.test_page import PATIENCE, agent_row, expect, screen

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
MARKUP = '"><img src=x onerror=alert(1)><script>alert(2)</script>{{7*7}}'
NAME = f"Eve {MARKUP}"
DECEIT = "echo ok \u202e/ fr- mr\u202c"
"""Shown as it is written it reads `echo ok rm -rf /` the other way round."""


APP = [sys.executable, "-P", "-m", "townwatch"]


def test_it_stays_text_everywhere(
    watcher: Watcher, desk: Callable[[str], Any], own_session: Callable[[str, str], None]
) -> None:
    watcher.expected.append("status of 409")  # it works where there is no repository: no changes can be read
    page = desk("")
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    script = "; ".join(
        (
            f"printf '%s\\n' {shlex.quote(MARKUP)}",
            shlex.join([*APP, "alert", "--severity=error", "--category=test", f"Title {MARKUP}", MARKUP]),
            shlex.join([*APP, "ask", "--category=shell", "--risk=low", DECEIT + MARKUP]),
            "sleep 30",
        )
    )
    own_session(NAME, script)
    expect(agent_row(page, "Eve").first).to_contain_text(MARKUP, timeout=PATIENCE)
    expect(page.get_by_text("Title").first).to_contain_text(MARKUP, timeout=PATIENCE)
    card = page.get_by_test_id("approval").filter(has_text="echo ok")
    expect(card).to_contain_text(MARKUP, timeout=PATIENCE)
    expect(card.locator(".unseen")).to_have_text(["U+202E", "U+202C"])
    agent_row(page, "Eve").first.get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(NAME)
    expect(screen(page)).to_contain_text("<script>")
    for tab in ("timeline", "tests", "changes", "usage"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(200)
    assert dialogs == []
    assert page.locator("img[src=x]").count() == 0
