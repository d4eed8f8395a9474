"""How a service stands what strangers do to it: `python -m bench.attacks [--only slow-heads …] [--many 3000]`

Each attack meets a service of its own, without a token. Meanwhile another process opens a connection every 50 ms and
asks /healthz over it. A row: how long that took (worst and median; "never": 10 s), how often it was refused, what the
service's memory grew by, and its memory 5 s after the attack. Attackers and service share this machine's cores.
"""

import argparse
import json
import os
import resource
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import attrs
import httpx
import psutil
import trio

from bench.downloads import free_port
from tests.support.certificates import Authority
from tests.support.raw_websocket import frame, opening
from townwatch.transports.websocket.frames import PONG, TEXT

HOST = "127.0.0.1"
SOCKET_IO = "/socket.io/?EIO=4&transport=websocket"
PROBER = """
import json, socket, ssl, sys, time
port, tls, found = int(sys.argv[1]), sys.argv[2] == "tls", []
context = ssl._create_unverified_context()
while not sys.stdin in __import__("select").select([sys.stdin], [], [], 0.05)[0]:
    began, said = time.monotonic(), b""
    try:
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with context.wrap_socket(sock) if tls else sock as stream:
                stream.settimeout(10)
                stream.sendall(b"GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n")
                said = stream.recv(4096)
    except OSError:
        pass
    found.append([time.monotonic() - began, said[9:12].decode()])
print(json.dumps(found))
"""


@attrs.frozen
class Town:
    """A service under attack."""

    port: int
    many: int
    seconds: float


Attack = Callable[[Town], Awaitable[None]]
ATTACKS: dict[str, Attack] = {}
WITH_TLS: set[str] = set()


def attack(name: str, *, tls: bool = False) -> Callable[[Attack], Attack]:
    """Enter an attack into the table."""

    def enter(made: Attack) -> Attack:
        ATTACKS[name] = made
        if tls:
            WITH_TLS.add(name)
        return made

    return enter


async def each(count: int, one: Callable[[int], Awaitable[None]], at_once: int = 500) -> None:
    """Run these tasks; a connection that the service ends, or does not take, is its right."""
    limit = trio.CapacityLimiter(at_once)

    async def task(number: int) -> None:
        with suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            async with limit:
                await one(number)

    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(task, number)


async def held(town: Town, first: bytes, then: Callable[[trio.SocketStream], Awaitable[None]] | None = None) -> None:
    """Open many connections that say this, and keep them until the time is over. `then`: said every second."""
    streams: list[trio.SocketStream] = []

    async def one(_: int) -> None:
        stream = await trio.open_tcp_stream(HOST, town.port)
        streams.append(stream)
        if first:
            await stream.send_all(first)

    with trio.move_on_after(town.seconds):
        await each(town.many, one)
        while True:
            await trio.sleep(1)
            for stream in streams if then is not None else ():
                with suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                    await then(stream)
    for stream in streams:
        await stream.aclose()


async def poured(town: Town, first: bytes, piece: bytes, connections: int = 20) -> None:
    """Say the same without a pause over some connections, and read nothing."""

    async def one(_: int) -> None:
        while True:
            stream = await trio.open_tcp_stream(HOST, town.port)
            with suppress(OSError, trio.BrokenResourceError):
                await stream.send_all(first)
                while True:
                    await stream.send_all(piece)

    with trio.move_on_after(town.seconds):
        await each(connections, one)


