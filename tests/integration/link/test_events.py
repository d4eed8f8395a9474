"""Events in, acknowledgements out; refusals that name the field; whoever crashes, nothing is lost."""

import json
from typing import Any

import pytest
import trio

from tests.integration.link.helpers import chunk, seqs, until
from townwatch.actors import messages as m
from townwatch.app.supervision_tree import LINKS, SESSIONS
from townwatch.runtime import whereis
from townwatch.supervision import Supervisor


def without(seq: int, field: str) -> dict[str, Any]:
    one = chunk(seq)
    del one[field]
    return one


# --- refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (without(2, "data"), "data"),
        (without(2, "ts"), "ts"),
        (chunk(2, stream="stdin"), "stream"),
        (chunk(2, data=5), "data"),
        ({**chunk(2), "type": "no such event"}, "no such event"),
        (chunk(2, orgId=None), "orgId"),
        (chunk(2, repoRef={"provider": "local"}), "repoRef.path"),
    ],
)
async def test_a_malformed_event_gets_a_nack_that_names_the_field_and_stays_out(
    house: Any, bad: dict[str, Any], field: str
) -> None:
    async with house() as h, h.welcomed() as runner:
        await runner.send(chunk(1), bad, chunk(3))
        nack = await runner.hear("nack")
        assert (nack["sessionId"], nack["seq"], nack["code"]) == ("s1", 2, "E_BAD_PAYLOAD")
        assert field in nack["message"]
        await runner.acked(3)
        assert seqs(h) == [1, 3]


async def test_what_is_no_event_at_all_is_refused_too(house: Any) -> None:
    async with house() as h, h.welcomed() as runner:
        await runner.say("events", events=[5, "text", None, {}, [], chunk(1)])
        assert [(await runner.hear("nack"))["sessionId"] for _ in range(5)] == [""] * 5
        await runner.acked(1)


async def test_a_runner_may_not_write_into_anothers_session(house: Any) -> None:
    """T1: the connection says who it is, never a field."""
    async with house() as h, h.welcomed() as first, h.runner("secret-2") as second:
        await first.send(chunk(1))
        await first.acked(1)
        await second.hello("r2", sessions=[{"sessionId": "s1", "firstSeq": 1, "lastSeq": 9, "state": "RUNNING"}])
        await second.send(chunk(2, text="forged"), chunk(1, "s2"))
        assert (await second.hear("nack"))["code"] == "E_FORBIDDEN"
        await second.acked(1, "s2")
        await first.send(chunk(2, text="real"))
        await first.acked(2)
        assert [json.loads(r.body)["data"] for r in h.cast.log.read("s1")] == ["x", "real"]


# --- the window --------------------------------------------------------------------------------------


async def test_more_than_the_window_in_flight_is_the_end(house: Any) -> None:
    async with house(window=4) as h, h.runner() as runner:
        assert (await runner.hello())["window"] == 4
        await runner.send(*[chunk(n) for n in range(1, 6)])
        assert (await runner.hear("error"))["code"] == "E_WINDOW"
        code, reason = await runner.closed()
        assert code == 1008
        assert "window exceeded" in reason


async def test_a_runner_that_keeps_to_the_window_can_send_for_ever(house: Any) -> None:
    async with house(window=4) as h, h.welcomed() as runner:
        for first in range(1, 101, 4):
            await runner.send(*[chunk(n) for n in range(first, first + 4)])
            await runner.acked(first + 3)
        assert seqs(h) == list(range(1, 101))


async def test_refused_and_repeated_events_free_their_place_in_the_window(house: Any) -> None:
    async with house(window=4) as h, h.welcomed() as runner:
        for _ in range(10):
            await runner.send(chunk(1), without(2, "data"))
            await runner.hear("nack")
            await runner.acked(1)
        assert seqs(h) == [1]


async def test_big_events_wait_for_room_and_all_arrive(house: Any) -> None:
    async with house(held_bytes=100_000) as h, h.welcomed() as runner:
        for n in range(1, 21):
            await runner.send(chunk(n, text="y" * 60_000))
        await runner.acked(20)
        assert seqs(h) == list(range(1, 21))


