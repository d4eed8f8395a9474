"""OpenCode: its terminal program has an HTTP server; we give it a port and a password of our own, and read its events.

A person's answer in the terminal and one from the page go to the same server, which takes the first and answers the
second with 404.
"""

import json
import secrets
import socket
from collections.abc import Sequence
from contextlib import aclosing
from typing import ClassVar, Literal

import attrs
import psutil
import trio

from townwatch.contracts.codec import ContractError
from townwatch.contracts.tasks import PolicySpec
from townwatch.runner.agents import shape
from townwatch.runner.agents.adapter import AdapterOff, Host, Prepared
from townwatch.runner.agents.events import Answer, Status
from townwatch.runner.agents.opencode.reading import OpenCodeReader
from townwatch.runner.agents.opencode.server import Server
from townwatch.runner.agents.orders import order_text, refusal
from townwatch.runner.agents.readings import Asked, Reading, Settled, answer_to
from townwatch.runner.agents.shape import Json
from townwatch.runner.agents.tasks import open_tasks
from townwatch.runner.agents.versions import version_in_package
from townwatch.runner.reading import as_acting
from townwatch.runner.session.lifecycle import NotPossible

START_SECONDS = 120.0
"""The program has taken 14 s to listen on two busy cores."""
LOOK_SECONDS, FIRST_SECONDS = 0.25, 2.0
SHOW_AGAIN_SECONDS = (2.0, 4.0, 8.0)
COMMANDS = frozenset(
    "completion acp mcp attach run debug providers auth agent upgrade uninstall serve web models stats export import "
    "github pr session plugin plug db".split()
)
"""Commands of opencode that are not its conversation in the terminal."""
UNTOUCHED = frozenset({"--port", "--hostname", "--mdns", "--mini", "-h", "--help", "-v", "--version"})
PASSWORD, PERMISSION = "OPENCODE_SERVER_PASSWORD", "OPENCODE_PERMISSION"


@attrs.define
class _Open:
    asked: Asked
    approval: str | None = None
    answered: bool = False


