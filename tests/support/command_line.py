"""The command `townwatch` as a person has it: their home directory, their working directory, nothing of ours."""

import os
import subprocess
import sysconfig
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import attrs

COMMAND = Path(sysconfig.get_path("scripts")) / "townwatch"
SECONDS = 110

Done = subprocess.CompletedProcess[str]


@attrs.frozen
class Person:
    """A person at a terminal. `home`: their home directory, `where`: their working directory."""

    home: Path
    where: Path

    @classmethod
    def below(cls, folder: Path) -> "Person":
        for name in ("home", "work"):
            (folder / name).mkdir(exist_ok=True)
        return cls(folder / "home", folder / "work")

    @property
    def state(self) -> Path:
        """Their state directory, where they say nothing else."""
        return self.home / ".local" / "state" / "townwatch"

    def environ(self, **more: str) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("TOWNWATCH_", "XDG_", "PYTHON"))
        }
        return {**kept, "HOME": str(self.home), **more}

    def townwatch(self, *words: str, stdin: str = "", **more: str) -> Done:
        """Run one command to its end."""
        return subprocess.run(
            [str(COMMAND), *words],
            cwd=self.where,
            env=self.environ(**more),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    @contextmanager
    def program(self, *words: str, until: str, **more: str) -> Iterator[Path]:
        """Run a command beside the block, from when its output says `until`; yield the file of its output."""
        out = self.home / f"{words[0]}.log"
        with out.open("w") as file:
            process = subprocess.Popen(
                [str(COMMAND), *words], cwd=self.home, env=self.environ(**more), stdout=file, stderr=file
            )
        try:
            deadline = time.monotonic() + SECONDS
            while until not in out.read_text():
                assert process.poll() is None and time.monotonic() < deadline, out.read_text()
                time.sleep(0.1)
            yield out
        finally:
            process.terminate()
            process.wait(SECONDS)

    def all_of(self, commands: Sequence[Sequence[str]]) -> list[Done]:
        """Run commands that do not need each other, some at once."""
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(lambda words: self.townwatch(*words), commands))


def one_line(done: Done, status: int = 2) -> str:
    """Return the one line on standard error of a command that ended with this status and said nothing else."""
    assert done.returncode == status, (done.args, done.returncode, done.stdout, done.stderr)
    assert done.stdout == "", (done.args, done.stdout)
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("townwatch: "), (done.args, done.stderr)
    assert "Traceback" not in done.stderr and "internal error" not in done.stderr, (done.args, done.stderr)
    return done.stderr
