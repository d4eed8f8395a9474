"""The way of a connection from a replica that does not lead to the one that does: two real ports, one trio loop."""

import hashlib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.lowlevel
from cryptography import x509

from tests.support.certificates import Authority
from tests.support.raw_websocket import opening
from townwatch.transports.edge.connection import Audience
from townwatch.transports.edge.http import Request, Response
from townwatch.transports.edge.relay.admission import RelayAdmission
from townwatch.transports.edge.relay.dialling import Dialler, LeaderDoor
from townwatch.transports.edge.relay.pump import READ_BYTES
from townwatch.transports.edge.relay.relaying import Relaying
from townwatch.transports.edge.relay.wire import VERSION, RelayClaim, RelayHello, RelaySecret, read_welcome
from townwatch.transports.edge.server import Connection, Edge, EdgeSettings
from townwatch.transports.trunk.keeping import TrunkKeeper
from townwatch.transports.trunk.lines import Trunk

pytestmark = pytest.mark.timeout(60)
HOST, SECRET, WORDS = "127.0.0.1", b"s" * 32, bytes(range(256)) * 4096
"""WORDS: a megabyte."""


class Pages:
    """What the leader serves. `asked`: the requests."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.streams: list[Flow] = []
        self.listens = trio.Event()
        self.heard = 0
        self.listeners: dict[Connection, None] = {}
        self.audience = Audience([])

    async def answer(self, request: Request) -> Response:
        self.asked.append(request)
        if request.path.endswith("/large"):
            self.streams.append(Flow(int(request.argument("pieces") or 8)))
            return Response(200, stream=self.streams[-1])
        return Response(200, request.body or f"{request.method} {request.path}".encode())

    async def echo(self, _request: Request, connection: Connection, leftover: bytes) -> None:
        connection.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + leftover)
        while data := await connection.recv():
            connection.write(data)

    async def deaf(self, _request: Request, connection: Connection, _leftover: bytes) -> None:
        """Read nothing until it is told to."""
        connection.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        await self.listens.wait()
        while data := await connection.recv():
            self.heard += len(data)

    async def told(self, _request: Request, connection: Connection, _leftover: bytes) -> None:
        """Be one of an audience."""
        connection.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        self.listeners[connection] = None
        self._tell_anew()
        while await connection.recv():
            pass
        del self.listeners[connection]
        self._tell_anew()

    def _tell_anew(self) -> None:
        self.audience.end()
        self.audience = Audience([*self.listeners])
        self.audience.write(b"news")


class Flow:
    """So many megabytes, made as they are taken."""

    def __init__(self, pieces: int) -> None:
        self.pieces, self.closed = pieces, False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self.pieces:
            raise StopAsyncIteration
        self.pieces -= 1
        return WORDS

    def close(self) -> None:
        self.closed = True


@attrs.define(eq=False)
class View:
    """`LeaderView`, as the test says."""

    door: LeaderDoor | None = None
    may_come: bool = True
    doubts: list[str] = attrs.field(factory=list)
    _changed: trio.Event = attrs.field(factory=trio.Event)

    async def changed(self) -> None:
        await self._changed.wait()

    def doubt(self, why: str) -> None:
        self.doubts.append(why)

    def becomes(self, door: LeaderDoor | None) -> None:
        self.door = door
        self._changed.set()
        self._changed = trio.Event()


@attrs.define(eq=False)
class House:
    """A leader and a follower."""

    leader: Edge
    follower: Edge
    pages: Pages
    admission: RelayAdmission
    relaying: Relaying
    view: View
    door: LeaderDoor
    nursery: trio.Nursery
    trunks: list[Trunk]
    """The leader's ends of those that there were."""
    tls: ssl.SSLContext | None = None

    async def connect(self, source: str = HOST) -> trio.abc.Stream:
        """A client's connection to the follower's port."""
        stream = await trio.open_tcp_stream(HOST, self.follower.port, local_address=source)
        return stream if self.tls is None else trio.SSLStream(stream, self.tls, server_hostname="townwatch.example")

    async def ask(self, path: str, *fields: str, source: str = HOST, head: str = "GET {} HTTP/1.1") -> bytes:
        """The whole answer to one request, which is the last one of its connection."""
        async with await self.connect(source) as stream:
            await stream.send_all(request(path, *fields, head=head))
            return await rest_of(stream)


def request(path: str, *fields: str, head: str = "GET {} HTTP/1.1", host: str = "localhost") -> bytes:
    return "\r\n".join((head.format(path), f"Host: {host}", "Connection: close", *fields, "", "")).encode()


