"""Asking other servers, over real sockets: those that redirect, trickle, flood, or speak something else."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from townwatch.access import fetch as fetching
from townwatch.access.fetch import MAX_BYTES, Fetcher, NotFetched, demand_safe

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"


@contextmanager
def server(*pieces: bytes, pause: float = 0.0) -> Iterator[str]:
    """Answers every connection with these pieces, `pause` seconds apart."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while not over.is_set():
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer:
                    try:
                        _read_request(peer)
                        for piece in pieces:
                            peer.sendall(piece)
                            if over.wait(pause):
                                return
                    except OSError:
                        continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _read_request(peer: socket.socket) -> None:
    """All of it: who closes with something unread resets the connection, and the answer may be lost."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        if not (piece := peer.recv(65536)):
            return
        seen += piece
    head, _, body = seen.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    left = int(length[1]) - len(body) if length else 0
    while left > 0:
        left -= len(peer.recv(left))


async def test_an_answer_of_whatever_status_is_an_answer() -> None:
    with server(OK + b'{"a": 1}') as url:
        assert (await Fetcher()(url)).json() == {"a": 1}
    with server(b'HTTP/1.1 400 Bad\r\nConnection: close\r\n\r\n{"error": "invalid_grant"}') as url:
        answer = await Fetcher()(url, {"code": "x"})
        assert (answer.status, answer.json()["error"]) == (400, "invalid_grant")


async def test_a_redirect_is_not_followed() -> None:
    with server(OK + b"{}") as elsewhere:
        head = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n".encode()
        with server(head) as url:
            assert (await Fetcher()(url)).status == 302


@pytest.mark.parametrize(
    "pieces",
    [
        (OK, b"x" * (MAX_BYTES + 1)),
        (b"SSH-2.0-OpenSSH_9.7\r\n",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort",),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 10_000,),
        (b"",),
    ],
    ids=["too long", "no HTTP", "bad chunks", "cut short", "endless head", "nothing"],
)
async def test_what_is_no_answer_is_none(pieces: tuple[bytes, ...]) -> None:
    with server(*pieces) as url, pytest.raises(NotFetched) as failed:
        (await Fetcher()(url)).json()
    assert "\n" not in str(failed.value)


async def test_a_trickle_is_given_up_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "SECONDS", 0.3)
    with server(OK, *[b" "] * 100, pause=0.1) as url, pytest.raises(NotFetched, match=r"0\.3 s|too long"):
        await Fetcher()(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://id.example.org/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "https://",
        "http://127.0.0.1.evil.example/",
        "",
    ],
)
def test_only_https_and_this_machine(url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        demand_safe(url)
