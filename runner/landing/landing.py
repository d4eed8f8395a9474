"""Orders of people about a session's changes: each is compared with the rules, done once, and told.

A live session tells the outcome as its event, and a rule's question is an approval of it. Of one that has ended the
runner knows the worktree that was made for it; its outcome goes back with the answer, and the service writes the event.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import structlog
import trio

from townwatch.contracts.agent_events import Landed
from townwatch.contracts.codec import ContractError
from townwatch.contracts.events import ApprovalRequest
from townwatch.contracts.landing import (
    BY_PERSON,
    CONFIRM,
    DENIED,
    LandAsked,
    LandOrder,
    LandReport,
    LandStatus,
    RuleSaid,
    UnderWay,
)
from townwatch.contracts.link import Command
from townwatch.contracts.policy import VillagePolicy
from townwatch.policy.work import Work
from townwatch.runner.account import Account
from townwatch.runner.landing import tree as trees
from townwatch.runner.landing.acts import Act, act_for, done_before
from townwatch.runner.landing.programs import ProgramFailed, environment_for
from townwatch.runner.landing.tree import LandTree
from townwatch.runner.observers.git import GitError
from townwatch.runner.session import worktrees
from townwatch.runner.session.lifecycle import NotPossible
from townwatch.runner.session.plan import SessionSpec
from townwatch.runner.session.redact import Redactor, secrets_of
from townwatch.runner.session.rules import SessionRules
from townwatch.runner.spool.recorder import now_ms

if TYPE_CHECKING:
    from townwatch.policy.village import PolicyDecision
    from townwatch.runner.session.session import Session

log = structlog.get_logger("landing")

ANSWER_MS = 24 * 3600 * 1000
"""How long people have to allow what a rule asks about."""
CHANGED = "the files or the branch have changed since it was asked: look again, and ask again"
BUSY_SECONDS = 20.0
"""How long an order waits for another one in the same tree."""


class RuleRefused(NotPossible):
    """A rule denies it, or wants people that nothing can ask now. `details`: a `RuleSaid`."""

    def __init__(self, message: str, code: str, said: RuleSaid) -> None:
        super().__init__(message)
        self.code = code
        self.details = said


@attrs.frozen(kw_only=True)
class LandPlace:
    """The place that an order is carried out in. `session`: None of one that has ended."""

    tree: LandTree
    rules: SessionRules
    clean: Callable[[Any], Any]
    session: Session | None = None


class Landing:
    """The orders of one runner. `sessions`: its live ones; `records`: its own directory, where worktrees are known."""

    def __init__(
        self,
        sessions: Mapping[str, Session],
        records: Path,
        account: Account | None,
        policy: Callable[[str], VillagePolicy],
        nursery: trio.Nursery,
        preparing: trio.Lock,
    ) -> None:
        """`preparing`: held while worktrees are made."""
        self._preparing = preparing
        self._sessions = sessions
        self._records = records
        self._account = account
        self._policy = policy
        self._nursery = nursery
        self._turns: dict[Path, trio.Lock] = {}
        self._under_way: dict[str, list[UnderWay]] = {}

    # --- what the service asks ----------------------------------------------------------------------------------------

    async def status(self, session_id: str) -> LandStatus:
        """Return what there is to land. Raises `NotPossible`, `GitError`."""
        tree = await self._tree(session_id, self._sessions.get(session_id))
        found = await trees.status_of(tree)
        busy = self._under_way.get(session_id, [])
        return self._clean_of(self._sessions.get(session_id), tree)(attrs.evolve(found, under_way=list(busy)))

    async def do(self, command: Command) -> LandReport:
        """Carry an order out, or ask people for it where a rule says so. Raises `NotPossible`, `GitError`."""
        order = command.land
        if order is None:
            raise ContractError("land", "is required")
        place = await self._place(command.session_id or "", order)
        async with self._turn(place.tree, order):
            if (known := await done_before(place.tree, command.command_id, order)) is not None:
                return await self._told(place, _outcome(command.command_id, order, ok=True, **known))
            act = await act_for(place.tree, order, command.command_id)
            asked, found = await self._ruled(place, act, order.asker.name)
            if found is not None and found.verdict == "deny":
                refused = f"the rule {found.rule} denies it ({found.reason}): {act.line[:300]}"
                raise RuleRefused(refused, DENIED, RuleSaid(rule=found.rule, why=found.reason[:500]))
            if found is None or found.verdict == "allow":
                return await self._told(place, await self._done(place, command, order, act))
            if place.session is None:
                _check_confirmed(order, found)
                return await self._told(place, await self._done(place, command, order, act))
        return await self._asked(place, command, order, act, asked, found)

    async def clean_tree(self, session_id: str, *, discard: bool) -> None:
        """Remove the worktree of a session that has ended. Raises `NotPossible` where it is kept, `GitError`."""
        if session_id in self._sessions:
            raise NotPossible("the session works in its worktree; stop it first")
        async with self._preparing:
            tree = await trio.to_thread.run_sync(worktrees.find, self._records, session_id)
            if tree is None:
                return  # removed before
            after = await worktrees.clean(tree, discard=discard)
        if after.status == "kept":
            raise NotPossible(f"the worktree of {tree.branch} is kept, for {after.reason}; discard it, or merge it")

    # --- where, and may it --------------------------------------------------------------------------------------------

    async def _tree(self, session_id: str, session: Session | None) -> LandTree:
        """Return where the session's changes are. Raises `NotPossible`."""
        if session is not None:
            env = environment_for(self._account, session.plan.env)
            tree = session.plan.tree
            base = tree.base if tree is not None else None
            where = session.plan.directory
            return await trees.open_tree(session_id, where, env, base=base, worktree=tree is not None)
        found = await trio.to_thread.run_sync(worktrees.find, self._records, session_id)
        if found is None:
            raise NotPossible(
                "the session has ended on this runner, and it has no worktree of its own (any more): "
                "commit, push and merge in its repository"
            )
        return await trees.open_tree(
            session_id, found.directory, environment_for(self._account, {}), base=found.base, worktree=True
        )

    async def _place(self, session_id: str, order: LandOrder) -> LandPlace:
        session = self._sessions.get(session_id)
        tree = await self._tree(session_id, session)
        clean = self._clean_of(session, tree)
        if session is not None:
            assert session.approvals.rules is not None
            return LandPlace(tree=tree, rules=session.approvals.rules, clean=clean, session=session)
        subject = order.subject
        plan = SessionSpec(
            session_id=session_id,
            village=subject.village,
            command=[],
            directory=tree.directory,
            provider=subject.provider_id or "command",
            agent_id=subject.agent_id,
            account=self._account,
        )
        work = await _work_of(tree, subject.tests)
        rules = SessionRules(plan, self._policy, lambda: work, subject.house, subject.started_by)
        return LandPlace(tree=tree, rules=rules, clean=clean)

    def _clean_of(self, session: Session | None, tree: LandTree) -> Callable[[Any], Any]:
        """Return what masks secrets in what is told of it."""
        return session.events.clean if session is not None else Redactor(secrets_of(tree.env)).clean_data

    async def _ruled(self, place: LandPlace, act: Act, by: str) -> tuple[ApprovalRequest, PolicyDecision | None]:
        """Return the act as a question, and what the rules say to it."""
        now = now_ms()
        asked = ApprovalRequest(
            approval_id=f"ap_{uuid.uuid4().hex[:16]}",
            session_id=place.tree.session_id,
            category="shell",
            risk=act.risk,
            summary=act.summary,
            context={
                "tool": BY_PERSON,
                "askedBy": by,
                "cwd": str(act.directory),
                **act.more,
                "input": {"command": act.line},
            },
            requested_at=now,
            timeout_at=now + ANSWER_MS,
        )
        return await trio.to_thread.run_sync(place.rules.look_at_act, asked, act.kind)

    @asynccontextmanager
    async def _turn(self, tree: LandTree, order: LandOrder) -> AsyncGenerator[None]:
        """One order at a time in a tree. Raises `NotPossible` where another one takes long."""
        lock = self._turns.setdefault(tree.top, trio.Lock())
        doing = self._under_way.setdefault(tree.session_id, [])
        with trio.move_on_after(BUSY_SECONDS) as waited:
            await lock.acquire()
        if waited.cancelled_caught:
            now = ", ".join(f"{one.act.replace('_', ' ')} by {one.by}" for one in doing) or "another order"
            raise NotPossible(f"in this tree, {now} is under way; try again when it has ended")
        mine = UnderWay(act=order.act, by=order.asker.name)
        doing = self._under_way.setdefault(tree.session_id, doing)
        doing.append(mine)
        try:
            yield
        finally:
            doing.remove(mine)
            lock.release()
            if not doing:
                self._under_way.pop(tree.session_id, None)
            if not lock.statistics().tasks_waiting:
                self._turns.pop(tree.top, None)

    # --- do it, and tell it -------------------------------------------------------------------------------------------

    async def _done(self, place: LandPlace, command: Command, order: LandOrder, act: Act, **more: Any) -> Landed:
        """Do it; a failure of git is an outcome, with git's own words. Raises `NotPossible`."""
        log.info("landing", session=command.session_id, act=order.act, by=order.asker.name)
        try:
            fields = await act.do()
        except (ProgramFailed, GitError) as error:
            failed = {"branch": act.branch, "says": str(error)}
            return place.clean(_outcome(command.command_id, order, ok=False, **failed, **more))
        return place.clean(_outcome(command.command_id, order, ok=True, **fields, **more))

    async def _told(self, place: LandPlace, outcome: Landed) -> LandReport:
        session = place.session
        if session is None or session.lifecycle.ended:
            return LandReport(told=False, outcome=outcome)
        await session.events.provider(outcome)
        return LandReport(told=True, outcome=outcome)

    async def _asked(
        self,
        place: LandPlace,
        command: Command,
        order: LandOrder,
        act: Act,
        asked: ApprovalRequest,
        found: PolicyDecision,
    ) -> LandReport:
        """Ask people, as the session's approval; it is done when they have allowed it."""
        pinned, told = await act.pin(), trio.Event()
        self._nursery.start_soon(self._when_allowed, place, command, order, act, asked, found, pinned, told)
        await told.wait()
        session = place.session
        assert session is not None
        if all(one.approval_id != asked.approval_id for one in session.approvals.waiting()):
            raise NotPossible("the session is ending: no question can wait in it any more")
        said = LandAsked(approval_id=asked.approval_id, rule=found.rule, why=found.reason[:500])
        return LandReport(told=True, asked=said)

    async def _when_allowed(
        self,
        place: LandPlace,
        command: Command,
        order: LandOrder,
        act: Act,
        asked: ApprovalRequest,
        found: PolicyDecision,
        pinned: str,
        told: trio.Event,
    ) -> None:
        session = place.session
        assert session is not None
        try:
            decision, by = await session.approvals.ask_people(place.clean(asked), found, told.set)
            if decision != "allow":
                return
            async with self._turn(place.tree, order):
                if (obstacle := await self._obstacle(place, act, order, pinned)) is not None:
                    failed = {"branch": act.branch, "says": place.clean(obstacle)}
                    outcome = _outcome(command.command_id, order, ok=False, approved_by=by, **failed)
                else:
                    outcome = await self._done(place, command, order, act, approved_by=by)
        except (NotPossible, GitError, ContractError, OSError) as error:
            outcome = _outcome(command.command_id, order, ok=False, branch=act.branch, says=place.clean(str(error)))
        except Exception as error:  # one order's trouble is not the runner's
            log.error("landing_failed", session=command.session_id, reason=repr(error))
            says = f"the runner failed over it: {type(error).__name__}"
            outcome = _outcome(command.command_id, order, ok=False, branch=act.branch, says=says)
        finally:
            told.set()
        if session.lifecycle.ended:
            log.warning("landed_untold", session=command.session_id, act=order.act, ok=outcome.ok, says=outcome.says)
        else:
            await session.events.provider(outcome)

    async def _obstacle(self, place: LandPlace, act: Act, order: LandOrder, pinned: str) -> str | None:
        """Return what has come between since people were asked: other files, or a rule that denies it by now."""
        if await act.pin() != pinned:
            return CHANGED
        _, found = await self._ruled(place, act, order.asker.name)
        if found is not None and found.verdict == "deny":
            return f"meanwhile the rule {found.rule} denies it ({found.reason})"
        return None


