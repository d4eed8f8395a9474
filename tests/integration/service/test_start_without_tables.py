"""`townwatch serve` as a process, started while its database is away, refuses it, or is damaged."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import pytest

from tests.integration.service.test_tables_away import ask_now
from tests.support import postgres
from townwatch.config.process import free_port
from townwatch.store.database import Database
from townwatch.store.log.event_log import EventLog

pytestmark = pytest.mark.timeout(120)


@contextmanager
def serving(state: Path, port: int, url: str | None = None) -> Generator["subprocess.Popen[str]"]:
    environment = {**os.environ, "TOWNWATCH_STATE_DIR": str(state)}
    if url is not None:
        environment["TOWNWATCH_DATABASE_URL"] = url
    command = [sys.executable, "-P", "-m", "townwatch", "serve", f"--port={port}"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def answer_of(port: int, path: str, status: int) -> str:
    """The body of the answer, once it has this status."""
    deadline = monotonic() + 40
    found = None
    while monotonic() < deadline:
        try:
            found = ask_now(f"http://127.0.0.1:{port}{path}")
            if found.status == status:
                return str(found.body)
        except OSError:
            pass
        sleep(0.05)
    raise AssertionError(f"{path}: {found}, not {status}")


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Status and standard error of a process that ends by itself."""
    _out, error = process.communicate(timeout=40)
    return process.returncode, error


@pytest.fixture
def server() -> Generator[postgres.Server]:
    if postgres.binaries() is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with postgres.server() as running:
        yield running


def test_a_start_while_postgresql_is_away_waits_and_says_so(tmp_path: Path, server: postgres.Server) -> None:
    url, port = server.fresh_schema("away"), free_port("127.0.0.1")
    server.stop()
    with serving(tmp_path, port, url) as process:
        assert "waits for its database" in answer_of(port, "/readyz", 503)
        answer_of(port, "/healthz", 200)
        assert "waits for its database" in answer_of(port, "/api/villages", 503)
        with socket.create_connection(("127.0.0.1", port)) as knock:
            knock.sendall(
                b"GET /runner HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            assert b" 503 " in knock.recv(4096)
        server.start()
        answer_of(port, "/readyz", 200)
        process.send_signal(signal.SIGTERM)
        status, error = ended(process)
        assert status == 0, error
        assert "waiting_for_tables" in error
        assert "Traceback" not in error


def test_sigterm_ends_the_wait_at_once(tmp_path: Path, server: postgres.Server) -> None:
    url, port = server.fresh_schema("term"), free_port("127.0.0.1")
    server.stop()
    with serving(tmp_path, port, url) as process:
        answer_of(port, "/readyz", 503)
        process.send_signal(signal.SIGTERM)
        status, error = ended(process)
        assert status == 0, error
        assert "Traceback" not in error


def test_an_unknown_database_is_one_line_with_what_to_do(tmp_path: Path, server: postgres.Server) -> None:
    url = server.fresh_schema("none").replace("/postgres?", "/nowhere?")
    with serving(tmp_path, free_port("127.0.0.1"), url) as process:
        status, error = ended(process)
        assert status == 2
        assert 'database "nowhere" does not exist' in error
        assert "check [database] url" in error
        assert "Traceback" not in error


@pytest.mark.parametrize("name", ["townwatch.db", "journal.db"])
@pytest.mark.parametrize("damage", ["header", "truncated", "pages"])
def test_a_damaged_file_is_one_line_that_names_the_doctor(tmp_path: Path, name: str, damage: str) -> None:
    Database.open(tmp_path / "townwatch.db").close()
    EventLog.open(tmp_path / "journal.db").close()
    file = tmp_path / name
    content = bytearray(file.read_bytes())
    match damage:
        case "header":
            content[:64] = os.urandom(64)
        case "truncated":
            del content[len(content) // 2 :]
        case _:
            content[4096:] = os.urandom(len(content) - 4096)
    file.write_bytes(content)
    with serving(tmp_path, free_port("127.0.0.1")) as process:
        status, error = ended(process)
        assert status == 2
        assert "townwatch doctor" in error
        assert "Traceback" not in error


@pytest.mark.parametrize("content", [b"", b"abcd\n", b"\xff\x00 no secret"], ids=["empty", "short", "other bytes"])
def test_a_damaged_secret_is_one_line_that_names_the_file_and_the_doctor(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token.secret").write_bytes(content)
    with serving(tmp_path, free_port("127.0.0.1")) as process:
        status, error = ended(process)
        assert status == 2
        assert "token.secret is damaged" in error and "townwatch doctor" in error
        assert "internal error" not in error and "Traceback" not in error
