"""A session's terminal in this one: what it shows comes here, what is typed here goes there."""

import codecs
import os
import signal
import sys
from typing import Any

import trio

from townwatch.cli.remote import show
from townwatch.cli.remote.client import CommandFailed, ServiceClient, part
from townwatch.cli.remote.live import Live, NotConnected, open_live
from townwatch.runner.local import LocalScreen, raw_keyboard, size

SESSIONS = "/api/runner/sessions"
DETACH = b"\x1d"
"""Ctrl+]: leaves the session running. Pressed twice it is sent to it."""
CLEAR = "\x1b[!p\x1b[?1049l\x1b[2J\x1b[3J\x1b[H"
"""Before a snapshot: it is drawn on a fresh terminal."""
LAST_SECONDS = 0.7
"""How long the last of the terminal may come after the session's end: both take ways of their own."""
AHEAD = 4096
PAUSE_SECONDS = 0.7
"""What is typed within it behind something that was not taken is left out: half a line must not be run."""
RECONNECT = (0.5, 1.0, 2.0, 5.0)


class Attached:
    """One session in this terminal, over as many connections as it takes."""

    def __init__(self, client: ServiceClient, session: dict[str, Any], *, watch: bool, as_json: bool) -> None:
        self._client = client
        self._id: str = session["sessionId"]
        self._join = {"agentId": session["agentId"], "villageId": session["villageId"], "terminal": True}
        self._keys = not watch and os.isatty(0) and not as_json
        self._json = as_json
        self._live: Live | None = None
        self._was_there = False
        self._ahead = ""
        """Typed before the session was there for the first time; it is the first to be sent."""
        self._cut_off, self._cut_off_until = "", 0.0
        """Why something was not taken, and until when the rest of it is left out."""
        self._status: int | None = None
        self._trouble = ""

    async def run(self) -> int:
        self._screen = LocalScreen()
        try:
            with raw_keyboard():
                async with trio.open_nursery() as nursery:
                    if self._keys:
                        nursery.start_soon(self._keyboard, nursery.cancel_scope)
                        nursery.start_soon(self._follow_size)
                    nursery.start_soon(self._until_told, nursery.cancel_scope)
                    await self._connections()
                    nursery.cancel_scope.cancel()
                await self._screen.finish()
                await self._screen.put_back()
        except* (CommandFailed, NotConnected) as group:
            raise CommandFailed(str(_first(group))) from None
        if self._trouble:
            print(f"townwatch: {self._trouble}", file=sys.stderr)
        elif not self._json and self._status is None:
            print("\r\ntownwatch: left; the session goes on", file=sys.stderr)
        return self._status or 0

    async def _connections(self) -> None:
        """Connect again and again until the session has ended."""
        failures, again = 0, False
        while self._status is None:
            try:
                async with (
                    open_live(self._client.url, self._client.token, self._client.ca) as live,
                    trio.open_nursery() as nursery,
                ):
                    over = trio.CancelScope()
                    nursery.start_soon(self._enter, live, over)
                    with over:
                        await self._show(live, over)
                    nursery.cancel_scope.cancel()
            except* NotConnected as group:
                error = _first(group)
                if not again or getattr(error, "final", False):
                    raise error from None
                self._title(f"{error}; trying again")
            finally:
                failures, again = 0 if self._live is not None else failures, again or self._live is not None
                self._live = None
            if self._status is None:
                await trio.sleep(RECONNECT[min(failures, len(RECONNECT) - 1)])
                failures += 1
                await self._has_it_ended()

    async def _enter(self, live: Live, over: trio.CancelScope) -> None:
        answer = await live.ask("join_agent", self._join)
        if not answer.get("ok"):
            raise CommandFailed(str(answer.get("error", {}).get("message", "the service let us not see it")), 1)
        if self._keys:
            await live.emit("keyboard", {"sessionId": self._id, "action": "take"})
            await self._fit(live)
        while self._ahead:
            text, self._ahead = self._ahead, ""
            await self._type(live, text)
        self._live, self._was_there = live, True
        await self._has_it_ended()  # before we were there to be told
        if self._status is not None:
            over.deadline = min(over.deadline, trio.current_time() + LAST_SECONDS)

    async def _show(self, live: Live, over: trio.CancelScope) -> None:
        """Show what comes, until the session has ended. Raises `NotConnected`."""
        while True:
            event, payload = await live.receive()
            if payload.get("sessionId") != self._id:
                continue
            if self._json:
                print(show.json.dumps({"event": event, "payload": payload}), flush=True)
            elif event == "terminal_output":
                text = (CLEAR if payload.get("snapshot") else "") + str(payload.get("data", ""))
                await self._screen.show(text.encode("utf-8", "replace"))
            if event == "work_stream_event" and payload.get("type") == "session_end":
                self._status = _status_of(payload.get("payload", {}))
                over.deadline = trio.current_time() + LAST_SECONDS

    async def _has_it_ended(self) -> None:
        """Ask whether its end came while we were not there, where the service is there."""
        try:
            found = await self._client.get(f"{SESSIONS}/{part(self._id)}")
        except CommandFailed as refused:
            if refused.status == 1:
                raise
            return
        if found["state"] in ("COMPLETED", "FAILED"):
            self._status = _status_of({"exitCode": found["exitCode"], "finalState": found["state"]})

    async def _keyboard(self, leave: trio.CancelScope) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while True:
            await trio.lowlevel.wait_readable(0)
            data = os.read(0, 4096)
            if not data or self._leaves(data):
                leave.cancel()
                return
            text = decoder.decode(data)
            if text and not self._was_there and self._live is None and len(self._ahead) + len(text) <= AHEAD:
                self._ahead += text
            elif text:
                await self._type(self._live, text)

    def _leaves(self, data: bytes) -> bool:
        """Return whether the key that detaches was pressed; pressed again at once it is an ordinary key."""
        return DETACH in data and DETACH * 2 not in data

    async def _type(self, live: Live | None, text: str) -> None:
        why = self._cut_off if trio.current_time() < self._cut_off_until else await self._sent(live, text)
        if why:
            self._cut_off, self._cut_off_until = why, trio.current_time() + PAUSE_SECONDS
            self._title(f"{why}; what you type is not sent, until you pause")

    async def _sent(self, live: Live | None, text: str) -> str:
        """Send what was typed; return why it was not taken, "" where it was."""
        if live is None:
            return "not connected"
        try:
            answer = await live.ask("terminal_input", {"sessionId": self._id, "data": text})
        except NotConnected:
            return "not connected"
        return "" if answer.get("ok") else str(answer.get("error", {}).get("message", "the key was refused"))

    async def _follow_size(self) -> None:
        with trio.open_signal_receiver(signal.SIGWINCH) as signals:
            async for _ in signals:
                if self._live is not None:
                    await self._fit(self._live)

    async def _fit(self, live: Live) -> None:
        cols, rows = size()
        await live.emit("terminal_resize", {"sessionId": self._id, "cols": min(cols, 1000), "rows": min(rows, 1000)})

    async def _until_told(self, leave: trio.CancelScope) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGHUP, signal.SIGINT) as signals:
            async for _ in signals:
                leave.cancel()
                return

    def _title(self, text: str) -> None:
        """Say something without touching the picture: in the window's title."""
        if os.isatty(1):
            sys.stdout.write(f"\x1b]0;townwatch: {show.plain(text)[:200]}\x07\a")
            sys.stdout.flush()


def _status_of(payload: dict[str, Any]) -> int:
    code = payload.get("exitCode")
    if isinstance(code, int):
        return code if 0 <= code <= 255 else 1
    return 0 if payload.get("finalState") == "COMPLETED" else 1


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
