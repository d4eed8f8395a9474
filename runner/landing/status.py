"""What there is to land in a tree: each answer for itself, within one time. What is not known is named, with why."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from townwatch.contracts.landing import LandStatus, Uncommitted
from townwatch.policy.work import Work
from townwatch.runner.landing import tree as trees
from townwatch.runner.landing.tree import ASK_SECONDS, LandTree
from townwatch.runner.observers.differences import Differences, shown
from townwatch.runner.observers.git import GitError

NAMED_FILES = 500
"""Files that are named; of those beyond, only the number is told."""

T = TypeVar("T")


class _Look:
    """Questions of one look at a tree. `unknown`: field on the wire → why it is not known."""

    def __init__(self) -> None:
        self.unknown: dict[str, str] = {}
        self._until = trio.current_time() + ASK_SECONDS

    async def learn(self, field: str, ask: Callable[[], Awaitable[T]], otherwise: T, *needs: str) -> T:
        """Return the answer; where there is none, or one of `needs` is not known, note it and return `otherwise`."""
        for need in needs:
            if need in self.unknown:
                self.unknown[field] = self.unknown[need]
                return otherwise
        try:
            with trio.fail_at(self._until):
                return await ask()
        except trio.TooSlowError:
            self.unknown[field] = f"not known: git did not answer in {ASK_SECONDS:g} s"
        except (GitError, OSError) as error:
            said = str(error)
            self.unknown[field] = said if "not known" in said else f"not known: {said}"
        return otherwise


async def status_of(tree: LandTree) -> LandStatus:
    """Return what there is to land. It is never an error: what git does not say is `unknown`."""
    look = _Look()
    learn = look.learn
    head = await learn("head", lambda: trees.commit_of(tree), None)
    branch = await learn("branch", lambda: trees.branch_of(tree), None)
    found = await learn("files", lambda: trees.differences(tree), Differences({}))
    files = [Uncommitted(path=shown(path), status=one.status) for path, one in found.files.items()]
    remotes = await learn("remotes", lambda: trees.remotes(tree), list[str]())
    remote = await learn("remote", lambda: trees.remote_for(tree, branch), None, "branch", "remotes")
    base = await learn("base", lambda: trees.local_base(tree, branch, remote), None, "branch", "remote")
    at_remote = f"refs/remotes/{remote}/{branch}"
    on_base = f"refs/heads/{base}"

    async def ahead() -> tuple[int, int] | None:
        """(ahead, behind) of the branch at its remote; None where it is not there."""
        if head is None or branch is None or remote is None or await trees.commit_of(tree, at_remote) is None:
            return None
        return await trees.count(tree, head, f"^{at_remote}"), await trees.count(tree, at_remote, f"^{head}")

    async def base_ahead() -> int | None:
        return None if head is None or base is None else await trees.count(tree, head, f"^{on_base}")

    async def subject() -> str:
        return "" if head is None else await trees.subject_of(tree, head)

    async def address() -> str:
        return "" if remote is None else await trees.url_of(tree, remote, "--push")

    counts = await learn("ahead", ahead, None, "head", "branch", "remote")
    if "ahead" in look.unknown:
        look.unknown["behind"] = look.unknown["ahead"]
    return LandStatus(
        head=head,
        branch=branch,
        subject=(await learn("subject", subject, "", "head"))[:300] or None,
        files=files[:NAMED_FILES],
        files_total=len(files),
        remotes=remotes[:50],
        remote=remote,
        remote_url=trees.without_password(await learn("remoteUrl", address, "", "remote"))[:500] or None,
        ahead=counts[0] if counts is not None else None,
        behind=counts[1] if counts is not None else None,
        forge=await learn("forge", lambda: trees.forge_of(tree, remote), None, "remote"),
        base=base,
        base_ahead=await learn("baseAhead", base_ahead, None, "head", "base"),
        worktree=tree.worktree,
        push_risk=await learn("pushRisk", lambda: trees.push_risk(tree, branch, remote), "high", "branch", "remote"),
        unknown=look.unknown,
    )


async def work_of(tree: LandTree, tests: str) -> Work:
    """Return what an ended session has done: its tests as the service knows them, its changes as git does."""
    unknown = Work(tests=tests, lines=None, files=None)
    try:
        found = await trees.differences(tree)
        since = await trees.said(tree, "where the branch began", "merge-base", "HEAD", tree.base) if tree.base else ""
        if not since:
            return unknown
        words = ("diff", "--numstat", "-z", "--no-renames", "--no-ext-diff", since, "HEAD", "--")
        committed = await trees.said(tree, "what the branch changed", *words, none=())
    except GitError:
        return unknown
    files, lines = set(found.files), sum(one.additions + one.deletions for one in found.files.values())
    for row in committed.split("\0"):
        added, _, rest = row.partition("\t")
        removed, _, path = rest.partition("\t")
        if path:
            files.add(path)
            lines += sum(int(one) for one in (added, removed) if one.isdigit())
    return Work(tests=tests, lines=lines, files=tuple(sorted(files)))
