"""Claude Code in a person's terminal: the CLI's own TUI, with hooks that tell and answer beside it.

A permission hook runs at the same time as the dialog in the terminal, and the first answer wins. Who won is the CLI's
word: a connection that it closes was answered no there, its telemetry says who decided, a tool that ran was allowed.
"""

import json
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import PurePath
from typing import Any, Literal

import attrs
import structlog
import trio

from townwatch.contracts.codec import ContractError
from townwatch.runner.agents import events as a, shared_files
from townwatch.runner.agents.adapter import Adapter, AdapterOff, Host, HttpAnswer, HttpRequest, Prepared
from townwatch.runner.agents.claude import answers, plugin, session_file, telemetry
from townwatch.runner.agents.claude.hooks import Heard, Hooks
from townwatch.runner.agents.claude.tools import fields_of
from townwatch.runner.agents.otlp import logs
from townwatch.runner.agents.shape import ShapeError
from townwatch.runner.session.lifecycle import NotPossible

log = structlog.get_logger("agents")

LOOK_SECONDS = 0.1
"""How often the CLI's session file is looked at."""
STEADY_SECONDS, STALE_SECONDS = 0.5, 3.0
"""How long the session file has to say something else than the hooks before it is believed: where it changed after the
last hook, and where it did not. Hooks are faster; the file may still say what was before them.
"""
CONFIRM_SECONDS = 2.0
"""How long the CLI's telemetry may take to say who decided."""
START_SECONDS = 2.0
"""A CLI that has drawn something, is quiet this long and has no session file shows a dialog of its start."""
TYPED_SECONDS = 0.3
"""Between a pasted prompt and its Enter, so that the CLI takes them for two things."""
TAKEN_SECONDS = 5.0
_NOT_INTERACTIVE = frozenset(
    {"-p", "--print", "--bare", "--safe-mode", "-v", "--version", "-h", "--help", "--bg", "--background"}
)
_SUBCOMMANDS = frozenset(
    "agents auth auto-mode config doctor gateway install mcp migrate-installer plugin plugins project setup-token "
    "update upgrade".split()
)
Won = Literal["us", "terminal"]


@attrs.define(eq=False)
class _Dialog:
    """A permission dialog that is open in the terminal and held open here."""

    question: a.Question
    given: dict[str, Any]
    approval_id: str = ""
    reply: dict[str, Any] | None = None
    answered: trio.Event = attrs.field(factory=trio.Event)
    sent: trio.Event = attrs.field(factory=trio.Event)
    taken: bool = False
    won: Won | None = None
    decided: trio.Event = attrs.field(factory=trio.Event)
    seen_waiting: bool = False

    def on_taken(self, taken: bool) -> None:
        self.taken = taken
        self.sent.set()

    @property
    def lost(self) -> bool:
        """Return whether the terminal's answer stands."""
        return self.won == "terminal"

    def ended(self, won: Won) -> None:
        if self.won is None:
            self.won = won
            self.decided.set()


