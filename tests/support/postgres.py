"""A PostgreSQL server of our own for the tests: in a temporary directory, on a Unix socket, as nobody special."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
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


@contextlib.contextmanager
def running_server() -> Iterator[str]:
    """The directory of the server's socket, while it runs."""
    programs = binaries()
    assert programs is not None
    user = _unprivileged()
    home = Path(tempfile.mkdtemp(prefix="tw-pg-"))
    try:
        if user is not None:
            os.chown(home, pwd.getpwnam(user).pw_uid, -1)
        data = home / "data"
        command = [programs / "initdb", "-D", data, "-A", "trust", "-U", "tw", "--no-sync", "-E", "UTF8", "--locale=C"]
        subprocess.run(command, check=True, user=user, capture_output=True, cwd=home)
        options = "-c listen_addresses='' -c fsync=off -c max_connections=100"
        control = [programs / "pg_ctl", "-D", data, "-w", "-t", "30"]
        start = [*control, "-l", home / "log", "-o", f"-k {home} {options}", "start"]
        subprocess.run(start, check=True, user=user, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, cwd=home)
        try:
            yield str(home)
        finally:
            stop = [*control, "-m", "immediate", "stop"]
            subprocess.run(stop, check=True, user=user, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, cwd=home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def fresh_schema(socket_directory: str, name: str) -> str:
    """The URL of an empty schema: as good as an empty database, and a hundred times quicker to make."""
    with psycopg.connect(f"host={socket_directory} user=tw dbname=postgres", autocommit=True) as connection:
        connection.execute(f'CREATE SCHEMA "{name}"'.encode())
    return f"postgresql://tw@/postgres?host={quote(socket_directory)}&options={quote(f'-csearch_path={name}')}"
