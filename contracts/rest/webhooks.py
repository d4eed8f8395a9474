"""Webhooks of a village: where they call, about what, and what became of each message."""

from typing import Annotated, Literal, get_args

import attrs
import msgspec

from townwatch.contracts.decoding.patterns import NO_CONTROLS
from townwatch.contracts.rest.shared import Cursor, Limit

WebhookKind = Literal["approval.requested", "approval.resolved", "session.ended", "session.failed", "alert.opened"]
KINDS: tuple[str, ...] = get_args(WebhookKind)
TEST_KIND = "webhook.test"
WebhookName = Annotated[str, msgspec.Meta(max_length=200, pattern=NO_CONTROLS)]
WebhookUrl = Annotated[str, msgspec.Meta(min_length=1, max_length=2000, pattern=NO_CONTROLS)]
WebhookKinds = Annotated[list[WebhookKind], msgspec.Meta(min_length=1, max_length=20)]
DeliveryState = Literal["waiting", "delivered", "dead", "void"]


@attrs.frozen(kw_only=True)
class NewWebhook:
    """`url`: https:// or http://, called with POST. A session that failed is both session.ended and session.failed."""

    url: WebhookUrl
    kinds: WebhookKinds
    name: WebhookName = ""


@attrs.frozen(kw_only=True)
class WebhookChange:
    """Changes of a webhook; what is left out stays. `enabled` true again: what happened meanwhile is not told."""

    url: WebhookUrl | None = None
    kinds: WebhookKinds | None = None
    name: WebhookName | None = None
    enabled: bool | None = None


@attrs.frozen(kw_only=True)
class WebhookView:
    """`waiting`, `dead`: messages that are still to be delivered, and those that were given up. `dropped`: messages
    that were not kept because too many waited. `trouble`: why the service switched it off. `oldSecretUntil`: while it
    is not over, the secret before this one signs, too.
    """

    webhook_id: str
    url: str
    kinds: list[str]
    name: str
    enabled: bool
    created_by: str
    created_at: int
    waiting: int
    dead: int
    dropped: int
    trouble: str | None = None
    old_secret_until: int | None = None


@attrs.frozen(kw_only=True)
class WebhookList:
    items: list[WebhookView]


@attrs.frozen(kw_only=True)
class WebhookMade:
    """`secret`: what the receiver checks signatures with. It is shown once."""

    webhook: WebhookView
    secret: str


@attrs.frozen(kw_only=True)
class RotateWebhook:
    """`overlapHours`: how long the secret before it signs, too."""

    overlap_hours: Annotated[int, msgspec.Meta(ge=0, le=168)] = 24


@attrs.frozen(kw_only=True)
class DeliveryQuery:
    """`state`: dead are the letters that were given up, void those that were not needed any more."""

    state: DeliveryState | None = None
    cursor: Cursor | None = None
    limit: Limit = 50


@attrs.frozen(kw_only=True)
class DeliveryView:
    """One message for one webhook. `status`: of the latest answer; none came where it is left out. `nextAt`: when it is
    tried again. `body`: as it is sent.
    """

    delivery_id: str
    message_id: str
    kind: str
    state: DeliveryState
    attempts: int
    created_at: int
    body: str
    session_id: str | None = None
    next_at: int | None = None
    settled_at: int | None = None
    status: int | None = None
    error: str | None = None


@attrs.frozen(kw_only=True)
class DeliveryList:
    items: list[DeliveryView]
    next: str | None


@attrs.frozen(kw_only=True)
class DeliveryQueued:
    """It is on its way; the list of deliveries says what becomes of it."""

    delivery_id: str
