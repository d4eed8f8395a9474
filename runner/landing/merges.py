"""Merging a branch into another one of its repository: where that is checked out, or else of the branch alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from townwatch.contracts.landing import LandOrder
from townwatch.runner.landing import tree as trees
from townwatch.runner.landing.act import COMMIT_SECONDS, Act, tip, told_after
from townwatch.runner.landing.programs import ProgramFailed, Programs
from townwatch.runner.landing.records import LandFacts
from townwatch.runner.landing.tree import LandTree
from townwatch.runner.session import worktrees
from townwatch.runner.session.lifecycle import NotPossible


async def merge(tree: LandTree, order: LandOrder, branch: str | None, head: str | None, mark: str) -> Act:
    base = order.base or await trees.local_base(tree, branch, await trees.remote_for(tree, branch))
    if base is None:
        raise NotPossible("it is not known what to merge into: name the branch")
    if head is None or branch is None:
        raise NotPossible("no branch is checked out: there is nothing to merge")
    await trees.checked_branch(tree, base)
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
        return await told_after({"branch": branch, "base": base}, merged)

    async def merged() -> dict[str, Any]:
        return {"commit": await trees.commit_of(tree, f"refs/heads/{base}")}

    async def pin() -> str:
        return f"{await tip(tree)} {await trees.commit_of(tree, f'refs/heads/{base}')}"

    return Act(
        words=["git", "merge", "--no-edit", branch],
        summary=f"merge {branch} ({head[:8]}) into {base}{f' in {there}' if there is not None else ''}",
        risk="high",
        pin=pin,
        do=do,
        directory=there or tree.top,
        branch=branch,
        kind="merge",
        facts=LandFacts(branch=branch, commit=head, base=base),
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
    try:
        await programs.git("merge", "--abort", ok=(0, *(range(256) if not conflicts else ())))
    except ProgramFailed as error:
        left = f"{programs.directory} may be in the middle of it: git merge --abort there"
        raise ProgramFailed(f"the merge into {base} failed, and taking it back failed ({error}); {left}") from None
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
