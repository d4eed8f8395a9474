"""Channels, preferences, escalation and links as rows, on both databases."""

import pytest
from sqlalchemy import Connection

from townwatch.store import members, users, villages
from townwatch.store.calls import channels, deliveries, links, preferences, targets
from townwatch.store.calls.channels import Channel, Escalation, TooManyChannels
from townwatch.store.calls.deliveries import CallMessage
from townwatch.store.calls.links import CallLink
from townwatch.store.calls.preferences import CallPreferences
from townwatch.store.database import Database


@pytest.fixture
def connection(database: Database):
    with database.engine.begin() as found:
        villages.create(found, "v", "A village", 1, key="v")
        for name, role in (("ada", "owner"), ("bob", "viewer")):
            users.create(found, name.title(), 1, user_id=name)
            members.put(found, "v", name, role, 1)  # type: ignore[arg-type]
            channels.add(found, channel(f"chan_{name}", name))
        yield found


def channel(channel_id: str, user_id: str, **more: object) -> Channel:
    values = {"form": "ntfy", "name": "", "shown": "x", "address": "sealed", "kinds": "alert.opened session.failed"}
    return Channel(channel_id=channel_id, user_id=user_id, **values, from_position=3, created_ms=1, **more)  # type: ignore[arg-type]


def test_a_channel_has_kinds_of_its_own_in_a_village(connection: Connection) -> None:
    assert channels.change(connection, "bob", "chan_ada", name="mine") is None, "another person's"
    changed = channels.change(connection, "ada", "chan_ada", villages='{"v": []}', kinds="alert.opened")
    assert changed is not None
    assert (changed.kinds_in("v"), changed.kinds_in("w")) == ([], ["alert.opened"])


def test_whom_a_village_reaches_follows_members_and_lock_outs(connection: Connection) -> None:
    found = channels.of_members(connection, "v")
    assert sorted((one.user_id, role) for one, role in found) == [("ada", "owner"), ("bob", "viewer")]
    users.set_disabled(connection, "ada", True)
    members.remove(connection, "v", "bob")
    assert channels.of_members(connection, "v") == []
    for name in ("ada", "bob"):
        reach = channels.reach(connection, f"chan_{name}")
        assert reach is not None and reach.roles == {}


def test_channels_and_webhooks_share_deliveries(connection: Connection) -> None:
    later = CallMessage(target_id="chan_ada", message_id="m1", kind="k", body="{}", not_before_ms=50)
    deliveries.take(connection, [later], 5)
    assert targets.oldest(connection) == 3
    assert deliveries.waiting_targets(connection, 10) == ([], 50)
    assert deliveries.waiting_targets(connection, 50) == (["chan_ada"], None)
    (one,) = deliveries.due_of(connection, "chan_ada", 50, 9, ())
    deliveries.postpone(connection, one.delivery_id, 90)
    deliveries.withdraw(connection, one.delivery_id, "it was answered", 60)
    deliveries.postpone(connection, one.delivery_id, 99)
    (kept,) = deliveries.page(connection, ["chan_ada"], "void", None, 9).items
    assert (kept.error, kept.next_ms) == ("it was answered", 60)
    targets.switch_off(connection, "chan_ada", "gone")
    assert deliveries.waiting_targets(connection, 100) == ([], None)
    assert channels.remove(connection, "ada", "chan_ada") and not channels.remove(connection, "ada", "chan_ada")
    assert deliveries.page(connection, ["chan_ada"], None, None, 9).items == []
    assert not targets.exists(connection, "chan_ada") and targets.exists(connection, "chan_bob")


def test_messages_of_targets_that_are_gone_are_forgotten(connection: Connection) -> None:
    deliveries.take(connection, [CallMessage(target_id="chan_bob", message_id="m", kind="k", body="{}")], 5)
    connection.exec_driver_sql("DELETE FROM channels WHERE channel_id = 'chan_bob'")
    assert deliveries.forget(connection, 0, 0) == 1


def test_a_code_confirms_once_and_is_not_tried_for_ever(connection: Connection) -> None:
    channels.add(connection, channel("chan_mail", "ada", enabled=False, confirm_hash="good"))
    assert not channels.confirm(connection, "ada", "chan_mail", "wrong", 9)
    assert not channels.confirm(connection, "bob", "chan_mail", "good", 9)
    assert channels.confirm(connection, "ada", "chan_mail", "good", 9)
    found = channels.get(connection, "ada", "chan_mail")
    assert found is not None and found.enabled and found.from_position == 9
    channels.add(connection, channel("chan_other", "ada", enabled=False, confirm_hash="good"))
    for _ in range(channels.CONFIRM_TRIES):
        channels.confirm(connection, "ada", "chan_other", "wrong", 9)
    assert not channels.confirm(connection, "ada", "chan_other", "good", 9)
    for number in range(channels.PER_PERSON - 3):
        channels.add(connection, channel(f"chan_{number}", "ada"))
    with pytest.raises(TooManyChannels):
        channels.add(connection, channel("chan_one_more", "ada"))


def test_preferences_and_escalation_have_defaults_and_are_kept(connection: Connection) -> None:
    assert preferences.of(connection, "ada") == CallPreferences()
    wanted = CallPreferences(time_zone="Europe/Berlin", quiet_from=1320, quiet_until=420, digest_calls=0)
    for one in (CallPreferences(), wanted):
        preferences.put(connection, "ada", one)
        assert preferences.of(connection, "ada") == one
    assert channels.escalation_of(connection, "v") == Escalation()
    preferences.put_escalation(connection, "v", Escalation(minutes=5, people=("bob", "ada")), "Ada", 7)
    assert channels.escalation_of(connection, "v") == Escalation(minutes=5, people=("bob", "ada"))
    villages.remove(connection, "v")
    assert channels.escalation_of(connection, "v") == Escalation()


def test_a_link_is_used_once_and_ends(connection: Connection) -> None:
    link = CallLink(
        hash="h", user_id="ada", channel_id="chan_ada", village_id="v", session_id="s", approval_id="a",
        created_ms=1, expires_ms=100,
    )  # fmt: skip
    links.add(connection, link)
    assert links.get(connection, "h", 99) == link and links.get(connection, "h", 100) is None
    assert [links.use(connection, "h", now) for now in (50, 51)] == [True, False]
    links.give_back(connection, "h")
    assert not links.use(connection, "h", 100)
    assert links.forget(connection, 99) == 0 and links.forget(connection, 100) == 1
    links.add(connection, link)
    links.forget_all_of(connection, "chan_ada")
    assert links.get(connection, "h", 50) is None
