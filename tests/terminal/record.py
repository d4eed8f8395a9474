"""Record a real program under keys: python -m tests.terminal.record NAME 'keys|keys' COMMAND …

A `|` between keys is a pause; `\\e` and the like are understood; `@100x30` resizes the terminal.
"""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from townwatch.runner.session.terminal import _set_size

COLS, ROWS = 80, 24
PAUSE = 0.6


def record(keys: str, command: list[str]) -> list[str | list[int]]:
    """The program's output in pieces, and the changes of size."""
    master, slave = pty.openpty()
    _set_size(master, COLS, ROWS)
    environ = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", "LINES": "", "COLUMNS": "", "PS1": "$ "}
    del environ["LINES"], environ["COLUMNS"]
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environ, start_new_session=True)
    os.close(slave)
    steps: list[str | list[int]] = []
    _read(master, steps)
    for part in keys.split("|"):
        if part.startswith("@"):
            cols, _, rows = part[1:].partition("x")
            _set_size(master, int(cols), int(rows))
            steps.append([int(cols), int(rows)])
            os.killpg(process.pid, signal.SIGWINCH)
        else:
            os.write(master, part.replace("\\e", "\\x1b").encode().decode("unicode_escape").encode("latin-1"))
        _read(master, steps)
    process.kill()
    process.wait()
    os.close(master)
    return steps


def _read(master: int, steps: list[str | list[int]]) -> None:
    end = time.monotonic() + PAUSE
    data = b""
    while (left := end - time.monotonic()) > 0:
        if select.select([master], [], [], left)[0]:
            try:
                data += os.read(master, 65536)
            except OSError:
                break
    if data:
        steps.append(data.decode(errors="replace"))


if __name__ == "__main__":
    name, keys, *command = sys.argv[1:]
    found = {"size": [COLS, ROWS], "command": command, "steps": record(keys, command)}
    target = Path(__file__).parent / "recordings" / f"{name}.json"
    target.write_text(json.dumps(found, ensure_ascii=True) + "\n")
    print(target.name, target.stat().st_size, "bytes")
