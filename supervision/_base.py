"""What all supervisors have in common: the children's nursery, the budget, the reports."""

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import attrs
import trio

from actors.runtime import MailboxSpec, Reason, System, TrioActor
from supervision import reports
from supervision.backoff import Backoff
from supervision.child import Child, ChildInfo, Exited, info
from supervision.errors import ChildError, MaxIntensity
from supervision.intensity import Intensity
from supervision.reports import Circumstances, Phase
from supervision.strategies import AutoShutdown, Strategy, shuts_down


@attrs.frozen(eq=False)
class Retry(System):
    """The wait before a restart is over. attempt: the child's count when the wait began."""

    child: Child
    attempt: int


@attrs.frozen
class ChildCount:
    """OTP's count_children: specs, those with a running task, and how many of each type."""

    specs: int
    active: int
    supervisors: int
    workers: int


class BaseSupervisor(TrioActor):
    """Holds children; what to do when they end is up to its two kinds."""

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

    # -- asked from outside

    def which_children(self) -> list[ChildInfo]:
        """All children in start order."""
        return [info(child) for child in self._children.values()]

    def count_children(self) -> ChildCount:
        """How many there are of which kind."""
        children = self._children.values()
        supervisors = sum(child.spec.type == "supervisor" for child in children)
        active = sum(child.alive for child in children)
        return ChildCount(len(children), active, supervisors, len(children) - supervisors)

    def child_ref(self, id: str) -> Any:
        """The child's address. Raises ChildError(not_found) when there is no such child or it has no address."""
        ref = self._find(id).ref
        if ref is None:
            raise ChildError("not_found", id)
        return ref

    # -- the nursery

    async def _surround(self, live: Callable[[], Awaitable[Reason]]) -> Reason:  # pyright: ignore
        async with trio.open_nursery() as self._nursery:
            try:
                return await live()
            finally:  # also when cancelled: the children are shielded, and end in order
                await self._stop_children_shielded()
                self._nursery.cancel_scope.cancel()  # waits before restarts

    async def _stop(self) -> None:
        """A stop is answered when the whole tree is down."""
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

    def _account(self, child: Child, reason: Reason, phase: Phase) -> float:
        """Book a failure that calls for a restart. Returns the delay; raises MaxIntensity when it is one too many."""
        now = trio.current_time()
        exceeded = self._budget.exceeded_by_failure(now)
        backoff = child.spec.backoff or self._backoff
        delay = 0.0
        if backoff is not None:
            lived = now - child.born if phase == "running" else 0.0
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
        around = Circumstances(self._name, self.strategy, recent, budget.limit, budget.period, delay, decision)
        reports.crashed(reports.crash_report(child, reason, phase, around))

    @property
    def _name(self) -> str:
        return self.actor_ref.path or type(self).__name__

    async def _retry_later(self, child: Child, delay: float) -> None:
        """Even without a delay the retry comes by message, so that a restart loop leaves the supervisor responsive."""
        retry = Retry(child, child.attempt)
        await trio.sleep(delay)
        self._notify(retry)

    def _schedule(self, child: Child, delay: float) -> None:
        assert self._nursery is not None
        child.state = "restarting"
        child.attempt += 1
        child.waits_until = trio.current_time() + delay
        self._nursery.start_soon(self._retry_later, child, delay, name=f"restart {child.id}")

    def _drop_child(self, child: Child, reason: Reason) -> None:
        """Its address dies and its spec goes."""
        if self._children.get(child.id) is child:  # and not who came after it, by the same id
            del self._children[child.id]
        child.bury(reason)

    def _auto_shutdown(self, mode: AutoShutdown, child: Child) -> bool:
        others = any(other.spec.significant and other.state != "down" for other in self._children.values())
        return shuts_down(mode, child.spec.significant, others)


__all__ = ["BaseSupervisor", "ChildCount", "Exited", "Retry"]
