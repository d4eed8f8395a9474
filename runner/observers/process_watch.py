"""One look at the processes of all sessions of a runner; a session is woken only when its own have changed."""

from collections.abc import Mapping

import attrs
import structlog
import trio

from townwatch.runner.observers.differences import THREADS
from townwatch.runner.session.processes import Process, ProcessTable

log = structlog.get_logger("watch")

LOOK_SECONDS = 0.2
"""How often processes are looked at. Shorter commands of a shell that print nothing may not be seen."""
SOON_SECONDS = 0.02
"""After output of a session, which may be a command's first words."""
BURST, REFILL_SECONDS = 15, 0.5
"""Looks that output may ask for one after another, and how long until there is one more: a session that prints without
end costs two looks a second, not fifty."""


@attrs.define(eq=False)
class _Followed:
    members: Mapping[int, Process]
    commands: Mapping[int, list[str]]
    changed: trio.Event


class ProcessWatch:
    """`run` it beside the sessions of a runner."""

    def __init__(self, table: ProcessTable) -> None:
        self.table = table
        self._followed: dict[str, _Followed] = {}
        self._wanted = trio.Event()
        self._printed = trio.Event()
        self._left, self._refilled = float(BURST), 0.0

    async def run(self) -> None:
        """Look while there is a session to look for, until cancelled."""
        while True:
            if not self._followed:
                self._wanted = trio.Event()
                await self._wanted.wait()
            try:
                self._take(await trio.to_thread.run_sync(self.table.all_members, SOON_SECONDS / 2, limiter=THREADS))
            except Exception as error:  # the next look may go well
                log.warning("processes_not_read", reason=f"{type(error).__name__}: {error}")
            await self._until_the_next()

    async def _until_the_next(self) -> None:
        """Wait for the next look: a command that prints is looked for at once."""
        now = trio.current_time()
        self._left, self._refilled = min(BURST, self._left + (now - self._refilled) / REFILL_SECONDS), now
        if self._left < 1:
            await trio.sleep(LOOK_SECONDS)
            return
        with trio.move_on_after(LOOK_SECONDS):
            await trio.sleep(SOON_SECONDS)
            await self._printed.wait()
            self._printed = trio.Event()
            self._left -= 1

    def printed(self) -> None:
        """Tell it that a session printed something."""
        self._printed.set()

    def _take(self, found: Mapping[str, Mapping[int, Process]]) -> None:
        for session_id, followed in self._followed.items():
            members = found.get(session_id, {})
            commands = {pid: process.command for pid, process in members.items()}
            followed.members = members
            if commands != followed.commands:
                followed.commands = commands
                followed.changed.set()

    async def changed(self, session_id: str) -> Mapping[int, Process]:
        """The processes of a session, when they are others than before."""
        if session_id not in self._followed:
            self._followed[session_id] = _Followed({}, {}, trio.Event())
            self._wanted.set()
        followed = self._followed[session_id]
        await followed.changed.wait()
        followed.changed = trio.Event()
        return followed.members

    def forget(self, session_id: str) -> None:
        self._followed.pop(session_id, None)
