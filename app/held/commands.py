"""Commands whose texts are left out of their rows (a village's setting), as long as this process has them."""

import secrets
from collections import OrderedDict

import attrs

from townwatch.contracts.link import Command
from townwatch.contracts.secrets import left_out

KEPT = 2000
"""Commands that are held; of older ones that are still open only what is stored is told."""


class HeldCommands:
    """Key in the stored command → the whole of it. Used by threads of the database as well as by the loop."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, Command] = OrderedDict()

    def stored(self, command: Command) -> Command:
        """Return the command as it is to be stored; it is held from before it is stored."""
        key = secrets.token_hex(8)
        self._held[key] = command
        while len(self._held) > KEPT:
            self._held.popitem(last=False)
        return left_out.command(command, key)

    def whole(self, stored: Command) -> Command | None:
        """Return a stored command as it is to be told; None where nothing of it is."""
        if stored.in_memory is None:
            return stored
        held = self._held.get(stored.in_memory)
        if held is None:
            return left_out.after_loss(stored)
        return attrs.evolve(held, command_id=stored.command_id, resolved_by=stored.resolved_by)

    def forget(self, command_id: str) -> None:
        """Drop a command that is settled."""
        if not self._held:
            return
        for key, held in list(self._held.items()):
            if command_id == held.command_id or command_id.startswith(f"{held.command_id}:"):
                self._held.pop(key, None)

    def forget_session(self, session_id: str) -> None:
        """Drop what was promised of a session that has ended."""
        for key, held in list(self._held.items()):
            if session_id in (held.session_id, held.config.session_id if held.config is not None else None):
                self._held.pop(key, None)
