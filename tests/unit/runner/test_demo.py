"""The demo's story with its real tools: what it needs comes with Python."""

import subprocess
import sys
from pathlib import Path

import pytest

from townwatch.runner.demo import afternoon, repositories
from townwatch.runner.observers import testruns


def run_tests(top: Path, *options: str) -> testruns.Counts | None:
    """`python -m unittest` in a house, by the standard library alone."""
    script = "import sys; sys.path.insert(0, ''); import unittest; unittest.main(module=None)"
    command = [sys.executable, "-I", "-S", "-B", "-c", script]
    done = subprocess.run([*command, *options], cwd=top, check=False, capture_output=True, text=True, timeout=60)
    return testruns.count("unittest", done.stdout + done.stderr)


async def test_the_bug_of_the_story_is_found_by_a_test_and_the_fix_passes(tmp_path: Path) -> None:
    houses = await repositories.make(tmp_path)
    shop = houses["shop"]
    assert run_tests(shop) == testruns.Counts(passed=2, failed=1, skipped=0)
    text = (shop / "cart.py").read_text()
    (shop / "cart.py").write_text(text.replace("discount_percent // 10\n", "discount_percent // 100\n"))
    assert run_tests(shop) == testruns.Counts(passed=3, failed=0, skipped=0)
    for chapter in (1, 2):
        test_file = shop / "test_cart.py"
        test_file.write_text(afternoon.with_test_of_orders(test_file.read_text(), chapter))
    assert run_tests(shop) == testruns.Counts(passed=5, failed=0, skipped=0)
    assert run_tests(shop, "-k", "20_of") == testruns.Counts(passed=1, failed=0, skipped=0)
    assert run_tests(houses["payments"]) == testruns.Counts(passed=1, failed=0, skipped=0)


async def test_the_command_of_the_demo_is_recognised_as_a_test_run(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[str, ...]] = []

    def run(command: tuple[str, ...], **_options: object) -> subprocess.CompletedProcess[str]:
        ran.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(afternoon.subprocess, "run", run)
    afternoon.Agent("seed").test("-k", "10_of")
    assert testruns.recognise(ran[0]) == "unittest"
