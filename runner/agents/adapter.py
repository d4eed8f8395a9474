"""The interface between a session and the adapter of one agent CLI.

An adapter knows one CLI: how to recognise it on a command line, what to add to it so that it talks to us, how to read
what it says and how to answer it. It is told everything it needs by a `Launch` and a `Host`, and reaches nothing else:
no session, no recorder, no link. Parsers of a CLI's messages are pure modules of their own, tested with recorded
traces.

The life of one: `recognise` → `prepare` → `run`, a task of the session's nursery from before the CLI's start until
after its end, which may be cancelled at any checkpoint; `prompt` and `interrupt` are called beside it. An answer to a
question goes through the `Deliver` that came with the question. A failure of `run` never ends the session: that goes on
as a plain terminal, and one alert says why.

A CLI that speaks on its standard input and output (ACP, stream-json) runs in the session's terminal all the same, so
that stopping, pausing and owning its processes is one thing: see `pipes.Pipes`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal, Protocol

import attrs
import trio

from townwatch.contracts.tasks import SessionConfig
from townwatch.runner.agents.events import AgentEvent, Answer, Deliver, Fact, Question
from townwatch.runner.session.lifecycle import AdapterOff as AdapterOff

PromptMode = Literal["send", "queue", "interrupt"]


@attrs.frozen(kw_only=True)
class Launch:
    """An agent to be started. `order`: of a dispatched session; None where a person started it in a terminal.

    `command`: as the person gave it (TUI), or the program alone (dispatched). `directory` belongs to the session: mode
    0700, made before `prepare`, removed after the session. `env`: the whole environment that the CLI will have, before
    `Prepared.env` is added.
    """

    session_id: str
    command: Sequence[str]
    cwd: Path
    directory: Path
    env: Mapping[str, str]
    order: SessionConfig | None = None

    @property
    def dispatched(self) -> bool:
        """Return whether no person sits at the terminal."""
        return self.order is not None


@attrs.frozen(kw_only=True)
class Prepared:
    """The command that starts the CLI. `env` is added to the environment; a value of None removes the name."""

    command: list[str]
    env: Mapping[str, str | None] = attrs.field(factory=dict[str, "str | None"])
    version: str = ""


@attrs.frozen(kw_only=True)
class HttpRequest:
    """A request of the CLI to the runner's loopback port, checked to be this session's. `gone` returns when the client
    has closed the connection: a question that was answered elsewhere.
    """

    method: str
    path: str
    body: bytes
    gone: Callable[[], Awaitable[None]]
    content_type: str = ""


@attrs.frozen(kw_only=True)
class HttpAnswer:
    """`taken` is called once with whether the whole answer was written while the client was still there."""

    status: int = 200
    body: bytes = b"{}"
    taken: Callable[[bool], None] | None = None


HttpHandler = Callable[[HttpRequest], Awaitable[HttpAnswer]]


class Host(Protocol):
    """A session as its adapter sees it. Everything said is masked, spooled and sent by the session."""

    @property
    def launch(self) -> Launch: ...

    async def say(self, event: AgentEvent | Fact) -> None:
        """Tell an event. `Status.since` is filled in; a status that is the last one again is not told twice. Pieces of
        one message are put together to four events a second.
        """
        ...

    async def ask(self, question: Question, deliver: Deliver) -> str:
        """Open an approval and return its id at once. A decision of a person or a rule comes through `deliver`; no
        answer in time comes as a denial by ``timeout``; the end of the session is told by the session itself.
        """
        ...

    async def forbid(self, question: Question) -> str | None:
        """Return why the rules deny what is about to be done, told as asked and denied; None where they do not. Raises
        `ContractError` where the session is ending.
        """
        ...

    async def settle(
        self, approval_id: str, decision: Literal["allow", "deny", "withdrawn"], by: str = "terminal", note: str = ""
    ) -> None:
        """Say how a question ended that was answered where it was asked. Nothing happens where it has ended already."""
        ...

    async def show(self, text: str) -> None:
        """Write to the session's terminal, for a CLI that draws nothing itself. Lines end with ``\\r\\n``."""
        ...

    async def type(self, data: bytes) -> None:
        """Press keys in the CLI's terminal. Raises `NotPossible`."""
        ...

    async def interrupt(self) -> None:
        """Press ^C: SIGINT to the foreground of the terminal."""
        ...

    def serve(self, handler: HttpHandler) -> None:
        """Handle the requests below `base_url` from now on, until the session is over. The runner has checked that they
        carry the session's token (environment variable TOWNWATCH_ASK_TOKEN) as ``Authorization: Bearer``.
        """
        ...

    @property
    def base_url(self) -> str:
        """``http://127.0.0.1:PORT/agents/SESSION``, on the runner's loopback port."""
        ...

    @property
    def quiet_seconds(self) -> float | None:
        """Return the seconds since the terminal last showed something new; None before its first output."""
        ...

    @property
    def asking(self) -> bool:
        """Return whether a question of the adapter's is open."""
        ...

    @property
    def pid(self) -> int | None:
        """The CLI's process, once it has started."""
        ...


class Adapter(Protocol):
    """One agent CLI in one session: made anew for each."""

    provider: ClassVar[str]
    """The providerId of CONTRACT section 1."""
    programs: ClassVar[tuple[str, ...]]
    """Names of the CLI's program."""
    tested: ClassVar[tuple[str, str]]
    """The versions that the tests run with: the oldest and the newest."""

    def __init__(self, host: Host) -> None: ...

    @classmethod
    def recognise(cls, command: Sequence[str]) -> bool:
        """Return whether this command line starts the CLI in a way that the adapter can be beside."""
        ...

    async def prepare(self) -> Prepared:
        """Write what the CLI needs below the launch's directory and return how to start it. The user's own settings are
        never written to. Raises `AdapterOff`, `ContractError` for an order that cannot be carried out.
        """
        ...

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Turn what the CLI says into events, until cancelled. Calls `task_status.started` when the CLI may be started
        (a server that it needs is up). Raises `AdapterOff`.
        """
        ...

    @property
    def goes_on_alone(self) -> bool:
        """Return whether a dispatched session is of use without us: the CLI has a screen of its own, and the order."""
        ...

    async def prompt(self, text: str) -> None:
        """Give an idle agent a prompt. Returns when the CLI has it. The session asks for it only while the last status
        is idle and no question is open. Raises `NotPossible`.
        """
        ...

    async def interrupt(self) -> None:
        """End the turn under way. Returns when the CLI was told; its status says when it has. Raises `NotPossible`."""
        ...


__all__ = [
    "Adapter",
    "AdapterOff",
    "Answer",
    "Host",
    "HttpAnswer",
    "HttpHandler",
    "HttpRequest",
    "Launch",
    "Prepared",
    "PromptMode",
]
