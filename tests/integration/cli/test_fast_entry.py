"""What agents call at every tool, and what people wait for, imports next to nothing before it does its work."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, strategies as st

from tests.support.command_line import Person
from townwatch.cli import quick
from townwatch.runner.agents import catalog
from townwatch.runner.agents.gemini import hook

ROOT = Path(__file__).parents[3]
SLOW = {"asyncio", "enum", "json", "pathlib", "re", "socket", "ssl", "typing"}
"""Of the standard library: each costs a good part of the interpreter's whole start."""
REPORT = """
import sys
before = set(sys.modules)
{first}
sys.argv = {argv!r}
from townwatch.cli.entry import main
try:
    main()
except SystemExit:
    pass
print("\\n".join(sorted(set(sys.modules) - before)), file=sys.stderr)
"""


def imported(*argv: str, first: str = "", **environ: str) -> set[str]:
    """Return what a command imports, from the entry point to its end."""
    code = REPORT.format(argv=["townwatch", *argv], first=first)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TOWNWATCH_", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env={**kept, **environ}, capture_output=True, text=True, timeout=60
    )
    assert "Traceback" not in done.stderr, done.stderr
    return {name for name in done.stderr.splitlines() if not name.startswith("townwatch: ")}


def strangers(names: set[str]) -> set[str]:
    return {name for name in names if name.partition(".")[0] not in {*sys.stdlib_module_names, "townwatch"}}


@pytest.mark.parametrize(
    "argv", [("--version",), ("--help",), (), ("ask", "--help"), ("usage",), ("alert", "x")], ids=str
)
def test_the_fast_commands_import_a_handful_of_the_standard_library(argv: tuple[str, ...]) -> None:
    found = imported(*argv)
    assert not strangers(found) and not found & SLOW, found
    assert {name for name in found if name.startswith("townwatch.")} <= {
        "townwatch.cli", "townwatch.cli.entry", "townwatch.cli.help", "townwatch.cli.quick"
    }  # fmt: skip


def test_a_question_is_sent_before_the_answer_can_be_read() -> None:
    """`json` comes while the runner thinks: nothing slow is imported until `connect` and `sendall` have been called."""
    watch = (
        "import builtins, _socket; real = builtins.__import__; seen = []\n"
        "class Told(_socket.socket):\n"
        "    def sendall(self, data):\n"
        "        super().sendall(data); print('SENT', *sorted(set(sys.modules) - before), file=sys.stderr)\n"
        "_socket.socket = Told"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        heard: list[bytes] = []

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                heard.append(connection.makefile("rb").readline())
                connection.sendall(b'{"ok": true}\n')

        thread = threading.Thread(target=answer)
        thread.start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        session = {"TOWNWATCH_ASK": address, "TOWNWATCH_SESSION": "s1", "TOWNWATCH_ASK_TOKEN": "t"}
        lines = imported("usage", "--input-tokens", "3", first=watch, **session)
        thread.join(30)
    (sent,) = [line for line in lines if line.startswith("SENT ")]
    assert not set(sent.split()) & SLOW, sent
    assert json.loads(heard[0]) == {
        "session": "s1", "token": "t", "action": "usage", "inputTokens": 3, "outputTokens": 0, "costUsd": None,
        "model": None,
    }  # fmt: skip


@given(
    st.dictionaries(st.text(), st.text() | st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False))
)
def test_a_question_is_written_as_json_has_it(fields: dict[str, str | float | None]) -> None:
    assert quick._line(fields) == json.dumps(fields).encode() + b"\n"


def test_what_a_shell_hands_over_undecoded_is_a_question_too() -> None:
    given_words = {"summary": os.fsdecode(b"caf\xe9")}
    assert quick._line(given_words) == json.dumps(given_words).encode() + b"\n"


def test_a_hook_imports_no_more_than_it_needs() -> None:
    code = (
        f"import sys; before = set(sys.modules); sys.path.insert(0, {str(Path(hook.__file__).parent)!r})\n"
        "import hook; print(*(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    found = set(done.stdout.split()) - {"hook"}
    assert not strangers(found) and not found & SLOW, found


def test_run_starts_without_what_only_agents_rules_and_orders_need() -> None:
    code = (
        "import sys; from townwatch.cli import run; run._import_structlog(); import townwatch.runner.commands\n"
        "print('\\n'.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60, check=True)
    found = set(done.stdout.split())
    agents = {f"{catalog.HERE}.{place.partition(':')[0]}" for place in (catalog.TERMINAL | catalog.DISPATCHED).values()}
    unwanted = {"asyncio", "rich", "anyio", "watchfiles", "cyclopts", "sqlalchemy", "townwatch.policy.village"}
    unwanted |= {
        "townwatch.contracts.ui",
        f"{catalog.HERE}.http",
        f"{catalog.HERE}.events",
        f"{catalog.HERE}.discovery",
    }
    assert not found & (agents | unwanted)


def test_asyncio_is_itself_again_once_structlog_is_there() -> None:
    code = (
        "from townwatch.cli import run; run._import_structlog(); import structlog.stdlib, asyncio\n"
        "assert asyncio.run(asyncio.sleep(0, 'done')) == 'done'\n"
        "assert structlog.stdlib.asyncio.get_running_loop is asyncio.get_running_loop"
    )
    subprocess.run([sys.executable, "-P", "-c", code], timeout=60, check=True)


@pytest.mark.parametrize(
    ("launcher", "wanted"),
    [
        (
            "#!/bin/sh\n'''exec' \"/a b/python\" \"$0\" \"$@\"\n' '''\n# -*- coding: utf-8 -*-\nimport re\nimport sys\n"
            "from townwatch.cli.entry import main\nif __name__ == '__main__':\n"
            "    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])\n    sys.exit(main())\n",
            "#!/bin/sh\n'''exec' \"/a b/python\" \"$0\" \"$@\"\n' '''\n# -*- coding: utf-8 -*-\nimport sys\n"
            "from townwatch.cli.entry import main\nif __name__ == '__main__':\n    sys.exit(main())\n",
        ),
        ("#!/a/python\nimport sys\nsys.exit(0)\n", "#!/a/python\nimport sys\nsys.exit(0)\n"),
    ],
    ids=["pip 23", "another installer"],
)
def test_the_launcher_that_pip_wrote_loses_what_is_for_windows(launcher: str, wanted: str) -> None:
    assert packaging().leaner(launcher) == wanted


def packaging() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install", ROOT / "packaging" / "install.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_installed_command_answers(tmp_path: Path) -> None:
    assert Person.below(tmp_path).townwatch("--version").stdout.strip()
