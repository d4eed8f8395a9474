"""Webhooks of a village: what is called when something happens in it, and what became of each message."""

import secrets
from typing import Any

import attrs

from townwatch.access.policy import Action
from townwatch.contracts import rest
from townwatch.contracts.rest.webhooks import TEST_KIND
from townwatch.contracts.village_ids import name_of
from townwatch.store.calls import deliveries, targets, webhooks
from townwatch.store.calls.deliveries import CallMessage, Delivery
from townwatch.store.calls.targets import MessageCounts
from townwatch.store.calls.webhooks import Webhook
from townwatch.transports.http.operation import Call, Routes
from townwatch.transports.http.paging import unknown_cursor
from townwatch.transports.http.problems import ProblemError, not_found

routes = Routes("Webhooks")
ALL = "/api/villages/{villageId}/webhooks"
ONE = f"{ALL}/{{webhookId}}"
HOUR_MS = 3_600_000


@routes.get(ALL, rest.WebhookList, on="village", may=Action.MANAGE)
async def list_webhooks(call: Call[None, None]) -> rest.WebhookList:
    """List the webhooks of a village, the oldest first."""
    found = await call.api.database.read(webhooks.of_village, call.path["villageId"])
    counts = await call.api.database.read(targets.counts, [one.webhook_id for one in found])
    return rest.WebhookList(items=[_view(one, counts.get(one.webhook_id)) for one in found])


@routes.post(
    ALL,
    rest.WebhookMade,
    on="village",
    may=Action.MANAGE,
    body=rest.NewWebhook,
    status=201,
    fails=(409,),
    secret=True,
    audit="webhook.make",
)
async def make_webhook(call: Call[rest.NewWebhook, None]) -> rest.WebhookMade:
    """Call an address whenever something of these kinds happens in a village, from now on.

    Each call is a POST of a CloudEvent (JSON), signed as Standard Webhooks are. It is tried again until the receiver
    answers 2xx, for some hours; then it is a dead letter, which can be sent again. The same message may come twice,
    with the same `webhook-id`, and messages may come in another order than they happened. Redirects are not followed.
    """
    body, port = call.body, call.api.webhooks
    _check_url(call, body.url)
    webhook_id, secret = webhooks.new_webhook_id(), port.new_secret()
    made = Webhook(
        webhook_id=webhook_id,
        village_id=call.path["villageId"],
        name=body.name,
        url=body.url,
        kinds=" ".join(dict.fromkeys(body.kinds)),
        enabled=True,
        secret=port.sealer.seal(secret, webhook_id),
        from_position=port.position(),
        created_by=call.subject.name or call.user_id,
        created_ms=call.now_ms,
    )
    call.target, call.notes = webhook_id, {"kinds": body.kinds}
    try:
        await call.api.database.call(webhooks.add, made)
    except webhooks.TooManyWebhooks as error:
        raise ProblemError(409, str(error)) from None
    port.changed(webhook_id)
    return rest.WebhookMade(webhook=_view(made, None), secret=secret)


@routes.get(ONE, rest.WebhookView, on="village", may=Action.MANAGE)
async def get_webhook(call: Call[None, None]) -> rest.WebhookView:
    """Return a webhook, without its secret."""
    return await _shown(call, await _webhook(call))


@routes.patch(ONE, rest.WebhookView, on="village", may=Action.MANAGE, body=rest.WebhookChange, audit="webhook.change")
async def change_webhook(call: Call[rest.WebhookChange, None]) -> rest.WebhookView:
    """Change where a webhook calls, about what, and whether it does."""
    body, found = call.body, await _webhook(call)
    values: dict[str, Any] = {}
    if body.url is not None:
        _check_url(call, body.url)
        values["url"] = body.url
    if body.kinds is not None:
        values["kinds"] = " ".join(dict.fromkeys(body.kinds))
    if body.name is not None:
        values["name"] = body.name
    if body.enabled is not None:
        values |= {"enabled": body.enabled, "trouble": None}
        if body.enabled and not found.enabled:
            values["from_position"] = call.api.webhooks.position()
    call.notes = {"changed": sorted(set(values) - {"trouble", "from_position"})}
    return await _shown(call, await _changed(call, **values))


@routes.delete(ONE, rest.Done, on="village", may=Action.MANAGE, audit="webhook.delete")
async def delete_webhook(call: Call[None, None]) -> rest.Done:
    """Delete a webhook, with its messages."""
    call.target = call.path["webhookId"][:200]
    if not await call.api.database.call(webhooks.remove, call.path["villageId"], call.target):
        raise not_found(f"webhook {call.target!r}")
    return rest.Done()


@routes.post(
    f"{ONE}/secret",
    rest.WebhookMade,
    on="village",
    may=Action.MANAGE,
    body=rest.RotateWebhook,
    body_optional=True,
    secret=True,
    audit="webhook.rotate",
)
async def rotate_webhook(call: Call[rest.RotateWebhook, None]) -> rest.WebhookMade:
    """Make a new secret. For some hours the one before it signs as well, so that no message is refused meanwhile."""
    found, port = await _webhook(call), call.api.webhooks
    secret = port.new_secret()
    changed = await _changed(
        call,
        secret=port.sealer.seal(secret, found.webhook_id),
        old_secret=found.secret if call.body.overlap_hours else None,
        old_until_ms=call.now_ms + call.body.overlap_hours * HOUR_MS if call.body.overlap_hours else None,
    )
    call.notes = {"overlapHours": call.body.overlap_hours}
    return rest.WebhookMade(webhook=await _shown(call, changed), secret=secret)


