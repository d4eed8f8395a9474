"""The sessions' program: it writes numbered lines into its terminal, notes in a file what it wrote, and asks."""

import json
from pathlib import Path

import attrs

SOURCE = """
import json, os, random, subprocess, sys, time
name, folder, asks, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
dice = random.Random(seed)
truth = open(f"{folder}/{name}.lines", "a", buffering=1)
heard = open(f"{folder}/{name}.heard", "a", buffering=1)
open(f"{folder}/{name}.session", "w").write(os.environ["TOWNWATCH_SESSION"])
number, asked, asking, question = 0, 0, None, ""
next_question = time.monotonic() + dice.uniform(2, 8)
try:
    while not os.path.exists(f"{folder}/stop"):
        for _ in range(20 if dice.random() < 0.01 else 1):
            number += 1
            truth.write(f"{number}\\n")
            print(f"{name}:{number}.", flush=True)
        time.sleep(dice.uniform(0.03, 0.07))
        if asking is not None and asking.poll() is not None:
            heard.write(json.dumps([question, asking.returncode]) + "\\n")
            asking, next_question = None, time.monotonic() + dice.uniform(4, 10)
        if asks and asking is None and time.monotonic() > next_question:
            asked += 1
            question = f"{name} asks {asked}"
            asking = subprocess.Popen(
                [sys.executable, "-P", "-m", "townwatch", "ask", question, "--category=shell", "--risk=low"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
    if asking is not None:
        try:
            heard.write(json.dumps([question, asking.wait(20)]) + "\\n")
        except subprocess.TimeoutExpired:
            asking.kill()
    truth.write("end\\n")
    print(f"{name} is done.", flush=True)
except OSError:
    pass  # the terminal is gone
"""


@attrs.frozen(kw_only=True)
class ProgramLog:
    """A program's own record. `wrote`: the number of the last line it began to write. `heard`: question → exit
    status of who asked it (0 allow, 1 deny). `session`: None where it never began.
    """

    name: str
    session: str | None
    wrote: int
    ended: bool
    heard: dict[str, int] = attrs.field(factory=dict)


def read_program_log(folder: Path, name: str) -> ProgramLog:
    """Read the record from the files that the program `name` left."""
    lines = _text(folder / f"{name}.lines").split("\n")
    heard = [json.loads(line) for line in _text(folder / f"{name}.heard").splitlines()]
    return ProgramLog(
        name=name,
        session=_text(folder / f"{name}.session") or None,
        wrote=max((int(line) for line in lines if line.isdigit()), default=0),
        ended="end" in lines,
        heard=dict(heard),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