class OpenCodeAdapter:
    """One OpenCode in one session."""

    provider: ClassVar[str] = "opencode"
    programs: ClassVar[tuple[str, ...]] = ("opencode",)
    tested: ClassVar[tuple[str, str]] = ("1.18.33", "1.18.33")

    def __init__(self, host: Host) -> None:
        self._host = host
        self._server = Server(_free_port(), secrets.token_urlsafe(24))
        self._reader = OpenCodeReader()
        self._open: dict[str, _Open] = {}
        self._ready = False
        self._has_order = False
        self._begun = trio.Event()
        """A conversation was begun by us, which the terminal program may not show yet."""

    @classmethod
    def recognise(cls, command: Sequence[str]) -> bool:
        """Return whether this opens OpenCode's conversation in the terminal, on a port that it would choose."""
        if not command or command[0].rpartition("/")[2] != "opencode":
            return False
        words = command[1:]
        first = next((word for word in words if not word.startswith("-")), "")
        return first not in COMMANDS and not any(word.partition("=")[0] in UNTOUCHED for word in words)

    async def prepare(self) -> Prepared:
        """Return the command with a port, and the environment with a password and without its user's name."""
        launch = self._host.launch
        env: dict[str, str | None] = {PASSWORD: self._server.password, "OPENCODE_SERVER_USERNAME": None}
        command = [*launch.command, "--port", str(self._server.port)]
        if launch.order is not None:
            env[PERMISSION] = json.dumps(permissions(launch.order.policy))
            command += ["--model", launch.order.model] if launch.order.model is not None else []
            conversation = launch.order.cli_session_id
            command += ["--session", conversation] if conversation is not None else []
        version = await trio.to_thread.run_sync(version_in_package, launch.command[0])
        return Prepared(command=command, env=env, version=version)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read the server's events until it ends or until cancelled. Raises `AdapterOff`."""
        task_status.started()
        await self._host.say(Status(status="starting"))
        stream = await self._connect()
        async with open_tasks() as tasks:
            tasks.start_soon(self._read, stream)
            tasks.start_soon(self._show_what_was_begun)
            await self._catch_up()
            self._ready = True
            await self._say_status()
            order = self._host.launch.order
            if order is not None:
                await self.prompt(order_text(order))
                self._has_order = True

    @property
    def goes_on_alone(self) -> bool:
        """Return whether the program has the order."""
        return self._has_order

    async def prompt(self, text: str) -> None:
        """Give the conversation in the terminal a prompt; where there is none yet, begin one. Raises `NotPossible`."""
        if not self._ready:
            raise NotPossible("OpenCode is starting; wait until its status is idle")
        try:
            session = self._reader.root or await self._begin()
            body: Json = {"parts": [{"type": "text", "text": text}], **self._model()}
            status, _ = await self._server.post(f"/session/{session}/prompt_async", body)
        except AdapterOff as error:
            raise NotPossible(str(error)) from None
        if status not in (200, 204):
            raise NotPossible(f"OpenCode did not take the prompt: it answered {status}")

    async def interrupt(self) -> None:
        """End the turn under way. Raises `NotPossible`."""
        if self._reader.root is None:
            raise NotPossible("OpenCode is idle: there is nothing to interrupt")
        try:
            status, _ = await self._server.post(f"/session/{self._reader.root}/abort", {})
        except AdapterOff as error:
            raise NotPossible(str(error)) from None
        if status != 200:
            raise NotPossible(f"OpenCode did not take the interrupt: it answered {status}")

    def _model(self) -> Json:
        """The ordered model; where none is, the conversation's own."""
        order = self._host.launch.order
        provider, slash, model = (order.model or "" if order is not None else "").partition("/")
        return {"model": {"providerID": provider, "modelID": model}} if slash else {}

    async def _begin(self) -> str:
        """Make a conversation, or take the one that the order goes on with, and show it in the terminal."""
        order = self._host.launch.order
        if order is not None and order.cli_session_id is not None:
            made = await self._server.get(f"/session/{order.cli_session_id}")
        else:
            _, made = await self._server.post("/session", {})
        info = shape.mapping(made, "the answer to /session")
        await self._tell(self._reader.session(info))
        session = shape.text(info, "id")
        await self._select(session)
        self._begun.set()
        return session

    async def _select(self, session: str) -> None:
        await self._server.post("/tui/select-session", {"sessionID": session})

    async def _show_what_was_begun(self) -> None:
        """Show the conversation of the order, or of the first prompt from afar, in the terminal: the program answers
        this from its start on, and heeds it seconds later.
        """
        await self._begun.wait()
        session = self._reader.root
        for seconds in SHOW_AGAIN_SECONDS:
            await trio.sleep(seconds)
            if session is not None and self._reader.root == session:
                await self._select(session)

    # --- the connection -----------------------------------------------------------------------------------------------

    async def _connect(self) -> trio.SocketStream:
        """Connect once the session's own program listens and answers: the password is for no other program.

        The first requests after its start are never answered: they are asked again.
        """
        with trio.move_on_after(START_SECONDS):
            while True:
                if await trio.to_thread.run_sync(self._listens) and await self._answers():
                    return await trio.open_tcp_stream("127.0.0.1", self._server.port)
                await trio.sleep(LOOK_SECONDS)
        raise AdapterOff(f"OpenCode has not listened on its port within {START_SECONDS:.0f} s")

    async def _answers(self) -> bool:
        """Return whether the server says that it is well, at once."""
        with trio.move_on_after(FIRST_SECONDS):
            health = shape.mapping(await self._server.get("/global/health"), "/global/health")
            return shape.text(health, "version") != ""
        return False

    def _listens(self) -> bool:
        """Return whether a process of this session listens on the port."""
        if self._host.pid is None:
            return False
        try:
            with as_acting():  # who may look into a process is asked with the rights of files
                leader = psutil.Process(self._host.pid)
                return any(self._has_port(process) for process in (leader, *leader.children(recursive=True)))
        except psutil.Error:
            return False

    def _has_port(self, process: psutil.Process) -> bool:
        connections = process.net_connections("tcp")
        port = self._server.port
        return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in connections)

    async def _catch_up(self) -> None:
        """Read what is open already: a conversation that was continued, its status, its questions."""
        statuses = shape.mapping(await self._server.get("/session/status"), "/session/status")
        for session, status in statuses.items():
            await self._tell(self._reader.status_of(session, shape.mapping(status, "/session/status")))
        for asked in shape.items({"all": await self._server.get("/permission")}, "all"):
            await self._ask(self._reader.permission(asked))
        for asked in shape.items({"all": await self._server.get("/question")}, "all"):
            await self._ask(self._reader.question(asked))

    async def _read(self, stream: trio.SocketStream) -> None:
        async with stream, aclosing(self._server.events(stream)) as events:
            async for event in events:
                await self._tell(self._reader.event(event))

    async def _tell(self, readings: Sequence[Reading]) -> None:
        for said in readings:
            match said:
                case Asked():
                    await self._ask(said)
                case Settled(request=request, outcome=outcome):
                    await self._settled(request, outcome)
                case Status():
                    await self._say_status()
                case _:
                    await self._host.say(said)

    async def _say_status(self) -> None:
        if not self._ready:
            return
        waiting = next(iter(self._open.values()), None)
        if waiting is not None:
            await self._host.say(Status(status="waiting", for_=waiting.asked.question.summary))
        else:
            await self._host.say(Status(status=self._reader.status))

    # --- questions ----------------------------------------------------------------------------------------------------

    async def _ask(self, asked: Asked) -> None:
        if asked.request in self._open:
            return
        opened = self._open[asked.request] = _Open(asked)
        if (no := refusal(self._host.launch.order, asked.question)) is not None:
            await self._deliver(opened, no)
            return
        await self._say_status()

        async def deliver(answer: Answer) -> bool:
            return await self._deliver(opened, answer)

        try:
            opened.approval = await self._host.ask(asked.question, deliver)
        except ContractError:  # the session is ending, and its processes with it
            return

    async def _deliver(self, opened: _Open, answer: Answer) -> bool:
        """Give a decision to the server. False where another was first. Raises `NotPossible`."""
        request = opened.asked.request
        if request not in self._open or opened.answered:
            return False
        path, body = reply(opened.asked, answer)
        opened.answered = True
        if answer.decision == "deny":
            self._reader.calls.deny(opened.asked.question.tool_use_id)
        try:
            status, _ = await self._server.post(path, body)
            if answer.stop:
                await self.interrupt()
        except AdapterOff as error:
            opened.answered = False
            raise NotPossible(str(error)) from None
        if status not in (200, 204):
            opened.answered = False
        if status == 404:
            await self._settled(request, None)
        elif status not in (200, 204):
            raise NotPossible(f"OpenCode answered {status} to {path}")
        return opened.answered

    async def _settled(self, request: str, outcome: Literal["allow", "deny", "withdrawn"] | None) -> None:
        opened = self._open.pop(request, None)
        if opened is None:
            return
        tool_id = opened.asked.question.tool_use_id
        if not opened.answered and opened.approval is not None:
            await self._host.settle(opened.approval, outcome or "withdrawn")
        if tool_id is not None and outcome == "allow":
            await self._tell(self._reader.calls.release(tool_id))
        elif outcome == "deny":
            self._reader.calls.deny(tool_id)
        await self._say_status()


