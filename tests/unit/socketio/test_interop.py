"""The bridge without a network: wires of others, and what of it passes."""

import base64
from typing import Any

import msgspec
import pytest

from townwatch.supervision import Rate
from townwatch.transports.interop import wires
from townwatch.transports.interop.outlet import OpenVillages
from townwatch.transports.interop.rules import OWN_EVENTS, Border, NotAdmitted, RoomList, read_events
from townwatch.transports.interop.wires import ForeignEmit, ForeignOrder, Unreadable

pytestmark = pytest.mark.trio


def emit(**changes: Any) -> ForeignEmit:
    given: dict[str, Any] = {"wire": "key", "uid": "x", "namespace": "/", "event": "deployed", "arguments": [{"n": 1}]}
    return ForeignEmit(**{**given, "rooms": ("village:demo",), **changes})


PLENTY = Rate(100, 100)


def border(rate: Rate = PLENTY) -> Border:
    return Border(
        events=frozenset({"deployed", "tick"}),
        rooms=RoomList.read("rooms", ["village:*", "agent:bot-*"]),
        villages=["demo"],
        namespaces=["/"],
        most_bytes=100,
        rate=rate,
    )


async def test_what_is_listed_passes_with_all_its_arguments() -> None:
    for arguments, payload in ([{"n": 1}], b'{"n":1}'), ([1, "a", None], b'1,"a",null'), ([], b""):
        assert border().admit(emit(arguments=arguments)).payload == payload
    assert border().admit(emit(rooms=("agent:bot-7", "village:demo"))).rooms == ("agent:bot-7", "village:demo")
    assert border().admit(emit(skipped=("its-own-sid", "agent:bot-1"))).without == "agent:bot-1"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"event": "approval_requested"}, "own_event"),
        ({"event": "connect"}, "own_event"),
        ({"event": "undeployed"}, "event"),
        ({"namespace": "/admin"}, "namespace"),
        ({"rooms": ()}, "room"),
        ({"rooms": ("village:demo", "village:other")}, "room"),
        ({"rooms": ("output:demo",)}, "room"),
        ({"rooms": ("village:demo",) * 65}, "room"),
        ({"arguments": ["x" * 101]}, "too_long"),
        ({"arguments": [1] * 9}, "too_long"),
        ({"arguments": [{"deep": [b"bytes"]}]}, "binary"),
        ({"arguments": [{(1, 2): 3}]}, "unreadable"),
        ({"skipped": ("agent:bot-1", "agent:bot-2")}, "except"),
        ({"wants_answer": True}, "wants_answer"),
    ],
)
async def test_everything_else_is_refused_and_why_is_one_of_few_words(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(NotAdmitted, match=f"^{why}$"):
        border().admit(emit(**changes))


async def test_more_than_the_rate_is_refused_and_what_is_refused_takes_none_of_it() -> None:
    gate = border(Rate(0.001, 2))
    for _ in range(5):
        with pytest.raises(NotAdmitted, match="event"):
            gate.admit(emit(event="unknown"))
    for _ in range(2):
        gate.admit(emit())
    with pytest.raises(NotAdmitted, match="rate"):
        gate.admit(emit())


async def test_no_list_can_name_an_event_of_ours_or_a_room_of_all() -> None:
    for name in OWN_EVENTS:
        with pytest.raises(ValueError, match=r"Townwatch itself|no name"):
            read_events("events", [name], OWN_EVENTS, ours=False)
    for name in ("", "a b", 'a"', "x" * 65):
        with pytest.raises(ValueError, match="is no name of an event"):
            read_events("events", [name], OWN_EVENTS, ours=False)
    for room in ("*", "village:", "output:demo", "vill*", "village:*x", "terminal:a"):
        with pytest.raises(ValueError, match=r"rooms: .* is none of"):
            RoomList.read("rooms", [room])


async def test_a_room_is_looked_up_in_the_villages_that_are_named_only() -> None:
    villages = OpenVillages(
        frozenset({"demo", "harbour"}), lambda: ["demo", "harbour~1", "harbour", "other~2", "demo2"]
    )
    assert villages.rooms_of("village:harbour") == ("village:harbour~1", "village:harbour")
    assert villages.rooms_of("village:other") == villages.rooms_of("village:demo2") == ()
    assert villages.rooms_of("agent:a:b") == ("agent:demo:a%3Ab", "agent:harbour~1:a%3Ab", "agent:harbour:a%3Ab")
    assert villages.has("agent:harbour~1:x") and not villages.has("agent:other~2:x") and not villages.has("nonsense")


KEY = ["uid1", {"type": 2, "data": ["e", 1], "nsp": "/x"}, {"rooms": ["r"], "except": ["s"], "flags": {}}]
STREAM = {"packet": {"type": 2, "data": ["e", 1], "nsp": "/x"}, "opts": {"rooms": ["r"], "except": ["s"], "flags": {}}}


def entry(kind: int, data: bytes) -> list[bytes]:
    return [b"uid", b"uid1", b"nsp", b"/x", b"type", str(kind).encode(), b"data", data]


async def test_each_wire_says_the_same() -> None:
    wanted = emit(uid="uid1", namespace="/x", event="e", arguments=[1], rooms=("r",), skipped=("s",))
    said = {"method": "emit", "event": "e", "data": [1], "binary": False, "namespace": "/x", "room": "r",
            "skip_sid": "s", "callback": None, "host_id": "uid1"}  # fmt: skip
    found = [
        wires.read_key_message(msgspec.msgpack.encode(KEY)),
        wires.read_stream_entry(entry(3, msgspec.json.encode(STREAM))),
        wires.read_stream_entry(entry(3, base64.b64encode(msgspec.msgpack.encode(STREAM)))),
        wires.read_python_message(msgspec.json.encode(said)),
    ]
    for one in found:
        assert one is not None
        assert (one.uid, one.namespace, one.event, list(one.arguments), one.rooms, one.skipped) == (
            wanted.uid, wanted.namespace, wanted.event, [1], wanted.rooms, wanted.skipped,
        )  # fmt: skip


async def test_orders_are_told_apart_and_heartbeats_are_nothing() -> None:
    for kind in (4, 5, 6):
        with pytest.raises(ForeignOrder):
            wires.read_stream_entry(entry(kind, b"{}"))
    for method in ("disconnect", "enter_room"):
        with pytest.raises(ForeignOrder):
            wires.read_python_message(msgspec.json.encode({"method": method, "sid": "x"}))
    assert wires.read_stream_entry(entry(2, b"{}")) is None
    assert wires.read_python_message(b'{"method":"callback"}') is None


@pytest.mark.parametrize("data", [b"", b"nonsense", b"[]", b"{}", b"\x80\x04pickle", b"[" * 100_000, b'{"method":1}'])
async def test_nonsense_is_unreadable_and_raises_nothing_else(data: bytes) -> None:
    for read in (wires.read_key_message, wires.read_python_message, lambda d: wires.read_stream_entry(entry(3, d))):
        with pytest.raises(Unreadable):
            read(data)


async def test_what_is_published_reads_as_it_was_said() -> None:
    channel, message = wires.key_message("u", "key", "/", "e", b'{"a":1}', ["village:demo"], ())
    assert channel == "key#/#village:demo#"
    found = wires.read_key_message(message)
    assert found is not None and (found.event, list(found.arguments), found.rooms) == (
        "e",
        [{"a": 1}],
        ("village:demo",),
    )
    assert wires.key_message("u", "key", "/", "e", b"1", ["a", "b"], ())[0] == "key#/#"
    fields = [
        one if isinstance(one, bytes) else one.encode() for one in wires.stream_entry("u", "/", "e", b"1", ["r"], ())
    ]
    found = wires.read_stream_entry(fields)
    assert found is not None and (found.event, list(found.arguments), found.rooms) == ("e", [1], ("r",))
