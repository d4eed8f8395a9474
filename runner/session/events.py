"""The events of one session on their way to the spool: masked, with the state and the usage that they report."""

import time
from collections.abc import Sequence
from typing import Any, cast

import attrs
import trio

from townwatch.contracts.agent_events import AgentEvent, to_provider_event
from townwatch.contracts.events import DiffFile, State
from townwatch.contracts.secrets.shapes import REFERENCES
from townwatch.policy.work import Work
from townwatch.runner.observers.usage import UsageMeter
from townwatch.runner.session.lifecycle import Lifecycle
from townwatch.runner.session.plan import SessionSpec
from townwatch.runner.session.redact import Redactor
from townwatch.runner.spool.recorder import Recorder


class SessionEvents:
    """The event sink of a session. Its observers, its approvals and its agent hold this, and not the session."""

    def __init__(self, plan: SessionSpec, recorder: Recorder, redactor: Redactor) -> None:
        self.lifecycle = Lifecycle()
        self.usage = UsageMeter()
        self.work = Work()
        """What was told of tests and changes."""
        self.changes_known = True
        """Whether git answered when it was asked last what the session has changed."""
        self._plan = plan
        self._recorder = recorder
        self._redactor = redactor

    async def tell(self, kind: str, **fields: Any) -> None:
        """Record one event, masked; terminal output has been masked as a stream."""
        if kind != "TERMINAL_CHUNK":
            fields = {name: value if name in REFERENCES else self.clean(value) for name, value in fields.items()}
        self._note(kind, fields)
        await self._recorder.record(self._plan.session_id, self._plan.village, kind, **fields)

    @property
    def work_seen(self) -> Work:
        """Return what was told, without changes that may be others by now: git does not say what they are."""
        return self.work if self.changes_known else attrs.evolve(self.work, lines=None, files=None)

    async def kept(self, seconds: float) -> bool:
        """Return whether all that was told is on the disk, within a time: a kill loses none of it then."""
        with trio.move_on_after(seconds):
            await self._recorder.settle()
            return True
        return False

    def typed(self) -> None:
        """Note that keys go to the session: others that print fast make room."""
        self._recorder.typed(self._plan.session_id)

    def beside_keys(self) -> bool:
        """Return whether another session of this runner is typed into."""
        return self._recorder.beside_keys(self._plan.session_id)

    def _note(self, kind: str, fields: dict[str, Any]) -> None:
        match kind:
            case "TEST_RUN_STARTED":
                self.work = attrs.evolve(self.work, tests="running")
            case "TEST_RUN_FINISHED":
                self.work = attrs.evolve(self.work, tests=_verdict(fields))
            case "DIFF_SUMMARY":
                self.work = attrs.evolve(
                    self.work,
                    lines=fields["linesAdded"] + fields["linesRemoved"],
                    files=tuple(one.path for one in cast(Sequence[DiffFile], fields["files"])),
                    cut=bool(fields.get("truncated")),
                )
            case _:
                pass

    async def provider(self, event: AgentEvent) -> None:
        """Record what an agent's adapter, or the runner for it, reports."""
        told = to_provider_event(event, self._plan.provider, time.time_ns() // 1_000_000)
        await self.tell("PROVIDER_EVENT_FORWARDED", providerEvent=told)

    async def become(self, state: State, reason: str | None = None) -> None:
        """Change the state and record it; nothing is recorded where it is there already. Raises `NotPossible`."""
        change = self.lifecycle.go(state)
        if change is None:
            return
        self.lifecycle.reason = reason
        first = {"providerId": self._plan.provider} if change[0] == "CREATED" else {}
        await self.tell("SESSION_STATE_CHANGED", previousState=change[0], newState=change[1], reason=reason, **first)

    def clean(self, value: Any) -> Any:
        """Mask the secrets in a value for the wire: a text, or JSON data that holds texts."""
        return self._redactor.clean_data(value)

    def clean_lines(self, lines: Sequence[str]) -> list[str]:
        """Mask the lines of one text, also secrets that go on over several."""
        return self._redactor.clean_lines(lines)


def _verdict(fields: dict[str, Any]) -> str:
    if fields.get("verdict") is not None:
        return str(fields["verdict"])
    code = fields.get("exitCode")
    return "unknown" if code is None else "failed" if code or fields.get("failed") else "passed"