async def rest_of(stream: trio.abc.Stream) -> bytes:
    """What comes until the end; a reset is one, too."""
    found = bytearray()
    with trio.fail_after(20), suppress(trio.BrokenResourceError):
        while data := await stream.receive_some(65536):
            found += data
    return bytes(found)


async def no_leader(_request: Request) -> Response:
    return Response(503, b"no leader")


async def alive(_request: Request) -> Response:
    return Response(200, b"follower", [("connection", "close")])


def no_sockets(_request: Request, connection: Connection, _leftover: bytes) -> Any:
    raise AssertionError("a WebSocket is never the follower's own")


@asynccontextmanager
async def open_house(
    certificate: Any = None,
    stall: float = 20.0,
    wait: float = 5.0,
    client_ca: str | None = None,
    places: int = 15_000,
    **follower: Any,
) -> AsyncIterator[House]:
    """`certificate`: of both ports; `places`: connections that the leader may have."""
    tls: dict[str, Any] = {}
    if certificate is not None:
        tls = {"tls_certificate": certificate.certificate, "tls_key": certificate.key, "tls_client_ca": client_ca}
    leader = Edge(EdgeSettings(port=0, connections=places, **tls))
    behind = Edge(EdgeSettings(port=0, stall_timeout=stall, **tls, **follower))
    trunks: list[Trunk] = []

    async def carry(link: Connection) -> None:
        trunks.append(Trunk(link, leader, link.nursery))
        await trunks[-1].run()

    pages, admission, view = Pages(), RelayAdmission(SECRET, "life", 1.0, carry), View()
    leader.http("/", pages.answer)
    leader.websocket("/echo", pages.echo)
    leader.websocket("/shared/echo", pages.echo)
    leader.websocket("/shared/deaf", pages.deaf)
    leader.websocket("/shared/told", pages.told)
    leader.front = admission
    behind.bind()
    async with trio.open_nursery() as nursery:
        await nursery.start(leader.serve)
        shown = None if certificate is None else fingerprint(certificate)
        door = LeaderDoor(life="life", name="first", host=HOST, port=leader.port, fingerprint=shown, since="then")
        relaying = Relaying(behind, view, "follower", ("/healthz",), wait, TrunkKeeper("follower"), "/shared")
        relaying.dialler = Dialler(RelaySecret(SECRET), nursery, 20.0)
        house = House(leader, behind, pages, admission, relaying, view, door, nursery, trunks)
        nursery.start_soon(relaying.pump.run)
        own = {"/healthz": alive, "/": no_leader}
        await nursery.start(behind.serve_meanwhile, own, {"/": no_sockets}, relaying)
        view.becomes(door)
        try:
            yield house
        finally:
            nursery.cancel_scope.cancel()
    behind.close()
    assert leader.failed_connections == behind.failed_connections == 0
    assert behind.open_connections == 0


def fingerprint(certificate: Any) -> str:
    text = Path(certificate.certificate).read_text()
    end = "-----END CERTIFICATE-----"
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(text.partition(end)[0] + end + "\n")).hexdigest()


async def test_the_leader_sees_the_client_and_not_the_follower() -> None:
    async with open_house(allowed_hosts=("follower.example",)) as house:
        assert (await house.ask("/a?b=c", source="127.0.0.7")).endswith(b"\r\n\r\nGET /a")
        (asked,) = house.pages.asked
        assert (asked.client, asked.scheme, asked.query) == ("127.0.0.7", "http", "b=c")
        async with await house.connect() as stream:
            await stream.send_all(request("/", host="follower.example"))  # a name of the follower alone
            assert b" 200 " in await rest_of(stream)
        async with await house.connect() as stream:
            await stream.send_all(request("/", host="other.example"))
            assert b" 421 " in await rest_of(stream)
        assert house.admission.admitted == {"follower": 3}


async def test_what_a_follower_answers_itself_and_what_it_hands_on() -> None:
    async with open_house(path="/tw") as house:
        for path in ("/healthz", "/tw/healthz", "/healthz?x"):
            assert (await house.ask(path)).endswith(b"follower")
        for path in ("/healthz/x", "//healthz", "/health", "/%68ealthz"):
            assert not (await house.ask(path)).endswith(b"follower")
        assert (await house.ask("/healthz", head="POST {} HTTP/1.1")).endswith(b"POST /healthz")
        async with await house.connect() as stream:  # letter by letter
            for letter in request("/slow"):
                await stream.send_all(bytes([letter]))
                await trio.lowlevel.checkpoint()
            assert (await rest_of(stream)).endswith(b"GET /slow")