async def test_acknowledgements_are_cumulative_and_few(house: Any) -> None:
    async with house() as h, h.welcomed() as runner:
        for n in range(1, 501):
            await runner.send(chunk(n))
        acks = []
        while not acks or acks[-1] < 500:
            acks.append((await runner.hear("ack"))["seq"])
        assert acks == sorted(acks)
        assert len(acks) < 100
        assert seqs(h) == list(range(1, 501))


async def test_many_sessions_share_a_connection(house: Any) -> None:
    async with house() as h, h.welcomed() as runner:
        names = [f"s{n}" for n in range(20)]
        await runner.send(*[chunk(seq, name) for seq in range(1, 11) for name in names])
        waiting = set(names)
        while waiting:
            ack = await runner.hear("ack")
            if ack["seq"] == 10:
                waiting.discard(ack["sessionId"])
        assert all(seqs(h, name) == list(range(1, 11)) for name in names)


# --- again and again ---------------------------------------------------------------------------------


async def test_a_repeat_is_acknowledged_again_and_stored_once(house: Any) -> None:
    async with house() as h, h.welcomed() as runner:
        for _ in range(3):
            await runner.send(chunk(1), chunk(2))
            await runner.acked(2)
        assert seqs(h) == [1, 2]


async def test_after_a_lost_connection_the_runner_is_told_where_to_resume(house: Any) -> None:
    async with house() as h:
        async with h.welcomed() as runner:
            await runner.send(*[chunk(n) for n in range(1, 6)])
            await runner.acked(5)
        async with h.runner() as runner:
            held = [
                {"sessionId": "s1", "firstSeq": 3, "lastSeq": 9, "state": "RUNNING"},
                {"sessionId": "new", "firstSeq": 1, "lastSeq": 2, "state": "RUNNING"},
                {"sessionId": "trimmed", "firstSeq": 40, "lastSeq": 41, "state": "RUNNING"},
            ]
            welcome = await runner.hello(sessions=held)
            assert welcome["sessions"] == [
                {"sessionId": "s1", "resumeFrom": 6},
                {"sessionId": "new", "resumeFrom": 1},
                {"sessionId": "trimmed", "resumeFrom": 40},
            ]
            await runner.send(*[chunk(n) for n in range(6, 10)], chunk(40, "trimmed"), chunk(41, "trimmed"))
            await runner.acked(41, "trimmed")
            assert seqs(h) == list(range(1, 10))
            assert seqs(h, "trimmed") == [40, 41]


async def test_a_spool_that_begins_behind_the_log_is_a_real_hole(house: Any) -> None:
    async with house() as h:
        async with h.welcomed() as runner:
            await runner.send(chunk(1), chunk(2))
            await runner.acked(2)
        async with h.runner() as runner:
            held = [{"sessionId": "s1", "firstSeq": 8, "lastSeq": 9, "state": "RUNNING"}]
            assert (await runner.hello(sessions=held))["sessions"] == [{"sessionId": "s1", "resumeFrom": 8}]
            await runner.send(chunk(8), chunk(9))
            await runner.acked(9)
            assert seqs(h) == [1, 2, 8, 9]


async def test_a_session_the_runner_does_not_name_is_lost(house: Any) -> None:
    async with house() as h:
        async with h.welcomed() as runner:
            await runner.send(chunk(1), chunk(2))
            await runner.acked(2)
        async with h.runner() as runner:
            welcome = await runner.hello()
            assert welcome["lost"] == ["s1"]
            assert welcome["sessions"] == [{"sessionId": "s1", "resumeFrom": 3}]


async def test_a_hole_of_the_runners_own_is_recorded(house: Any) -> None:
    async with house() as h, h.welcomed() as runner:
        await runner.send(chunk(1), chunk(2), chunk(7), chunk(8))
        await runner.acked(8)
        assert seqs(h) == [1, 2, 7, 8]
        state = h.context.board.session("s1")
        assert state is not None
        assert state.holes == 1


