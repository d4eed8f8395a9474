"""The client for programs without an event loop: the same words, each of which blocks."""

import ssl
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Literal

import attrs
import trio

from townwatch.client._client import RemoteSession, TownwatchClient, Until, Waited
from townwatch.client._following import LOOK_SECONDS, UnknownEvent, page
from townwatch.contracts import rest
from townwatch.contracts.events import ApprovalRequest, RunnerEvent, SessionEnded


@attrs.frozen
class SyncClient:
    """As `TownwatchClient`. Not for code that runs in trio or asyncio: it would hold up their loop."""

    client: TownwatchClient

    @classmethod
    def at(cls, url: str | None = None, token: str | None = None, tls: ssl.SSLContext | None = None) -> "SyncClient":
        """As `TownwatchClient.at`."""
        return cls(TownwatchClient.at(url, token, tls))

    def start(self, directory: str, **options: Any) -> "SyncSession":
        """As `TownwatchClient.start`."""
        return SyncSession(trio.run(partial(self.client.start, directory, **options)))

    def session(self, session_id: str) -> "SyncSession":
        """As `TownwatchClient.session`."""
        return SyncSession(self.client.session(session_id))

    def sessions(self, *, village: str | None = None, live: bool = True) -> list[rest.SessionView]:
        """As `TownwatchClient.sessions`."""
        return trio.run(partial(self.client.sessions, village=village, live=live))

    def approvals(self, *, village: str | None = None) -> list[rest.PendingApproval]:
        """As `TownwatchClient.approvals`."""
        return trio.run(partial(self.client.approvals, village=village))


@attrs.frozen
class SyncSession:
    """As `RemoteSession`."""

    session: RemoteSession

    @property
    def id(self) -> str:
        return self.session.id

    def view(self) -> rest.SessionView:
        """As `RemoteSession.view`."""
        return trio.run(self.session.view)

    def prompt(self, text: str, mode: Literal["send", "queue", "interrupt"] = "send") -> str:
        """As `RemoteSession.prompt`."""
        return trio.run(self.session.prompt, text, mode)

    def interrupt(self) -> None:
        """As `RemoteSession.interrupt`."""
        trio.run(self.session.interrupt)

    def type(self, text: str, *, enter: bool = True) -> None:
        """As `RemoteSession.type`."""
        trio.run(partial(self.session.type, text, enter=enter))

    def approvals(self) -> list[ApprovalRequest]:
        """As `RemoteSession.approvals`."""
        return trio.run(self.session.approvals)

    def allow(
        self,
        approval_id: str,
        *,
        note: str | None = None,
        option_id: str | None = None,
        answers: Mapping[str, Any] | None = None,
    ) -> None:
        """As `RemoteSession.allow`."""
        trio.run(partial(self.session.allow, approval_id, note=note, option_id=option_id, answers=answers))

    def deny(self, approval_id: str, *, note: str | None = None, stop: bool = False) -> None:
        """As `RemoteSession.deny`."""
        trio.run(partial(self.session.deny, approval_id, note=note, stop=stop))

    def stop(self, *, kill: bool = False) -> None:
        """As `RemoteSession.stop`."""
        trio.run(partial(self.session.stop, kill=kill))

    def wait(
        self, until: Until = "attention", *, seconds: float = float("inf"), turn_ended_after: float | None = None
    ) -> Waited:
        """As `RemoteSession.wait`."""
        return trio.run(partial(self.session.wait, until, seconds=seconds, turn_ended_after=turn_ended_after))

    def events(self, after: int = 0) -> list[RunnerEvent | UnknownEvent]:
        """As `RemoteSession.events`."""
        return trio.run(self.session.events, after)

    def follow(self, after: int = 0) -> Iterator[RunnerEvent | UnknownEvent]:
        """Yield the events after a seq, each once and in order, until the session has ended."""
        while True:
            found, more = trio.run(page, self.session.asking, self.id, after)
            for event in found:
                after = event.seq
                yield event
                if isinstance(event, SessionEnded):
                    return
            if not found and not more:
                trio.run(trio.sleep, LOOK_SECONDS)