async def test_a_websocket_passes_both_ways_and_its_ends_do() -> None:
    async with open_house() as house, await house.connect() as stream:
        await stream.send_all(opening("/echo") + b"1")
        heard = b""
        for number in range(2, 6):
            while not heard.endswith(str(number - 1).encode()):
                heard += await stream.receive_some(100)
            await stream.send_all(str(number).encode())
        assert len(house.relaying.pump) == 1
        assert isinstance(stream, trio.SocketStream)
        await stream.send_eof()
        assert (await rest_of(stream)).endswith(b"5")
        assert len(house.relaying.pump) == 0


async def test_a_client_may_end_its_side_and_read_a_large_answer_slowly() -> None:
    async with open_house() as house, await house.connect() as stream:
        assert isinstance(stream, trio.SocketStream)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        await stream.send_all(request("/large?pieces=12"))
        await stream.send_eof()
        with trio.fail_after(10):
            while not (pairs := house.relaying.pump.pairs()) or pairs[0].client.pending is None:
                await trio.sleep(0.01)  # until nobody takes any more
        assert 0 < len(pairs[0].client.pending) <= READ_BYTES
        size = 0
        with trio.fail_after(30):
            while data := await stream.receive_some(65536):
                size += len(data)
                await trio.sleep(0.001)
        assert size > 12 * len(WORDS)
        assert house.relaying.pump.cut == 0


async def test_a_large_request_passes_whole() -> None:
    async with open_house() as house, await house.connect() as stream:
        body = WORDS[:900_000]
        await stream.send_all(request("/x", f"Content-Length: {len(body)}", head="POST {} HTTP/1.1") + body)
        assert (await rest_of(stream)).endswith(body)


async def test_a_reader_that_stopped_is_cut_and_the_leader_is_told() -> None:
    async with open_house(stall=0.3) as house, await house.connect() as stream:
        await stream.send_all(request("/large?pieces=30"))
        with trio.fail_after(20):
            while not (house.pages.streams and house.pages.streams[0].closed):
                await trio.sleep(0.02)
        assert (house.relaying.pump.cut, len(house.relaying.pump)) == (1, 0)


async def forged(port: int, *messages: bytes) -> bytes:
    """What comes back for these first words, each sent after an answer to the one before."""
    heard = b""
    async with await trio.open_tcp_stream(HOST, port) as stream:
        for message in messages:
            with suppress(trio.BrokenResourceError):
                await stream.send_all(message)
                with trio.move_on_after(0.3):
                    heard += await stream.receive_some(4096)
        return heard + await rest_of(stream)


async def test_first_words_that_prove_nothing_get_nowhere() -> None:
    async with open_house() as house:
        port, hello = house.leader.port, RelayHello.new("open")
        secret, other = RelaySecret(SECRET), RelaySecret(b"t" * 32)
        ask = request("/secret")
        async with await trio.open_tcp_stream(HOST, port) as stream:
            await stream.send_all(hello.encode())
            welcome = read_welcome(bytes(await stream.receive_some(4096)))
            secret.check_welcome(hello, welcome, "life")
            recorded = secret.claim(hello, welcome, RelayClaim(peer="10.0.0.1"))
            await stream.send_all(recorded + ask)
            assert (await rest_of(stream)).endswith(b"GET /secret")
        refused = house.admission.refused
        for words in (
            (hello.encode(), recorded + ask),  # all of it once more: the leader's number is another
            (hello.encode(), other.claim(hello, welcome, RelayClaim(peer="10.0.0.1")) + ask),
            (hello.encode(), b"0" * 64 + b" 00000002 {}" + ask),
            (hello.encode(), b"0" * 64 + b" 99999999 {}" + ask),
            (hello.encode(), ask),
            (hello.encode() + ask,),
            (b"TW-RELAY open  000 " + hello.encode()[19:],),
            (b"TW-RELAY shout 001 " + hello.encode()[19:],),
            (b"TW-RELAY " + b"\xff" * 60,),
        ):
            heard = await forged(port, *words)
            assert b"HTTP/1.1" not in heard, words
            refused += 1
            with trio.fail_after(5):
                while house.admission.refused < refused:
                    await trio.sleep(0.01)
        assert [one.path for one in house.pages.asked] == ["/secret"]
        assert b" 400 " in await forged(port, b"TW-REL\r\n\r\n")  # no first words at all: bad HTTP
        assert await forged(house.follower.port, hello.encode()) == b""  # a follower hands on nothing twice


async def test_a_leader_that_is_another_process_hears_nothing_of_the_client() -> None:
    async with open_house(wait=0.5) as house:
        house.view.becomes(attrs.evolve(house.door, life="another life"))
        assert (await house.ask("/secret")).endswith(b"no leader")
        assert (house.pages.asked, house.relaying.unanswered) == ([], 1)
        assert house.view.doubts[0].startswith("another process answers there")


