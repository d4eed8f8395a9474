"""Host an agent that speaks the Agent Client Protocol: its conversation becomes events and is drawn into the terminal.

The agent runs in the session's pseudo-terminal with two pipes as its standard input and output, so that stop, pause and
its end are the session's as with any command. The protocol's optional parts (files, terminals) are not offered: the
agent uses its own, and a request for them is refused.

There is no other picture of such a session to step back to. A message of an unknown shape is therefore left out, one
alert says so, and the rest of the conversation goes on; a question that cannot be read is answered with a no.
"""

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import attrs
import trio

from townwatch.contracts.codec import ContractError
from townwatch.runner.agents import shape
from townwatch.runner.agents.acp import questions, reading
from townwatch.runner.agents.adapter import AdapterOff, Host, Prepared
from townwatch.runner.agents.events import Alert, Answer, CliSession, Prompt, Status
from townwatch.runner.agents.jsonrpc import AUTH_REQUIRED, METHOD_NOT_FOUND, Rpc, RpcError, RpcRequest
from townwatch.runner.agents.orders import order_text, refusal
from townwatch.runner.agents.pipes import Pipes
from townwatch.runner.agents.readings import Asked, Effect, Reading, Settled, error_text
from townwatch.runner.agents.screen import ConversationScreen
from townwatch.runner.agents.shape import Json, ShapeError
from townwatch.runner.agents.tasks import open_tasks
from townwatch.runner.agents.versions import version_in_package
from townwatch.runner.session.lifecycle import NotPossible

START_SECONDS = 60.0
"""How long the agent has for each answer at its start; Node programs on a busy machine have taken 10."""
ASKING_MODES = ("default", "workspace-write")
"""Modes in which an agent asks before it acts; the first of these that it has is set."""
CAPABILITIES: Json = {"fs": {"readTextFile": False, "writeTextFile": False}, "terminal": False}
CANCELLED: Json = {"outcome": {"outcome": "cancelled"}}


@attrs.define
class _Open:
    """A permission that waits. `approval` is known once it was asked."""

    request: RpcRequest
    asked: Asked
    approval: str | None = None


