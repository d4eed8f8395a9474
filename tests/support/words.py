#!/usr/bin/env python3
"""Show where the language makes a reader stop: odd docstring openings, pronouns for code, class names used twice.

    python3 tests/support/words.py            figures for the whole tree (product code: not tests, bench, examples)
    python3 tests/support/words.py --since R  the same, and the lines in files changed since revision R, at most 15

A line shown is a place to look, not a verdict. tests/unit/test_architecture.py checks the goals.
"""

import argparse
import ast
import collections
import pathlib
import re
import subprocess
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).parents[2]
OPENING = re.compile(
    r"^(what(ever)?|whether|who(ever|se|m)?|which(ever)?|when|while|where|why|how|until|of|from|to|by|for|with|without|in"
    r"|into|on|at|up|over|before|after|between|against|behind|past|below|above|beside)\b",
    re.IGNORECASE,
)
ADDRESS = re.compile(r"(to|from) (a|an|the|oneself)\b[^.:]*[:,.]", re.IGNORECASE)
"""Messages of actors and of the wire begin with where they go or come from: "To a session: …"."""
PRONOUN = re.compile(r"\b(nobody|somebody|whoever|everybody|anybody)\b", re.IGNORECASE)
DOCUMENTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)
LONG, ODD_GOAL, PRONOUNS_GOAL = 400, 0.02, 5


@dataclass
class Figures:
    """The language of the tree. Each place is `file:line what: text`."""

    docstrings: int = 0
    odd: list[str] = field(default_factory=list)
    pronouns: list[str] = field(default_factory=list)
    classes: dict[str, list[str]] = field(default_factory=lambda: collections.defaultdict(list))
    long: list[str] = field(default_factory=list)

    @property
    def odd_share(self) -> float:
        return len(self.odd) / max(1, self.docstrings)

    @property
    def doubled(self) -> dict[str, list[str]]:
        return {name: at for name, at in self.classes.items() if len(at) > 1}


def git(*arguments: str) -> list[str]:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()


def measure() -> Figures:
    """Read every product file that git knows."""
    figures = Figures()
    for name in git("ls-files", "*.py"):
        path = ROOT / name
        if not name.startswith(("tests/", "bench/", "examples/")) and path.is_file():
            _examine(figures, name, path.read_text())
    return figures


def _examine(figures: Figures, name: str, text: str) -> None:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, DOCUMENTED) and (doc := ast.get_docstring(node)):
            figures.docstrings += 1
            if OPENING.match(doc.strip()) and not (isinstance(node, ast.ClassDef) and ADDRESS.match(doc)):
                figures.odd.append(f"{name}:{node.body[0].lineno} opening: {doc.strip().splitlines()[0][:100]}")
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            figures.classes[node.name].append(f"{name}:{node.lineno}")
    for number, line in enumerate(text.splitlines(), 1):
        if PRONOUN.search(line):
            figures.pronouns.append(f"{name}:{number} pronoun: {line.strip()[:100]}")
    if text.count("\n") > LONG:
        figures.long.append(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--since", help="show the lines in files that changed since this revision")
    since = parser.parse_args().since
    figures = measure()
    print(
        f"docstrings opening oddly {figures.odd_share:.0%} (goal {ODD_GOAL:.0%}),",
        f"pronouns {len(figures.pronouns)} ({PRONOUNS_GOAL}), class names used twice {len(figures.doubled)} (0),",
        f"files over {LONG} lines {len(figures.long)} (0)",
    )
    if since:
        changed = set(git("diff", "--name-only", since))
        for line in [one for one in figures.odd + figures.pronouns if one.partition(":")[0] in changed][:15]:
            print(" ", line)
        for name, at in sorted(figures.doubled.items())[:8]:
            print(f"  class {name}: {', '.join(at[:3])}")


if __name__ == "__main__":
    main()