async def test_another_version_is_spoken_as_both_can() -> None:
    secret, newer = RelaySecret(SECRET), RelayHello("open", VERSION + 3, "0" * 32)
    welcome = secret.welcome(newer, "life")
    assert welcome.version == VERSION
    secret.check_welcome(newer, welcome, "life")
    async with open_house() as house:
        async with await trio.open_tcp_stream(HOST, house.leader.port) as stream:
            await stream.send_all(newer.encode())
            answer = read_welcome(bytes(await stream.receive_some(4096)))
            claim = secret.claim(newer, answer, RelayClaim(peer="10.0.0.1"))
            await stream.send_all(claim + request("/x"))
            assert (await rest_of(stream)).endswith(b"GET /x")
        assert house.pages.asked[0].client == "10.0.0.1"


async def test_tls_goes_all_the_way_and_the_certificate_is_pinned(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate = authority.issue("townwatch.example", x509.DNSName("townwatch.example"), server=True)
    async with open_house(certificate, wait=1.0, client_ca=authority.file) as house:
        house.tls = ssl.create_default_context(cafile=authority.file)
        mine = authority.issue("runner_7")
        house.tls.load_cert_chain(mine.certificate, mine.key)
        assert (await house.ask("/a", source="127.0.0.9")).endswith(b"GET /a")
        assert (await house.ask("/large?pieces=3")).count(WORDS[:4096]) >= 3 * 256 - 3
        asked = house.pages.asked[0]
        assert (asked.client, asked.scheme) == ("127.0.0.9", "https")
        house.view.becomes(attrs.evolve(house.door, fingerprint="0" * 64))
        assert (await house.ask("/b")).endswith(b"no leader")
        assert "another certificate" in house.view.doubts[0]


async def test_a_connection_waits_for_the_next_leader_and_the_old_ones_end() -> None:
    async with open_house() as house, await house.connect() as old:
        await old.send_all(request("/large?pieces=30"))
        await old.receive_some(100)
        house.view.becomes(None)
        house.relaying.end_all_but("next life")
        await rest_of(old)
        answers: list[bytes] = []

        async def ask() -> None:
            answers.append(await house.ask("/waits"))

        async with trio.open_nursery() as asking:
            asking.start_soon(ask)
            with trio.fail_after(5):
                while not house.relaying.waiting:
                    await trio.sleep(0.01)
            house.view.becomes(house.door)
        assert answers[0].endswith(b"GET /waits")
        house.view.may_come = False
        house.view.becomes(None)
        assert (await house.ask("/")).endswith(b"no leader")  # at once


async def test_who_waits_at_a_follower_is_served_by_it_once_it_leads() -> None:
    """The port is never closed, and what was said is not asked for again."""
    edge, view, pages = Edge(EdgeSettings(port=0)), View(), Pages()
    edge.bind()
    edge.http("/", pages.answer)
    relaying = Relaying(edge, view, "follower", ("/healthz",), 10.0, TrunkKeeper("follower"), "/shared")
    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as following:
            await following.start(edge.serve_meanwhile, {"/": no_leader}, {}, relaying)
            whole = await trio.open_tcp_stream(HOST, edge.port)
            await whole.send_all(request("/waited"))
            half = await trio.open_tcp_stream(HOST, edge.port)
            await half.send_all(request("/half")[:20])
            with trio.fail_after(5):
                while not relaying.waiting or edge.open_connections < 2:
                    await trio.sleep(0.01)
            await trio.sleep(0.05)
            following.cancel_scope.cancel()
        await nursery.start(edge.serve)
        await half.send_all(request("/half")[20:])
        async with whole, half:
            assert (await rest_of(whole)).endswith(b"GET /waited")
            assert (await rest_of(half)).endswith(b"GET /half")
        nursery.cancel_scope.cancel()
    edge.close()
    assert (edge.failed_connections, edge.open_connections) == (0, 0)


async def test_a_follower_that_stops_lets_answers_end_and_takes_no_more() -> None:
    async with open_house() as house, await house.connect() as idle, await house.connect() as busy:
        await idle.send_all(request("/").replace(b"Connection: close\r\n", b""))
        await idle.receive_some(1000)
        await busy.send_all(request("/large?pieces=6"))
        await busy.receive_some(100)
        size: list[int] = []

        async def read() -> None:
            size.append(len(await rest_of(busy)))

        async with trio.open_nursery() as reading:
            reading.start_soon(read)
            house.follower.stop_listening()
            await house.relaying.drain()
        assert await rest_of(idle) == b""
        with pytest.raises(OSError, match=r"refused|attempts"):
            await house.connect()
