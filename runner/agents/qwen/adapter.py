"""Qwen Code in a terminal: it writes events to one file of the session and reads prompts and answers from another."""

import json
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, ClassVar

import attrs
import trio

from townwatch.contracts.codec import ContractError
from townwatch.runner.agents import shared_files
from townwatch.runner.agents.adapter import Host, Prepared
from townwatch.runner.agents.events import Answer, Status
from townwatch.runner.agents.qwen.reading import QwenReader
from townwatch.runner.agents.readings import Asked, Reading, Settled
from townwatch.runner.agents.shape import Json
from townwatch.runner.agents.tail import json_lines
from townwatch.runner.agents.tasks import open_tasks
from townwatch.runner.agents.versions import version_in_package
from townwatch.runner.session.lifecycle import NotPossible

UNTOUCHED = frozenset({"-p", "--prompt", "--acp", "--json-file", "--json-fd", "--input-file", "-v", "--version", "-h"})
COMMANDS = frozenset({"mcp", "extensions", "auth", "hooks", "sandbox", "channel", "serve"})
TAKEN_SECONDS, REFUSED_SECONDS = 5.0, 1.0
"""How long Qwen may take to say that it has an answer; it looks at its input file now and then."""


@attrs.define
class _Open:
    asked: Asked
    approval: str | None = None
    answered: bool = False
    outcome: str | None = None
    over: trio.Event = attrs.field(factory=trio.Event)


class QwenTerminal:
    """One Qwen Code in a person's terminal."""

    provider: ClassVar[str] = "qwen_code"
    programs: ClassVar[tuple[str, ...]] = ("qwen",)
    tested: ClassVar[tuple[str, str]] = ("0.24.4", "0.24.4")

    def __init__(self, host: Host) -> None:
        self._host = host
        self._events = host.launch.directory / "events.jsonl"
        self._input = host.launch.directory / "input.jsonl"
        self._reader = QwenReader()
        self._open: dict[str, _Open] = {}
        self._base: Status = Status(status="starting")

    @classmethod
    def recognise(cls, command: Sequence[str]) -> bool:
        """Return whether this opens Qwen Code's conversation in the terminal."""
        if not command or command[0].rpartition("/")[2] != "qwen":
            return False
        first = next((word for word in command[1:] if not word.startswith("-")), "")
        return first not in COMMANDS and not any(word.partition("=")[0] in UNTOUCHED for word in command[1:])

    async def prepare(self) -> Prepared:
        """Make both files and name them on the command line."""
        for path in (self._events, self._input):
            await trio.to_thread.run_sync(shared_files.write_new, path, "")
        files = ["--json-file", str(self._events), "--input-file", str(self._input)]
        version = await trio.to_thread.run_sync(version_in_package, self._host.launch.command[0])
        return Prepared(command=[*self._host.launch.command, *files], version=version)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read the events until cancelled. Raises `AdapterOff`."""
        task_status.started()
        await self._host.say(self._base)
        async with open_tasks(), aclosing(json_lines(self._events)) as events:
            async for event in events:
                await self._tell(self._reader.event(event))

    @property
    def goes_on_alone(self) -> bool:
        """Return False: the order would stand still."""
        return False

    async def prompt(self, text: str) -> None:
        """Submit a prompt. Raises `NotPossible`."""
        await self._write({"type": "submit", "text": text})

    async def interrupt(self) -> None:
        """Press Escape: the input file has no word for it."""
        await self._host.type(b"\x1b")

    async def _write(self, message: Json) -> None:
        try:
            await trio.to_thread.run_sync(shared_files.append, self._input, f"{json.dumps(message)}\n")
        except OSError as error:
            raise NotPossible(f"cannot write to Qwen's input file: {error}") from None

    async def _tell(self, readings: Sequence[Reading]) -> None:
        for said in readings:
            match said:
                case Asked():
                    await self._ask(said)
                case Settled(request=request, outcome=outcome):
                    await self._settled(request, outcome)
                case Status():
                    self._base = said
                    await self._say_status()
                case _:
                    await self._host.say(said)

    async def _say_status(self) -> None:
        waiting = next(iter(self._open.values()), None)
        summary = waiting.asked.question.summary if waiting is not None else None
        await self._host.say(self._base if waiting is None else Status(status="waiting", for_=summary))

    async def _ask(self, asked: Asked) -> None:
        await self._settled(asked.request, "withdrawn")  # one of the same id: an answer would be for the new one
        opened = self._open[asked.request] = _Open(asked)
        await self._say_status()

        async def deliver(answer: Answer) -> bool:
            return await self._deliver(opened, answer)

        try:
            opened.approval = await self._host.ask(asked.question, deliver)
        except ContractError:  # the session is ending, and its processes with it
            return

    async def _deliver(self, opened: _Open, answer: Answer) -> bool:
        """Write a decision and wait until Qwen says how the question ended. False where another was first."""
        request = opened.asked.request
        if self._open.get(request) is not opened:
            return False
        allowed = answer.decision == "allow"
        if not allowed:
            self._reader.calls.deny(opened.asked.question.tool_use_id)
        opened.answered = True
        await self._write({"type": "confirmation_response", "request_id": request, "allowed": allowed})
        with trio.move_on_after(TAKEN_SECONDS if allowed else REFUSED_SECONDS):
            await opened.over.wait()
            return opened.outcome == ("allow" if allowed else "deny")
        if not allowed:  # Qwen closes its dialog, ends the turn, and says nothing of it
            await self._tell(self._reader.refused(request))
            return True
        opened.answered = False
        raise NotPossible("Qwen has not taken the answer; its dialog in the terminal is still open")

    async def _settled(self, request: str, outcome: str | None) -> None:
        opened = self._open.pop(request, None)
        if opened is None:
            return
        opened.outcome = outcome
        tool_id = opened.asked.question.tool_use_id
        if not opened.answered and opened.approval is not None:
            said: Any = outcome if outcome in ("allow", "deny") else "withdrawn"
            await self._host.settle(opened.approval, said)
        opened.over.set()
        if outcome == "allow" and tool_id is not None:
            await self._tell(self._reader.calls.release(tool_id))
        else:
            self._reader.calls.deny(tool_id)
        await self._say_status()
