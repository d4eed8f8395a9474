"""An agent's afternoon, as a script that runs in a session: edits, tests, asks, warns, spends; one agent crashes.

Run as ``python -m townwatch.runner.demo.afternoon ROLE --seed N``. Everything it does is real
(files, git, unittest, the runner's own ``townwatch`` commands); only the thinking is played. The same seed does the
same.
"""

import argparse
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

DIM, BOLD, BLUE, GREEN, RED, AMBER, RESET = (f"\x1b[{code}m" for code in ("2", "1", "34", "32", "31", "33", "0"))
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
THOUGHTS = (
    "reading what is there",
    "looking for who calls this",
    "comparing with the tests",
    "writing down what must hold",
    "trying the smallest change",
)


class Agent:
    """The hands of the played agent."""

    def __init__(self, seed: str) -> None:
        self._dice = random.Random(seed)

    def say(self, text: str, colour: str = "") -> None:
        print(f"{colour}{text}{RESET}", flush=True)

    def think(self, about: str | None = None, seconds: float = 1.2) -> None:
        """A spinner, as agents have them."""
        thought = about or self._dice.choice(THOUGHTS)
        for step in range(int(seconds / 0.1)):
            print(f"\r{BLUE}{SPINNER[step % len(SPINNER)]}{RESET} {DIM}{thought} …{RESET}\x1b[K", end="", flush=True)
            time.sleep(0.1)
        print(f"\r{BLUE}●{RESET} {thought}\x1b[K", flush=True)
        self.spend(self._dice.randrange(400, 2400), self._dice.randrange(40, 600))

    def run(self, *command: str) -> int:
        """A command, shown as it is run."""
        shown = ["python" if word == sys.executable else word for word in command]
        self.say(f"$ {' '.join(shown)}", BOLD)
        return subprocess.run(command, check=False).returncode

    def test(self, *options: str) -> int:
        return self.run(sys.executable, "-m", "unittest", *options)

    def edit(self, name: str, change: Callable[[str], str]) -> None:
        path = Path(name)
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        path.write_text(change(before), encoding="utf-8")
        self.say(f"✎ {name}", AMBER)

    def spend(self, read: int, written: int) -> None:
        """Tokens, at a made-up price."""
        cost = read * 3e-6 + written * 15e-6
        _townwatch("usage", f"--input-tokens={read}", f"--output-tokens={written}", f"--cost-usd={cost:.6f}")

    def ask(self, category: str, risk: str, summary: str) -> bool:
        self.say(f"? {summary}", AMBER)
        allowed = _townwatch("ask", summary, f"--category={category}", f"--risk={risk}") == 0
        self.say("✓ allowed" if allowed else "✗ denied", GREEN if allowed else RED)
        return allowed


def _townwatch(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-P", "-m", "townwatch", *arguments], check=False).returncode


def fix_the_cart(agent: Agent) -> int:
    """The main story: a failing test, a fix, a passing one, an approval, a commit."""
    agent.say("Task: customers say that a discount of 25 % makes the cart cost less than nothing.", BOLD)
    agent.think(seconds=0.6)
    agent.test()
    agent.think("a discount is a percentage: it divides by 100, not by 10", 0.8)
    agent.edit("cart.py", lambda text: text.replace("discount_percent // 10\n", "discount_percent // 100\n"))
    passed = agent.test() == 0
    agent.say("All tests pass." if passed else "Still failing.", GREEN if passed else RED)
    if not agent.ask("merge", "med", "git commit -am 'A discount of 25 percent takes a quarter' && git push"):
        return 1
    agent.run("git", "commit", "--quiet", "-am", "A discount of 25 percent takes a quarter")
    for chapter in range(1, 7):
        _another_chapter(agent, chapter)
    agent.say("Done for today.", GREEN)
    return 0


def _another_chapter(agent: Agent, chapter: int) -> None:
    """More of the afternoon: one more thing that the cart can do, with its test."""
    agent.think(f"next: orders of {chapter * 10} things and more", 6)
    agent.edit("test_cart.py", lambda text: with_test_of_orders(text, chapter))
    agent.think(seconds=4)
    agent.test("-k", f"{chapter * 10}_of")
    agent.run("git", "commit", "--quiet", "-am", f"Orders of {chapter * 10} things")
    agent.think("waiting for the next idea", 12)


def with_test_of_orders(text: str, chapter: int) -> str:
    """Return the test file of the cart with one more test in its class."""
    count = chapter * 10
    return f"""{text}
    def test_{count}_of_a_thing(self) -> None:
        cart = Cart()
        cart.add("tea", 350, count={count})
        self.assertEqual(cart.total(), {350 * count})
"""


def write_the_docs(agent: Agent) -> int:
    """The second agent: writes, and warns about what it found."""
    agent.say("Task: say in the README how the cart is used.", BOLD)
    agent.think(seconds=3)
    agent.edit("README.md", lambda text: text + "\n```python\ncart = Cart()\ncart.add('tea', 350, count=2)\n```\n")
    agent.think("does every public name have a line of its own?", 5)
    _townwatch(
        "alert",
        "No test covers a discount above 100 %",
        "cart.py: total(discount_percent=150) is negative; no test checks it.",
        "--severity=error",
        "--category=test",
    )
    agent.say("! raised an alert: no test covers a discount above 100 %", AMBER)
    for line in ("Prices are in cents.", "Discounts are percentages, 0 to 100.", "An empty cart costs nothing."):
        agent.think(seconds=8)
        agent.edit("README.md", lambda text, line=line: text + f"\n- {line}")
    agent.say("The README says it all now.", GREEN)
    return 0


def migrate_the_ledger(agent: Agent) -> int:
    """The third agent: gets half-way and crashes, as agents do."""
    agent.say("Task: book payments in two accounts each.", BOLD)
    agent.think(seconds=2)
    agent.test()
    agent.think("the callers first", 3)
    agent.edit(
        "ledger.py", lambda text: text + "\n\ndef migrate(entries):\n    return [entry.both for entry in entries]\n"
    )
    agent.say("Traceback (most recent call last):", RED)
    agent.say("  AttributeError: 'tuple' object has no attribute 'both'", RED)
    return 3


ROLES: dict[str, Callable[[Agent], int]] = {
    "cart": fix_the_cart,
    "docs": write_the_docs,
    "ledger": migrate_the_ledger,
}


def main() -> None:
    """Play one role; its exit status is the session's."""
    parser = argparse.ArgumentParser(description="an agent's afternoon")
    parser.add_argument("role", choices=sorted(ROLES))
    parser.add_argument("--seed", default="1")
    chosen = parser.parse_args()
    sys.exit(ROLES[chosen.role](Agent(f"{chosen.seed}/{chosen.role}")))


if __name__ == "__main__":
    main()
