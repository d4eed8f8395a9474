"""Claude Code that is started from afar: no TUI, JSON lines both ways, and the conversation as text in the terminal.

It asks us before each tool that its rules do not settle, by its control protocol, and waits: there is no other place
where it could be answered. Its trust dialog belongs to the TUI; who may start sessions on this runner is trusted with
the directory.
"""

import json
from collections.abc import Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

import attrs
import trio

from townwatch.contracts.codec import ContractError
from townwatch.contracts.tasks import SessionConfig
from townwatch.runner.agents import events as a
from townwatch.runner.agents.adapter import Adapter, AdapterOff, Host, Prepared
from townwatch.runner.agents.claude import answers, policy, stream
from townwatch.runner.agents.claude.tools import fields_of
from townwatch.runner.agents.pipes import Pipes
from townwatch.runner.agents.shape import ShapeError
from townwatch.runner.session.lifecycle import NotPossible

FLAGS = (
    "-p --verbose --input-format=stream-json --output-format=stream-json --permission-prompt-tool=stdio "
    "--permission-mode=manual"
).split()


def chosen(order: SessionConfig) -> list[str]:
    """Return the flags for an order's model, and for the conversation that it goes on with."""
    flags = [f"--model={order.model}"] if order.model is not None else []
    return flags + ([f"--resume={order.cli_session_id}"] if order.cli_session_id is not None else [])


@attrs.define(eq=False)
class _Asked:
    """A question of the CLI's that waits for our answer."""

    question: a.Question
    given: dict[str, Any]
    approval_id: str = ""
    over: bool = False


class ClaudeDispatched(Adapter):
    """Implements `adapter.Adapter`."""

    provider = "claude_code"
    programs = ("claude",)
    tested = ("2.1.332", "2.1.332")

    def __init__(self, host: Host) -> None:
        self._host = host
        self._stream = stream.ClaudeStream()
        self._asked: dict[str, _Asked] = {}
        self._pipes: Pipes | None = None

    @classmethod
    def recognise(cls, command: Sequence[str]) -> bool:
        """No command line that a person types is this."""
        return False

    async def prepare(self) -> Prepared:
        launch = self._host.launch
        assert launch.order is not None
        self._pipes = await Pipes.make(launch.directory)
        command = [*launch.command, *FLAGS, *policy.flags(launch.order.policy), *chosen(launch.order)]
        return Prepared(command=self._pipes.command(command))

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        pipes, order = self._pipes, self._host.launch.order
        assert pipes is not None and order is not None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read, pipes)
                await self._say(stream.control_request("initialize"))
                text = stream.task_prompt(order.task)
                await self._host.say(a.Prompt(text=text, by="order"))
                task_status.started()
                await self._begin(text)
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(1):
                await pipes.close()

    async def _read(self, pipes: Pipes) -> None:
        async with aclosing(pipes.lines()) as lines:
            async for line in lines:
                try:
                    message = json.loads(line)
                except (ValueError, RecursionError):
                    raise AdapterOff("the CLI wrote a line that is no JSON") from None
                try:
                    said = self._stream.read(fields_of(message))
                except ShapeError as error:
                    raise AdapterOff(f"the CLI asked in a shape that is not known: {error}") from None
                await self._hear(said)

    async def _say(self, message: dict[str, Any]) -> None:
        assert self._pipes is not None
        await self._pipes.send(json.dumps(message).encode())

    async def _hear(self, said: stream.LineReading) -> None:
        for event in said.events:
            await self._host.say(event)
        if said.shown:
            await self._host.show(said.shown)
        if said.cancelled is not None:
            await self._take_back(said.cancelled)
        if said.all_over:
            for request_id in list(self._asked):
                await self._take_back(request_id)
        if said.unknown is not None and said.request_id is not None:
            await self._say(stream.control_error(said.request_id, f"{said.unknown} is not known here"))
        elif said.question is not None and said.request_id is not None:
            await self._ask(said.request_id, said.question, dict(said.given))
        elif said.status is not None:
            await self._status(said.status)

    async def _status(self, status: a.Status) -> None:
        asked = next(iter(self._asked.values()), None)
        if asked is not None:
            status = a.Status(status="waiting", for_=asked.question.summary)
        await self._host.say(status)

    # --- questions ----------------------------------------------------------------------------------------------------

    async def _ask(self, request_id: str, question: a.Question, given: dict[str, Any]) -> None:
        order = self._host.launch.order
        assert order is not None
        pattern = policy.forbidden(order.policy, question.tool or "", str(given.get("command", "")))
        if pattern is not None:
            await self._forbid(request_id, question, pattern)
            return
        await self._take_back(request_id)  # one of the same id: an answer would be for the new one
        asked = self._asked[request_id] = _Asked(attrs.evolve(question, cwd=str(self._host.launch.cwd)), given)
        await self._status(a.Status(status="waiting"))
        try:
            asked.approval_id = await self._host.ask(asked.question, partial(self._deliver, request_id, asked))
        except ContractError:  # the session is ending; its process ends with it
            return
        if asked.over:
            await self._host.settle(asked.approval_id, "withdrawn", "terminal", "taken back by the agent")

    async def _forbid(self, request_id: str, question: a.Question, pattern: str) -> None:
        message = f"denied by policy:shellDenylist ({pattern})"
        if question.tool_use_id is not None:
            self._stream.denied(question.tool_use_id)
        await self._host.show(f"  {message}\r\n")
        await self._say(stream.control_response(request_id, {"behavior": "deny", "message": message}))

    async def _deliver(self, request_id: str, asked: _Asked, answer: a.Answer) -> bool:
        if asked.over:
            return False
        reply = answers.decision(asked.question.tool or "", asked.given, asked.question.suggestions, answer)
        asked.over = True
        self._asked.pop(request_id, None)
        if reply["behavior"] == "deny" and asked.question.tool_use_id is not None:
            self._stream.denied(asked.question.tool_use_id)
        await self._say(stream.control_response(request_id, reply))
        await self._status(a.Status(status="busy"))
        return True

    async def _take_back(self, request_id: str) -> None:
        """The CLI does not wait for the answer any more."""
        asked = self._asked.pop(request_id, None)
        if asked is not None:
            asked.over = True
            if asked.approval_id:
                await self._host.settle(asked.approval_id, "withdrawn", "terminal", "taken back by the agent")

    # --- prompts ------------------------------------------------------------------------------------------------------

    async def _begin(self, text: str) -> None:
        await self._host.show(self._stream.begin(text))
        await self._say(stream.user_message(text))
        await self._host.say(a.Status(status="busy"))

    @property
    def goes_on_alone(self) -> bool:
        """Return False: the order would stand still."""
        return False

    async def prompt(self, text: str) -> None:
        if self._asked:
            raise NotPossible("the agent waits for a decision")
        await self._begin(text)

    async def interrupt(self) -> None:
        await self._say(stream.control_request("interrupt"))
