"""A supervisor with an ordered list of children: OTP's, with backoff."""

from collections.abc import Coroutine, Iterable
from random import Random
from typing import Any, cast, get_args

import trio

from townwatch.runtime import SHUTDOWN, ActorRef, Reason, Shutdown
from townwatch.supervision import reports
from townwatch.supervision._base import BaseSupervisor, Retry
from townwatch.supervision._child import Child, Exited
from townwatch.supervision.backoff import Backoff
from townwatch.supervision.errors import ChildError, StartFailed
from townwatch.supervision.spec import ChildSpec, check, check_significant
from townwatch.supervision.strategies import AutoShutdown, Strategy, after_exit, restart_group


class Supervisor(BaseSupervisor):
    """Starts its children in order, stops them in reverse, and restarts them by its strategy.

    strategy       one_for_one: the failed child; rest_for_one: it and those started after it; one_for_all: all
    intensity      more failures than this within `period` seconds: the supervisor stops its children and gives up,
    period         which its own supervisor treats as a failure of that child (OTP's defaults: 1 in 5 s)
    auto_shutdown  never, or end in order when any / all significant children ended by themselves
    backoff        default for children whose spec has none; None: restart at once
    name           first part of the paths below it; a supervised supervisor takes its path from its parent
    rng            dice of the backoff's jitter

    Its operations are functions that take its address: `ref = await Supervisor.start_child(sup, spec)`. They work with
    the address of a DynamicSupervisor too.
    """

    def __init__(
        self,
        children: Iterable[ChildSpec] = (),
        strategy: Strategy = "one_for_one",
        *,
        intensity: int = 1,
        period: float = 5.0,
        auto_shutdown: AutoShutdown = "never",
        backoff: Backoff | None = None,
        name: str | None = None,
        rng: Random | None = None,
    ) -> None:
        specs = list(children)
        for value, allowed in ((strategy, Strategy), (auto_shutdown, AutoShutdown)):
            if value not in get_args(allowed):
                raise ValueError(f"{value!r} is not one of {', '.join(get_args(allowed))}")
        check(specs, auto_shutdown)
        super().__init__(intensity, period, backoff, name, rng)
        self.strategy = strategy
        self.auto_shutdown: AutoShutdown = auto_shutdown
        self._children = {one.id: Child(one) for one in specs}

    # -- requests

    async def _start_child(self, spec: ChildSpec) -> ActorRef[Any]:
        self._refuse_present(spec.id)
        check_significant(spec, self.auto_shutdown)
        child = self._children[spec.id] = Child(spec)
        try:
            await self._start(child)
        except BaseException as error:
            self._drop_child(child, error)
            raise
        assert child.ref is not None
        return child.ref

    async def _terminate_child(self, id: str) -> None:
        child = self._find(id)
        await self._terminate(child)
        self._forget(child, SHUTDOWN)

    async def _restart_child(self, id: str) -> ActorRef[Any]:
        child = self._down(id)
        await self._start(child)
        assert child.ref is not None
        return child.ref

    def _delete_child(self, id: str) -> None:
        self._drop_child(self._down(id), SHUTDOWN)

    def _down(self, id: str) -> Child:
        child = self._find(id)
        if child.state == "restarting":
            raise ChildError("restarting", id)
        if child.alive:
            raise ChildError("running", id)
        return child

    # -- what happens to children

    async def on_start(self) -> None:
        for child in list(self._children.values()):
            try:
                await self._start(child)
            except Exception as error:
                self._report(child, error, "starting", 0.0, "give_up")
                raise StartFailed(child.id, error) from error

    async def on_receive(self, message: Any) -> Any:
        match message:
            case Exited(child, ended, reason):
                if child.state == "up" and child.current is ended:
                    await self._exited(child, reason)
            case Retry(child, attempt):
                if child.state == "restarting" and child.attempt == attempt and not self._comes_with_an_older(child):
                    await self._restart_group(child)
            case _:
                answer = self._answer(message)
                return await cast("Any", answer) if isinstance(answer, Coroutine) else answer
        return None

    async def _exited(self, child: Child, reason: Reason) -> None:
        child.record_exit(reason)
        decision = after_exit(child.spec.restart, reason)
        if decision == "restart":
            return await self._failed(child, reason, "running")
        if isinstance(reason, BaseException) and not isinstance(reason, Shutdown):
            self._report(child, reason, "running", 0.0, decision)
        self._forget(child, reason)
        if self._auto_shutdown(self.auto_shutdown, child):
            raise Shutdown(f"significant child {child.id!r} ended")
        return None

    async def _failed(self, child: Child, reason: Reason, phase: reports.Phase) -> None:
        delay = max(self._record_failure(child, reason, phase), self._remaining_wait(child))
        await self._take_down(child)
        if delay or phase == "starting":
            self._schedule(child, delay)
        else:
            await self._restart_group(child)

    def _remaining_wait(self, child: Child) -> float:
        """Return the seconds that the longest wait within the child's group still lasts."""
        waiting = (one.restart_at for one in self._group(child) if one.state == "restarting" and one is not child)
        return max(0.0, max(waiting, default=0.0) - trio.current_time())

    async def _take_down(self, child: Child) -> None:
        """Stop those that share the failed child's fate, last first."""
        for other in reversed(self._group(child)):
            if other is not child:
                await self._terminate(other)
                if other.spec.restart == "temporary":
                    self._drop_child(other, SHUTDOWN)

    async def _restart_group(self, child: Child) -> None:
        await self._take_down(child)  # what was started by hand during the wait comes after it, too
        for one in self._group(child):
            try:
                await self._start(one)
            except Exception as error:
                return await self._failed(one, error, "starting")
            reports.restarted(self._name, one)
        return None

    def _group(self, child: Child) -> list[Child]:
        return restart_group(self.strategy, list(self._children.values()), child)

    def _comes_with_an_older(self, child: Child) -> bool:
        """Return True when an older sibling waits for its own restart, which will start this child too, after it."""
        older = list(self._children.values())
        older = older[: older.index(child)]
        return self.strategy == "rest_for_one" and any(one.state == "restarting" for one in older)

    async def _start(self, child: Child) -> None:
        assert self._nursery is not None
        await child.start(self._nursery, self._path_of(child.id), self.actor_ref)

    async def _terminate(self, child: Child) -> None:
        if await child.terminate():
            reports.stopped_late(self._name, child)

    def _forget(self, child: Child, reason: Reason) -> None:
        """End the address of a child that stays down; the spec stays unless it is temporary."""
        child.retire(reason)
        if child.spec.restart == "temporary":
            self._children.pop(child.id, None)

    async def _stop_children(self) -> None:
        for child in reversed(list(self._children.values())):
            await self._terminate(child)
            child.retire(SHUTDOWN)
