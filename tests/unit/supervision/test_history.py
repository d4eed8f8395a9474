"""The last events of each actor: told in words, bounded, and the noisy do not push out the ill."""

import trio

from townwatch.runtime import TrioActor, open_world, telemetry
from townwatch.supervision import ChildSpec, History, Supervisor
from townwatch.supervision.history import KEPT_ACTORS, KEPT_EVENTS


class Fragile(TrioActor):
    def on_receive(self, message: object) -> None:
        raise ValueError(f"cannot do {message}")


async def test_a_crash_is_told_with_its_reason_and_the_restart_after_it() -> None:
    history = History()
    unsubscribe = telemetry.subscribe(history.note)
    try:
        async with open_world():
            root = Supervisor.start([ChildSpec(id="child", actor=Fragile)], "one_for_one", name="root")
            await root.ping()
            child = (await Supervisor.which_children(root))[0].ref
            child.tell("this")
            with trio.fail_after(5):
                while all(one.event != "restarted" for one in history.of("root/child")):
                    await root.ping()
            told = [(one.event, one.path) for one in history.of("root/child")]
            assert told[0] == ("started", "root/child")
            assert told.index(("dead_letter", "root/child")) < told.index(("restarted", "root/child"))
            (crash,) = (one for one in history.of("root/child") if one.event == "crashed")
            assert "ValueError: cannot do this" in crash.text
            assert "last message str" in crash.text
            assert history.of("root")[-1].path.startswith("root")
            assert history.of("roo") == []
            await root.stop()
    finally:
        unsubscribe()


def test_what_is_alike_is_one_with_a_count() -> None:
    history = History()
    for _ in range(3):
        history.note(
            "mailbox_full", {"actor": "Village (root/v)", "policy": "refuse", "capacity": 4, "message": "Event"}
        )
    (one,) = history.of("root/v")
    assert (one.count, one.text) == (3, "Event refused: 4 messages wait (refuse)")


def test_a_ring_keeps_the_latest() -> None:
    history = History()
    for life in range(KEPT_EVENTS + 5):
        history.note("started", {"path": "root/a", "incarnation": life})
    assert [one.incarnation for one in history.of("root/a")] == list(range(5, KEPT_EVENTS + 5))


def test_those_who_come_and_go_do_not_push_out_who_crashed() -> None:
    history = History()
    history.note("crashed", {"path": "root/router", "reason": "ValueError: x"})
    for number in range(KEPT_ACTORS * 2):
        history.note("started", {"path": f"root/clients/{number}", "incarnation": 1})
    assert history.of("root/router")[0].text == "ValueError: x"
    assert len(history.of("root", 10 * KEPT_ACTORS)) == KEPT_ACTORS + 1


def test_an_actor_without_a_place_in_the_tree_has_no_history() -> None:
    history = History()
    history.note("dead_letter", {"to": "Village (urn:uuid:1)", "why": "late", "message_type": "Event"})
    history.note("started", {"path": None, "incarnation": 1})
    assert history.of("urn:uuid:1") == []
