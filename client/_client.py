"""The client for programs on trio."""

import ssl
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import PurePath
from typing import Any, Literal

import attrs
import trio

from townwatch.client._asking import Asking, part
from townwatch.client._following import Bell, Following, UnknownEvent, page
from townwatch.contracts import rest
from townwatch.contracts.events import ApprovalRequest, RunnerEvent
from townwatch.contracts.tasks import ProviderId

SESSIONS = "/api/runner/sessions"
Until = Literal["attention", "ended"]


@attrs.frozen(kw_only=True)
class Waited:
    """The session when a wait was over. `reached` False: the time was over first."""

    view: rest.SessionView
    reached: bool


@attrs.frozen
class TownwatchClient:
    """A service, as the person of a token. It holds no connection: use it as long and as often as you like."""

    asking: Asking

    @classmethod
    def at(
        cls, url: str | None = None, token: str | None = None, tls: ssl.SSLContext | None = None
    ) -> "TownwatchClient":
        """Return a client. What is left out comes from TOWNWATCH_URL and TOWNWATCH_TOKEN.

        Args:
            tls: what an https service is checked with; None: the authorities that this machine trusts.

        Raises:
            ValueError: an address or a token is missing, or the address is none.
        """
        return cls(Asking.of(url, token, tls))

    async def start(
        self,
        directory: str | PurePath,
        *,
        goal: str | None = None,
        agent: ProviderId = "claude_code",
        command: Sequence[str] | None = None,
        village: str = "demo",
        title: str | None = None,
        name: str | None = None,
        runner_id: str | None = None,
        env: Mapping[str, str] | None = None,
        model: str | None = None,
        resume_of: str | None = None,
    ) -> "RemoteSession":
        """Start a session on a runner and return it.

        Args:
            directory: of the repository, on the runner.
            goal: what the agent is to do; for a command its own words, where left out.
            command: a command line; the agent is "command" then, if none is named.

        Raises:
            ServiceError: E_NO_RUNNER, E_RUNNER_REFUSED … ; NotReached.
        """
        words = list(command or ())
        said = goal or " ".join(words) or title
        if not said:
            raise ValueError("goal, or command, is needed")
        body: dict[str, Any] = {
            "villageId": village,
            "providerId": "command" if words and agent == "claude_code" else agent,
            "repoRef": {"provider": "local", "path": str(directory)},
            "task": {"title": (title or said)[:200], "goal": said[:4000]},
        }
        optional = {"agentName": name, "runnerId": runner_id, "model": model, "resumeOf": resume_of}
        optional |= {"command": words or None, "env": None if env is None else dict(env)}
        body |= {key: value for key, value in optional.items() if value is not None}
        made = await self.asking.ask(rest.StartedSession, "POST", SESSIONS, body)
        return RemoteSession(self.asking, made.session_id)

    def session(self, session_id: str) -> "RemoteSession":
        """Return a session by its id; nothing is asked yet."""
        return RemoteSession(self.asking, session_id)

    async def sessions(self, *, village: str | None = None, live: bool = True) -> list[rest.SessionView]:
        """Return all sessions that you may see, the newest first."""
        found: list[rest.SessionView] = []
        cursor = None
        while True:
            one = await self.asking.ask(
                rest.SessionList, "GET", SESSIONS, villageId=village, live=live, cursor=cursor, limit=200
            )
            found += one.items
            cursor = one.next
            if cursor is None:
                return found

    async def approvals(self, *, village: str | None = None) -> list[rest.PendingApproval]:
        """Return what agents ask for and no one has decided, oldest first."""
        found: list[rest.PendingApproval] = []
        cursor = None
        while True:
            one = await self.asking.ask(
                rest.ApprovalList, "GET", "/api/approvals", villageId=village, cursor=cursor, limit=200
            )
            found += one.items
            cursor = one.next
            if cursor is None:
                return found


