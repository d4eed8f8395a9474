"""Codex: an app-server of the session's own, the real terminal program as its client, and we as another.

Both clients share one thread: what a person types in the terminal and what comes from the page are the same
conversation, and the first answer to an approval is the answer; the server tells the other clients. A dispatched
session is begun by us (`thread/start`, `turn/start`), so that no dialog at the program's start stands between the order
and the work; the terminal program then opens that thread.

The server and the program are processes of the session's pseudo-terminal: they are paused, stopped and end with it. No
shared daemon of Codex is used, started or ended.

Where there can be no server, or it says what is not known here, the terminal program goes on in the session's terminal:
with the conversation that was begun, else alone, with the order as its prompt. Its own dialogs ask then.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar

import attrs
import trio
import trio_websocket

from townwatch.contracts.codec import ContractError
from townwatch.contracts.tasks import SessionConfig
from townwatch.runner.agents import shape, shared_files
from townwatch.runner.agents.adapter import AdapterOff, Host, Prepared
from townwatch.runner.agents.codex import connection, history, launch, reading
from townwatch.runner.agents.codex.answers import alone, decision, policy
from townwatch.runner.agents.events import Answer, Prompt, Status
from townwatch.runner.agents.jsonrpc import MESSAGE_BYTES, METHOD_NOT_FOUND, Rpc, RpcError, RpcRequest
from townwatch.runner.agents.orders import order_text, refusal
from townwatch.runner.agents.readings import Asked, Reading, Settled
from townwatch.runner.agents.shape import Json, ShapeError
from townwatch.runner.agents.tasks import open_tasks
from townwatch.runner.agents.versions import version_in_package
from townwatch.runner.session.lifecycle import NotPossible

ANSWER_SECONDS, FILE_SECONDS = connection.ANSWER_SECONDS, 5.0
DIALOG_SECONDS = 4.0
"""A terminal program that has no thread after this time shows a dialog of its own."""
LOOK_SECONDS, SOON_SECONDS = 0.5, 0.02
CLOCK_SECONDS = 2.0
"""Turns that began this much before us are of an earlier time: they are not told again."""
TAKEN_SECONDS = 5.0
"""How long an answer waits for the server to say that the question is over."""
DECLINED_SECONDS, RUNS_SECONDS = 10.0, 0.5
"""How long the server may take to say that a call was declined: after our no, and after our yes."""
JUDGED = frozenset({"item/commandExecution/requestApproval", "item/fileChange/requestApproval"})
"""Questions about one call, whose fate says whose answer was taken."""


@attrs.define
class _Open:
    request: RpcRequest
    asked: Asked
    approval: str | None = None
    answered: bool = False
    allowed: bool = False
    over: trio.Event = attrs.field(factory=trio.Event)
    judged: trio.Event = attrs.field(factory=trio.Event)
    """Set when the server has said what became of the call."""
    declined: bool = False


class CodexAdapter:
    """One Codex in one session."""

    provider: ClassVar[str] = "codex"
    programs: ClassVar[tuple[str, ...]] = ("codex",)
    tested: ClassVar[tuple[str, str]] = ("0.171.0", "0.171.0")

    def __init__(self, host: Host) -> None:
        self._host = host
        where = host.launch.directory
        self._files = launch.Files(
            socket=where / "codex.sock", log=where / "app-server.log", thread=where / "thread", alone=where / "alone"
        )
        self._begun = False
        """Whether the server may have the order."""
        self._rpc: Rpc | None = None
        self._reader = reading.CodexReader()
        self._watched: set[str] = set()
        self._midway: set[str] = set()
        """Threads that we came to in the middle of a turn, whose history is to be read once more."""
        self._news = trio.Event()
        self._began = time.time() - CLOCK_SECONDS
        self._thread: str | None = None
        self._turn: str | None = None
        self._open: dict[str, _Open] = {}
        self._judging: list[_Open] = []

    @classmethod
    def recognise(cls, command: Sequence[str]) -> bool:
        """Return whether this opens Codex's conversation in the terminal."""
        return bool(command) and command[0].rpartition("/")[2] == "codex" and launch.is_conversation(command)

    async def prepare(self) -> Prepared:
        """Return the command that starts the server and the terminal program."""
        place = self._host.launch
        given = list(place.command[1:])
        server, _ = launch.arguments(place.command)
        command = launch.wrapped(
            place.command[0],
            given,
            self._files,
            cwd=place.cwd,
            server=server,
            order=None if place.order is None else alone(place.order, order_text(place.order)),
        )
        version = await trio.to_thread.run_sync(version_in_package, place.command[0])
        return Prepared(command=command, version=version)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read the server until it ends or until cancelled. Raises `AdapterOff`."""
        task_status.started()
        await self._host.say(Status(status="starting"))
        try:
            await self._follow_server()
        except (AdapterOff, ShapeError):
            await self._leave_it_alone()
            raise

    @property
    def goes_on_alone(self) -> bool:
        """Return True: the terminal program has the order, or gets it."""
        return True

    async def _leave_it_alone(self) -> None:
        """Let the terminal program of an order go on without us: in what was begun, so that nothing is done twice."""
        if not self._host.launch.dispatched:
            return
        name, text = (self._files.thread, self._thread) if self._begun else (self._files.alone, "alone")
        with trio.CancelScope(shield=True), trio.move_on_after(FILE_SECONDS), suppress(OSError):
            await trio.to_thread.run_sync(shared_files.replace, name, text or "")

    async def _follow_server(self) -> None:
        stream = await connection.connect(self._files)
        try:
            async with open_tasks() as tasks:
                try:
                    socket = await trio_websocket.wrap_client_stream(
                        tasks, stream, "localhost", "/", max_message_size=MESSAGE_BYTES
                    )
                except trio_websocket.HandshakeError as error:
                    raise AdapterOff(f"Codex's server does not speak WebSocket: {error!r}") from None
                self._rpc = rpc = Rpc(connection.sender(socket), {})
                tasks.start_soon(self._read, socket, rpc)
                await connection.greet(rpc)
                order = self._host.launch.order
                if order is not None:
                    await self._carry_out(rpc, order)
                tasks.start_soon(self._watch_threads, rpc)
        finally:
            await trio.aclose_forcefully(stream)

    async def prompt(self, text: str) -> None:
        """Begin a turn. Raises `NotPossible`."""
        rpc, thread = self._connected()
        items = [{"type": "text", "text": text}]
        try:
            await rpc.call("turn/start", {"threadId": thread, "input": items}, ANSWER_SECONDS)
        except (RpcError, AdapterOff) as error:
            raise NotPossible(f"Codex did not take the prompt: {error}") from None

    async def interrupt(self) -> None:
        """End the turn under way. Raises `NotPossible`."""
        rpc, thread = self._connected()
        if self._turn is None:
            raise NotPossible("Codex is idle: there is nothing to interrupt")
        try:
            await rpc.call("turn/interrupt", {"threadId": thread, "turnId": self._turn}, ANSWER_SECONDS)
        except (RpcError, AdapterOff) as error:
            raise NotPossible(f"Codex did not take the interrupt: {error}") from None

    def _connected(self) -> tuple[Rpc, str]:
        if self._rpc is None or self._thread is None:
            raise NotPossible("Codex has no conversation yet; wait until its status is idle")
        return self._rpc, self._thread

    # --- the conversation -------------------------------------------------------------------------------------------

    async def _carry_out(self, rpc: Rpc, order: SessionConfig) -> None:
        """Begin the thread of a dispatched session, give it the order, and let the terminal program open it."""
        parameters = {"cwd": str(self._host.launch.cwd), **policy(order)}
        if order.model is not None:
            parameters["model"] = order.model
        method = "thread/start"
        if order.cli_session_id is not None:
            method, parameters["threadId"] = "thread/resume", order.cli_session_id
        try:
            begun = await rpc.call(method, parameters, ANSWER_SECONDS)
        except RpcError as error:
            raise AdapterOff(str(error)) from None
        await self._follow(begun, ours=False)
        self._begun = True
        text = {"type": "text", "text": order_text(order)}
        try:
            await rpc.call("turn/start", {"threadId": self._thread, "input": [text]}, ANSWER_SECONDS)
        except RpcError as error:
            self._begun = False
            raise AdapterOff(f"Codex did not take the order: {error}") from None
        await trio.to_thread.run_sync(shared_files.replace, self._files.thread, self._thread or "")

    async def _watch_threads(self, rpc: Rpc) -> None:
        """Subscribe to the threads that the terminal program opens."""
        began = trio.current_time()
        while True:
            try:
                listed = await rpc.call("thread/loaded/list", {}, ANSWER_SECONDS)
                for thread in (loaded := shape.texts(listed, "data")):
                    if thread not in self._watched and not self._reader.is_aside(thread):
                        await self._subscribe(rpc, thread)
                for thread in self._midway.intersection(loaded):
                    await self._read_again(rpc, thread)
            except RpcError as error:
                raise AdapterOff(str(error)) from None
            if self._thread is None and trio.current_time() > began + DIALOG_SECONDS:
                dialog = "Codex's dialog at its start (trust, sign-in, news), in the terminal"
                await self._host.say(Status(status="waiting", for_=dialog))
            self._news = trio.Event()
            with trio.move_on_after(LOOK_SECONDS):
                await self._news.wait()
                await trio.sleep(SOON_SECONDS)

    async def _subscribe(self, rpc: Rpc, thread: str) -> None:
        """Ask for all of a thread. Its answer is read in its place among the notifications."""

        async def answered(result: Any, error: RpcError | None) -> None:
            if error is None:  # else nothing was said in it yet: it cannot be resumed, and is asked for again
                await self._follow(shape.mapping(result, "the answer to thread/resume"))

        await rpc.begin("thread/resume", {"threadId": thread}, answered)

    async def _follow(self, answer: Json, *, ours: bool = True) -> None:
        """`ours`: the thread may hold turns of this session already. One that is resumed for an order holds none."""
        thread = shape.member(answer, "thread")
        if shape.text(thread, "id") in self._watched:
            return
        self._watched.add(shape.text(thread, "id"))
        self._note_thread(thread)
        if self._thread == shape.text(thread, "id"):
            for turn in history.turns_under_way(thread):
                self._turn = shape.text(turn, "id")
        await self._tell(self._reader.thread(thread, answer))
        if ours:
            if history.is_conversation(thread) and history.turns_under_way(thread):
                self._midway.add(shape.text(thread, "id"))
            await self._tell(self._reader.history(thread, self._began))

    async def _read_again(self, rpc: Rpc, thread_id: str) -> None:
        """Read the history of a thread that was subscribed to in the middle of a turn: what the server told between
        making the answer to `thread/resume` and that subscription is in neither, the turn's prompt for one.
        """
        try:
            answer = await rpc.call("thread/read", {"threadId": thread_id, "includeTurns": True}, ANSWER_SECONDS)
        except RpcError:  # nothing of it is written yet
            return
        thread = shape.member(answer, "thread")
        await self._tell(self._reader.history(thread, self._began))
        if all(history.has_prompt(turn) for turn in history.turns_under_way(thread)):
            self._midway.discard(thread_id)

    def _note_thread(self, thread: Json) -> None:
        """The newest thread that a person talks in is the one that prompts go to."""
        if history.is_conversation(thread):
            self._thread = shape.text(thread, "id")

    async def _read(self, socket: trio_websocket.WebSocketConnection, rpc: Rpc) -> None:
        try:
            while True:
                request = await rpc.take(await socket.get_message())
                if request is not None:
                    await self._heard(rpc, request)
        except trio_websocket.ConnectionClosed:
            reason = "Codex's app-server has closed the connection"
            raise AdapterOff(reason) from None
        finally:
            rpc.close("the connection to Codex's app-server is over")

    async def _heard(self, rpc: Rpc, request: RpcRequest) -> None:
        if request.id is None:
            if request.method == "turn/started":
                self._turn = shape.text(shape.member(request.params, "turn"), "id")
            elif request.method == "turn/completed":
                self._turn = None
                self._judge(None, declined=True)
            elif request.method == "item/completed":
                item = shape.member(request.params, "item")
                self._judge(shape.text(item, "id"), declined=item.get("status") == "declined")
            elif request.method == "thread/started":
                self._note_thread(shape.member(request.params, "thread"))
            elif request.params.get("threadId") not in self._watched:
                self._news.set()
            await self._tell(self._reader.notification(request.method, request.params))
        elif request.method in reading.QUESTIONS:
            await self._tell(self._reader.asked(request.key, request.method, request.params), request)
        elif not self._host.launch.dispatched:
            pass  # the terminal program answers what we do not know
        else:
            await rpc.refuse(request.id, METHOD_NOT_FOUND, f"{request.method} is not offered")

    async def _tell(self, readings: Sequence[Reading], request: RpcRequest | None = None) -> None:
        for said in readings:
            match said:
                case Asked():
                    if request is not None:
                        await self._ask(said, request)
                case Settled(request=key):
                    await self._settled(key)
                case Prompt():
                    await self._host.say(said)
                case Status():
                    await self._say_status()
                case _:
                    await self._host.say(said)

    # --- approvals ----------------------------------------------------------------------------------------------------

    async def _ask(self, asked: Asked, request: RpcRequest) -> None:
        if asked.request in self._open:
            return  # replayed to a client that subscribed anew
        opened = self._open[asked.request] = _Open(request, asked)
        if (no := refusal(self._host.launch.order, asked.question)) is not None and self._rpc is not None:
            self._reader.calls.deny(asked.question.tool_use_id)
            opened.answered = True
            await self._rpc.answer(request.id or 0, decision(asked, request, no))
            return
        await self._say_status()

        async def deliver(answer: Answer) -> bool:
            return await self._deliver(opened, answer)

        try:
            opened.approval = await self._host.ask(asked.question, deliver)
        except ContractError:  # the session is ending, and its processes with it
            return
        if asked.request not in self._open:  # answered in the terminal while it was being asked
            await self._host.settle(opened.approval, "withdrawn")

    async def _deliver(self, opened: _Open, answer: Answer) -> bool:
        """Give a decision to the server. False where the terminal's person was first. Raises `NotPossible`."""
        key = opened.asked.request
        if key not in self._open or opened.answered or self._rpc is None or opened.request.id is None:
            return False
        result = decision(opened.asked, opened.request, answer)
        opened.answered, opened.allowed = True, answer.decision == "allow"
        if answer.decision == "deny":
            self._reader.calls.deny(opened.asked.question.tool_use_id)
        self._judging.append(opened)
        try:
            await self._rpc.answer(opened.request.id, result)
            with trio.move_on_after(TAKEN_SECONDS):
                await opened.over.wait()
            taken = await self._was_taken(opened, answer)
        except AdapterOff:
            opened.answered = opened.allowed = False
            return False
        finally:
            self._judging.remove(opened)
        if not taken and opened.approval is not None:
            await self._host.settle(opened.approval, "withdrawn", note="answered in the terminal")
        return taken

    async def _was_taken(self, opened: _Open, answer: Answer) -> bool:
        """Return whether the answer is the one that stands. The server says that a question is over, and not by whom: a
        person at the terminal may have been first by a moment. What becomes of the call tells.
        """
        if opened.request.method not in JUDGED:
            return True
        with trio.move_on_after(DECLINED_SECONDS if answer.decision == "deny" else RUNS_SECONDS):
            await opened.judged.wait()
        return opened.declined == (answer.decision == "deny")

    def _judge(self, call: str | None, *, declined: bool) -> None:
        """Note what became of a call; None: of all, as their turn is over."""
        for opened in [*self._judging, *self._open.values()]:
            if call in (None, opened.asked.question.tool_use_id) and not opened.judged.is_set():
                opened.declined = declined
                opened.judged.set()

    async def _settled(self, key: str) -> None:
        """The server says that a question is over: by our answer, or by one in the terminal."""
        opened = self._open.pop(key, None)
        if opened is None:
            return
        opened.over.set()
        tool_id = opened.asked.question.tool_use_id
        if not opened.answered and opened.approval is not None:
            await self._host.settle(opened.approval, "withdrawn", note="answered in the terminal")
        if tool_id is not None and opened.allowed:
            await self._tell(self._reader.calls.release(tool_id))
        if self._open or self._reader.status != "waiting":  # else the server says in a moment what it does now
            await self._say_status()

    async def _say_status(self) -> None:
        status: Any = self._reader.status
        waiting = next(iter(self._open.values()), None)
        why = waiting.asked.question.summary if waiting is not None and status == "waiting" else None
        await self._host.say(Status(status=status, for_=why))