def post(path: str, header: str) -> bytes:
    """The head of a request with a JSON body."""
    lines = (f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", header, "", "")
    return "\r\n".join(lines).encode()


def client_hello() -> bytes:
    """The first flight of a TLS client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


@attack("silent")
async def silent(town: Town) -> None:
    await held(town, b"")


@attack("slow-heads")
async def slow_heads(town: Town) -> None:
    await held(town, b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ", lambda stream: stream.send_all(b"a"))


@attack("slow-bodies")
async def slow_bodies(town: Town) -> None:
    await held(
        town, post("/api/auth/exchange", "Content-Length: 60000") + b'{"code":"', lambda stream: stream.send_all(b"a")
    )


@attack("tls-nothing", tls=True)
async def tls_nothing(town: Town) -> None:
    await held(town, b"")


@attack("tls-half-hello", tls=True)
async def tls_half_hello(town: Town) -> None:
    await held(town, client_hello()[:60])


@attack("tls-half-open", tls=True)
async def tls_half_open(town: Town) -> None:
    """The service has made its answer, and the rest of the handshake never comes."""
    await held(town, client_hello())


@attack("polling-opens")
async def polling_opens(town: Town) -> None:
    await held(town, b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: localhost\r\n\r\n")


@attack("websockets-never-join")
async def websockets_never_join(town: Town) -> None:
    await held(town, opening(SOCKET_IO))


@attack("runner-doors")
async def runner_doors(town: Town) -> None:
    await held(town, opening("/runner"))


@attack("pipelined")
async def pipelined(town: Town) -> None:
    await poured(town, b"", b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200)


@attack("pipelined-page")
async def pipelined_page(town: Town) -> None:
    await poured(town, b"", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200)


@attack("tiny-frames")
async def tiny_frames(town: Town) -> None:
    first = opening(SOCKET_IO)
    await poured(town, first, frame(TEXT, b"2") * 2000)


@attack("pongs")
async def pongs(town: Town) -> None:
    first = opening(SOCKET_IO)
    await poured(town, first, frame(PONG, b"") * 2000)


@attack("tiny-chunks")
async def tiny_chunks(town: Town) -> None:
    await poured(town, post("/api/auth/exchange", "Transfer-Encoding: chunked"), b"1\r\n \r\n" * 5000)


@attack("deflate-bombs")
async def deflate_bombs(town: Town) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packer.compress(b" " * (64 << 20)) + packer.flush(zlib.Z_SYNC_FLUSH)[:-4]
    first = opening(SOCKET_IO, "Sec-WebSocket-Extensions: permessage-deflate")
    await poured(town, first, frame(TEXT, bomb, rsv=4))


@attack("deep-json")
async def deep_json(town: Town) -> None:
    body = b"[" * 60_000
    await poured(town, b"", post("/api/auth/exchange", f"Content-Length: {len(body)}") + body)


@attack("guesses")
async def guesses(town: Town) -> None:
    body = b'{"code":"AAAA-BBBB-CCCC-DDDD"}'
    await poured(town, b"", post("/api/auth/exchange", f"Content-Length: {len(body)}") + body)


@attack("passwords")
async def passwords(town: Town) -> None:
    body = b'{"name":"owner","password":"wrong password of a guess"}'
    await poured(town, b"", post("/api/auth/login", f"Content-Length: {len(body)}") + body, connections=100)


@attack("come-and-go")
async def come_and_go(town: Town) -> None:
    """Connections that are reset at once."""

    async def one(_: int) -> None:
        while True:
            stream = await trio.open_tcp_stream(HOST, town.port)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            await stream.aclose()

    with trio.move_on_after(town.seconds):
        await each(50, one)


def measure(folder: Path, name: str, many: int, seconds: float) -> str:
    """Run one attack; return its row."""
    state, port, tls = folder / name, free_port(), name in WITH_TLS
    state.mkdir(parents=True)
    command = [sys.executable, "-P", "-m", "townwatch", "serve", f"--port={port}", f"--state-dir={state}"]
    environment = {**os.environ}
    if tls:
        pair = Authority(folder / f"{name}-ca").issue("localhost", server=True)
        environment |= {"TOWNWATCH_SERVER_TLS_CERTIFICATE": pair.certificate, "TOWNWATCH_SERVER_TLS_KEY": pair.key}
    with (folder / f"{name}.log").open("wb") as log:
        service = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
    try:
        _until_up(port, tls)
        process = psutil.Process(service.pid)
        before = process.memory_info().rss
        prober = subprocess.Popen(
            [sys.executable, "-c", PROBER, str(port), "tls" if tls else "plain"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        worst = trio.run(_attacked, ATTACKS[name], Town(port, many, seconds), process)
        said, _ = prober.communicate("\n", timeout=60)
        time.sleep(5)
        after = process.memory_info().rss
    finally:
        service.terminate()
        ended = time.monotonic()
        service.wait(30)
    asked = json.loads(said)
    times = [one for one, status in asked if status == "200"]
    half, most = (statistics.median(times), max(times)) if times else (float("nan"), float("nan"))
    return (
        f"{name:22} {half * 1e3:7.0f} {most * 1e3:7.0f} {len(asked) - len(times):7} {len(asked):6}"
        f" {(worst - before) / 2**20:+8.0f} {(after - before) / 2**20:+8.0f} {time.monotonic() - ended:6.1f}"
    )


async def _attacked(one: Attack, town: Town, process: psutil.Process) -> int:
    """The most memory while it goes on, in bytes."""
    worst = 0

    async def watch() -> None:
        nonlocal worst
        while True:
            worst = max(worst, process.memory_info().rss)
            await trio.sleep(0.1)

    await trio.sleep(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        await one(town)
        nursery.cancel_scope.cancel()
    return worst


def _until_up(port: int, tls: bool) -> None:
    for _ in range(600):
        with suppress(httpx.HTTPError):
            httpx.get(f"http{'s' if tls else ''}://{HOST}:{port}/readyz", timeout=5, verify=False).raise_for_status()
            return
        time.sleep(0.1)
    raise TimeoutError("the service is not ready")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=[*ATTACKS], default=[*ATTACKS])
    parser.add_argument("--many", type=int, default=3000, help="connections of the attacks that hold them")
    parser.add_argument("--seconds", type=float, default=15.0)
    given = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(f"{'':22} {'p50 ms':>7} {'worst':>7} {'refused':>7} {'asked':>6} {'MB':>8} {'MB then':>8} {'end s':>6}")
    with tempfile.TemporaryDirectory(prefix="tw-attacks-") as folder:
        for name in given.only:
            print(measure(Path(folder), name, given.many, given.seconds), flush=True)


if __name__ == "__main__":
    main()
