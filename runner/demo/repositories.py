"""The two throw-away repositories of the demo: small, real, and the same for every run."""

import shutil
from pathlib import Path

import trio

from townwatch.runner.observers.git import git

CART = '''\
"""A shopping cart."""


class Cart:
    def __init__(self) -> None:
        self.lines: list[tuple[str, int, int]] = []

    def add(self, name: str, cents: int, count: int = 1) -> None:
        self.lines.append((name, cents, count))

    def total(self, discount_percent: int = 0) -> int:
        """Cents, after the discount."""
        total = sum(cents * count for _, cents, count in self.lines)
        return total - total * discount_percent // 10
'''
TEST_CART = """\
import time
import unittest

from cart import Cart


def setUpModule() -> None:
    time.sleep(0.8)  # as long as a small database takes to start


class CartTest(unittest.TestCase):
    def test_an_empty_cart_costs_nothing(self) -> None:
        self.assertEqual(Cart().total(), 0)

    def test_prices_add_up(self) -> None:
        cart = Cart()
        cart.add("tea", 350, count=2)
        cart.add("cup", 1200)
        self.assertEqual(cart.total(), 1900)

    def test_a_discount_is_a_percentage(self) -> None:
        cart = Cart()
        cart.add("cup", 1200)
        self.assertEqual(cart.total(discount_percent=25), 900)
"""
LEDGER = '''\
"""Payments, booked twice."""


def book(entries: list[tuple[str, int]]) -> dict[str, int]:
    accounts: dict[str, int] = {}
    for account, cents in entries:
        accounts[account] = accounts.get(account, 0) + cents
    return accounts
'''
TEST_LEDGER = """\
import time
import unittest

from ledger import book


def setUpModule() -> None:
    time.sleep(0.8)  # as long as a small database takes to start


class LedgerTest(unittest.TestCase):
    def test_entries_of_an_account_add_up(self) -> None:
        self.assertEqual(book([("rent", 500), ("rent", 250)]), {"rent": 750})
"""
IGNORE = "__pycache__/\n"
FILES: dict[str, dict[str, str]] = {
    "shop": {
        ".gitignore": IGNORE,
        "README.md": "# Shop\n\nA cart, and what it costs.\n",
        "cart.py": CART,
        "test_cart.py": TEST_CART,
    },
    "payments": {
        ".gitignore": IGNORE,
        "README.md": "# Payments\n\nWhat was paid.\n",
        "ledger.py": LEDGER,
        "test_ledger.py": TEST_LEDGER,
    },
}
_WHEN = "2026-01-05T09:00:00+00:00"


async def make(directory: Path) -> dict[str, Path]:
    """name → working tree, made anew."""
    await trio.to_thread.run_sync(lambda: shutil.rmtree(directory, ignore_errors=True))
    return {name: await _make(directory / name, files) for name, files in FILES.items()}


async def _make(top: Path, files: dict[str, str]) -> Path:
    await trio.to_thread.run_sync(_write, top, files)
    await git(top, "init", "--quiet", "--initial-branch=main")
    for key, value in (("user.name", "Demo"), ("user.email", "demo@example.invalid"), ("commit.gpgsign", "false")):
        await git(top, "config", key, value)
    await git(top, "add", "--all")
    await git(top, "commit", "--quiet", "--message", "The beginning", "--date", _WHEN)
    return top


def _write(top: Path, files: dict[str, str]) -> None:
    top.mkdir(parents=True)
    for name, text in files.items():
        (top / name).write_text(text, encoding="utf-8")
