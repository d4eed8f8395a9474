"""Commits, branches, pushes, pull requests and merges: what each would do, checked first, and the doing of it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
import trio

from townwatch.contracts.landing import LandOrder
from townwatch.runner.landing import tree as trees
from townwatch.runner.landing.programs import ProgramFailed, Programs
from townwatch.runner.landing.tree import LandTree
from townwatch.runner.observers.differences import shown
from townwatch.runner.session import worktrees
from townwatch.runner.session.lifecycle import NotPossible

COMMIT_SECONDS, PUSH_SECONDS, FORGE_SECONDS = 300.0, 300.0, 120.0
"""How long each may take, hooks included."""
LOCKED_TRIES, LOCKED_SECONDS = 12, 0.25
"""An agent that works in the tree may have the index locked: how often, and after what time, it is tried again."""
TOLD_FILES = 50
_URL = re.compile(r"https?://[^\s\"'<>]+")


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
    more: dict[str, Any] = attrs.field(factory=dict[str, Any])
    """What people see of it beside the words, where it is a question."""

    @property
    def line(self) -> str:
        return shlex.join(self.words)


async def act_for(tree: LandTree, order: LandOrder, command_id: str) -> Act:
    """Return what an order means in a tree. Raises `NotPossible`, `GitError` where it cannot be done."""
    head, branch = await trees.commit_of(tree), await trees.branch_of(tree)
    if order.head is not None and order.head != head:
        now = (head or "no commit")[:8]
        raise NotPossible(f"{branch or 'HEAD'} is at {now} by now, not at {order.head[:8]} as you saw it: look again")
    match order.act:
        case "commit":
            return await _commit(tree, order, branch, f"townwatch {command_id}")
        case "branch":
            return await _switch(tree, order, branch)
        case "push":
            return await _push(tree, order, branch, head)
        case "pull_request":
            return await _pull_request(tree, order, branch, head)
        case "merge":
            return await _merge(tree, order, branch, head, f"townwatch {command_id}")


async def done_before(tree: LandTree, command_id: str, order: LandOrder) -> dict[str, Any] | None:
    """Return the outcome of a commit or merge that this command has made already: its runner was killed before it could
    say so, and the order has come again. git's own log of the branch remembers it.
    """
    where = "HEAD"
    if order.act == "merge":
        branch = await trees.branch_of(tree)
        base = order.base or await trees.local_base(tree, branch, await trees.remote_for(tree, branch))
        where = f"refs/heads/{base}"
    elif order.act != "commit":
        return None
    for line in (await trees.said(tree, "log", "-g", "-n", "200", "--format=%H %gs", where, "--")).splitlines():
        commit, _, how = line.partition(" ")
        if how.startswith(f"townwatch {command_id}"):
            return {"commit": commit, "branch": await trees.branch_of(tree), "says": "it was done before"}
    return None


# --- commit -------------------------------------------------------------------------------------------------------


async def _commit(tree: LandTree, order: LandOrder, branch: str | None, mark: str) -> Act:
    message = (order.message or "").replace("\0", "").strip()
    if not message:
        raise NotPossible("a commit needs a message")
    found = await trees.differences(tree)
    known = {shown(path): path for path in found.files}
    if not known:
        raise NotPossible("there is nothing to commit: every file is as the last commit has it")
    wanted = list(known) if order.paths is None else list(dict.fromkeys(order.paths))
    missing = [path for path in wanted if path not in known]
    if missing or not wanted:
        named = ", ".join(missing[:5]) or "no file"
        raise NotPossible(f"{named}: not changed, or committed by now; look again, and choose among what is changed")
    paths = [known[path] for path in wanted]
    paths += [old for new in paths if (old := found.old_paths.get(new)) is not None]
    new = [path for path in paths if path in found.new]

    async def do() -> dict[str, Any]:
        await _committed(tree.programs, message, paths, new, mark)
        return await _made(tree, branch)

    what = "all that is changed" if order.paths is None else f"{len(wanted)} of {len(known)} changed files"
    return Act(
        words=["git", "commit", "-m", message, "--", *[shown(path) for path in paths]],
        summary=f"commit {what} on {branch or 'a detached commit'}: {message.splitlines()[0][:200]}",
        risk="low",
        pin=lambda: trees.contents(tree, paths),
        do=do,
        directory=tree.top,
        branch=branch,
        more={"files": [shown(path) for path in paths][:TOLD_FILES], "filesTotal": len(paths)},
    )


async def _committed(programs: Programs, message: str, paths: Sequence[str], new: Sequence[str], mark: str) -> None:
    """Commit these files as they are, and nothing else that is staged."""
    listed = b"\0".join(b":(top,literal)" + path.encode(errors="surrogateescape") for path in paths) + b"\0"
    from_feed = ("--pathspec-from-file=-", "--pathspec-file-nul")
    fresh = b"\0".join(b":(top,literal)" + path.encode(errors="surrogateescape") for path in new) + b"\0"
    if new:  # git commits files by name only where it knows them
        await _unlocked(lambda: programs.git("add", "--intent-to-add", *from_feed, feed=fresh))
    try:
        await _unlocked(
            lambda: programs.git(
                "commit", "--quiet", "--only", f"--message={message}", *from_feed,
                feed=listed, seconds=COMMIT_SECONDS, env={"GIT_REFLOG_ACTION": mark},
            )
        )  # fmt: skip
    except BaseException:
        if new:  # as it was: a hook or the person's settings refused it
            with trio.CancelScope(shield=True), trio.move_on_after(5):
                await programs.git("reset", "--quiet", *from_feed, feed=fresh, ok=range(256))
        raise


async def _unlocked(attempt: Callable[[], Awaitable[Any]]) -> None:
    for tried in range(LOCKED_TRIES):
        try:
            await attempt()
        except ProgramFailed as error:
            if "index.lock" not in str(error) or tried == LOCKED_TRIES - 1:
                raise
            await trio.sleep(LOCKED_SECONDS)
        else:
            return


async def _made(tree: LandTree, branch: str | None) -> dict[str, Any]:
    commit = await trees.commit_of(tree) or ""
    listed = await trees.said(tree, "show", "--format=", "--name-only", "-z", "--no-renames", "--no-ext-diff", commit)
    files = [name for name in listed.split("\0") if name]
    subject = await trees.said(tree, "log", "-1", "--format=%s", "--no-show-signature", commit)
    return {
        "commit": commit,
        "branch": branch,
        "subject": subject[:300],
        "files": files[:TOLD_FILES],
        "files_total": len(files),
    }


# --- branch -------------------------------------------------------------------------------------------------------


async def _switch(tree: LandTree, order: LandOrder, branch: str | None) -> Act:
    name = order.branch or ""
    await checked_branch(tree, name)
    if name == branch:
        raise NotPossible(f"{name} is checked out already")
    words = ["git", "switch", *(["-c"] if order.create else []), name]

    async def do() -> dict[str, Any]:
        await _unlocked(lambda: tree.programs.git(*words[1:], seconds=COMMIT_SECONDS))
        return {"branch": name, "commit": await trees.commit_of(tree)}

    how = "make and switch to" if order.create else "switch to"
    return Act(
        words=words,
        summary=f"{how} the branch {name}, from {branch or 'a commit'}",
        risk="low",
        pin=lambda: trees.said(tree, "symbolic-ref", "HEAD"),
        do=do,
        directory=tree.top,
        branch=branch,
    )


async def checked_branch(tree: LandTree, name: str) -> None:
    """Raise `NotPossible` for what is no name of a branch."""
    if name.startswith("-") or not await trees.said(tree, "check-ref-format", "--branch", name):
        raise NotPossible(f"{name[:200]!r} is no name for a branch")


# --- push and pull request ----------------------------------------------------------------------------------------


async def _push(tree: LandTree, order: LandOrder, branch: str | None, head: str | None) -> Act:
    if branch is None or head is None:
        raise NotPossible("no branch is checked out: make one first, then push it")
    remote = await _remote(tree, order.remote, branch)

    async def do() -> dict[str, Any]:
        done = await tree.programs.git(
            "push", "--porcelain", remote, f"{head}:refs/heads/{branch}", seconds=PUSH_SECONDS
        )
        await tree.programs.git("branch", "--quiet", f"--set-upstream-to={remote}/{branch}", branch, ok=range(256))
        return {"commit": head, "branch": branch, "remote": remote, "says": done.words}

    known = await trees.commit_of(tree, f"refs/remotes/{remote}/{branch}")
    ahead = await trees.count(tree, head, *([f"^{known}"] if known else ["--not", f"--remotes={remote}"]))
    address = trees.without_password(await trees.said(tree, "remote", "get-url", "--push", remote))
    commits = "" if ahead is None else f"{ahead} commit{'' if ahead == 1 else 's'} of "
    return Act(
        words=["git", "push", remote, branch],
        summary=f"push {commits}{branch} ({head[:8]}) to {remote}",
        risk=await trees.push_risk(tree, branch, remote),
        pin=lambda: _tip(tree),
        do=do,
        directory=tree.top,
        branch=branch,
        more={"remote": remote, "address": address, "commit": head},
    )


async def _remote(tree: LandTree, wanted: str | None, branch: str) -> str:
    known = await trees.remotes(tree)
    if wanted is not None and wanted not in known:
        raise NotPossible(f"there is no remote {wanted!r} here; there is {', '.join(known) or 'none'}")
    remote = wanted or await trees.remote_for(tree, branch)
    if remote is None:
        why = f"name one of {', '.join(known)}" if known else "the repository has none (git remote add)"
        raise NotPossible(f"it is not clear which remote {branch} goes to: {why}")
    return remote


async def _tip(tree: LandTree) -> str:
    return f"{await trees.branch_of(tree)} {await trees.commit_of(tree)}"


async def _pull_request(tree: LandTree, order: LandOrder, branch: str | None, head: str | None) -> Act:
    if branch is None or head is None:
        raise NotPossible("no branch is checked out: make one, and push it, then open a pull request")
    remote = await _remote(tree, order.remote, branch)
    forge = await trees.forge_of(tree, remote)
    if forge is None:
        raise NotPossible("neither gh nor glab is on the runner's machine: install one there, and sign in with it")
    if await trees.commit_of(tree, f"refs/remotes/{remote}/{branch}") != head:
        raise NotPossible(f"{branch} ({head[:8]}) is not pushed to {remote}: push it first")
    subject = await trees.said(tree, "log", "-1", "--format=%s", "--no-show-signature")
    title, body = (order.title or subject).strip(), (order.message or "").strip()
    base = order.base or tree.base
    base = base.removeprefix(f"{remote}/") if base is not None else await trees.default_branch(tree, remote)
    if base == branch:
        raise NotPossible(f"{branch} is what it would be merged into: make a branch of its own first")
    for name in (base,) if base is not None else ():
        await checked_branch(tree, name)
    words = _forge_words(forge, title or branch, body, branch, base, draft=order.draft)

    async def do() -> dict[str, Any]:
        done = await tree.programs.run(words, words[0], ok=range(256), seconds=FORGE_SECONDS)
        found = _URL.findall(done.text) or (_URL.findall(done.words) if "already exists" in done.words else [])
        if done.code != 0 and not found:
            raise ProgramFailed(done.words or f"{forge} failed with exit code {done.code}, and said nothing")
        url = found[-1].rstrip(".,)") if found else None
        return {"commit": head, "branch": branch, "remote": remote, "base": base, "url": url, "says": done.words}

    return Act(
        words=words,
        summary=f"open a pull request of {branch}{f' into {base}' if base else ''}: {title[:200]}",
        risk="med",
        pin=lambda: _tip(tree),
        do=do,
        directory=tree.top,
        branch=branch,
        more={"remote": remote, "title": title, "body": body[:4000]},
    )


def _forge_words(forge: str, title: str, body: str, branch: str, base: str | None, *, draft: bool) -> list[str]:
    into = [] if base is None else [f"--{'base' if forge == 'gh' else 'target-branch'}", base]
    more = ["--draft"] if draft else []
    if forge == "gh":
        return ["gh", "pr", "create", "--title", title, "--body", body, "--head", branch, *into, *more]
    words = ["glab", "mr", "create", "--title", title, "--description", body, "--source-branch", branch]
    return [*words, *into, *more, "--yes"]


# --- merge --------------------------------------------------------------------------------------------------------


async def _merge(tree: LandTree, order: LandOrder, branch: str | None, head: str | None, mark: str) -> Act:
    base = order.base or await trees.local_base(tree, branch, await trees.remote_for(tree, branch))
    if base is None:
        raise NotPossible("it is not known what to merge into: name the branch")
    if head is None or branch is None:
        raise NotPossible("no branch is checked out: there is nothing to merge")
    await checked_branch(tree, base)
    target = await trees.commit_of(tree, f"refs/heads/{base}")
    if target is None or base == branch:
        why = "is the branch itself" if base == branch else "is no local branch: push, and open a pull request"
        raise NotPossible(f"cannot merge {branch} into {base}, which {why}")
    if await trees.count(tree, head, f"^{target}") == 0:
        raise NotPossible(f"{base} has all commits of {branch} already")
    there = await worktrees.checked_out(tree.top, base)

    async def do() -> dict[str, Any]:
        if there is not None:
            await _merge_there(attrs.evolve(tree.programs, directory=there), base, branch, mark)
        else:
            await _merge_aside(tree.programs, base, branch, target, head, mark)
        merged = await trees.commit_of(tree, f"refs/heads/{base}")
        return {"commit": merged, "branch": branch, "base": base}

    async def pin() -> str:
        return f"{await _tip(tree)} {await trees.commit_of(tree, f'refs/heads/{base}')}"

    return Act(
        words=["git", "merge", "--no-edit", branch],
        summary=f"merge {branch} ({head[:8]}) into {base}{f' in {there}' if there is not None else ''}",
        risk="high",
        pin=pin,
        do=do,
        directory=there or tree.top,
        branch=branch,
        kind="merge",
        more={"base": base, "commit": head},
    )


async def _merge_there(programs: Programs, base: str, branch: str, mark: str) -> None:
    """Merge in the tree that has the base checked out, where nothing in it could be lost."""
    changed = await programs.git("status", "--porcelain", "--untracked-files=no")
    if changed.text:
        raise NotPossible(
            f"{programs.directory} has {base} checked out, with changes that are not committed: commit them first"
        )
    env = {"GIT_REFLOG_ACTION": mark}
    done = await programs.git("merge", "--no-edit", branch, ok=range(256), seconds=COMMIT_SECONDS, env=env)
    if done.code == 0:
        return
    conflicts = (await programs.git("diff", "--name-only", "--diff-filter=U", "-z", ok=range(256))).text
    await programs.git("merge", "--abort", ok=range(256))
    raise _conflict(conflicts.split("\0"), base, done.words)


async def _merge_aside(programs: Programs, base: str, branch: str, target: str, head: str, mark: str) -> None:
    """Merge where no tree has the base checked out: only the branch moves."""
    ancestor = await programs.git("merge-base", "--is-ancestor", target, head, ok=(0, 1))
    if ancestor.code == 0:
        commit = head
    else:
        done = await programs.git("merge-tree", "--write-tree", "--name-only", "-z", target, head, ok=range(256))
        tree, *names = done.text.split("\0")
        if done.code != 0:
            raise _conflict(names[: names.index("")] if "" in names else names, base, done.words)
        message = f"Merge branch '{branch}' into {base}"
        made = await programs.git("commit-tree", tree, "-p", target, "-p", head, "-m", message)
        commit = made.text
    await programs.git("update-ref", "-m", f"{mark}: merge {branch}", f"refs/heads/{base}", commit, target)


def _conflict(files: Sequence[str], base: str, words: str) -> ProgramFailed:
    named = [name for name in files if name]
    if not named:
        return ProgramFailed(words or f"the merge into {base} failed, and git did not say why; nothing was changed")
    more = f" and {len(named) - 10} more" if len(named) > 10 else ""
    return ProgramFailed(f"conflicts with {base} in {', '.join(named[:10])}{more}; nothing was changed")