# --- crashes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kills", [1, 5])
async def test_the_session_actor_is_killed_while_events_flow(house: Any, kills: int) -> None:
    """What it had in hand is sent again from the link's memory: once each, in order."""
    async with house() as h, h.welcomed() as runner:
        for n in range(1, 11):
            await runner.send(chunk(n))
        for kill in range(kills):
            h.context.directory.sessions.get("s1") and h.context.directory.sessions["s1"].exit("killed")
            for n in range(11 + kill * 20, 31 + kill * 20):
                await runner.send(chunk(n))
            await trio.sleep(0.01 * kill)
        last = 10 + kills * 20
        await runner.acked(last)
        assert seqs(h) == list(range(1, last + 1))
        shown = [s.tag[1] for s in h.cast.out.published if s.event == "work_stream_event" and s.tag]
        await until(lambda: len({s.tag for s in h.cast.out.published if s.event == "work_stream_event"}) == last)
        assert shown == sorted(set(shown))


async def test_a_session_killed_before_its_first_event_is_durable(house: Any) -> None:
    async with house() as h, h.welcomed() as runner:
        ref = await h.cast.session("s1")
        await runner.send(chunk(1), chunk(2))
        ref.exit("killed")
        await runner.send(chunk(3))
        await runner.acked(3)
        assert seqs(h) == [1, 2, 3]


async def test_the_journal_and_all_sessions_are_killed(house: Any) -> None:
    async with house() as h, h.welcomed() as runner:
        await runner.send(*[chunk(n) for n in range(1, 11)])
        h.context.journal.exit("killed")
        # a new journal takes the links down as well: the runner comes back
        assert (await runner.closed())[0] in (1006, 1012)
        await until(lambda: whereis(LINKS) is not None)
        async with h.runner() as again:
            held = [{"sessionId": "s1", "firstSeq": 1, "lastSeq": 10, "state": "RUNNING"}]
            begin = (await again.hello(sessions=held))["sessions"][0]["resumeFrom"]
            await again.send(*[chunk(n) for n in range(begin, 12)])
            await again.acked(11)
        assert seqs(h) == list(range(1, 12))


async def test_what_a_session_merely_has_in_hand_is_asked_for_again(house: Any) -> None:
    """The runner lets go of everything before resumeFrom, so that must be on the disk."""
    async with house() as h, h.welcomed() as old:
        await old.send(chunk(1))
        await old.acked(1)
        real = h.context.journal
        await h.cast.settle()
        h.context.journal = Blackhole()  # what is accepted now will never be durable
        await old.send(chunk(2), chunk(3))
        await trio.sleep(0.05)
        async with h.runner() as new:
            held = [{"sessionId": "s1", "firstSeq": 1, "lastSeq": 3, "state": "RUNNING"}]
            assert (await new.hello(sessions=held))["sessions"] == [{"sessionId": "s1", "resumeFrom": 2}]
            await new.send(chunk(2), chunk(3))
            h.context.journal = real
            h.context.directory.sessions["s1"].exit("killed")
            await new.acked(3)
        assert seqs(h) == [1, 2, 3]


async def test_what_lies_before_this_connection_sends_the_runner_back_to_hello(house: Any) -> None:
    async with house() as h:
        async with h.welcomed() as runner:
            await runner.send(*[chunk(n) for n in range(1, 6)])
            await runner.acked(5)
        async with h.runner() as runner:
            await runner.hello(sessions=[{"sessionId": "s1", "firstSeq": 1, "lastSeq": 5, "state": "RUNNING"}])
            (await only_link(h)).tell(m.ResendFrom("s1", 2))
            code, reason = await runner.closed()
            assert code == 1012
            assert "from 3 on" in reason


class Blackhole:
    """A journal that takes everything and keeps nothing."""

    async def send(self, message: Any) -> None:
        await trio.lowlevel.checkpoint()


