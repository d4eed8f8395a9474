"""`townwatch serve --keep`: a process that starts the service again whenever it dies, where there is no systemd."""

import os
import signal
import socket
import subprocess
import sys
import time
from types import FrameType

KEPT = "TOWNWATCH_KEPT"
WRONG_USE = 2
"""The status of a service that cannot start because of what it was told: starting it again would not help."""
SETTLED_SECONDS = 5.0
"""Who lived so long did not fail at the start."""
FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0


def is_kept() -> bool:
    """Whether somebody starts this process again when it dies: this wrapper (while it lives), or systemd."""
    return os.environ.get(KEPT) == str(os.getppid()) or "NOTIFY_SOCKET" in os.environ


def keep_running(arguments: list[str], host: str, port: int) -> int:
    """Run `townwatch ARGUMENTS` (less --keep) until it ends by itself with 0 or 2, or this process is told to stop.

    Returns its last status. A service that dies again and again is started after longer and longer waits. `port`: 0
    for any free one, the same for every life.
    """
    command = [sys.executable, "-m", "app", *_without(arguments, "--port"), f"--port={port or free_port(host)}"]
    return _Keeper([one for one in command if one != "--keep"]).run()


def _without(arguments: list[str], option: str) -> list[str]:
    """Less an option and its value."""
    kept: list[str] = []
    skip = False
    for one in arguments:
        if not skip and one != option and not one.startswith(f"{option}="):
            kept.append(one)
        skip = one == option
    return kept


def free_port(host: str) -> int:
    """One that nobody listens at, at this moment."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        return listener.getsockname()[1]


class _Keeper:
    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None
        self._told = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._pass_on)

    def run(self) -> int:
        wait = FIRST_WAIT
        while True:
            began = time.monotonic()
            self._child = subprocess.Popen(self._command, env={**os.environ, KEPT: str(os.getpid())})
            status = self._child.wait()
            if self._told or status in (0, WRONG_USE):
                return status if status >= 0 else 128 - status
            lived = time.monotonic() - began
            wait = FIRST_WAIT if lived > SETTLED_SECONDS else min(wait * 2, LONGEST_WAIT)
            pause = 0.0 if lived > SETTLED_SECONDS else wait
            why = signal.Signals(-status).name if status < 0 else f"status {status}"
            print(f"townwatch: the service died ({why}) after {lived:.1f} s; starting it again", file=sys.stderr)
            time.sleep(pause)
            if self._told:
                return 0

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        """The child ends in order; ^C reaches it by itself too, which does no harm."""
        self._told = True
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(number)
