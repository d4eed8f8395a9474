"""Redis' protocol: replies in pieces, what is bounded, what is nonsense; and addresses."""

import pytest
from hypothesis import given, strategies as st

from townwatch.net.redis.connection import RedisAddress, read_address
from townwatch.net.redis.resp import (
    MOST_ELEMENTS,
    TOO_LONG,
    RedisError,
    Reply,
    RespBroken,
    RespReader,
    encode_command,
)


def read(data: bytes, most: int = 1000, most_of_all: int = 10_000, pieces: int = 1) -> list[Reply]:
    reader, found = RespReader(most, most_of_all), list[Reply]()
    for at in range(0, len(data), pieces):
        found += reader.feed(data[at : at + pieces])
    return found


replies = st.recursive(
    st.none() | st.integers(-(10**11), 10**11) | st.binary(max_size=50),
    lambda one: st.lists(one, max_size=5),
    max_leaves=20,
)


def encoded(value: Reply) -> bytes:
    match value:
        case None:
            return b"$-1\r\n"
        case int():
            return b":%d\r\n" % value
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(value), value)
        case _:
            return b"*%d\r\n" % len(value) + b"".join(map(encoded, value))


@given(st.lists(replies, max_size=4), st.integers(1, 40))
def test_replies_are_read_in_whatever_pieces_they_come(values: list[Reply], pieces: int) -> None:
    assert read(b"".join(map(encoded, values)), pieces=pieces) == values


def test_simple_strings_and_errors() -> None:
    assert read(b"+PONG\r\n-NOAUTH give a password\r\n") == ["PONG", RedisError("NOAUTH give a password")]


def test_what_is_too_long_is_passed_over_and_the_next_reply_is_read() -> None:
    long = encoded([b"channel", b"x" * 5000]) + encoded([b"channel", b"short"])
    assert read(long, most=1000, pieces=100) == [[b"channel", TOO_LONG], [b"channel", b"short"]]


def test_a_reply_that_holds_enough_keeps_only_what_is_short() -> None:
    entries = [[b"1-%d" % number, [b"data", b"y" * 900]] for number in range(20)]
    (found,) = read(encoded(entries), most=1000, most_of_all=3000)
    assert [entry[0] for entry in found] == [entry[0] for entry in entries]
    assert [entry[1][1] is TOO_LONG for entry in found] == [False] * 3 + [True] * 17


def test_a_list_without_end_keeps_its_first_elements() -> None:
    found = read(encoded([1] * 5000) + encoded(b"next"))
    assert (len(found[0]), found[1]) == (MOST_ELEMENTS, b"next")


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400\r\n",
        b"$x\r\n",
        b":9999999999999999\r\n",
        b"*1\r\n" * 50,
        b"+" + b"a" * 20_000,
        b"$ 5\r\nhello\r\n",
    ],
    ids=["http", "length", "number", "depth", "line", "space"],
)
def test_what_is_no_redis_is_refused(data: bytes) -> None:
    with pytest.raises(RespBroken):
        read(data, pieces=7)


def test_commands() -> None:
    assert encode_command("XADD", b"s", 7) == b"*3\r\n$4\r\nXADD\r\n$1\r\ns\r\n$1\r\n7\r\n"


def test_addresses() -> None:
    assert read_address("redis://cache") == RedisAddress(host="cache")
    whole = read_address("rediss://ada:s%40crt@[::1]:7000/3")
    assert (whole.host, whole.port, whole.tls, whole.user, whole.password, whole.database) == (
        "::1", 7000, True, "ada", "s@crt", 3,
    )  # fmt: skip
    assert "s@crt" not in repr(whole) + str(whole)
    assert str(read_address("unix:///run/redis.sock?db=1")) == "/run/redis.sock"


@pytest.mark.parametrize(
    "url", ["cache:6379", "http://cache", "redis://", "redis://cache/one", "unix://", "redis://:secret@h/x"]
)
def test_an_address_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError) as refused:
        read_address(url)
    assert "secret" not in str(refused.value)
