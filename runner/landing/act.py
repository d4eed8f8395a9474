"""An act that a person wants, as it would be done: what rules and people see of it, and the doing."""

import shlex
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import attrs

from townwatch.runner.landing import tree as trees
from townwatch.runner.landing.records import LandFacts
from townwatch.runner.landing.tree import LandTree
from townwatch.runner.observers.git import GitError

COMMIT_SECONDS = 300.0
"""How long a commit, a switch or a merge may take, hooks included."""


@attrs.frozen(kw_only=True)
class Act:
    """An act to be done. `words`: as a person would type it, which is what rules are compared with. `kind`: a category
    of rules that it is of, beside commands. `pin`: what it is about; where that is another by the time it is done,
    nothing is. `do`: does it and returns the fields of its outcome.
    """

    words: list[str]
    summary: str
    risk: Literal["low", "med", "high"]
    pin: Callable[[], Awaitable[str]]
    do: Callable[[], Awaitable[dict[str, Any]]]
    directory: Path
    branch: str | None = None
    kind: str | None = None
    facts: LandFacts = attrs.field(factory=LandFacts)
    """What can be looked for afterwards, where it is not known whether it was done."""
    more: dict[str, Any] = attrs.field(factory=dict[str, Any])
    """What people see of it beside the words, where it is a question."""

    @property
    def line(self) -> str:
        return shlex.join(self.words)


async def tip(tree: LandTree) -> str:
    """Return the branch that is checked out, and its commit."""
    return f"{await trees.branch_of(tree)} {await trees.commit_of(tree)}"


async def told_after(known: dict[str, Any], ask: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """Return what is told of a thing that is done: what git does not say of it any more does not undo it."""
    try:
        return {**known, **await ask()}
    except GitError as error:
        return {**known, "says": f"it was done; {error}"}
