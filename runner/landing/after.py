"""What became of an act that was interrupted, asked of git and of the remote afterwards. Not known is an answer."""

from pathlib import Path
from typing import Any

import attrs
import trio

from townwatch.contracts.agent_events import Landed, LandingAct
from townwatch.contracts.codec import ContractError
from townwatch.runner.landing import forge, tree as trees
from townwatch.runner.landing.records import LandFacts, LandRecord
from townwatch.runner.landing.tree import LandTree
from townwatch.runner.observers.git import GitError
from townwatch.runner.session.lifecycle import NotPossible

LOOK_SECONDS = 30.0
WHILE: dict[LandingAct, str] = {
    "commit": "committed",
    "branch": "switched the branch",
    "push": "pushed",
    "pull_request": "opened the pull request",
    "merge": "merged",
}
"""What was done when it was interrupted, as in "the runner ended while it pushed"."""


@attrs.frozen
class ActTraces:
    """Signs of an act. `done` None: not known. `says`: what was seen."""

    done: bool | None
    says: str = ""
    fields: dict[str, Any] = attrs.field(factory=dict[str, Any])


def mark_of(command_id: str) -> str:
    """Return what git's log of a branch says of a commit or merge that this order made."""
    return f"townwatch {command_id}"


async def outcome_after(tree: LandTree | None, record: LandRecord, why: str, *, ended: bool) -> Landed:
    """Return what became of an act. `why`: it was interrupted. `ended`: all that was started for it has ended, so that
    nothing of it can come any more.
    """
    facts = record.facts
    seen = ActTraces(None)
    try:
        with trio.fail_after(LOOK_SECONDS):
            seen = (
                ActTraces(None, f"{record.directory} is not there any more")
                if tree is None
                else await look(tree, record)
            )
    except trio.TooSlowError:
        seen = ActTraces(None, f"looking for it took more than {LOOK_SECONDS:g} s")
    except (NotPossible, GitError, ContractError, OSError) as error:
        seen = ActTraces(None, f"looking for it failed: {error}")
    if seen.done is False and not ended:
        seen = ActTraces(None, seen.says)
    known: dict[str, Any] = {
        "branch": facts.branch,
        "commit": facts.commit,
        "remote": facts.remote,
        "base": facts.base,
        "approved_by": record.approved_by,
        **seen.fields,
    }
    if seen.done:
        says, unknown = f"{why}; it is done: {seen.says}", None
    elif seen.done is False:
        says, unknown = f"{why}; it is not done: {seen.says}", None
    else:
        says, unknown = f"not known: {why}. {_sentence(seen.says)}Look, before you do it again", True
    return Landed(
        id=record.command_id, act=record.act, ok=bool(seen.done), by=record.by, says=says, unknown=unknown, **known
    )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}. " if text else ""


async def look(tree: LandTree, record: LandRecord) -> ActTraces:
    """Look for the traces of an act. Raises `GitError`, `NotPossible`."""
    facts = record.facts
    match record.act:
        case "commit":
            return await _in_log(tree, record.command_id, f"refs/heads/{facts.branch}" if facts.branch else "HEAD")
        case "merge":
            return await _in_log(tree, record.command_id, f"refs/heads/{facts.base}")
        case "branch":
            now = await trees.branch_of(tree)
            return ActTraces(now == facts.branch, f"{now or 'no branch'} is checked out")
        case "push":
            return await _at_remote(tree, facts)
        case "pull_request":
            return await _at_forge(tree, facts)


async def _in_log(tree: LandTree, command_id: str, ref: str) -> ActTraces:
    """Look into git's own log of a branch for the order's mark."""
    now = await trees.commit_of(tree, ref)
    if now is None:
        return ActTraces(None, f"{ref} is not there")
    words = ("log", "-g", "-n", "200", "--format=%H %gs", ref, "--")
    listed = await trees.said(tree, f"the log of {ref}", *words, none=())
    for line in listed.splitlines():
        commit, _, how = line.partition(" ")
        if how.startswith(mark_of(command_id)):
            return ActTraces(True, f"git's log of {ref} has it", {"commit": commit})
    if listed.startswith(now):
        return ActTraces(False, f"git's log of {ref} does not have it")
    return ActTraces(None, f"git keeps no log of {ref} here")


async def _at_remote(tree: LandTree, facts: LandFacts) -> ActTraces:
    """Ask the remote what it has as the branch."""
    if facts.remote is None or facts.branch is None or facts.commit is None:
        return ActTraces(None, "which branch of which remote it was is not known")
    where = await trees.url_of(tree, facts.remote, "--push")
    wanted = f"refs/heads/{facts.branch}"
    done = await tree.programs.git("ls-remote", "--", where, wanted, seconds=LOOK_SECONDS)
    rows = [line.split("\t") for line in done.text.splitlines()]
    there = next((row[0] for row in rows if row[1:] == [wanted]), None)
    if there == facts.commit:
        return ActTraces(True, f"{facts.remote} has {facts.branch} at {facts.commit[:8]}")
    now = f"at {there[:8]}, not at {facts.commit[:8]}" if there else "not at all"
    return ActTraces(None, f"{facts.remote} has {facts.branch} {now}, as it was asked just now")


async def _at_forge(tree: LandTree, facts: LandFacts) -> ActTraces:
    """Ask the forge which pull requests of the branch are open."""
    if facts.branch is None or facts.remote is None:
        return ActTraces(None, "which branch it was is not known")
    program = await trees.forge_of(tree, facts.remote)
    if program is None:
        return ActTraces(None, "neither gh nor glab is on this machine any more")
    found = await forge.open_ones(tree.programs, program, facts.branch)
    for address, commit in found.items():
        if commit == facts.commit:
            return ActTraces(True, f"{address} is open for {facts.branch} at {commit[:8]}", {"url": address})
    if found:
        return ActTraces(None, f"what is open for {facts.branch} is of another commit: {next(iter(found))}")
    return ActTraces(None, f"no pull request of {facts.branch} is open, as {program} was asked just now")


async def reopened(record: LandRecord, env: dict[str, str]) -> LandTree | None:
    """Return the tree of an order that another process of this runner began; None where it is gone."""
    try:
        return await trees.open_tree(record.session_id, Path(record.directory), env)
    except NotPossible:
        return None