@routes.post(f"{ONE}/test", rest.DeliveryQueued, on="village", may=Action.MANAGE, fails=(409,), audit="webhook.test")
async def try_webhook(call: Call[None, None]) -> rest.DeliveryQueued:
    """Send a message that says it is a test; the list of deliveries says what became of it."""
    found = await _webhook(call)
    if not found.enabled:
        raise ProblemError(409, "the webhook is switched off; switch it on first")
    message_id = f"msg_{secrets.token_hex(20)}"
    body = call.api.webhooks.test_body(message_id, name_of(found.village_id), call.now_ms)
    message = CallMessage(target_id=found.webhook_id, message_id=message_id, kind=TEST_KIND, body=body)
    queued = await call.api.database.call(deliveries.queue, message, call.now_ms)
    if queued is None:
        raise ProblemError(409, f"{deliveries.QUEUE} messages wait for it already; see its deliveries")
    call.api.webhooks.changed(found.webhook_id)
    return rest.DeliveryQueued(delivery_id=str(queued))


@routes.get(f"{ONE}/deliveries", rest.DeliveryList, on="village", may=Action.MANAGE, query=rest.DeliveryQuery)
async def list_deliveries(call: Call[None, rest.DeliveryQuery]) -> rest.DeliveryList:
    """List the messages of a webhook, the latest first; `state=dead` are those that were given up.

    What was delivered is kept for 7 days, a dead letter for 30.
    """
    found, query = await _webhook(call), call.query
    try:
        page = await call.api.database.read(deliveries.page, [found.webhook_id], query.state, query.cursor, query.limit)
    except ValueError:
        raise unknown_cursor() from None
    return rest.DeliveryList(items=[delivery_view(one) for one in page.items], next=page.next)


@routes.post(
    f"{ONE}/deliveries/{{deliveryId}}/resend",
    rest.DeliveryQueued,
    on="village",
    may=Action.MANAGE,
    audit="webhook.resend",
)
async def resend_delivery(call: Call[None, None]) -> rest.DeliveryQueued:
    """Send a message again, whatever became of it; it keeps its id."""
    found, delivery_id = await _webhook(call), call.path["deliveryId"]
    known = delivery_id.isascii() and delivery_id.isdigit() and len(delivery_id) < 19
    again = known and await call.api.database.call(
        deliveries.redeliver, found.webhook_id, int(delivery_id), call.now_ms
    )
    if not again:
        raise not_found(f"delivery {delivery_id[:40]!r}")
    call.notes = {"delivery": delivery_id}
    call.api.webhooks.changed(found.webhook_id)
    return rest.DeliveryQueued(delivery_id=delivery_id)


async def _webhook(call: Call[Any, Any]) -> Webhook:
    """Return the webhook that the path names. Raises 404."""
    call.target = call.path["webhookId"][:200]
    found = await call.api.database.read(webhooks.get, call.path["villageId"], call.target)
    if found is None:
        raise not_found(f"webhook {call.target!r}")
    return found


async def _changed(call: Call[Any, Any], **values: Any) -> Webhook:
    assert call.target is not None  # _webhook
    found = await call.api.database.call(webhooks.change, call.path["villageId"], call.target, **values)
    if found is None:
        raise not_found(f"webhook {call.target!r}")
    call.api.webhooks.changed(found.webhook_id)
    return found


async def _shown(call: Call[Any, Any], webhook: Webhook) -> rest.WebhookView:
    counts = await call.api.database.read(targets.counts, [webhook.webhook_id])
    return _view(webhook, counts.get(webhook.webhook_id))


def _check_url(call: Call[Any, Any], url: str) -> None:
    try:
        call.api.webhooks.check_url(url)
    except ValueError as error:
        raise ProblemError(400, f"url: {error}", details={"field": "url"}) from None


def _view(webhook: Webhook, counts: MessageCounts | None) -> rest.WebhookView:
    counts = counts or MessageCounts()
    return rest.WebhookView(
        webhook_id=webhook.webhook_id,
        url=webhook.url,
        kinds=webhook.kinds.split(),
        name=webhook.name,
        enabled=webhook.enabled,
        created_by=webhook.created_by,
        created_at=webhook.created_ms,
        waiting=counts.waiting,
        dead=counts.dead,
        dropped=webhook.dropped,
        trouble=webhook.trouble,
        old_secret_until=webhook.old_until_ms,
    )


def delivery_view(one: Delivery, body: str | None = None) -> rest.DeliveryView:
    """Return a message and what became of it."""
    values = attrs.asdict(one, filter=attrs.filters.exclude("target_id", "created_ms", "next_ms", "delivery_id"))
    waits = one.state == "waiting"
    if body is not None:
        values["body"] = body
    return rest.DeliveryView(
        **values,
        delivery_id=str(one.delivery_id),
        created_at=one.created_ms,
        next_at=one.next_ms if waits else None,
        settled_at=None if waits else one.next_ms,
    )
