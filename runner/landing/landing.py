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
from townwatch.contracts.codec import ContractError, to_json_values
from townwatch.contracts.events import ApprovalRequest
from townwatch.contracts.landing import (
    ASKED_MS,
    BY_PERSON,
    DENIED,
    LandOrder,
    LandReport,
    LandStatus,
    RuleSaid,
    UnderWay,
)
from townwatch.contracts.link import Command, Result
from townwatch.contracts.policy import VillagePolicy
from townwatch.runner.account import Account
from townwatch.runner.landing import tree as trees
from townwatch.runner.landing.act import Act
from townwatch.runner.landing.acts import act_for
from townwatch.runner.landing.after import WHILE, outcome_after, reopened
from townwatch.runner.landing.confirm import RuleRefused, check_confirmed
from townwatch.runner.landing.programs import ProgramEnded, ProgramFailed, environment_for
from townwatch.runner.landing.records import KeptOrders, LandRecord
from townwatch.runner.landing.reports import LandingNotAllowed, landed_as, record_of, refusal, waits
from townwatch.runner.landing.status import status_of, work_of
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

CHANGED = "the files or the branch have changed since it was asked: look again, and ask again"
KEPT_SECONDS = 5.0
"""How long the disk has to take an outcome before it is left to the service."""
BUSY_SECONDS = 20.0
"""How long an order waits for another one in the same tree."""


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
        say: Callable[[Result], None],
    ) -> None:
        """`preparing`: held while worktrees are made. `say`: sends the outcome of an order that was answered before."""
        self._say = say
        self._kept = KeptOrders(records)
        self._open: set[str] = set()
        """Orders about which people are asked, or that they have allowed and that are being done."""
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
        found = await status_of(tree)
        busy = self._under_way.get(session_id, [])
        return self._clean_of(self._sessions.get(session_id), tree)(attrs.evolve(found, under_way=list(busy)))

    async def do(self, command: Command) -> LandReport:
        """Carry an order out, or ask people for it where a rule says so. Raises `NotPossible`, `GitError`."""
        order = command.land
        if order is None:
            raise ContractError("land", "is required")
        if (record := await self._kept.get(command.command_id)) is not None:
            return await self._again(record)
        place = await self._place(command.session_id or "", order)
        async with self._turn(place.tree, order):
            act = await act_for(place.tree, order, command.command_id)
            asked, found = await self._ruled(place, act, command.command_id, order.asker.name)
            if found is not None and found.verdict == "deny":
                refused = f"the rule {found.rule} denies it ({found.reason}): {act.line[:300]}"
                raise RuleRefused(refused, DENIED, RuleSaid(rule=found.rule, why=found.reason[:500]))
            asks = found if found is not None and found.verdict == "ask" else None
            if asks is None or place.session is None:
                if asks is not None:
                    check_confirmed(order, asks)
                outcome = await self._carried_out(place, record_of(place.tree, command, order, act), act)
                return LandReport(told=await _told(place, outcome), outcome=outcome)
        return await self._asked(place, command, order, act, asked, asks)

    async def _again(self, record: LandRecord) -> LandReport:
        """Answer an order that was begun before, by this process or by one that was killed. Raises `NotPossible`."""
        if record.command_id in self._open:
            return waits(record)
        if record.state == "asked":
            record = await self._over(record, refused="the runner ended while people were asked: nothing was done")
        elif record.state == "doing":
            why = f"the runner ended while it {WHILE[record.act]}"
            env = environment_for(self._account, {})
            tree = await reopened(record, env)
            outcome = await outcome_after(tree, record, why, ended=False)
            record = await self._over(record, outcome=Redactor(secrets_of(env)).clean_data(outcome))
        if record.outcome is None:
            raise LandingNotAllowed(record.refused or "nothing was done, and it is not known why")
        return LandReport(told=False, outcome=record.outcome)

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
        work = await work_of(tree, subject.tests)
        rules = SessionRules(plan, self._policy, lambda: work, subject.house, subject.started_by)
        return LandPlace(tree=tree, rules=rules, clean=clean)

    def _clean_of(self, session: Session | None, tree: LandTree) -> Callable[[Any], Any]:
        """Return what masks secrets in what is told of it."""
        return session.events.clean if session is not None else Redactor(secrets_of(tree.env)).clean_data

    async def _ruled(
        self, place: LandPlace, act: Act, command_id: str, by: str
    ) -> tuple[ApprovalRequest, PolicyDecision | None]:
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
                "order": command_id,
                "cwd": str(act.directory),
                **act.more,
                "input": {"command": act.line},
            },
            requested_at=now,
            timeout_at=now + ASKED_MS,
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

    async def _carried_out(self, place: LandPlace, record: LandRecord, act: Act) -> Landed:
        """Do it, and keep what became of it; a failure of git is an outcome, with git's own words. Raises
        `NotPossible`.
        """
        log.info("landing", session=record.session_id, act=record.act, by=record.by)
        await self._kept.put(record)
        failed = {"branch": act.branch, "approved_by": record.approved_by}
        try:
            outcome = landed_as(record, ok=True, **{**failed, **await act.do()})
        except ProgramEnded as error:
            outcome = await outcome_after(place.tree, record, str(error), ended=True)
        except (ProgramFailed, GitError) as error:
            outcome = landed_as(record, ok=False, says=str(error), **failed)
        except NotPossible as error:
            await self._over(record, refused=str(error))
            raise
        outcome = place.clean(outcome)
        await self._over(record, outcome=outcome)
        return outcome

    async def _over(self, record: LandRecord, **how: Any) -> LandRecord:
        """Keep that an order is over. What is done is said also where this disk cannot keep it."""
        record = attrs.evolve(record, state="over", **how)
        try:
            await self._kept.put(record)
        except NotPossible as error:
            log.error("order_not_kept", command=record.command_id, reason=str(error))
        return record

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
        session, told, pinned = place.session, trio.Event(), await act.pin()
        assert session is not None
        more = {"state": "asked", "approval_id": asked.approval_id, "rule": found.rule, "why": found.reason[:500]}
        record = record_of(place.tree, command, order, act, **more)
        await self._kept.put(record)
        self._open.add(record.command_id)
        self._nursery.start_soon(self._when_allowed, place, record, order, act, asked, found, pinned, told)
        await told.wait()
        if all(one.approval_id != asked.approval_id for one in session.approvals.waiting()):
            raise NotPossible("the session is ending: no question can wait in it any more")
        return waits(record)

    async def _when_allowed(
        self,
        place: LandPlace,
        record: LandRecord,
        order: LandOrder,
        act: Act,
        asked: ApprovalRequest,
        found: PolicyDecision,
        pinned: str,
        told: trio.Event,
    ) -> None:
        """Wait for people; do it where they allow it; say the outcome as the session's event and to the order's row."""
        session = place.session
        assert session is not None
        record = attrs.evolve(record, state="doing")
        try:
            decision, by = await session.approvals.ask_people(place.clean(asked), found, told.set)
            if decision != "allow":
                who = "withdrawn" if decision == "withdrawn" else f"denied by {by}" if by else "denied"
                await self._over(record, refused=who)
                self._say(refusal(record, who))
                return
            record = attrs.evolve(record, approved_by=by)
            async with self._turn(place.tree, order):
                if (obstacle := await self._obstacle(place, act, record, pinned)) is not None:
                    outcome = await self._failed(place, record, obstacle)
                else:
                    outcome = await self._carried_out(place, record, act)
        except (NotPossible, GitError, ContractError, OSError) as error:
            outcome = await self._failed(place, record, str(error))
        except Exception as error:  # one order's trouble is not the runner's
            log.error("landing_failed", session=record.session_id, reason=repr(error))
            outcome = await outcome_after(place.tree, record, f"the runner failed: {type(error).__name__}", ended=True)
            await self._over(record, outcome=outcome)
        finally:
            told.set()
            self._open.discard(record.command_id)
        report = LandReport(told=await _told(place, outcome), outcome=outcome)
        self._say(Result(command_id=record.command_id, ok=True, data=to_json_values(report)))

    async def _failed(self, place: LandPlace, record: LandRecord, says: str) -> Landed:
        """Keep and return that nothing was done, and why."""
        fields = {"branch": record.facts.branch, "approved_by": record.approved_by}
        outcome = place.clean(landed_as(record, ok=False, says=says, **fields))
        await self._over(record, outcome=outcome)
        return outcome

    async def _obstacle(self, place: LandPlace, act: Act, record: LandRecord, pinned: str) -> str | None:
        """Return what has come between since people were asked: other files, or a rule that denies it by now."""
        if await act.pin() != pinned:
            return CHANGED
        _, found = await self._ruled(place, act, record.command_id, record.by)
        if found is not None and found.verdict == "deny":
            return f"meanwhile the rule {found.rule} denies it ({found.reason})"
        return None


async def _told(place: LandPlace, outcome: Landed) -> bool:
    """Tell the outcome as the session's event; return False where that may be lost, as where it has ended: the service
    writes it then, unless it has it.
    """
    session = place.session
    if session is None or session.lifecycle.ended:
        return False
    await session.events.provider(outcome)
    return await session.events.kept(KEPT_SECONDS)