def permissions(policy: PolicySpec) -> Json:
    """Return an order's policy in OpenCode's own terms: it asks before it acts, where by itself it would not."""
    allowed = {pattern: "allow" for pattern in policy.shell_allowlist if pattern.strip("* ")}
    denied = {pattern if pattern.endswith("*") else f"{pattern}*": "deny" for pattern in policy.shell_denylist}
    web = "allow" if policy.network_mode == "open" else "ask"
    return {"edit": "ask", "bash": {"*": "ask", **allowed, **denied}, "webfetch": web, "websearch": web}


def reply(asked: Asked, answer: Answer) -> tuple[str, Json]:
    """Return (path, body) of a person's decision. Raises `NotPossible` where it fits none of the answers.

    A rejection with a message lets the agent go on and tells it why; one without ends the turn.
    """
    if asked.question.category == "question":
        if answer.decision == "deny":
            return f"/question/{asked.request}/reject", {}
        return f"/question/{asked.request}/reply", {"answers": _answers(asked, answer)}
    path = f"/permission/{asked.request}/reply"
    if answer.decision == "deny":
        why = answer.note or (f"denied by {answer.by}" if answer.by else "denied")
        return path, {"reply": "reject"} if answer.stop else {"reply": "reject", "message": why}
    chosen = answer.option_id or "once"
    if asked.effects.get(chosen) not in ("allow", "always"):
        raise NotPossible(f"{chosen} is no option to allow this")
    return path, {"reply": chosen}


def _answers(asked: Asked, answer: Answer) -> list[list[str]]:
    questions = [shape.maybe(one) for one in shape.maybe_list(asked.question.questions)]
    return [answer_to(shape.text(one, "question"), of=len(questions), answer=answer) for one in questions]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
