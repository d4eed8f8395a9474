"""kill -9 of the service, again and again, while real runners with real programs write numbered lines.

Afterwards every line that a program wrote is in the journal exactly once and in order. By hand, for longer:
TOWNWATCH_KILLS=100 python -m pytest tests/chaos/test_service_killed.py
"""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import attrs
import pytest

from tests.support.whole_log import read_all
from townwatch.contracts.codec import decode_json
from townwatch.store.log.read import LogReader

KILLS = int(os.environ.get("TOWNWATCH_KILLS", "4"))
SEED = int(os.environ.get("TOWNWATCH_SEED", "1"))
PROGRAMS = 3
WRITER = """
import sys, time
name, seconds = sys.argv[1], float(sys.argv[2])
end, number = time.monotonic() + seconds, 0
while time.monotonic() < end:
    number += 1
    print(f"{name}:{number}.", flush=True)
    time.sleep(0.01)
print(f"{name} wrote {number} lines.", flush=True)
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@attrs.define
class House:
    """A service in a process of its own, and the programs whose runners talk to it."""

    folder: Path
    port: int
    processes: list[subprocess.Popen[bytes]] = attrs.field(factory=list)
    service: subprocess.Popen[bytes] | None = None

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def townwatch(self, *arguments: str, output: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "TOWNWATCH_STATE_DIR": str(self.state)}
        with (self.folder / output).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "townwatch", *arguments],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
            )
        self.processes.append(process)
        return process

    def start_service(self) -> None:
        """Returns when it listens and a command of this machine finds its runner."""
        self.service = self.townwatch("serve", f"--port={self.port}", output="serve.log")
        deadline = time.monotonic() + 90
        while True:
            assert self.service.poll() is None, (self.folder / "serve.log").read_text()[-3000:]
            assert time.monotonic() < deadline, "the service does not listen"
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                if (self.state / "runner.json").exists():
                    return
            except OSError:
                pass
            time.sleep(0.02)

    def kill_service(self) -> None:
        assert self.service is not None
        self.service.kill()
        self.service.wait()

    def text_of(self, session_id: str) -> str:
        """All terminal output that the journal has of a session."""
        reader = LogReader(self.state / "journal.db")
        try:
            parts: list[str] = []
            after = 0
            while records := reader.read(session_id, after):
                after = records[-1].seq
                assert [record.seq for record in records] == list(range(after - len(records) + 1, after + 1))
                parts += [decode_json(r.body)["data"] for r in records if r.type == "TERMINAL_CHUNK"]
            return "".join(parts)
        finally:
            reader.close()

    def sessions(self) -> list[str]:
        reader = LogReader(self.state / "journal.db")
        try:
            return sorted({record.session_id for record in read_all(reader)})
        finally:
            reader.close()

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.mark.timeout(120 + 10 * KILLS)
def test_every_line_is_stored_once_and_in_order(tmp_path: Path) -> None:
    house = House(tmp_path, free_port())
    try:
        house.start_service()
        seconds = 2.0 * KILLS
        script = tmp_path / "writer.py"
        script.write_text(WRITER)
        writers = [
            house.townwatch("run", "--", sys.executable, str(script), f"w{n}", str(seconds), output=f"w{n}.out")
            for n in range(PROGRAMS)
        ]
        dice = random.Random(SEED)
        for _ in range(KILLS):
            time.sleep(dice.uniform(0.3, 2.0))
            house.kill_service()
            time.sleep(dice.uniform(0.0, 0.5))
            house.start_service()
        for number, writer in enumerate(writers):
            assert writer.wait(timeout=60 + seconds) == 0, (tmp_path / f"w{number}.out").read_text()[-2000:]
        deliver_the_rest(house)
        assert house.service is not None
        house.service.send_signal(signal.SIGTERM)
        assert house.service.wait(timeout=10) == 0
        check(house, tmp_path)
    finally:
        house.close()


def deliver_the_rest(house: House) -> None:
    """What a `townwatch run` could not deliver is in its spool: the next process in its slot sends it."""
    again = [house.townwatch("run", "--", "sleep", "6", output="again.out") for _ in range(PROGRAMS)]
    for process in again:
        assert process.wait(timeout=60) == 0


def check(house: House, folder: Path) -> None:
    texts = {session_id: house.text_of(session_id) for session_id in house.sessions()}
    for number in range(PROGRAMS):
        name = f"w{number}"
        wrote = re.search(rf"{name} wrote (\d+) lines", (folder / f"{name}.out").read_text())
        assert wrote is not None
        text = next(text for text in texts.values() if f"{name}:1." in text)
        lines = [int(found) for found in re.findall(rf"{name}:(\d+)\.", text)]
        assert lines == list(range(1, int(wrote[1]) + 1))
