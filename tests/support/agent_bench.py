"""An adapter at work without a session: a host that writes down what it is told, and the CLI in a real pty."""

import builtins
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import attrs
import trio

from tests.support.tracing import T, of_type
from townwatch.contracts.tasks import SessionConfig
from townwatch.runner.agents.adapter import Adapter, AdapterOff, HttpHandler, Launch
from townwatch.runner.agents.events import Answer, Deliver, Question, Status
from townwatch.runner.session.terminal import Terminal


@attrs.define(eq=False)
class Opened:
    """A question that was asked. `ended`: (decision, by) once it is over; None while it waits."""

    id: str
    question: Question
    deliver: Deliver
    ended: tuple[str, str] | None = None

    async def answer(self, decision: Literal["allow", "deny"], **more: Any) -> bool:
        """Decide as a person on the page does."""
        taken = await self.deliver(Answer(decision=decision, by="Ada", **more))
        if taken:
            self.ended = (decision, "Ada")
        return taken


@attrs.define(eq=False)
class BenchHost:
    """What a session offers its adapter, with everything kept."""

    launch: Launch
    said: list[Any] = attrs.field(factory=list[Any])
    asked: list[Opened] = attrs.field(factory=list[Opened])
    shown: str = ""
    printed: bytearray = attrs.field(factory=bytearray)
    terminal: Terminal | None = None
    off: str | None = None
    _news: trio.Event = attrs.field(factory=trio.Event)

    @property
    def base_url(self) -> str:
        raise NotImplementedError

    @property
    def pid(self) -> int | None:
        return self.terminal.pid if self.terminal else None

    async def say(self, event: Any) -> None:
        self.said.append(event)
        self.changed()

    async def ask(self, question: Question, deliver: Deliver) -> str:
        opened = Opened(f"ap_{len(self.asked) + 1}", question, deliver)
        self.asked.append(opened)
        self.changed()
        return opened.id

    async def forbid(self, question: Question) -> str | None:
        return None

    async def settle(self, approval_id: str, decision: str, by: str = "terminal", note: str = "") -> None:
        opened = next(opened for opened in self.asked if opened.id == approval_id)
        opened.ended = opened.ended or (decision, by)
        self.changed()

    async def show(self, text: str) -> None:
        self.shown += text
        self.changed()

    async def type(self, data: bytes) -> None:
        assert self.terminal is not None
        await self.terminal.write(data)

    async def interrupt(self) -> None:
        await self.type(b"\x03")

    @property
    def quiet_seconds(self) -> float | None:
        return None

    @property
    def asking(self) -> bool:
        return any(opened.ended is None for opened in self.asked)

    def serve(self, handler: HttpHandler) -> None:
        raise NotImplementedError

    # --- for tests ----------------------------------------------------------------------------------------------------

    def changed(self) -> None:
        self._news.set()
        self._news = trio.Event()

    async def until(self, condition: Callable[[], object], seconds: float = 60) -> None:
        """Wait until something is true of what was said; the failure shows the state."""
        with trio.move_on_after(seconds):
            while not condition():
                if self.off is not None:
                    raise AssertionError(f"the adapter is off: {self.off}\n{self.said[-12:]}")
                await self._news.wait()
            return
        screen = bytes(self.printed[-3000:]).decode(errors="replace")
        raise AssertionError(f"not within {seconds} s\n{self.said[-12:]}\n{self.shown[-2000:]}\n{screen[-800:]!r}")

    async def question(self, number: int, seconds: float = 60) -> Opened:
        """Wait for the question of this number, from 1."""
        await self.until(lambda: len(self.asked) >= number, seconds)
        return self.asked[number - 1]

    def all(self, kind: "builtins.type[T]") -> list[T]:
        return of_type(self.said, kind)

    @property
    def status(self) -> str:
        said = self.all(Status)
        return said[-1].status if said else ""

    async def until_status(self, status: str, seconds: float = 60) -> None:
        await self.until(lambda: self.status == status, seconds)


@asynccontextmanager
async def open_bench(
    make: Callable[[Any], Adapter],
    command: list[str],
    *,
    cwd: Path,
    directory: Path,
    env: dict[str, str],
    order: SessionConfig | None = None,
    session_id: str = "bench",
) -> AsyncGenerator[tuple[Adapter, BenchHost], None]:
    """The adapter and its CLI at work; both are ended with the block."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    launch = Launch(session_id=session_id, command=command, cwd=cwd, directory=directory, env=env, order=order)
    host = BenchHost(launch)
    adapter = make(host)
    prepared = await adapter.prepare()
    added = {name: value for name, value in prepared.env.items() if value is not None}
    whole = {name: value for name, value in env.items() if name not in prepared.env} | added
    async with trio.open_nursery() as nursery:
        await nursery.start(_run, adapter.run, host)
        host.terminal = terminal = await Terminal.start(prepared.command, cwd=cwd, env=whole, cols=120, rows=32)
        nursery.start_soon(_print, terminal, host)
        try:
            yield adapter, host
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(10):
                nursery.cancel_scope.cancel()
                await terminal.end(0)
            terminal.close()


async def _run(
    run: Callable[..., Awaitable[None]], host: BenchHost, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    try:
        await run(task_status=task_status)
    except AdapterOff as off:
        host.off = str(off)
        host.changed()


async def _print(terminal: Terminal, host: BenchHost) -> None:
    async for text in terminal.output():
        host.printed += text.encode()
        host.changed()


def environment(home: Path, **more: str) -> dict[str, str]:
    """An environment that knows nothing of who runs the tests."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "TERM": "xterm-256color", "LANG": "C.UTF-8", **more}
