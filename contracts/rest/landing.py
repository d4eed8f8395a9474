"""Acts of people on a session's changes: commit, branch, push, pull request, merge."""

from typing import Annotated, Literal

import attrs
import msgspec

from townwatch.contracts.agent_events import LandingAct
from townwatch.contracts.events import Id
from townwatch.contracts.landing import MAX_PATHS, RefName, TreePath, Uncommitted, UnderWay, Words

CommitName = Annotated[str, msgspec.Meta(min_length=4, max_length=64, pattern=r"^[0-9a-f]+$")]


@attrs.frozen(kw_only=True)
class CommitChanges:
    """`paths`: of the files that are not committed; left out: all of them. `head`: the commit that was seen as checked
    out; where it is another one by now, nothing is done. `confirm`: the rule whose question you answer with yes, of a
    session that has ended.
    """

    message: Annotated[str, msgspec.Meta(min_length=1, max_length=20_000)]
    paths: Annotated[list[TreePath], msgspec.Meta(min_length=1, max_length=MAX_PATHS)] | None = None
    head: CommitName | None = None
    confirm: Id | None = None


@attrs.frozen(kw_only=True)
class SwitchBranch:
    """`create`: the branch is made at the commit that is checked out."""

    branch: RefName
    create: bool = False
    head: CommitName | None = None
    confirm: Id | None = None


@attrs.frozen(kw_only=True)
class PushBranch:
    """`remote`: left out, the one that git itself would choose."""

    remote: RefName | None = None
    head: CommitName | None = None
    confirm: Id | None = None


@attrs.frozen(kw_only=True)
class OpenPullRequest:
    """`title`: left out, the first line of the last commit. `base`: what it is to be merged into; left out, that of the
    session's worktree, else the remote's own branch.
    """

    title: Annotated[str, msgspec.Meta(max_length=300)] | None = None
    body: Words | None = None
    base: RefName | None = None
    remote: RefName | None = None
    draft: bool = False
    head: CommitName | None = None
    confirm: Id | None = None


@attrs.frozen(kw_only=True)
class MergeBranch:
    """`base`: the local branch to merge into; left out, that of the session's worktree, else the one that
    others build on.
    """

    base: RefName | None = None
    head: CommitName | None = None
    confirm: Id | None = None


@attrs.frozen(kw_only=True)
class LandedView:
    """An act of a person on a session's changes. `says`: git's own words. `unknown`: it was interrupted, and whether it
    was done is not known; `ok` is false then.
    """

    act: LandingAct
    ok: bool
    by: str
    at: float | None = None
    branch: str | None = None
    commit: str | None = None
    subject: str | None = None
    files: list[str] | None = None
    files_total: int | None = None
    remote: str | None = None
    base: str | None = None
    url: str | None = None
    says: str | None = None
    approved_by: str | None = None
    unknown: bool | None = None


@attrs.frozen(kw_only=True)
class LandAnswer:
    """`state` done: `outcome` says what was done. asked: a rule asks, and the session's approval `approvalId` waits for
    people; it is done when they have allowed it. sent: the runner has it, and has not answered yet. waiting: the runner
    is away; it is told within ten minutes, or not at all. What becomes of it is the session's event ``agent.landed``,
    and GET …/git/orders/{commandId}.
    """

    ok: bool = True
    command_id: str
    state: Literal["done", "asked", "sent", "waiting"]
    outcome: LandedView | None = None
    approval_id: str | None = None
    rule: str | None = None
    why: str | None = None


@attrs.frozen(kw_only=True)
class LandOrderView:
    """An order as it stands. `state` waiting: its runner is away, or has not answered. asked: the session's approval
    `approvalId` waits for people. allowed: they have allowed it, and it is being done. done, failed, unknown: see
    `outcome`; unknown: it was interrupted, and whether it was done is not known. refused: it was not done, `why` says
    who or what was against it. expired: its runner did not take it in time.
    """

    command_id: str
    state: Literal["waiting", "asked", "allowed", "done", "failed", "unknown", "refused", "expired"]
    ordered_at: int
    over_at: int | None = None
    outcome: LandedView | None = None
    approval_id: str | None = None
    why: str | None = None


@attrs.frozen(kw_only=True)
class LandStatusView:
    """Changes that can be landed, asked of the runner now. `whyNot`: why nothing can be, as outside of a repository;
    null: something can. `forge`: the program there that opens pull requests; null: none. `ahead`, `behind`: against
    the branch at `remote`, as it was fetched last; null: it is not there. `baseAhead`: commits that `base` does not
    have. `landed`: what people did before, the latest last. `unknown`: the name of a field → why its value is not
    known, as where git did not answer in time: what the field says is no answer then.
    """

    at: int
    why_not: str | None = None
    head: str | None = None
    branch: str | None = None
    subject: str | None = None
    files: list[Uncommitted] = attrs.field(factory=list[Uncommitted])
    files_total: int = 0
    remotes: list[str] = attrs.field(factory=list[str])
    remote: str | None = None
    remote_url: str | None = None
    ahead: int | None = None
    behind: int | None = None
    forge: Literal["gh", "glab"] | None = None
    base: str | None = None
    base_ahead: int | None = None
    worktree: bool = False
    push_risk: Literal["med", "high"] = "med"
    under_way: list[UnderWay] = attrs.field(factory=list[UnderWay])
    landed: list[LandedView] = attrs.field(factory=list[LandedView])
    unknown: dict[str, str] = attrs.field(factory=dict[str, str])
