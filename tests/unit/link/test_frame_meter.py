"""The meter sees every frame however the bytes are cut, and trips on floods only."""

from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, Ping

from transports.ws_frames import FrameLimits, FrameMeter

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
EASY = FrameLimits()


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces: list[bytes] = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


def feed(meter: FrameMeter, pieces: list[bytes], now: float = 0.0) -> str | None:
    found: str | None = None
    for piece in pieces:
        found = found or meter.feed(piece, now)
    return found


@given(
    st.lists(st.integers(0, 70_000), max_size=20),
    st.lists(st.integers(0, 200), max_size=60),
    st.sampled_from(list(ConnectionType)),
)
def test_it_counts_the_frames_of_wsproto_however_they_are_cut(
    lengths: list[int], sizes: list[int], side: ConnectionType
) -> None:
    peer = Connection(side)
    data = HEAD + b"".join(peer.send(BytesMessage(data=b"\r\n\r\n" * (n // 4))) for n in lengths)
    room = FrameLimits(data_frames=len(lengths) or 1, burst=1)
    assert feed(FrameMeter(room, 0.0), cut(data, sizes)) is None
    if lengths:
        tight = FrameLimits(data_frames=len(lengths) - 0.5, burst=1)
        assert feed(FrameMeter(tight, 0.0), cut(data, sizes)) == "too many frames"


@given(st.integers(0, len(HEAD)))
def test_the_head_may_come_in_pieces(place: int) -> None:
    pieces = [HEAD[:place], HEAD[place:] + b"\x01\x00" + b"\x00\x00" * 50]
    assert feed(FrameMeter(EASY, 0.0), pieces) == "too many empty fragments"


def test_what_is_averaged_comes_back_with_time() -> None:
    meter = FrameMeter(FrameLimits(control_frames=10, burst=1), 0.0)
    ping = Connection(ConnectionType.SERVER).send(Ping(payload=b"x"))
    meter.feed(HEAD, 0.0)
    for second in range(100):
        assert meter.feed(ping * 10, float(second)) is None
    assert meter.feed(ping * 11, 100.0) == "too many control frames"


def test_fragments_are_counted_a_message() -> None:
    meter = FrameMeter(FrameLimits(fragments=3), 0.0)
    message = b"\x01\x01a" + b"\x00\x01b" + b"\x80\x01c"
    assert feed(meter, [HEAD, message * 100]) is None
    assert meter.feed(b"\x01\x01a" + b"\x00\x01b" * 3, 0.0) == "a message in too many fragments"


def test_an_empty_message_is_no_flood() -> None:
    assert feed(FrameMeter(EASY, 0.0), [HEAD, b"\x81\x00" * 1000]) is None