class AcpHost:
    """Hosts one agent. `arguments`: make its program speak the protocol on its standard streams."""

    def __init__(self, host: Host, arguments: Sequence[str]) -> None:
        self._host = host
        self._arguments = arguments
        self._pipes: Pipes | None = None
        self._rpc = Rpc(self._send, {"jsonrpc": "2.0"})
        self._talk = reading.UpdateReader()
        self._screen = ConversationScreen()
        self._session_id = ""
        order = host.launch.order
        self._model = order.model if order is not None else None
        self._loading = False
        self._turns = 0
        self._alerted = False
        self._turn: str | None = None
        self._open: dict[str, _Open] = {}

    async def prepare(self) -> Prepared:
        """Make the pipes."""
        launch = self._host.launch
        self._pipes = await Pipes.make(launch.directory)
        version = await trio.to_thread.run_sync(version_in_package, launch.command[0])
        model = [f"--model={self._model}"] if self._model is not None and self._arguments else []
        return Prepared(command=self._pipes.command([*launch.command, *self._arguments, *model]), version=version)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Open a session with the agent, give it the order, and read until cancelled. Raises `AdapterOff`."""
        task_status.started()
        await self._host.say(Status(status="starting"))
        try:
            async with open_tasks() as tasks:
                tasks.start_soon(self._read)
                if await self._open_session():
                    await self._host.say(Status(status="idle"))
                    if self._host.launch.order is not None:
                        await self.prompt(order_text(self._host.launch.order))
        finally:
            self._rpc.close("the agent's session is over")

    @property
    def goes_on_alone(self) -> bool:
        """Return False: the order would stand still."""
        return False

    async def prompt(self, text: str) -> None:
        """Give the agent a prompt. Raises `NotPossible` while a turn is under way."""
        if not self._session_id:
            raise NotPossible("the agent has no session yet; wait until its status is idle")
        if self._turn is not None:
            raise NotPossible("the agent is at work; wait until it is idle, or interrupt it")
        self._turns += 1
        self._turn = turn = f"turn-{self._turns}"
        blocks = [{"type": "text", "text": text}]

        async def ended(result: Any, error: RpcError | None) -> None:
            await self._turn_ended(turn, result, error)

        await self._tell([Prompt(text=text)])
        await self._host.say(Status(status="busy"))
        await self._rpc.begin("session/prompt", {"sessionId": self._session_id, "prompt": blocks}, ended)

    async def interrupt(self) -> None:
        """End the turn; what the agent asks meanwhile is withdrawn. Raises `NotPossible` where none is under way."""
        if self._turn is None:
            raise NotPossible("the agent is idle: there is nothing to interrupt")
        await self._rpc.notify("session/cancel", {"sessionId": self._session_id})
        await self._withdraw("interrupted")

    # --- the conversation ---------------------------------------------------------------------------------------------

    async def _send(self, message: bytes) -> None:
        if self._pipes is None:
            raise AdapterOff("the agent was not prepared")
        try:
            await self._pipes.send(message)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            raise AdapterOff("the agent reads no more") from None

    async def _open_session(self) -> bool:
        """Say hello and make a session. False where a person has to sign in first, which the status then says."""
        info = {"name": "townwatch", "title": "Townwatch", "version": "1"}
        hello = {
            "protocolVersion": reading.PROTOCOL_VERSION,
            "clientCapabilities": CAPABILITIES,
            "clientInfo": info,
        }
        try:
            greeted = await self._rpc.call("initialize", hello, START_SECONDS)
            await self._tell([reading.about(greeted)])
            self._talk.agent = reading.agent_name(greeted)
            made = await self._new_or_loaded(greeted)
        except RpcError as error:
            if error.code != AUTH_REQUIRED:
                raise AdapterOff(str(error)) from None
            await self._host.say(Status(status="waiting", for_="sign-in: the agent asks a person to sign in"))
            await self._host.show(self._screen.note(f"sign in with the agent's own command first: {error.message}"))
            return False
        about = reading.session(made)
        if self._model is not None and not self._arguments:
            await self._set_model(self._model, about)
        await self._ask_before_acting(made, about)
        self._session_id = about.cli_session_id or ""
        return True

    async def _new_or_loaded(self, greeted: Json) -> Json:
        """Make a session, or load the one that the order goes on with. What the agent tells while it loads was told
        before. Raises `AdapterOff`, `RpcError`.
        """
        order = self._host.launch.order
        parameters: Json = {"cwd": str(self._host.launch.cwd), "mcpServers": []}
        if order is None or order.cli_session_id is None:
            return await self._rpc.call("session/new", parameters, START_SECONDS)
        if shape.optional_member(greeted, "agentCapabilities").get("loadSession") is not True:
            raise AdapterOff("the agent cannot go on with an earlier session")
        parameters["sessionId"] = order.cli_session_id
        self._loading = True
        try:
            loaded = await self._rpc.call("session/load", parameters, START_SECONDS)
        finally:
            self._loading = False
        return {**shape.maybe(loaded), "sessionId": order.cli_session_id}

    async def _set_model(self, model: str, about: CliSession) -> None:
        try:
            parameters = {"sessionId": about.cli_session_id, "modelId": model}
            await self._rpc.call("session/set_model", parameters, START_SECONDS)
        except RpcError as error:
            raise AdapterOff(f"the agent does not take the model {model}: {error}") from None

    async def _ask_before_acting(self, made: Json, about: CliSession) -> None:
        """Put the agent into a mode in which it asks, where it has one."""
        modes = shape.items(shape.optional_member(made, "modes"), "availableModes")
        known = [shape.text(mode, "id") for mode in modes]
        wanted = next((mode for mode in ASKING_MODES if mode in known), None)
        if wanted is not None and about.mode != wanted:
            parameters = {"sessionId": about.cli_session_id, "modeId": wanted}
            try:
                await self._rpc.call("session/set_mode", parameters, START_SECONDS)
            except RpcError as error:
                raise AdapterOff(f"the agent does not take a mode that asks: {error}") from None
            about = attrs.evolve(about, mode=wanted)
        await self._tell([about])

    async def _read(self) -> None:
        if self._pipes is None:
            return
        async with aclosing(self._pipes.lines()) as lines:
            async for line in lines:
                if not line.lstrip().startswith(b"{"):  # some agents log to their standard output
                    await self._host.show(self._screen.note(line.decode(errors="replace")[:500]))
                    continue
                try:
                    request = await self._rpc.take(line)
                    if request is not None:
                        await self._heard(request)
                except ShapeError as error:
                    await self._unknown(error)

    async def _heard(self, request: RpcRequest) -> None:
        match request.method:
            case "session/update" if self._loading:
                pass
            case "session/update":
                await self._tell(self._talk.update(request.params))
            case "session/request_permission" if request.id is not None:
                try:
                    await self._tell(self._talk.asked(request.key, request.params), request)
                except ShapeError:
                    await self._rpc.answer(request.id, CANCELLED)
                    raise
            case _ if request.id is not None:
                await self._rpc.refuse(request.id, METHOD_NOT_FOUND, f"{request.method} is not offered")
            case _:
                pass

    async def _tell(self, readings: Sequence[Reading], request: RpcRequest | None = None) -> None:
        for said in readings:
            if drawn := self._screen.draw(said):
                await self._host.show(drawn)
            if isinstance(said, Asked):
                if request is not None:
                    await self._ask(said, request)
            elif not isinstance(said, Settled):
                await self._host.say(said)

    async def _turn_ended(self, turn: str, result: Any, error: RpcError | None) -> None:
        self._turn = None
        await self._withdraw("the turn ended")
        if error is not None:
            await self._host.show(self._screen.note(str(error)))
            readings = self._talk.turn_failed(turn, error_text(error.said))
        else:
            try:
                readings = self._talk.turn_ended(turn, shape.mapping(result, "the answer to session/prompt"))
            except ShapeError as unknown:
                await self._unknown(unknown)
                readings = self._talk.turn_failed(turn, f"its answer is not understood: {unknown}")
        await self._tell(readings)
        await self._host.say(Status(status="idle"))

    async def _unknown(self, error: ShapeError) -> None:
        """Say once that the agent's messages are not all understood."""
        if self._alerted:
            return
        self._alerted = True
        alert = Alert(
            id="agent-adapter",
            title="Parts of the agent's messages are not understood",
            description=f"{error}. They are left out; its questions that cannot be read are answered with a no.",
            severity="info",
        )
        await self._host.say(alert)

    # --- permissions --------------------------------------------------------------------------------------------------

    async def _ask(self, asked: Asked, request: RpcRequest) -> None:
        before = self._open.pop(asked.request, None)
        if before is not None and before.approval is not None:  # an answer goes by the id: it would be for this one
            await self._host.settle(before.approval, "withdrawn", by="agent", note="asked anew under the same id")
        opened = self._open[asked.request] = _Open(request, asked)
        if (no := refusal(self._host.launch.order, asked.question)) is not None:
            await self._deliver(opened, no)
            return
        await self._host.say(Status(status="waiting", for_=asked.question.summary))

        async def deliver(answer: Answer) -> bool:
            return await self._deliver(opened, answer)

        try:
            opened.approval = await self._host.ask(asked.question, deliver)
        except ContractError:  # the session is ending, and its processes with it
            return

    async def _deliver(self, opened: _Open, answer: Answer) -> bool:
        """Give a decision to the agent. False where its question is over. Raises `NotPossible`: it stays open."""
        asked, request = opened.asked, opened.request
        if self._open.get(asked.request) is not opened or request.id is None:
            return False
        option, beside = choice(asked, answer), questions.answers(asked, answer)
        del self._open[asked.request]
        tool_id = asked.question.tool_use_id
        if answer.decision == "deny":
            self._talk.calls.deny(tool_id)
        chosen = CANCELLED if option is None else {"outcome": {"outcome": "selected", "optionId": option}, **beside}
        try:
            await self._rpc.answer(request.id, chosen)
            if answer.stop:
                await self._rpc.notify("session/cancel", {"sessionId": self._session_id})
        except AdapterOff:
            return False
        said = "allowed" if answer.decision == "allow" else "denied"
        await self._host.show(self._screen.note(f"{said} by {answer.by}" if answer.by else said))
        await self._say_status()
        if answer.decision == "allow" and tool_id is not None:
            await self._tell(self._talk.calls.release(tool_id))
        return True

    async def _withdraw(self, why: str) -> None:
        """Answer every open question with `cancelled`, as the protocol asks of a client that cancels."""
        while self._open:
            _, opened = self._open.popitem()
            self._talk.calls.deny(opened.asked.question.tool_use_id)
            if opened.request.id is not None:
                await self._rpc.answer(opened.request.id, CANCELLED)
            if opened.approval is not None:
                await self._host.settle(opened.approval, "withdrawn", by="agent", note=why)

    async def _say_status(self) -> None:
        """Say what the agent does after one of its questions was answered."""
        waiting = next(iter(self._open.values()), None)
        if waiting is not None:
            await self._host.say(Status(status="waiting", for_=waiting.asked.question.summary))
        else:
            await self._host.say(Status(status="busy" if self._turn is not None else "idle"))


def choice(asked: Asked, answer: Answer) -> str | None:
    """Return the agent's option for a person's decision; None for a no that has no option of its own.

    An option of the agent's that was chosen by name must do what was decided. Raises `NotPossible`.
    """
    fitting: tuple[Effect, ...] = ("allow", "always") if answer.decision == "allow" else ("deny", "never")
    if answer.option_id is not None and asked.question.category != "question":  # there it is an answer
        if asked.effects.get(answer.option_id) not in fitting:
            raise NotPossible(f"{answer.option_id} is no option to {answer.decision} this")
        return answer.option_id
    option = asked.option("allow") if answer.decision == "allow" else asked.option("deny", "never")
    if option is None and answer.decision == "allow":
        raise NotPossible("the agent offers no answer that allows this once; choose one of its own options")
    return option
