"""A session to take away, and to delete: by a person, on the page."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.test_page import agent_row, expect, open_agent, screen

pytestmark = pytest.mark.browser


def saved(page: Any, button: str, folder: Path) -> list[Any]:
    """The lines of the file that a button gives."""
    with page.expect_download() as download:
        page.get_by_test_id(button).click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    assert path.suffix == f".{button}"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_session_is_taken_away_and_deleted(
    desk: Callable[[str], Any], own_session: Callable[[str, str], None], tmp_path: Path
) -> None:
    page = desk("")
    own_session("Short", "echo kept-$((6*7))")
    open_agent(page, "Short")
    expect(screen(page)).to_contain_text("kept-42")
    expect(page.get_by_test_id("agent-state")).to_contain_text("done")
    page.get_by_role("tab", name="usage").click()
    events = saved(page, "ndjson", tmp_path)
    assert [one["seq"] for one in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "SESSION_ENDED"
    head, *lines = saved(page, "cast", tmp_path)
    assert head["version"] == 3
    assert "kept-42" in "".join(data for _, code, data in lines if code == "o")

    page.get_by_test_id("delete").click()
    page.get_by_role("button", name="Really delete").click()
    expect(agent_row(page, "Short")).to_have_count(0)
    expect(page.get_by_test_id("delete")).to_have_count(0)
