"""Prompts for an agent: given through its structured channel, one a turn, never into a dialog."""

from collections.abc import Awaitable, Callable

import attrs
import structlog
import trio

from townwatch.runner.agents import events as a
from townwatch.runner.agents.adapter import PromptMode
from townwatch.runner.agents.teller import Teller
from townwatch.runner.session.lifecycle import NotPossible, Waiting

log = structlog.get_logger("agents")

QUEUED = 50
"""Most prompts that wait for an agent to be idle."""
INTERRUPT_SECONDS = 15.0
"""How long an agent has to be idle after it was interrupted."""
RETRY_SECONDS = 5.0
"""How long after a prompt that an idle agent did not take it is tried again."""
TURN_SECONDS = 10.0
"""How long an agent has to begin with a prompt that it took."""


@attrs.frozen
class _Waiting:
    prompt_id: str
    text: str
    by: str | None


class Prompts:
    """The prompts of one session's agent."""

    def __init__(
        self,
        teller: Teller,
        asking: Callable[[], bool],
        give: Callable[[str], Awaitable[None]],
        interrupt: Callable[[], Awaitable[None]],
    ) -> None:
        self._teller = teller
        self._asking = asking
        self._give = give
        self._interrupt = interrupt
        self._queue: dict[str, _Waiting] = {}
        self._turn = trio.Lock()
        self._news = trio.Event()
        self._known: set[str] = set()

    async def take(self, prompt_id: str, text: str, mode: PromptMode, by: str | None) -> None:
        """Give the prompt now, or keep it until the agent is idle. Raises `Waiting`, `NotPossible`."""
        if prompt_id in self._known:
            return
        if mode == "interrupt" and not text:  # no text, nothing that a dialog could take for an answer
            await self._end_turn()
            return
        if mode != "queue":
            self.check_no_dialog()
        if mode == "interrupt":
            await self._end_turn()
        one = _Waiting(prompt_id, text, by)
        if mode != "queue" and self._teller.status.status == "idle" and not self._queue:
            async with self._turn:
                await self._hand_over(one)
            return
        if len(self._queue) >= QUEUED:
            raise NotPossible(f"{len(self._queue)} of {QUEUED} prompts wait for this agent; withdraw one, or wait")
        self._known.add(prompt_id)
        if mode == "interrupt":  # it goes before what was queued
            self._queue = {prompt_id: one, **self._queue}
        else:
            self._queue[prompt_id] = one
        await self._teller.say(a.Prompt(id=prompt_id, text=text, by=by, queued=True))
        self._news.set()

    async def withdraw(self, prompt_id: str) -> None:
        """Take a queued prompt back. Raises `NotPossible` where it was given already, or never queued."""
        one = self._queue.pop(prompt_id, None)
        if one is None:
            raise NotPossible(f"prompt {prompt_id} is not waiting: it was given to the agent, or withdrawn")
        await self._teller.say(a.Prompt(id=prompt_id, text=one.text, by=one.by, withdrawn=True))

    def check_no_dialog(self) -> None:
        """Raises `Waiting` while text could answer a dialog."""
        if self._asking() or self._teller.status.status == "waiting":
            reason = self._teller.status.for_ or "a decision"
            raise Waiting(f"the agent waits for {reason}; answer that first, text could answer it by accident")

    async def run(self) -> None:
        """Give queued prompts, one each time the agent is idle, until cancelled."""
        while True:
            while self._queue and self._teller.status.status == "idle" and not self._asking():
                async with self._turn:
                    await self._next()
            changed, news = self._teller.changed, self._news
            async with trio.open_nursery() as nursery:  # until either: a status, a prompt

                async def until(event: trio.Event, nursery: trio.Nursery = nursery) -> None:
                    await event.wait()
                    nursery.cancel_scope.cancel()

                nursery.start_soon(until, changed)
                nursery.start_soon(until, news)
            if news.is_set():
                self._news = trio.Event()

    async def _next(self) -> None:
        prompt_id = next(iter(self._queue), None)
        if prompt_id is None:
            return
        one = self._queue.pop(prompt_id)
        try:
            await self._hand_over(one)
        except NotPossible as error:  # it stays the first in the queue, and is tried again
            log.info("prompt_not_given", reason=str(error))
            self._queue = {prompt_id: one, **self._queue}
            with trio.move_on_after(RETRY_SECONDS):
                await self._teller.changed.wait()

    async def _hand_over(self, one: _Waiting) -> None:
        self._teller.expect(one.text)
        changed = self._teller.changed
        await self._give(one.text)
        self._known.add(one.prompt_id)
        await self._teller.say(a.Prompt(id=one.prompt_id, text=one.text, by=one.by))
        with trio.move_on_after(TURN_SECONDS):
            await changed.wait()

    async def _end_turn(self) -> None:
        """Raises `NotPossible` where the turn does not end."""
        if self._teller.status.status != "idle":
            await self._interrupt()
            await self._until_idle()

    async def _until_idle(self) -> None:
        with trio.move_on_after(INTERRUPT_SECONDS):
            while self._teller.status.status != "idle":
                await self._teller.changed.wait()
            return
        raise NotPossible(f"the agent did not stop within {INTERRUPT_SECONDS:g} s of being interrupted")
