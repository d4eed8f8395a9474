"""A supervisor with an ordered list of children: OTP's, with backoff."""

from collections.abc import Iterable
from random import Random
from typing import Any, get_args

import trio

from actors.runtime import SHUTDOWN, ActorRef, Reason, Shutdown
from supervision import reports, spec
from supervision._base import BaseSupervisor, Retry
from supervision.backoff import Backoff
from supervision.child import Child, Exited
from supervision.errors import ChildError, StartFailed
from supervision.spec import ChildSpec
from supervision.strategies import AutoShutdown, Strategy, after_exit, fate_sharers


class Supervisor(BaseSupervisor):
    """Starts its children in order, stops them in reverse, and restarts them by its strategy.

    strategy       one_for_one: the failed child; rest_for_one: it and those started after it; one_for_all: all
    intensity      more failures than this within `period` seconds: the supervisor stops its children and gives up,
    period         which its own supervisor treats as a failure of that child (OTP's defaults: 1 in 5 s)
    auto_shutdown  never, or end in order when any / all significant children ended by themselves
    backoff        default for children whose spec has none; None: restart at once
    name           first part of the paths below it; a supervised supervisor takes its path from its parent
    rng            dice of the backoff's jitter

    Public methods are meant to be called by proxy: `ref = await sup.proxy().start_child(spec)`.
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
        spec.check(specs, auto_shutdown)
        super().__init__(intensity, period, backoff, name, rng)
        self.strategy = strategy
        self.auto_shutdown: AutoShutdown = auto_shutdown
        self._children = {one.id: Child(one) for one in specs}

    # -- asked from outside

    async def start_child(self, spec_: ChildSpec) -> ActorRef[Any]:
        """Start another child, after all others in order. Returns its address once its `on_start()` has returned.

        Raises ChildError (already_started, already_present), or what starting raised; the spec is then not kept.
        """
        self._refuse_present(spec_.id)
        spec.check_significant(spec_, self.auto_shutdown)
        child = self._children[spec_.id] = Child(spec_)
        try:
            await self._start(child)
        except BaseException as error:
            self._drop_child(child, error)
            raise
        assert child.ref is not None
        return child.ref

    async def terminate_child(self, id: str) -> None:
        """Stop a child and keep its spec (a temporary one's goes): `restart_child()` starts it again, at a new
        address. Its old address is dead. Raises ChildError(not_found).
        """
        child = self._find(id)
        await self._terminate(child)
        self._forget(child, SHUTDOWN)

    async def restart_child(self, id: str) -> ActorRef[Any]:
        """Start a child that is down. Raises ChildError (not_found, running, restarting), or what starting raised."""
        child = self._down(id)
        await self._start(child)
        assert child.ref is not None
        return child.ref

    async def delete_child(self, id: str) -> None:
        """Forget the spec of a child that is down. Raises ChildError (not_found, running, restarting)."""
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

    async def on_receive(self, message: Any) -> None:
        match message:
            case Exited(child, life, reason):
                if child.state == "up" and child.life is life:
                    await self._exited(child, reason)
            case Retry(child, attempt):
                if child.state == "restarting" and child.attempt == attempt and not self._comes_with_another(child):
                    await self._restart_group(child)
            case _:
                super().on_receive(message)

    async def _exited(self, child: Child, reason: Reason) -> None:
        child.note_exit(reason)
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
        delay = max(self._account(child, reason, phase), self._left_to_wait(child))
        await self._take_down(child)
        if delay or phase == "starting":
            self._schedule(child, delay)
        else:
            await self._restart_group(child)

    def _left_to_wait(self, child: Child) -> float:
        """Seconds that the longest wait within the child's group still lasts: who comes with others waits for all."""
        waiting = (one.waits_until for one in self._group(child) if one.state == "restarting" and one is not child)
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
        return fate_sharers(self.strategy, list(self._children.values()), child)

    def _comes_with_another(self, child: Child) -> bool:
        """An older sibling waits for its own restart, which will bring this child up too, and after it."""
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
        """It is down and stays down: the address dies, the spec stays unless it is temporary."""
        child.bury(reason)
        if child.spec.restart == "temporary":
            self._children.pop(child.id, None)

    async def _stop_children(self) -> None:
        for child in reversed(list(self._children.values())):
            await self._terminate(child)
            child.bury(SHUTDOWN)
