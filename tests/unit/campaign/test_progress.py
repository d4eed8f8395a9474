"""What somebody sees who waits."""

import io
from pathlib import Path

import pytest

from townwatch.chaos.campaign.campaign import CampaignResult, Options
from townwatch.chaos.campaign.goals import judge
from townwatch.chaos.campaign.html_report import write
from townwatch.chaos.campaign.oracle import Oracle
from townwatch.chaos.campaign.progress import Progress
from townwatch.chaos.campaign.recovery_times import FaultEvent
from townwatch.chaos.campaign.report import data, text, verdict

STRIKES = [
    FaultEvent(fault="kill-actor", kind="kill-actor", target="<b>router", at=1.0, answers=0.02, flows=0.09),
    FaultEvent(
        fault="cut-runner", kind="cut-runner", target="127.0.0.1:1", at=2.0, flows=1.5, phases={"events seen": 1.5}
    ),
    FaultEvent(fault="kill-process", kind="kill-process", target="process 7", at=3.0),
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def result(**changes: object) -> CampaignResult:
    found = CampaignResult(
        Options(seed=42), "http://127.0.0.1:1", fault_events=STRIKES, fault_seconds=4.0, oracle=Oracle({})
    )
    found.outcomes = judge(STRIKES)
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def test_in_a_terminal_the_status_is_one_line_that_stays_below(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    out = Terminal()
    Progress(out, lambda: "a status that is longer than the line").say("something happened")
    assert out.getvalue() == "\r\x1b[2Ksomething happened\na status that is lo"


def test_elsewhere_it_is_lines_without_codes() -> None:
    out = io.StringIO()
    progress = Progress(out, lambda: "status")
    for fault_event in STRIKES:
        progress.fault_over(fault_event)
    assert out.getvalue().splitlines() == [
        "    1.0 s  kill-actor        answers after 20 ms, flows after 90 ms  <b>router",
        "    2.0 s  cut-runner        flows after 1.5 s  127.0.0.1:1 (events seen 1.5 s)",
        "    3.0 s  kill-process      flows after NOT BACK  process 7",
    ]


def test_the_verdict_is_one_line_with_the_seed() -> None:
    assert verdict(result()) == "Everything held: 3 faults in 4 s, seed 42."
    assert verdict(result(findings=["p1: lines lack [3]"])) == "NOT everything held: 3 faults in 4 s, seed 42."
    assert verdict(result(interrupted=True)) == "Broken off (seed 42)."


def test_nothing_held_that_was_not_judged() -> None:
    assert not result(oracle=None).held
    assert not result(
        outcomes=judge([STRIKES[0], FaultEvent(fault="cut-runner", kind="c", target="", at=0, flows=9)])
    ).held


def test_the_report_says_what_was_found() -> None:
    said = text(result(findings=["p1: lines lack [3]"], left_behind=["/api/x: 409"]))
    assert "FOUND: p1: lines lack [3]" in said
    assert "left behind: /api/x: 409" in said
    (row,) = [line for line in said.splitlines() if line.startswith("kill-process")]
    assert row.split() == ["kill-process", "1", "never"]
    assert data(result())["faults"] == {"cut-runner": 1, "kill-actor": 1, "kill-process": 1}


def test_the_page_shows_names_as_text(tmp_path: Path) -> None:
    page = write(result(findings=["<script>"]), tmp_path / "report").read_text()
    assert "<b>router" not in page
    assert "<script>" not in page
    assert page.count("<circle") == 2 + 1 + 2  # each fault that ended, an answer, and the course of time
