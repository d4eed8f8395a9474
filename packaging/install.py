"""Install into the virtual environment that runs this, with a line of progress: `make run` must not look stuck.

`install.py --byte-code DIRECTORY` makes every Python of this environment keep byte code there, so that `make` and the
user's shell share it and the checkout stays clean. `install.py --quick-start` comes last: it makes the command
`townwatch` start as fast as it can.
"""

import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

ALL = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


def keep_byte_code(directory: str) -> int:
    """Let a .pth file, which Python executes at each start, set where byte code is."""
    place = Path(sysconfig.get_paths()["purelib"]) / "_townwatch_byte_code.pth"
    place.write_text(f"import sys; sys.pycache_prefix = sys.pycache_prefix or {directory!r}\n", encoding="utf-8")
    return 0


def quick_start() -> int:
    """Spare the command's start what it does not need.

    The launcher that pip 23 writes imports `re`, for Windows alone: as much as the interpreter's whole start. And where
    PYTHONDONTWRITEBYTECODE is set, as it is in many containers, nothing would ever keep our byte code, nor that of the
    standard library in the directory that `keep_byte_code` names: it is written here, once.
    """
    launcher = Path(sysconfig.get_path("scripts")) / "townwatch"
    launcher.write_text(leaner(launcher.read_text(encoding="utf-8")), encoding="utf-8")
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    ours = (
        "from townwatch.cli import run; run.imported()\n"
        "import townwatch.cli.main, townwatch.cli.help, townwatch.app.service"
    )
    return subprocess.run([sys.executable, "-P", "-c", ours], env=environ, check=False).returncode


def leaner(launcher: str) -> str:
    """Return a launcher without `re`, and without the line that is all that it is for."""
    lines = launcher.splitlines(keepends=True)
    return "".join(line for line in lines if line.strip() != "import re" and "re.sub(" not in line)


def install(options: list[str]) -> int:
    """Run `pip install`; show what it is at, and all that it said where it fails."""
    began, lines, seen = time.monotonic(), list[str](), 0
    cache = options[: options.index("install")]
    rest = options[options.index("install") + 1 :]
    with subprocess.Popen(
        [*ALL, *cache, "install", "--progress-bar=off", *rest],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            lines.append(line)
            word, _, what = line.strip().partition(" ")
            if word == "Collecting":
                seen += 1
                _show(f"  {seen} packages, {what.split()[0]}", began)
            elif line.startswith("Installing collected"):
                _show(f"  {seen} packages fetched, unpacking them", began)
    if sys.stdout.isatty():
        print("\r\x1b[K", end="", flush=True)
    if pip.returncode:
        sys.stderr.writelines(lines[-40:])
    return pip.returncode


def _show(text: str, began: float) -> None:
    text = f"{text} ({time.monotonic() - began:.0f} s)"
    print(f"\r\x1b[K{text}" if sys.stdout.isatty() else text, end="" if sys.stdout.isatty() else "\n", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--byte-code"]:
        sys.exit(keep_byte_code(sys.argv[2]))
    if sys.argv[1:2] == ["--quick-start"]:
        sys.exit(quick_start())
    sys.exit(install(sys.argv[1:]))
