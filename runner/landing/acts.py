"""Commits, branches, pushes, pull requests and merges: what each would do, checked first, and the doing of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import trio

from townwatch.contracts.landing import LandOrder
from townwatch.runner.landing import forge, merges, tree as trees
from townwatch.runner.landing.act import COMMIT_SECONDS, Act, tip, told_after
from townwatch.runner.landing.programs import ProgramFailed, Programs
from townwatch.runner.landing.records import LandFacts
from townwatch.runner.landing.tree import LandTree
from townwatch.runner.observers.differences import shown
from townwatch.runner.session.lifecycle import NotPossible

PUSH_SECONDS, FORGE_SECONDS = 300.0, 120.0
"""How long each may take, hooks included."""
LOCKED_TRIES, LOCKED_SECONDS = 12, 0.25
"""An agent that works in the tree may have the index locked: how often, and after what time, it is tried again."""
TOLD_FILES = 50


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
            return await merges.merge(tree, order, branch, head, f"townwatch {command_id}")


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
        return await told_after({"branch": branch}, lambda: _made(tree))

    what = "all that is changed" if order.paths is None else f"{len(wanted)} of {len(known)} changed files"
    return Act(
        words=["git", "commit", "-m", message, "--", *[shown(path) for path in paths]],
        summary=f"commit {what} on {branch or 'a detached commit'}: {message.splitlines()[0][:200]}",
        risk="low",
        pin=lambda: trees.contents(tree, paths),
        do=do,
        directory=tree.top,
        branch=branch,
        facts=LandFacts(branch=branch),
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


async def _made(tree: LandTree) -> dict[str, Any]:
    commit = await trees.commit_of(tree) or ""
    words = ("show", "--format=", "--name-only", "-z", "--no-renames", "--no-ext-diff", commit)
    listed = await trees.said(tree, f"the files of {commit[:8]}", *words, none=())
    files = [name for name in listed.split("\0") if name]
    subject = await trees.subject_of(tree, commit)
    return {"commit": commit, "subject": subject[:300], "files": files[:TOLD_FILES], "files_total": len(files)}


# --- branch -------------------------------------------------------------------------------------------------------


async def _switch(tree: LandTree, order: LandOrder, branch: str | None) -> Act:
    name = order.branch or ""
    await trees.checked_branch(tree, name)
    if name == branch:
        raise NotPossible(f"{name} is checked out already")
    words = ["git", "switch", *(["-c"] if order.create else []), name]

    async def do() -> dict[str, Any]:
        await _unlocked(lambda: tree.programs.git(*words[1:], seconds=COMMIT_SECONDS))
        return await told_after({"branch": name}, lambda: _commit_now(tree))

    how = "make and switch to" if order.create else "switch to"
    return Act(
        words=words,
        summary=f"{how} the branch {name}, from {branch or 'a commit'}",
        risk="low",
        pin=lambda: _branch_now(tree),
        do=do,
        directory=tree.top,
        branch=branch,
        facts=LandFacts(branch=name),
    )


async def _commit_now(tree: LandTree) -> dict[str, Any]:
    return {"commit": await trees.commit_of(tree)}


async def _branch_now(tree: LandTree) -> str:
    return await trees.branch_of(tree) or ""


# --- push and pull request ----------------------------------------------------------------------------------------


async def _push(tree: LandTree, order: LandOrder, branch: str | None, head: str | None) -> Act:
    if branch is None or head is None:
        raise NotPossible("no branch is checked out: make one first, then push it")
    remote = await _remote(tree, order.remote, branch)

    async def do() -> dict[str, Any]:
        done = await tree.programs.git(
            "push", "--porcelain", remote, f"{head}:refs/heads/{branch}", seconds=PUSH_SECONDS
        )
        with suppress(ProgramFailed):  # it is pushed: that git does not note where is no failure of it
            await tree.programs.git("branch", "--quiet", f"--set-upstream-to={remote}/{branch}", branch, ok=range(256))
        return {"commit": head, "branch": branch, "remote": remote, "says": done.words}

    known = await trees.commit_of(tree, f"refs/remotes/{remote}/{branch}")
    ahead = await trees.count(tree, head, *([f"^{known}"] if known else ["--not", f"--remotes={remote}"]))
    address = trees.without_password(await trees.url_of(tree, remote, "--push"))
    commits = f"{ahead} commit{'' if ahead == 1 else 's'} of "
    return Act(
        words=["git", "push", remote, branch],
        summary=f"push {commits}{branch} ({head[:8]}) to {remote}",
        risk=await trees.push_risk(tree, branch, remote),
        pin=lambda: tip(tree),
        do=do,
        directory=tree.top,
        branch=branch,
        facts=LandFacts(branch=branch, commit=head, remote=remote),
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


async def _pull_request(tree: LandTree, order: LandOrder, branch: str | None, head: str | None) -> Act:
    if branch is None or head is None:
        raise NotPossible("no branch is checked out: make one, and push it, then open a pull request")
    remote = await _remote(tree, order.remote, branch)
    program = await trees.forge_of(tree, remote)
    if program is None:
        raise NotPossible("neither gh nor glab is on the runner's machine: install one there, and sign in with it")
    if await trees.commit_of(tree, f"refs/remotes/{remote}/{branch}") != head:
        raise NotPossible(f"{branch} ({head[:8]}) is not pushed to {remote}: push it first")
    subject = await trees.subject_of(tree, head)
    title, body = (order.title or subject).strip(), (order.message or "").strip()
    base = order.base or tree.base
    base = base.removeprefix(f"{remote}/") if base is not None else await trees.default_branch(tree, remote)
    if base == branch:
        raise NotPossible(f"{branch} is what it would be merged into: make a branch of its own first")
    for name in (base,) if base is not None else ():
        await trees.checked_branch(tree, name)
    words = forge.words_to_open(program, title or branch, body, branch, base, draft=order.draft)

    async def do() -> dict[str, Any]:
        done = await tree.programs.run(words, words[0], ok=range(256), seconds=FORGE_SECONDS)
        there = done.words if "already exists" in done.words else ""
        found = forge.URL.findall(done.text) or forge.URL.findall(there)
        if done.code != 0 and not found:
            raise ProgramFailed(done.words or f"{program} failed with exit code {done.code}, and said nothing")
        url = found[-1].rstrip(".,)") if found else None
        return {"commit": head, "branch": branch, "remote": remote, "base": base, "url": url, "says": done.words}

    return Act(
        words=words,
        summary=f"open a pull request of {branch}{f' into {base}' if base else ''}: {title[:200]}",
        risk="med",
        pin=lambda: tip(tree),
        do=do,
        directory=tree.top,
        branch=branch,
        facts=LandFacts(branch=branch, commit=head, remote=remote, base=base),
        more={"remote": remote, "title": title, "body": body[:4000]},
    )