class ClaudeTerminal(Adapter):
    """Implements `adapter.Adapter`."""

    provider = "claude_code"
    programs = ("claude",)
    tested = ("2.1.332", "2.1.332")

    def __init__(self, host: Host) -> None:
        self._host = host
        self._hooks = Hooks()
        self._dialogs: list[_Dialog] = []
        self._send, self._messages = trio.open_memory_channel[tuple[dict[str, Any], _Dialog | None]](1000)
        self._telemetry = False
        self._seen: session_file.Seen | None = None
        self._version: str | None = None
        self._hooked: a.Status | None = None
        self._hooked_at = -math.inf
        self._prompted = trio.Event()

    @classmethod
    def recognise(cls, command: Sequence[str]) -> bool:
        """An interactive session: a printed answer or a subcommand has no dialog to be beside."""
        if not command or PurePath(command[0]).name not in cls.programs:
            return False
        words = command[1:]
        plain = next((word for word in words if not word.startswith("-")), "")
        return not (_NOT_INTERACTIVE.intersection(words) or (words and words[0] == plain and plain in _SUBCOMMANDS))

    async def prepare(self) -> Prepared:
        launch = self._host.launch
        directory = await trio.to_thread.run_sync(plugin.write, launch.directory, self._host.base_url)
        env = telemetry.environment(self._host.base_url, launch.env.get(plugin.TOKEN_VARIABLE, ""), launch.env)
        self._telemetry = bool(env)
        first, *rest = launch.command
        return Prepared(command=[first, f"--plugin-dir={directory}", *rest], env=env)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        self._host.serve(self._http)
        task_status.started()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_hooks)
            nursery.start_soon(self._follow_file)

    # --- what the CLI says ------------------------------------------------------------------------------------------

    async def _http(self, request: HttpRequest) -> HttpAnswer:
        """Answer a hook at once, except for a permission: that is held until a person decides."""
        try:
            if request.path == logs.LOGS:
                await self._told(await logs.read(request.content_type, request.body))
                return HttpAnswer()
            message = json.loads(request.body)
        except (ValueError, RecursionError):
            return HttpAnswer(status=400)
        found = dict(fields_of(message))
        if found.get("hook_event_name") != "PermissionRequest":
            await self._send.send((found, None))
            return HttpAnswer()
        dialog = _Dialog(a.Question(summary="", category="other"), dict(fields_of(found.get("tool_input"))))
        await self._send.send((found, dialog))
        return await self._hold(dialog, request)

    async def _hold(self, dialog: _Dialog, request: HttpRequest) -> HttpAnswer:
        """Wait for a decision, or for the CLI to close the connection: its dialog was answered no, or is gone."""
        async with trio.open_nursery() as nursery:

            async def decision() -> None:
                await dialog.answered.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(decision)
            await request.gone()
            nursery.cancel_scope.cancel()
        if not dialog.answered.is_set() or dialog.reply is None:
            dialog.ended("terminal")
            await self._close(dialog, "refused or closed in its terminal")
            return HttpAnswer()
        specific = {"hookEventName": "PermissionRequest", "decision": dialog.reply}
        return HttpAnswer(body=json.dumps({"hookSpecificOutput": specific}).encode(), taken=dialog.on_taken)

    async def _read_hooks(self) -> None:
        async for message, dialog in self._messages:
            self._hooked_at = trio.current_time()
            try:
                heard = self._hooks.read(message)
            except ShapeError as error:
                raise AdapterOff(f"a hook came in a shape that is not known: {error}") from None
            if message.get("hook_event_name") == "UserPromptSubmit":
                self._prompted.set()
            await self._tell(heard)
            if dialog is not None and heard.question is not None:
                await self._ask(dialog, heard.question)

    async def _tell(self, heard: Heard) -> None:
        for call_id, how in heard.over.items():
            for dialog in [one for one in self._dialogs if one.question.tool_use_id == call_id]:
                await self._outcome(dialog, ran=how == "ran")
        if heard.all_over:
            for dialog in list(self._dialogs):
                await self._outcome(dialog, ran=None)
        for event in heard.events:
            await self._host.say(event)
        if heard.status is not None and heard.question is None:
            self._hooked = heard.status
            await self._say_status()

    async def _outcome(self, dialog: _Dialog, ran: bool | None) -> None:
        """The CLI is past a dialog. What it did says whose answer it took: ours, unless it did the other thing."""
        wanted = None if dialog.reply is None else dialog.reply.get("behavior") == "allow"
        if wanted is not None and ran in (wanted, None):
            dialog.ended("us")
            return
        dialog.ended("terminal")
        how = {True: "allowed in its terminal", False: "refused in its terminal", None: "closed in its terminal"}[ran]
        await self._close(dialog, how)

    async def _told(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Telemetry."""
        for record in records:
            match telemetry.read(record):
                case a.Tokens() as tokens:
                    await self._host.say(tokens)
                case telemetry.ToolDecision() as decided:
                    await self._decided(decided)
                case None:
                    pass

    async def _decided(self, decided: telemetry.ToolDecision) -> None:
        for dialog in [one for one in self._dialogs if one.question.tool_use_id == decided.tool_use_id]:
            same = dialog.reply is not None and (dialog.reply.get("behavior") == "allow") == decided.accepted
            ours = same and dialog.won == "us"  # a no of ours that interrupts is told once more, as a person's abort
            dialog.ended("terminal" if decided.local else "us")
            if decided.local and not ours:
                await self._close(dialog, f"{'allowed' if decided.accepted else 'refused'} in its terminal")

    # --- dialogs ------------------------------------------------------------------------------------------------------

    async def _ask(self, dialog: _Dialog, question: a.Question) -> None:
        dialog.question = question
        if dialog.lost:
            return
        self._dialogs.append(dialog)
        await self._say_status()
        try:
            dialog.approval_id = await self._host.ask(question, partial(self._deliver, dialog))
        except ContractError as error:  # the session is ending: the dialog in the terminal stays
            self._dialogs.remove(dialog)
            log.info("dialog_not_asked", reason=str(error))
            return
        if dialog.lost:  # it was closed while it was being told
            await self._close(dialog, "refused or closed in its terminal")

    async def _deliver(self, dialog: _Dialog, answer: a.Answer) -> bool:
        if dialog.lost:
            return False
        reply = answers.decision(dialog.question.tool or "", dialog.given, dialog.question.suggestions, answer)
        # The unchanged input is left out, but for a plan: Claude takes no yes to it without one, and its dialog stays.
        if reply.get("updatedInput") == dialog.given and dialog.question.tool != "ExitPlanMode":
            del reply["updatedInput"]
        dialog.reply = reply
        dialog.answered.set()
        await dialog.sent.wait()
        if dialog.taken:
            with trio.move_on_after(CONFIRM_SECONDS if self._telemetry else LOOK_SECONDS):
                await dialog.decided.wait()
        confirmed = dialog.decided.is_set()
        dialog.ended("us" if dialog.taken else "terminal")
        if dialog.lost:
            await self._close(dialog, "answered in its terminal")
            return False
        if answer.decision == "allow" and dialog.question.tool_use_id is not None:
            self._hooks.allowed[dialog.question.tool_use_id] = confirmed
        await self._forget(dialog)
        return True

    async def _close(self, dialog: _Dialog, how: str) -> None:
        """The terminal's answer stands."""
        dialog.sent.set()
        self._hooks.refused.add(dialog.question.tool_use_id or "")
        if dialog.approval_id:
            await self._host.settle(dialog.approval_id, "withdrawn", "terminal", how)
            await self._forget(dialog)

    async def _forget(self, dialog: _Dialog) -> None:
        if dialog in self._dialogs:
            self._dialogs.remove(dialog)
            self._hooked = self._hooked if self._dialogs else a.Status(status="busy")
            await self._say_status()

    # --- status -------------------------------------------------------------------------------------------------------

    async def _say_status(self) -> None:
        """An open dialog is waited for; else what the hooks or the session file said last."""
        if self._dialogs:
            await self._host.say(a.Status(status="waiting", for_=self._dialogs[0].question.summary))
        elif self._hooked is not None:
            await self._host.say(self._hooked)

    async def _follow_file(self) -> None:
        """Believe the session file where it says something else for longer than hooks take."""
        since, last = -math.inf, None
        while True:
            await trio.sleep(LOOK_SECONDS)
            seen = await trio.to_thread.run_sync(self._look)
            if seen is None or seen.status is None:
                await self._starts()
                continue
            if self._seen is None:
                self._hooked = a.Status(status=seen.status, for_=seen.waiting_for)
                await self._host.say(a.CliSession(cli_session_id=seen.session_id, version=seen.version))
                await self._say_status()
            self._seen = seen
            if seen != last:
                since, last = trio.current_time(), seen
            for dialog in self._dialogs:
                dialog.seen_waiting = dialog.seen_waiting or seen.status == "waiting"
            patience = STEADY_SECONDS if since > self._hooked_at else STALE_SECONDS
            if trio.current_time() - max(since, self._hooked_at) >= patience:
                await self._believe(seen)

    async def _believe(self, seen: session_file.Seen) -> None:
        assert seen.status is not None
        if self._dialogs:
            gone = [one for one in self._dialogs if one.seen_waiting and one.reply is None and one.approval_id]
            if seen.status != "waiting" and gone:  # answered there, and no hook has said so
                for dialog in gone:
                    await self._outcome(dialog, ran=None)
            return
        if self._hooked is not None and self._hooked.status == seen.status:
            return
        if seen.status == "idle" and self._hooks.in_turn:  # interrupted: there is no hook for that
            await self._tell(self._hooks.interrupted())
            return
        self._hooked = a.Status(status=seen.status, for_=seen.waiting_for)
        await self._say_status()

    async def _starts(self) -> None:
        """No session file: it starts, shows a dialog before it begins, or is a version that writes none."""
        quiet = self._host.quiet_seconds
        if self._seen is not None or (self._hooked is not None and self._hooked.status != "waiting"):
            return
        if quiet is not None and quiet >= START_SECONDS and self._hooked is None:
            self._hooked = a.Status(status="waiting", for_="a dialog of its start (trust, sign-in) in its terminal")
            await self._say_status()
        elif self._hooked is not None and quiet is not None and quiet < LOOK_SECONDS:
            self._hooked = None
            await self._host.say(a.Status(status="starting"))

    def _look(self) -> session_file.Seen | None:
        """The file of our process; where the program is a wrapper of the CLI, that of the session that hooks name."""
        directory = session_file.directory(self._host.launch.env)
        if directory is None or self._host.pid is None:
            return None
        seen = session_file.read(directory / f"{self._host.pid}.json")
        if seen is not None or self._hooks.cli_session_id is None:
            return seen
        files = (session_file.read(path) for path in shared_files.find(directory, "*.json"))
        return next((one for one in files if one and one.session_id == self._hooks.cli_session_id), None)

    # --- prompts ------------------------------------------------------------------------------------------------------

    @property
    def goes_on_alone(self) -> bool:
        """Return False: the order would stand still."""
        return False

    async def prompt(self, text: str) -> None:
        """Paste it into the idle CLI. There is no structured channel into a TUI: so only where it is certain that no
        dialog is open, and none can open.
        """
        if self._hooks.subagents:
            raise NotPossible("subagents are at work and may ask something at any moment; queue the prompt instead")
        with trio.move_on_after(STALE_SECONDS):  # the hook that ends a turn is faster than the file
            while not self._is_idle(await trio.to_thread.run_sync(self._look)):  # noqa: ASYNC110 - a file
                await trio.sleep(LOOK_SECONDS)
        await self._check_idle()
        self._prompted = trio.Event()
        clean = "".join(one for one in text if one == "\n" or one == "\t" or one.isprintable())
        guarded = f" {clean}" if clean.startswith("!") else clean  # a leading ! would run it in a shell
        await self._host.type(f"\x1b[200~{guarded}\x1b[201~".encode())
        await trio.sleep(TYPED_SECONDS)
        await self._check_idle()
        await self._host.type(b"\r")
        with trio.move_on_after(TAKEN_SECONDS):
            await self._prompted.wait()
            return
        raise NotPossible("the agent did not take the prompt; look at its terminal")

    async def _check_idle(self) -> None:
        seen = await trio.to_thread.run_sync(self._look)
        if not self._is_idle(seen):
            raise NotPossible(f"the agent is {seen.status if seen is not None else 'not known to be idle'}")

    def _is_idle(self, seen: session_file.Seen | None) -> bool:
        return seen is not None and seen.status == "idle" and not self._dialogs

    async def interrupt(self) -> None:
        seen = await trio.to_thread.run_sync(self._look)
        if seen is None or seen.status != "busy" or self._dialogs:
            raise NotPossible("the agent is not at work on a turn that could be interrupted")
        await self._host.type(b"\x1b")
