"""The session as the agent side sees it. `runner/session/session.py` has all of it; nothing here imports that."""

from typing import Any, Protocol

from townwatch.contracts.events import FinalDecision, State
from townwatch.runner.agents.events import Deliver
from townwatch.runner.observers.usage import UsageMeter
from townwatch.runner.session.lifecycle import Lifecycle


class ApprovalsPort(Protocol):
    async def ask_for_agent(self, fields: dict[str, Any], deliver: Deliver) -> str: ...

    async def forbid(self, fields: dict[str, Any]) -> str | None: ...

    async def settle_by_rule(self, approval_id: str) -> None: ...

    async def expire(self, approval_id: str) -> None: ...

    async def settle(self, approval_id: str, decision: FinalDecision, by: str, note: str) -> None: ...


class EventsPort(Protocol):
    """The event sink of the session."""

    @property
    def lifecycle(self) -> Lifecycle: ...

    @property
    def usage(self) -> UsageMeter: ...

    async def tell(self, kind: str, **fields: Any) -> None: ...

    async def become(self, state: State, reason: str | None = None) -> None: ...


class OutputPort(Protocol):
    """The output of the session's terminal."""

    @property
    def heard_at(self) -> float | None:
        """Return when the terminal last showed something, in trio's time."""
        ...

    async def show(self, text: str) -> None: ...


class SessionPort(Protocol):
    @property
    def events(self) -> EventsPort: ...

    @property
    def output(self) -> OutputPort: ...

    @property
    def approvals(self) -> ApprovalsPort: ...

    @property
    def pid(self) -> int | None: ...

    async def type_bytes(self, data: bytes) -> None: ...

    def interrupt(self, number: int) -> None: ...

    def stop_soon(self, reason: str) -> None: ...
