"""Gemini CLI in a terminal: hooks of ours observe it, with the lowest precedence, beside the person's own.

They are named by GEMINI_CLI_SYSTEM_DEFAULTS_PATH, a file of the session's. A hook is called before each tool and its
dialog: what the rules deny is denied there, before it runs. Gemini takes a yes in its terminal only: a hook cannot give
it. A no from afar is Escape in its dialog, and stands when its telemetry says that the call was refused; where that is
the user's own, dialogs are shown, and answered in the terminal. Dispatched, it speaks the Agent Client Protocol and is
answered from anywhere.
"""

import json
import shlex
from collections.abc import Sequence
from typing import Any, ClassVar

import attrs
import psutil
import trio

from townwatch.contracts.codec import ContractError, decode_json
from townwatch.runner.agents import shared_files
from townwatch.runner.agents.adapter import AdapterOff, Host, HttpAnswer, HttpRequest, Prepared
from townwatch.runner.agents.events import Answer, Status
from townwatch.runner.agents.gemini import hook_program, telemetry
from townwatch.runner.agents.gemini.reading import EVENTS, GeminiReader, Outcome
from townwatch.runner.agents.otlp import logs
from townwatch.runner.agents.readings import Asked, Reading, Settled
from townwatch.runner.agents.shape import Json, ShapeError, mapping
from townwatch.runner.agents.versions import version_in_package
from townwatch.runner.session.lifecycle import NotPossible

UNTOUCHED = frozenset({"-p", "--prompt", "--acp", "--experimental-acp", "-v", "--version", "-h", "--help"})
COMMANDS = frozenset({"mcp", "extensions", "extension", "skills", "skill", "hooks", "hook", "gemma"})
TOKEN_VARIABLE = "TOWNWATCH_ASK_TOKEN"
DEFAULTS = "GEMINI_CLI_SYSTEM_DEFAULTS_PATH"
DRAWN_SECONDS, REFUSED_SECONDS, TIMES = 0.7, 8.0, 3
"""A dialog takes no keys in its first moment, and its telemetry is sent every five seconds: Escape is pressed again
where it has not said by then that the call was refused.
"""
LOOK_SECONDS, QUIET_SECONDS = 1.0, 6.0
"""While it works its screen counts the seconds: one that stands still was interrupted, which no hook tells."""
EXPLAINED_SECONDS = 8.0
"""How long its telemetry may take to say why a turn ended without an answer."""
CONNECT_SECONDS = 60.0
"""Within this time after its start Gemini calls the first hook; it is not connected otherwise."""


@attrs.define
class _Open:
    asked: Asked
    approval: str | None = None
    outcome: str | None = None
    refusing: bool = False
    """A no from afar is on its way."""
    over: trio.Event = attrs.field(factory=trio.Event)