@attrs.frozen
class RemoteSession:
    """One session. Its methods raise `ServiceError` where the service says no, and `NotReached`."""

    asking: Asking
    id: str

    async def view(self) -> rest.SessionView:
        """Return the session as it is now."""
        return await self.asking.ask(rest.SessionView, "GET", self._path())

    async def prompt(self, text: str, mode: Literal["send", "queue", "interrupt"] = "send") -> str:
        """Give the session's agent a prompt, and return its id."""
        body = {"text": text, "mode": mode}
        return (await self.asking.ask(rest.TakenPrompt, "POST", self._path("prompts"), body)).prompt_id

    async def interrupt(self) -> None:
        """End the turn that the agent is at; what it asks meanwhile is withdrawn. Nothing happens where it is idle."""
        await self.prompt("", "interrupt")

    async def type(self, text: str, *, enter: bool = True) -> None:
        """Type into the session's terminal."""
        body = {"data": text, "mode": "line" if enter else "raw"}
        await self.asking.ask(rest.Done, "POST", self._path("input"), body)

    async def approvals(self) -> list[ApprovalRequest]:
        """Return what waits for a decision in this session."""
        return (await self.view()).pending_approvals

    async def allow(
        self,
        approval_id: str,
        *,
        note: str | None = None,
        option_id: str | None = None,
        answers: Mapping[str, Any] | None = None,
    ) -> None:
        """Allow what the agent asks for. ServiceError E_DECIDED: it is decided otherwise already."""
        given = {"note": note, "optionId": option_id, "answers": None if answers is None else dict(answers)}
        await self._decide(approval_id, "allow", given)

    async def deny(self, approval_id: str, *, note: str | None = None, stop: bool = False) -> None:
        """Refuse what the agent asks for; it goes on without, unless `stop`."""
        await self._decide(approval_id, "deny", {"note": note, "stop": stop or None})

    async def stop(self, *, kill: bool = False) -> None:
        """Stop the session: ask it to end, or kill it. The order is kept until it has ended."""
        await self.asking.ask(rest.Promised, "POST", self._path("stop"), {"graceful": not kill})

    async def wait(
        self, until: Until = "attention", *, seconds: float = float("inf"), turn_ended_after: float | None = None
    ) -> Waited:
        """Wait until the session needs attention, or has ended.

        Attention: it has ended, waits for a decision, is paused, or its agent is idle; with `turn_ended_after` (the
        `turn_ended_at` of a view) only after a turn that ended later than that.
        """
        bell = Bell(self.asking, self.id)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bell.run)
            with trio.move_on_after(seconds):
                while not reached(view := await self.view(), until, turn_ended_after):
                    await bell.wait()
                nursery.cancel_scope.cancel()
                return Waited(view=view, reached=True)
            nursery.cancel_scope.cancel()
        return Waited(view=await self.view(), reached=False)

    @asynccontextmanager
    async def follow(self, after: int = 0) -> AsyncGenerator[Following]:
        """Follow the events after a seq, each once and in order, until the session has ended.

        `async with session.follow() as events: async for event in events: …`
        """
        bell = Bell(self.asking, self.id)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bell.run)
            yield Following(self.asking, self.id, bell, after)
            nursery.cancel_scope.cancel()

    async def events(self, after: int = 0) -> list[RunnerEvent | UnknownEvent]:
        """Return the events that there are after a seq, oldest first."""
        found: list[RunnerEvent | UnknownEvent] = []
        more = True
        while more:
            some, more = await page(self.asking, self.id, found[-1].seq if found else after)
            found += some
            more = more and bool(some)
        return found

    async def _decide(self, approval_id: str, decision: str, given: dict[str, Any]) -> None:
        body = {"decision": decision} | {key: value for key, value in given.items() if value is not None}
        await self.asking.ask(rest.DecisionMade, "POST", self._path("approvals", approval_id), body)

    def _path(self, *more: str) -> str:
        return "/".join([SESSIONS, *map(part, (self.id, *more))])


def reached(view: rest.SessionView, until: Until, turn_ended_after: float | None) -> bool:
    """Return whether a session is where a wait is over."""
    if view.state in ("COMPLETED", "FAILED") or until == "ended":
        return view.state in ("COMPLETED", "FAILED")
    if view.pending_approvals or view.state == "PAUSED_BY_HUMAN":
        return True
    fresh = turn_ended_after is None or (view.turn_ended_at or 0) > turn_ended_after
    return view.agent is not None and view.agent.status == "idle" and fresh
