"""A PostgreSQL server of our own for the tests: in a temporary directory, on a Unix socket, as nobody special."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path
from urllib.parse import quote

import psycopg

WHERE = ("/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql*/bin")


def binaries() -> Path | None:
    """Where initdb and postgres are, the newest of them; None where there is no server."""
    found = [p for pattern in WHERE for p in Path("/").glob(pattern[1:]) if (p / "initdb").exists()]
    if on_path := shutil.which("initdb"):
        found.append(Path(on_path).parent)
    return max(found, default=None, key=lambda p: [int(n) for n in p.parts if n.isdecimal()])


def _unprivileged() -> str | None:
    """PostgreSQL refuses to run as root: whom to run it as instead."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


class Server:
    """A server that a test may stop, start, freeze and thaw."""

    def __init__(self, home: Path, user: str | None, fsync: bool = False) -> None:
        programs = binaries()
        assert programs is not None
        self.home = home
        self._user = user
        self._fsync = "on" if fsync else "off"
        data = home / "data"
        command = [programs / "initdb", "-D", data, "-A", "trust", "-U", "tw", "--no-sync", "-E", "UTF8", "--locale=C"]
        subprocess.run(command, check=True, user=user, capture_output=True, cwd=home)
        self._control = [programs / "pg_ctl", "-D", data, "-w", "-t", "30"]

    def start(self) -> None:
        options = f"-c listen_addresses='' -c fsync={self._fsync} -c max_connections=100"
        self._run([*self._control, "-l", self.home / "log", "-o", f"-k {self.home} {options}", "start"])

    def stop(self) -> None:
        """As after a loss of power: connections are cut."""
        self._run([*self._control, "-m", "immediate", "stop"])

    def stop_fast(self) -> None:
        """As an administrator restarts it: transactions are rolled back, connections are told."""
        self._run([*self._control, "-m", "fast", "stop"])

    def freeze(self) -> None:
        """Every process of it stops where it is; connections stay open and nothing answers."""
        for pid in self._processes():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in self._processes():
            os.kill(pid, signal.SIGCONT)

    def fresh_schema(self, name: str) -> str:
        return fresh_schema(str(self.home), name)

    def _processes(self) -> list[int]:
        parent = int((self.home / "data" / "postmaster.pid").read_text().splitlines()[0])
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return [parent, *(int(child) for child in children)]

    def _run(self, command: list[object]) -> None:
        subprocess.run(
            [str(one) for one in command],
            check=True,
            user=self._user,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            cwd=self.home,
        )


@contextlib.contextmanager
def server(fsync: bool = False) -> Generator[Server]:
    """A running server of its own. `fsync`: for what is measured; tests do without."""
    user = _unprivileged()
    home = Path(tempfile.mkdtemp(prefix="tw-pg-"))
    try:
        if user is not None:
            os.chown(home, pwd.getpwnam(user).pw_uid, -1)
        made = Server(home, user, fsync)
        made.start()
        try:
            yield made
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):  # a test may have stopped it
                made.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def running_server() -> Generator[str]:
    """The directory of the server's socket, while it runs."""
    with server() as running:
        yield str(running.home)


def fresh_schema(socket_directory: str, name: str) -> str:
    """The URL of an empty schema: as good as an empty database, and a hundred times quicker to make."""
    with psycopg.connect(f"host={socket_directory} user=tw dbname=postgres", autocommit=True) as connection:
        connection.execute(f'CREATE SCHEMA "{name}"'.encode())
    return f"postgresql://tw@/postgres?host={quote(socket_directory)}&options={quote(f'-csearch_path={name}')}"