async def test_events_that_got_lost_on_the_way_are_handed_over_again(house: Any) -> None:
    async with house(resend=0.1) as h, h.welcomed() as runner:
        await runner.send(chunk(1))
        await runner.acked(1)
        session = h.context.directory.sessions["s1"]
        session.actor_inbox.drain(lambda envelope: None)
        link = await only_link(h)
        feeder = link._actor_weakref()._feeder
        flight = feeder._flights["s1"]
        real, flight.ref = flight.ref, Blackhole()
        await runner.send(chunk(2), chunk(3))
        await until(lambda: len(flight.held) == 2)
        flight.ref = real
        await runner.acked(3)
        assert seqs(h) == [1, 2, 3]


async def only_link(house: Any) -> Any:
    links = whereis(LINKS)
    assert links is not None
    (child,) = await Supervisor.which_children(links)
    return await Supervisor.child_ref(links, child.id)


async def test_what_is_let_go_is_what_was_kept_also_where_a_body_was_changed(house: Any) -> None:
    """Masked and mended bodies have other sizes than they came in; else such a runner would be read no more one day."""
    async with house() as h, h.welcomed() as runner:
        events = [chunk(seq, data=f"sk-{'a1B2' * 12} \ud83d{'y' * seq}", ts=-seq) for seq in range(1, 41)]
        await runner.send(*events)
        await runner.acked(40)
        feeder = (await only_link(h))._actor_weakref()._feeder
        await until(lambda: (feeder.bytes_held, feeder.events_held) == (0, 0))
        assert b"sk-a1B2" not in h.context.journal_log.read("s1", 0, 1, 1 << 20)[0].body


async def test_the_link_is_killed_and_the_runner_resumes(house: Any) -> None:
    async with house() as h:
        async with h.welcomed() as runner:
            await runner.send(chunk(1), chunk(2))
            await runner.acked(2)
            (await only_link(h)).exit("killed")
            assert (await runner.closed())[0] == 1006
        async with h.runner() as runner:
            held = [{"sessionId": "s1", "firstSeq": 1, "lastSeq": 2, "state": "RUNNING"}]
            assert (await runner.hello(sessions=held))["sessions"] == [{"sessionId": "s1", "resumeFrom": 3}]


async def test_the_whole_nursery_of_sessions_is_replaced(house: Any) -> None:
    async with house() as h, h.welcomed() as runner:
        await runner.send(chunk(1))
        await runner.acked(1)
        await Supervisor.terminate_child(whereis(SESSIONS), "session:s1")  # pyright: ignore
        await runner.send(chunk(2))
        await runner.acked(2)
        assert seqs(h) == [1, 2]


async def test_an_acknowledgement_means_it_is_on_the_disk(house: Any) -> None:
    async with house() as h, h.welcomed() as runner:
        for n in range(1, 51):
            await runner.send(chunk(n))
            ack = await runner.hear("ack")
            assert ack["seq"] in seqs(h)


async def test_a_refusal_of_the_session_becomes_a_nack(house: Any) -> None:
    async with house() as h, h.welcomed() as runner:
        (await only_link(h)).tell(m.EventRefused("s1", 7, "E_ORDER", "seq: 7 is not to be"))
        nack = await runner.hear("nack")
        assert (nack["seq"], nack["code"]) == (7, "E_ORDER")


async def test_a_runner_that_is_not_read_is_not_called_silent(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk holds up its events, and behind them its heartbeats: that says nothing about the runner."""
    async with house(held_bytes=100) as h, h.welcomed() as runner:

        def refuse(*_: Any) -> None:
            raise OSError("no space left")

        monkeypatch.setattr(h.cast.log, "append", refuse)
        await runner.send(*(chunk(seq, text="x" * 100) for seq in range(1, 5)))
        address = h.context.directory.runners["r1"]
        await until(lambda: h.context.disk.refusal is not None)
        heard = (await address.call(m.Describe())).heard_at
        h.cast.clock.now += 1000
        await until(lambda: _heard_after(address, heard))
        assert (await runner.hear("ack"))["window"] == 0
        monkeypatch.undo()
        await runner.acked(4)
        assert h.context.disk.refusal is None


async def _heard_after(address: Any, heard: int) -> bool:
    return (await address.call(m.Describe())).heard_at > heard