def _check_confirmed(order: LandOrder, found: PolicyDecision) -> None:
    """Check that the person who asks has answered the rule, and that its terms let them: in a session that has ended no
    question can wait for others. Raises `RuleRefused`.
    """
    said, asker = RuleSaid(rule=found.rule, why=found.reason[:500]), order.asker
    named = f"the rule {found.rule}" if found.rule is not None else f"what the rules say ({found.reason})"
    terms = found.terms
    if terms is not None:
        wants = [
            *([f"{terms.people} people"] if terms.people > 1 else []),
            *(
                ["another person than the one who started it"]
                if terms.not_starter and asker.started is not False
                else []
            ),
            *(["an owner"] if terms.role == "owner" and not asker.owner else []),
            *(["a person who has signed in"] if terms.human and not asker.signed_in else []),
        ]
        if wants:
            ask = "in a session that has ended no question can wait: do it in its repository"
            raise RuleRefused(f"{named} wants {', '.join(wants)}, and {ask}", DENIED, said)
    if asker.confirms is None or asker.confirms != (found.rule or ""):
        raise RuleRefused(f"{named} asks a person: confirm it", CONFIRM, said)


async def _work_of(tree: LandTree, tests: str) -> Work:
    """Return what an ended session has done: its tests as the service knows them, its changes as git does."""
    try:
        found = await trees.differences(tree)
    except GitError:
        return Work(tests=tests, lines=None, files=None)
    since = await trees.said(tree, "merge-base", "HEAD", tree.base) if tree.base is not None else ""
    if not since:
        return Work(tests=tests, lines=None, files=None)
    committed = await trees.said(tree, "diff", "--numstat", "-z", "--no-renames", "--no-ext-diff", since, "HEAD", "--")
    files, lines = set(found.files), sum(one.additions + one.deletions for one in found.files.values())
    for row in committed.split("\0"):
        added, _, rest = row.partition("\t")
        removed, _, path = rest.partition("\t")
        if path:
            files.add(path)
            lines += sum(int(one) for one in (added, removed) if one.isdigit())
    return Work(tests=tests, lines=lines, files=tuple(sorted(files)))


def _outcome(command_id: str, order: LandOrder, *, ok: bool, **fields: Any) -> Landed:
    return Landed(id=command_id, act=order.act, ok=ok, by=order.asker.name, **fields)