class GeminiTerminal:
    """One Gemini CLI in a person's terminal."""

    provider: ClassVar[str] = "gemini_cli"
    programs: ClassVar[tuple[str, ...]] = ("gemini",)
    tested: ClassVar[tuple[str, str]] = ("0.61.0", "0.61.0")

    def __init__(self, host: Host) -> None:
        self._host = host
        self._reader = GeminiReader()
        self._heard = trio.Event()
        self._failed: str | None = None
        self._news = trio.Event()
        self._turn = trio.Lock()
        self._hooked = 0.0
        self._tells_refusals = False
        self._open: dict[str, _Open] = {}

    @classmethod
    def recognise(cls, command: Sequence[str]) -> bool:
        """Return whether this opens Gemini's conversation in the terminal."""
        if not command or command[0].rpartition("/")[2] != "gemini":
            return False
        first = next((word for word in command[1:] if not word.startswith("-")), "")
        return first not in COMMANDS and not any(word.partition("=")[0] in UNTOUCHED for word in command[1:])

    async def prepare(self) -> Prepared:
        """Write the defaults that name our hooks. Raises `AdapterOff` where the machine has such a file already."""
        if self._host.launch.env.get(DEFAULTS):
            raise AdapterOff(f"{DEFAULTS} is set already; Gemini reads one such file only")
        directory, env = self._host.launch.directory, self._host.launch.env
        path = directory / "defaults.json"
        program = await trio.to_thread.run_sync(hook_program.write, directory, env)
        script = shlex.join([*program, f"{self._host.base_url}/hook"])
        one = {"type": "command", "command": script, "name": "townwatch", "timeout": 5000}
        settings: dict[str, Any] = {"hooks": {event: [{"matcher": "*", "hooks": [one]}] for event in EVENTS}}
        launch = self._host.launch
        if not await trio.to_thread.run_sync(telemetry.is_the_users, env, launch.cwd, launch.command):
            self._tells_refusals = self._reader.explains = True
            settings["telemetry"] = telemetry.defaults(self._host.base_url, env.get(TOKEN_VARIABLE, ""))
        await trio.to_thread.run_sync(shared_files.write_new, path, json.dumps(settings))
        version = await trio.to_thread.run_sync(version_in_package, self._host.launch.command[0])
        return Prepared(command=list(self._host.launch.command), env={DEFAULTS: str(path)}, version=version)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve the hooks until cancelled. Raises `AdapterOff`."""
        self._host.serve(self._serve)
        task_status.started()
        with trio.move_on_after(CONNECT_SECONDS):
            await self._heard.wait()
        if not self._heard.is_set():
            why = "not connected: Gemini calls no hooks (hooks are off, or a dialog of its start is open)"
            await self._host.say(Status(status="unknown", for_=why))
        while self._failed is None:
            with trio.move_on_after(LOOK_SECONDS):
                await self._news.wait()
            async with self._turn:
                if await self._stands_still():
                    await self._tell(self._reader.stood_still())
                if trio.current_time() - self._hooked > EXPLAINED_SECONDS:
                    await self._tell(self._reader.never_explained())
        raise AdapterOff(self._failed or "a hook could not be read")

    @property
    def goes_on_alone(self) -> bool:
        """Return False: the order would stand still."""
        return False

    async def _stands_still(self) -> bool:
        """Return whether neither its screen nor its hooks have told a thing for a while, and it is not paused."""
        quiet, pid = self._host.quiet_seconds, self._host.pid
        if quiet is None or pid is None or min(quiet, trio.current_time() - self._hooked) < QUIET_SECONDS:
            return False
        try:
            return psutil.Process(pid).status() != psutil.STATUS_STOPPED
        except psutil.Error:
            return False

    async def prompt(self, text: str) -> None:
        """Raises `NotPossible` always."""
        raise NotPossible("Gemini takes prompts in its terminal only; dispatched, it takes them from here")

    async def interrupt(self) -> None:
        """Press Escape."""
        await self._host.type(b"\x1b")

    async def _serve(self, request: HttpRequest) -> HttpAnswer:
        if request.path in logs.PATHS:
            return await self._told(request)
        self._heard.set()
        self._hooked = trio.current_time()
        if self._failed is not None:
            return HttpAnswer()
        try:
            given = mapping(_json(request.body), "hook")
            async with self._turn:
                await self._tell(self._reader.hook(given))
                if given.get("hook_event_name") == "BeforeTool":
                    return await self._judge(given)
        except ShapeError as error:
            self._failed = str(error)
            self._news.set()
        return HttpAnswer()

    async def _judge(self, given: Json) -> HttpAnswer:
        """Compare a call with the rules before it is made, and before its dialog: what they deny does not run."""
        question = self._reader.question(given)
        try:
            why = await self._host.forbid(question)
        except ContractError:  # the session is ending, and its processes with it
            return HttpAnswer()
        if why is None:
            return HttpAnswer()
        await self._tell(self._reader.refused(question.tool_use_id))
        return HttpAnswer(body=json.dumps({"decision": "deny", "reason": why}).encode())

    async def _tell(self, readings: Sequence[Reading]) -> None:
        for said in readings:
            match said:
                case Asked():
                    if self._tells_refusals:  # else a no would not be told
                        await self._ask(said)
                case Settled(request=request, outcome=outcome):
                    await self._settled(request, outcome or "withdrawn")
                case _:
                    await self._host.say(said)

    async def _ask(self, asked: Asked) -> None:
        opened = self._open[asked.request] = _Open(asked)

        async def deliver(answer: Answer) -> bool:
            return await self._deliver(opened, answer)

        try:
            opened.approval = await self._host.ask(asked.question, deliver)
        except ContractError:  # the session is ending, and its processes with it
            return

    async def _deliver(self, opened: _Open, answer: Answer) -> bool:
        """Say no with Escape, and wait until Gemini says that it was one. False where the terminal was first."""
        if opened.over.is_set():
            return False
        opened.refusing = True
        await trio.sleep(DRAWN_SECONDS)
        for _ in range(TIMES):
            if not opened.over.is_set():
                await self._host.type(b"\x1b")
            with trio.move_on_after(REFUSED_SECONDS):
                await opened.over.wait()
                return opened.outcome == "deny"
        opened.refusing = False
        raise NotPossible("Gemini has not said that the call was refused; look at its terminal")

    async def _settled(self, request: str, outcome: Outcome) -> None:
        opened = self._open.pop(request, None)
        if opened is None:
            return
        opened.outcome = outcome
        if opened.approval is not None and not (opened.refusing and outcome == "deny"):
            await self._host.settle(opened.approval, outcome)
        opened.over.set()

    async def _told(self, request: HttpRequest) -> HttpAnswer:
        """Take what its telemetry says of tokens and of a no: its hooks say nothing of them. The rest is not needed."""
        try:
            found = await logs.read(request.content_type, request.body) if request.path == logs.LOGS else []
        except logs.NotOtlp:
            return HttpAnswer(status=400)
        for record in found:
            if (used := logs.tokens(record)) is not None:
                await self._host.say(used)
            async with self._turn:
                await self._tell(self._reader.told(record))
        return HttpAnswer()


def _json(body: bytes) -> Any:
    try:
        return decode_json(body, max_bytes=32 << 20)
    except ContractError as error:
        raise ShapeError(str(error)) from None
