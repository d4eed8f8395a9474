"""Gemini CLI in a terminal: hooks of ours observe it, with the lowest precedence, beside the person's own.

They are named by GEMINI_CLI_SYSTEM_DEFAULTS_PATH, a file of the session's. Gemini answers its dialogs in the terminal
only: a hook can see them, and cannot say yes. Dispatched, it speaks the Agent Client Protocol and is answered from
anywhere.
"""

import json
import shlex
from collections.abc import Sequence
from typing import Any, ClassVar

import trio

from townwatch.contracts.codec import ContractError, decode_json
from townwatch.runner.agents import shared_files
from townwatch.runner.agents.adapter import AdapterOff, Host, HttpAnswer, HttpRequest, Prepared
from townwatch.runner.agents.events import Status
from townwatch.runner.agents.gemini import hook_program, telemetry
from townwatch.runner.agents.gemini.reading import EVENTS, GeminiReader
from townwatch.runner.agents.otlp import logs
from townwatch.runner.agents.readings import Asked, Settled
from townwatch.runner.agents.shape import ShapeError, mapping
from townwatch.runner.agents.versions import version_in_package
from townwatch.runner.session.lifecycle import NotPossible

UNTOUCHED = frozenset({"-p", "--prompt", "--acp", "--experimental-acp", "-v", "--version", "-h", "--help"})
COMMANDS = frozenset({"mcp", "extensions", "extension", "skills", "skill", "hooks", "hook", "gemma"})
TOKEN_VARIABLE = "TOWNWATCH_ASK_TOKEN"
DEFAULTS = "GEMINI_CLI_SYSTEM_DEFAULTS_PATH"
CONNECT_SECONDS = 60.0
"""Within this time after its start Gemini calls the first hook; it is not connected otherwise."""


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
        await self._news.wait()
        raise AdapterOff(self._failed or "a hook could not be read")

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
        if self._failed is not None:
            return HttpAnswer()
        try:
            async with self._turn:
                for said in self._reader.hook(mapping(_json(request.body), "hook")):
                    if not isinstance(said, Asked | Settled):
                        await self._host.say(said)
        except ShapeError as error:
            self._failed = str(error)
            self._news.set()
        return HttpAnswer()

    async def _told(self, request: HttpRequest) -> HttpAnswer:
        """Count what its telemetry says of tokens: its hooks say nothing of them. The rest is not needed."""
        try:
            found = await logs.read(request.content_type, request.body) if request.path == logs.LOGS else []
        except logs.NotOtlp:
            return HttpAnswer(status=400)
        for record in found:
            if (used := logs.tokens(record)) is not None:
                await self._host.say(used)
        return HttpAnswer()


def _json(body: bytes) -> Any:
    try:
        return decode_json(body, max_bytes=32 << 20)
    except ContractError as error:
        raise ShapeError(str(error)) from None
