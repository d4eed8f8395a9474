"""Attempts to deliver: one request to an address that people named, and what the answer means. No attempt raises."""

import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Protocol

import attrs
import trio

from townwatch.access.sealing import SealBroken, Sealer
from townwatch.net.addresses import AddressRefused, Network, address_to_call
from townwatch.net.http_client import NotAnswered, exchange
from townwatch.notify import signing
from townwatch.notify.occasions import CONTENT_TYPE
from townwatch.store.calls import webhooks
from townwatch.store.calls.deliveries import Delivery
from townwatch.store.calls.webhooks import Webhook
from townwatch.store.database import Database

MAX_ANSWER = 65_536
"""Bytes of an answer; its content means nothing to us."""
LONGEST_RETRY_AFTER = 86_400
GONE = 410


@attrs.frozen(kw_only=True)
class AttemptOutcome:
    """`error` None: it was delivered. `retry_after`: seconds that the receiver asked for. `gone`: it wants no more of
    any message. `hopeless`: it will not take this message at any time.
    """

    status: int | None = None
    error: str | None = None
    retry_after: int | None = None
    gone: bool = False
    hopeless: bool = False


@attrs.frozen
class PlannedAttempt:
    """One attempt for one message, or for several that are summed up in one."""

    deliveries: Sequence[Delivery]
    send: Callable[[], Awaitable[AttemptOutcome]]


@attrs.frozen(kw_only=True)
class SendPlan:
    """Steps to take now with the messages of one target that are due. `void`: id and reason of those that are not
    to be sent any more. `postponed`: id and time. `rest`: seconds that the target is left alone.
    """

    attempts: Sequence[PlannedAttempt] = ()
    void: Sequence[tuple[int, str]] = ()
    postponed: Sequence[tuple[int, int]] = ()
    rest: float | None = None


class Caller(Protocol):
    """Delivers to one kind of target. `at_once`: attempts under way for one of them. `looks_at`: messages that it
    wants to see together.
    """

    at_once: int
    looks_at: int

    async def plan(self, target_id: str, due: Sequence[Delivery], now_ms: int) -> SendPlan:
        """Return what is to be done with these. Raises `TablesUnavailable`."""
        ...


@attrs.frozen(kw_only=True)
class Courier:
    """Sends requests. `seconds`: for one attempt, all of it. `networks`: private ones that may be called."""

    seconds: float
    networks: Sequence[Network]

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> AttemptOutcome:
        """Send one request. Names that lead to private networks are refused, redirects are not followed."""
        try:
            with trio.fail_after(self.seconds):
                address = await address_to_call(url, self.networks)
                reply = await exchange(
                    "POST",
                    url,
                    body=body,
                    headers={"user-agent": "Townwatch", **headers},
                    seconds=self.seconds,
                    max_bytes=MAX_ANSWER,
                    address=address,
                )
        except trio.TooSlowError:
            return AttemptOutcome(error=f"no answer within {self.seconds:g} s")
        except (AddressRefused, NotAnswered, OSError) as error:
            return AttemptOutcome(error=str(error)[:500] or type(error).__name__)
        return outcome_of(reply.status, reply.headers.get("retry-after"))


@attrs.frozen(kw_only=True)
class WebhookCaller:
    """`Caller` of webhooks: each message is a request of its own, signed."""

    database: Database
    sealer: Sealer
    courier: Courier
    now_ms: Callable[[], int]
    at_once: int = 4
    looks_at: int = 4

    async def plan(self, target_id: str, due: Sequence[Delivery], now_ms: int) -> SendPlan:
        webhook = await self.database.read(webhooks.by_id, target_id)
        if webhook is None or not webhook.enabled:
            return SendPlan()
        return SendPlan(attempts=[PlannedAttempt([one], partial(self._send, webhook, one)) for one in due])

    async def _send(self, webhook: Webhook, delivery: Delivery) -> AttemptOutcome:
        now, body = self.now_ms(), delivery.body.encode()
        try:
            secrets = self._secrets(webhook, now)
        except SealBroken as error:
            return AttemptOutcome(error=str(error))
        signed = signing.headers(secrets, delivery.message_id, now // 1000, body)
        return await self.courier.post(webhook.url, body, {"content-type": CONTENT_TYPE, **signed})

    def _secrets(self, webhook: Webhook, now_ms: int) -> list[str]:
        """The secret, and the one before it while that is still good. Raises `SealBroken`."""
        found = [self.sealer.open(webhook.secret, webhook.webhook_id)]
        if webhook.old_secret is not None and (webhook.old_until_ms or 0) > now_ms:
            found.append(self.sealer.open(webhook.old_secret, webhook.webhook_id))
        return found


def outcome_of(status: int, retry_after: str | None, now: Callable[[], float] = time.time) -> AttemptOutcome:
    """Return what an answer means: 2xx is a delivery, and nothing else is."""
    if 200 <= status < 300:
        return AttemptOutcome(status=status)
    if status == GONE:
        return AttemptOutcome(status=status, error="the receiver answered 410: it wants no more messages", gone=True)
    told = f"the receiver answered {status}" + (", and redirects are not followed" if 300 <= status < 400 else "")
    wish = _seconds_of(retry_after, now) if retry_after is not None else None
    return AttemptOutcome(
        status=status, error=told, retry_after=None if wish is None else min(wish, LONGEST_RETRY_AFTER)
    )


def _seconds_of(retry_after: str, now: Callable[[], float]) -> int | None:
    """Return the seconds that Retry-After names, as a number or as a date; None for what is neither."""
    if retry_after.isascii() and retry_after.isdigit():
        return int(retry_after[:9])
    try:
        return max(0, math.ceil(parsedate_to_datetime(retry_after).timestamp() - now()))
    except (ValueError, OverflowError):
        return None
