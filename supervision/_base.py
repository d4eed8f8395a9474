"""The common base of supervisors: requests, the children's nursery, the budget, the reports."""

from collections.abc import AsyncGenerator, Awaitable
from random import Random
from typing import Any, TypeVar, overload

import attrs
import trio

from townwatch.runtime import ActorRef, MailboxSpec, Reason, System, TrioActor
from townwatch.supervision import reports
from townwatch.supervision._child import Child
from townwatch.supervision.backoff import Backoff
from townwatch.supervision.errors import ChildError, MaxIntensity
from townwatch.supervision.intensity import Intensity
from townwatch.supervision.reports import Phase, SupervisorView
from townwatch.supervision.requests import (
    ChildCount,
    ChildInfo,
    CountChildren,
    DeleteChild,
    FindChild,
    RestartChild,
    StartChild,
    TerminateChild,
    WhichChildren,
)
from townwatch.supervision.spec import ChildSpec
from townwatch.supervision.strategies import AutoShutdown, Strategy, shuts_down

A = TypeVar("A", bound=TrioActor)


@attrs.frozen(eq=False)
class Retry(System):
    """The wait before a restart is over. attempt: the child's count when the wait began."""

    child: Child
    attempt: int


class BaseSupervisor(TrioActor):
    """Base of `Supervisor` and `DynamicSupervisor`, which decide what follows when a child ends."""

    mailbox = MailboxSpec(capacity=100_000, policy="refuse")
    supervises = True
    strategy: Strategy = "one_for_one"

    def __init__(
        self,
        intensity: int,
        period: float,
        backoff: Backoff | None,
        name: str | None,
        rng: Random | None,
    ) -> None:
        super().__init__()
        self._budget = Intensity(intensity, period)
        self._backoff = backoff
        self._rng = rng or Random()
        self._children: dict[str, Child] = {}
        self._nursery: trio.Nursery | None = None
        if name is not None and self.actor_ref.path is None:
            self.actor_ref.set_path(name)

    # -- for all others: each sends a message to the supervisor and awaits the answer

    @staticmethod
    async def start_child(supervisor: ActorRef[Any], spec: ChildSpec, *, timeout: float | None = None) -> ActorRef[Any]:
        """Start a child, and wait until its `on_start()` has returned. Under a `Supervisor` it is the last in order.

        Args:
            supervisor: the address of a Supervisor or DynamicSupervisor.
            timeout: seconds; None: as long as it takes, which the spec's `start_timeout` bounds.

        Returns:
            the child's address.

        Raises:
            ChildError: `already_started` or `already_present`: the supervisor has a child with this id.
            TooManyChildren, RateLimited: a DynamicSupervisor's limit, which says whether and when to try again.
            ActorDeadError: the supervisor has ended, or the child was stopped while it started.
            trio.TooSlowError: `on_start()` took longer than `start_timeout`, or the answer longer than `timeout`.
            Exception: what `__init__()` or `on_start()` raised. The spec is then not kept.
        """
        return await supervisor.call(StartChild(spec), timeout)

    @staticmethod
    async def terminate_child(supervisor: ActorRef[Any], id: str, *, timeout: float | None = None) -> None:
        """Stop a child, and wait until it has ended. Its address ends for good.

        A Supervisor keeps its spec for `restart_child()` unless it is temporary; a DynamicSupervisor forgets it.

        Raises:
            ChildError: `not_found`.
            ActorDeadError: the supervisor has ended.
            trio.TooSlowError: it did not end within `timeout` seconds (None: as long as its `shutdown` allows).
        """
        await supervisor.call(TerminateChild(id), timeout)

    @staticmethod
    async def restart_child(supervisor: ActorRef[Any], id: str, *, timeout: float | None = None) -> ActorRef[Any]:
        """Start a child that is down, at a new address, and wait until its `on_start()` has returned.

        Returns:
            the child's new address.

        Raises:
            ChildError: `not_found`, `running` or `restarting`. A DynamicSupervisor never has a child that is down.
            Exception: as for `start_child()`; the spec is kept.
        """
        return await supervisor.call(RestartChild(id), timeout)

    @staticmethod
    async def delete_child(supervisor: ActorRef[Any], id: str, *, timeout: float | None = None) -> None:
        """Forget the spec of a child that is down.

        Raises:
            ChildError: `not_found`, `running` or `restarting`.
            ActorDeadError: the supervisor has ended.
        """
        await supervisor.call(DeleteChild(id), timeout)

    @overload
    @staticmethod
    async def child_ref(
        supervisor: ActorRef[Any], id: str, actor: None = None, *, timeout: float | None = None
    ) -> ActorRef[Any]: ...
    @overload
    @staticmethod
    async def child_ref(
        supervisor: ActorRef[Any], id: str, actor: type[A], *, timeout: float | None = None
    ) -> ActorRef[A]: ...
    @staticmethod
    async def child_ref(
        supervisor: ActorRef[Any], id: str, actor: type[A] | None = None, *, timeout: float | None = None
    ) -> ActorRef[Any]:
        """Return a child's address.

        Args:
            actor: its class, for the type checker: the address is then an `ActorRef[actor]`.

        Raises:
            ChildError: `not_found`: there is no such child, or it has no address.
            TypeError: the child is of another class.
        """
        ref = await supervisor.call(FindChild(id), timeout)
        if actor is not None and not issubclass(ref.actor_class, actor):
            raise TypeError(f"child {id!r} is a {ref.actor_class.__name__}, not a {actor.__name__}")
        return ref

    @staticmethod
    async def which_children(supervisor: ActorRef[Any], *, timeout: float | None = None) -> list[ChildInfo]:
        """Return all children as data, in start order. Raises ActorDeadError, or trio.TooSlowError after `timeout`."""
        return await supervisor.call(WhichChildren(), timeout)

    @staticmethod
    async def count_children(supervisor: ActorRef[Any], *, timeout: float | None = None) -> ChildCount:
        """Return how many children there are of which kind. Raises as `which_children()`."""
        return await supervisor.call(CountChildren(), timeout)

    # -- the requests, in the supervisor's own task

    def _answer(self, request: Any) -> Any:
        """Answer a request. What comes back may have to be awaited."""
        match request:
            case StartChild(spec):
                return self._start_child(spec)
            case TerminateChild(id):
                return self._terminate_child(id)
            case RestartChild(id):
                return self._restart_child(id)
            case DeleteChild(id):
                return self._delete_child(id)
            case FindChild(id):
                return self._address_of(id)
            case WhichChildren():
                return [info(child) for child in self._children.values()]
            case CountChildren():
                return self._count()
            case _:
                return super().on_receive(request)

    def _start_child(self, spec: ChildSpec) -> Awaitable[ActorRef[Any]]:
        raise NotImplementedError

    def _terminate_child(self, id: str) -> Awaitable[None]:
        raise NotImplementedError

    def _restart_child(self, id: str) -> Awaitable[ActorRef[Any]]:
        raise NotImplementedError

    def _delete_child(self, id: str) -> None:
        raise NotImplementedError

    def _count(self) -> ChildCount:
        children = self._children.values()
        supervisors = sum(child.spec.type == "supervisor" for child in children)
        active = sum(child.alive for child in children)
        return ChildCount(len(children), active, supervisors, len(children) - supervisors)

    def _address_of(self, id: str) -> ActorRef[Any]:
        ref = self._find(id).ref
        if ref is None:
            raise ChildError("not_found", id)
        return ref

    # -- the nursery

    async def lifespan(self) -> AsyncGenerator[None, None]:
        async with trio.open_nursery() as self._nursery:
            try:
                yield
            finally:  # also when cancelled: the children are shielded, and end in order
                await self._stop_children_shielded()
                self._nursery.cancel_scope.cancel()  # waits before restarts

    async def _stop(self) -> None:
        """Answer a stop when the whole tree is down."""
        await self._stop_children_shielded()
        await super()._stop()

    async def _stop_children_shielded(self) -> None:
        with trio.CancelScope(shield=True):
            await self._stop_children()

    async def _stop_children(self) -> None:
        raise NotImplementedError

    def _notify(self, message: System) -> None:
        if self.actor_ref.is_alive():
            self.actor_ref.tell(message)

    # -- shared steps

    def _find(self, id: str) -> Child:
        child = self._children.get(id)
        if child is None:
            raise ChildError("not_found", id)
        return child

    def _refuse_present(self, id: str) -> None:
        present = self._children.get(id)
        if present is not None:
            raise ChildError("already_started" if present.alive else "already_present", id)

    def _path_of(self, id: str) -> str:
        return f"{self.actor_ref.path or type(self).__name__.lower()}/{id}"

    def _record_failure(self, child: Child, reason: Reason, phase: Phase) -> float:
        """Record a failure that calls for a restart. Returns the delay; raises MaxIntensity when it is one too many."""
        now = trio.current_time()
        exceeded = self._budget.exceeded_by_failure(now)
        backoff = child.spec.backoff or self._backoff
        delay = 0.0
        if backoff is not None:
            lived = now - child.started_at if phase == "running" else 0.0
            child.failures = backoff.failures_after(child.failures, lived)
            delay = backoff.delay(child.failures, self._rng)
        self._report(child, reason, phase, delay, "give_up" if exceeded else "restart")
        if exceeded:
            recent = self._budget.recent(now)
            reports.escalated(self._name, child, recent, self._budget.period)
            raise MaxIntensity(child.id, recent, self._budget.period)
        child.restarts += 1
        return delay

    def _report(self, child: Child, reason: Reason, phase: Phase, delay: float, decision: reports.Decision) -> None:
        budget, recent = self._budget, self._budget.recent(trio.current_time())
        around = SupervisorView(self._name, self.strategy, recent, budget.limit, budget.period, delay, decision)
        reports.crashed(reports.crash_report(child, reason, phase, around))

    @property
    def _name(self) -> str:
        return self.actor_ref.path or type(self).__name__

    async def _retry_later(self, child: Child, delay: float) -> None:
        """Send a Retry after the delay; by message even without one, so that a restart loop lets other messages in."""
        retry = Retry(child, child.attempt)
        await trio.sleep(delay)
        self._notify(retry)

    def _schedule(self, child: Child, delay: float) -> None:
        assert self._nursery is not None
        child.state = "restarting"
        child.attempt += 1
        child.restart_at = trio.current_time() + delay
        self._nursery.start_soon(self._retry_later, child, delay, name=f"restart {child.id}")

    def _drop_child(self, child: Child, reason: Reason) -> None:
        """End its address for good and forget its spec."""
        if self._children.get(child.id) is child:  # and not its successor of the same id
            del self._children[child.id]
        child.retire(reason)

    def _auto_shutdown(self, mode: AutoShutdown, child: Child) -> bool:
        others = any(other.spec.significant and other.state != "down" for other in self._children.values())
        return shuts_down(mode, child.spec.significant, others)


def info(child: Child) -> ChildInfo:
    """Return a child as data."""
    spec, ref = child.spec, child.ref
    incarnation = ref.incarnation if ref is not None else 0
    return ChildInfo(spec.id, ref, child.state, spec.type, spec.restart, child.restarts, incarnation, spec.keys)
