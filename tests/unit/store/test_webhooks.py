"""Webhooks and their deliveries as rows, on both databases."""

import pytest
from sqlalchemy import Connection

from townwatch.store import villages
from townwatch.store.calls import deliveries, targets, webhooks
from townwatch.store.calls.deliveries import CallMessage
from townwatch.store.calls.targets import MessageCounts
from townwatch.store.calls.webhooks import TooManyWebhooks, Webhook
from townwatch.store.database import Database


@pytest.fixture
def connection(database: Database):
    with database.engine.begin() as found:
        key = villages.create(found, "v", "A village", 1, key="v")
        assert key == "v"
        webhooks.add(found, hook("hook_1"))
        yield found


def hook(webhook_id: str, **more: object) -> Webhook:
    values = {"village_id": "v", "name": "", "url": "https://a.example/", "kinds": "alert.opened", "enabled": True}
    return Webhook(webhook_id=webhook_id, **values, secret="s", from_position=0, created_by="o", created_ms=1, **more)  # type: ignore[arg-type]


def message(name: str, webhook_id: str = "hook_1") -> CallMessage:
    return CallMessage(target_id=webhook_id, message_id=name, kind="alert.opened", body="{}")


def names(connection: Connection, now: int = 10, limit: int = 100) -> list[str]:
    return [one.message_id for one in deliveries.due_of(connection, "hook_1", now, limit, ())]


def test_a_message_that_is_made_again_is_one_and_the_position_is_kept_with_it(connection: Connection) -> None:
    for _ in range(2):
        deliveries.take(connection, [message("m1"), message("m2"), message("m1", "hook_gone")], 5, position=77)
    assert names(connection) == ["m1", "m2"]
    assert webhooks.position(connection) == 77
    assert deliveries.waiting_targets(connection, 10) == (["hook_1"], None)


def test_outcomes(connection: Connection) -> None:
    deliveries.take(connection, [message(name) for name in ("ok", "later", "dead")], 5)
    ok, later, dead = deliveries.due_of(connection, "hook_1", 10, 100, ())
    for one, state, then in ((ok, "delivered", 11), (later, "waiting", 99), (dead, "dead", 11)):
        error = None if state == "delivered" else "no"
        deliveries.settle(connection, one.delivery_id, state=state, next_ms=then, status=500, error=error)
    assert names(connection, 98) == [] and names(connection, 99) == ["later"]
    assert deliveries.waiting_targets(connection, 50) == ([], 99)
    assert targets.counts(connection, ["hook_1"]) == {"hook_1": MessageCounts(waiting=1, dead=1)}
    page = deliveries.page(connection, ["hook_1"], None, None, 2)
    assert [(one.message_id, one.state, one.attempts) for one in page.items] == [
        ("dead", "dead", 1),
        ("later", "waiting", 1),
    ]
    assert [one.message_id for one in deliveries.page(connection, ["hook_1"], None, page.next, 2).items] == ["ok"]
    assert [one.message_id for one in deliveries.page(connection, ["hook_1"], "dead", None, 2).items] == ["dead"]
    assert deliveries.redeliver(connection, "hook_1", dead.delivery_id, 12)
    assert not deliveries.redeliver(connection, "another", dead.delivery_id, 12)
    assert names(connection, 12) == ["dead"]
    assert deliveries.forget(connection, delivered_before_ms=12, dead_before_ms=12) == 1
    assert [one.message_id for one in deliveries.page(connection, ["hook_1"], None, None, 9).items] == ["dead", "later"]


def test_what_finds_the_queue_full_is_counted(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "QUEUE", 2)
    deliveries.take(connection, [message(f"m{n}") for n in range(5)], 5)
    assert names(connection) == ["m0", "m1"]
    found = webhooks.by_id(connection, "hook_1")
    assert found is not None and found.dropped == 3
    assert deliveries.queue(connection, message("test"), 5) is None


def test_what_is_switched_off_gets_nothing(connection: Connection) -> None:
    deliveries.take(connection, [message("m1")], 5)
    assert [one.webhook_id for one in webhooks.enabled(connection)["v"]] == ["hook_1"]
    targets.switch_off(connection, "hook_1", "the receiver answered 410")
    assert webhooks.enabled(connection) == {}
    assert deliveries.waiting_targets(connection, 10) == ([], None)
    changed = webhooks.change(connection, "v", "hook_1", enabled=True, trouble=None)
    assert changed is not None and changed.enabled
    assert deliveries.waiting_targets(connection, 10) == (["hook_1"], None)


def test_a_village_has_a_limit_and_takes_its_webhooks_with_it(connection: Connection) -> None:
    for n in range(webhooks.PER_VILLAGE - 1):
        webhooks.add(connection, hook(f"hook_more{n}"))
    with pytest.raises(TooManyWebhooks):
        webhooks.add(connection, hook("hook_one_more"))
    deliveries.take(connection, [message("m1")], 5)
    assert not webhooks.remove(connection, "another", "hook_1")
    assert webhooks.remove(connection, "v", "hook_1") and not webhooks.remove(connection, "v", "hook_1")
    assert deliveries.page(connection, ["hook_1"], None, None, 9).items == []
    villages.remove(connection, "v")
    assert webhooks.of_village(connection, "v") == []
