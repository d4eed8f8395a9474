"""A supervisor for many children of a kind that come and go: clients, runners, villages."""

from collections.abc import Mapping
from random import Random
from typing import Any, NoReturn

import trio

from townwatch.runtime import SHUTDOWN, ActorDeadError, ActorRef, Reason, Shutdown, System, TrioFuture
from townwatch.supervision import reports
from townwatch.supervision._base import BaseSupervisor, Retry
from townwatch.supervision._child import Child, Exited
from townwatch.supervision.backoff import Backoff
from townwatch.supervision.errors import ChildError
from townwatch.supervision.limits import AdmissionLimits, Rate
from townwatch.supervision.spec import ChildSpec
from townwatch.supervision.strategies import after_exit


class RestartFailed(System):
    """A restart that ran beside the supervisor's mailbox failed."""

    __match_args__ = ("child", "attempt", "error")

    def __init__(self, child: Child, attempt: int, error: Exception) -> None:
        self.child, self.attempt, self.error = child, attempt, error


class DynamicSupervisor(BaseSupervisor):
    """one_for_one over children added at run time. Starts and stops run side by side.

    max_children   at most this many, counting those that start, stop or wait for a restart
    max_per_key    the same for each key of a kind: {"user": 5} admits five children with the same keys["user"]
    rates          how often children of a key may be started: {"address": Rate(per_second=2, burst=10)}
    intensity, period, backoff, name, rng: as for Supervisor; the budget is shared by all children
    """

    def __init__(
        self,
        *,
        max_children: float = float("inf"),
        max_per_key: Mapping[str, int] | None = None,
        rates: Mapping[str, Rate] | None = None,
        intensity: int = 1,
        period: float = 5.0,
        backoff: Backoff | None = None,
        name: str | None = None,
        rng: Random | None = None,
    ) -> None:
        super().__init__(intensity, period, backoff, name, rng)
        self._admission = AdmissionLimits(max_children, max_per_key or {}, rates or {})

    # -- requests

    def _start_child(self, spec: ChildSpec) -> TrioFuture[ActorRef[Any]]:
        """Admit a child and start it beside the mailbox.

        The place is taken before the start begins and is kept while the child lives or waits for a restart.
        """
        self._refuse_present(spec.id)
        if spec.significant:
            raise ValueError(f"child spec {spec.id!r}: children of a dynamic supervisor cannot be significant")
        self._admission.admit(spec.keys, trio.current_time())
        child = self._children[spec.id] = Child(spec, state="starting")
        reply: TrioFuture[ActorRef[Any]] = self.reply_later()
        assert self._nursery is not None
        self._nursery.start_soon(self._start_first, child, reply, name=f"start {spec.id}")
        return reply

    async def _start_first(self, child: Child, reply: TrioFuture[ActorRef[Any]]) -> None:
        try:
            await self._start(child)
        except BaseException as error:
            if child.state != "up":  # one that came up as its supervisor was cancelled is stopped with its siblings
                self._drop_child(child, error)
            told = error if isinstance(error, Exception) else ActorDeadError(f"{self._name} was stopped")
            reply.fail(told)
            if not isinstance(error, Exception):
                raise
        else:
            if not reply.done:
                reply.set(child.ref)

    def _terminate_child(self, id: str) -> TrioFuture[None]:
        child = self._find(id)
        reply: TrioFuture[None] = self.reply_later()
        child.attempt += 1  # a retry on its way comes too late
        child.request_stop()
        assert self._nursery is not None
        self._nursery.start_soon(self._stop_and_drop, child, reply, name=f"stop {id}")
        return reply

    async def _stop_and_drop(self, child: Child, reply: TrioFuture[None]) -> None:
        await self._terminate(child)
        self._drop_child(child, SHUTDOWN)
        if not reply.done:
            reply.set(None)

    def _restart_child(self, id: str) -> NoReturn:
        """Refuse: there is never a child that is down, for one that ended is forgotten."""
        child = self._find(id)
        raise ChildError("restarting" if child.state == "restarting" else "running", id)

    _delete_child = _restart_child

    # -- what happens to children

    def on_receive(self, message: Any) -> Any:
        match message:
            case Exited(child, ended, reason):
                if child.state == "up" and child.current is ended:
                    self._exited(child, reason)
            case Retry(child, attempt):
                if child.state == "restarting" and child.attempt == attempt:
                    child.state = "starting"
                    assert self._nursery is not None
                    self._nursery.start_soon(self._start_again, child, attempt, name=f"restart {child.id}")
            case RestartFailed(child, attempt, error):
                if child.state == "down" and child.attempt == attempt and child.id in self._children:
                    self._failed(child, error, "starting")
            case _:
                return self._answer(message)
        return None

    def _exited(self, child: Child, reason: Reason) -> None:
        child.record_exit(reason)
        decision = after_exit(child.spec.restart, reason)
        if decision == "restart":
            return self._failed(child, reason, "running")
        if isinstance(reason, BaseException) and not isinstance(reason, Shutdown):
            self._report(child, reason, "running", 0.0, "remove")
        return self._drop_child(child, reason)

    def _failed(self, child: Child, reason: Reason, phase: reports.Phase) -> None:
        self._schedule(child, self._record_failure(child, reason, phase))

    async def _start_again(self, child: Child, attempt: int) -> None:
        try:
            await self._start(child)
        except Exception as error:
            self._notify(RestartFailed(child, attempt, error))
        else:
            reports.restarted(self._name, child)

    async def _start(self, child: Child) -> None:
        assert self._nursery is not None
        if child.state != "starting":  # stopped before this task had its first step
            raise ActorDeadError(f"{child.id!r} was stopped before it started")
        await child.start(self._nursery, self._path_of(child.id), self.actor_ref)

    async def _terminate(self, child: Child) -> None:
        if await child.terminate():
            reports.stopped_late(self._name, child)

    def _drop_child(self, child: Child, reason: Reason) -> None:
        if self._children.get(child.id) is child:
            self._admission.release(child.spec.keys)
        super()._drop_child(child, reason)

    async def _stop_children(self) -> None:
        """Stop all at once, with one clock: each has its own deadline from now on."""
        children = list(self._children.values())
        for child in children:
            child.request_stop()
        now = trio.current_time()
        for child in sorted(children, key=lambda one: one.spec.stop_timeout):
            if child.alive:
                with trio.move_on_at(now + child.spec.stop_timeout):
                    await child.wait_ended()
                if await child.kill():
                    reports.stopped_late(self._name, child)
            self._drop_child(child, SHUTDOWN)
