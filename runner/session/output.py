"""The output of a session: to the local screen, masked, told; and the sizes of its terminal in their place among it."""

import math
from collections.abc import Awaitable, Callable

import trio

from townwatch.runner.session.answers import Answers
from townwatch.runner.session.events import SessionEvents
from townwatch.runner.session.plan import SessionSpec
from townwatch.runner.session.redact import Redactor
from townwatch.runner.session.size import Size
from townwatch.runner.session.terminal import CHUNK_BYTES, Terminal

ECHO_SECONDS = 0.25
"""Little output so soon after a key is the key's echo: it is not held back for a few characters that begin a secret."""
BESIDE_KEYS_BYTES = 16 * 1024
"""Largest piece while another session is typed into: what is done with one holds up a key for so long."""


class SessionOutput:
    """`pump` it while the command runs."""

    def __init__(self, plan: SessionSpec, events: SessionEvents, redactor: Redactor) -> None:
        self.screen: Callable[[bytes], Awaitable[None]] | None = None
        """The local screen: every byte at once, as it is, before anything else happens with it."""
        self.local_answers = False
        """Whether the local terminal answers what programs ask it."""
        self.observed: Callable[[str], None] | None = None
        """Called with each piece before it is masked."""
        self.heard_at: float | None = None
        """When the terminal showed something last, in trio's time."""
        self._plan = plan
        self._events = events
        self._redactor = redactor
        self._typed_at = -math.inf
        self._told_size = (0, 0)

    def typed(self) -> None:
        """Note that keys go to the terminal: what comes next is their echo."""
        self._typed_at = trio.current_time()
        self._events.typed()

    async def pump(self, terminal: Terminal, pumped: trio.Event) -> None:
        """Output: to the local screen, then masked, then told. Never waits for the service."""
        async with trio.open_nursery() as nursery:
            holding = trio.Event()
            heard_at = trio.current_time()

            async def flush_held() -> None:
                nonlocal holding
                while True:
                    await holding.wait()
                    due = heard_at + self._redactor.hold_seconds
                    if trio.current_time() < due:
                        await trio.sleep_until(due)
                        continue
                    holding = trio.Event()
                    await self.say(self._redactor.flush())

            nursery.start_soon(flush_held)
            answers = None if self.local_answers else Answers(self._plan.cols, self._plan.rows)
            if answers is not None:
                nursery.start_soon(answers.run, terminal.write)
            await self._say_size(Size(self._plan.cols, self._plan.rows))
            async for piece in terminal.output():
                if isinstance(piece, Size):
                    if answers is not None:
                        answers.resized(piece.cols, piece.rows)
                    await self._say_size(piece)
                    continue
                if answers is not None:
                    await answers.heard(piece)
                if self.observed is not None:
                    self.observed(piece)
                heard_at = self.heard_at = trio.current_time()
                shown = self._redactor.feed(piece, echo=heard_at - self._typed_at < ECHO_SECONDS)
                if self._redactor.holds:
                    holding.set()
                await self.say(shown)
                terminal.chunk = BESIDE_KEYS_BYTES if self._events.beside_keys() else CHUNK_BYTES
            await self.say(self._redactor.flush())
            nursery.cancel_scope.cancel()
        pumped.set()

    async def show(self, text: str) -> None:
        """Output of an agent that draws nothing itself."""
        if self.screen is not None:
            await self.screen(text.encode(errors="replace"))
        await self.say(self._redactor.feed(text) + self._redactor.flush())

    async def say(self, text: str) -> None:
        """Tell text that is masked."""
        if text:
            self._events.usage.terminal(len(text.encode(errors="replace")))
            await self._events.tell("TERMINAL_CHUNK", data=text, stream="stdout")

    async def _say_size(self, size: Size) -> None:
        """Report a new size in its place among the output; text that may begin a secret comes behind it."""
        if (size.cols, size.rows) != self._told_size:
            self._told_size = (size.cols, size.rows)
            await self._events.tell("PROVIDER_EVENT_FORWARDED", providerEvent=size.event(self._plan.provider))
