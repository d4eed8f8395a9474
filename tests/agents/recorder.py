"""A pytest plugin: what became of each test is a line of a file at once, so that a run that is killed loses one."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

RESULTS = "TEST_AGENTS_RESULTS"
"""The file's path, by environment."""


def _note(**fields: Any) -> None:
    with Path(os.environ[RESULTS]).open("a") as file:
        file.write(json.dumps({**fields, "at": time.time()}) + "\n")


def pytest_runtest_logstart(nodeid: str) -> None:
    """Called before each test."""
    _note(began=nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Called after each part of a test; what a part before it said stands, unless this one failed."""
    if report.when == "call" or report.outcome != "passed":
        why = ""
        if report.skipped and isinstance(report.longrepr, tuple):
            why = report.longrepr[2].removeprefix("Skipped: ")
        elif report.failed:
            crash = str(getattr(report.longrepr, "reprcrash", ""))
            why = f"{crash}\n{report.longreprtext[-4000:]}"
        _note(cell=report.nodeid, outcome=report.outcome, why=why, seconds=round(report.duration, 1))
