"""One attempt to deliver a message: what is sent, and what the receiver's answer means. No attempt raises."""

from collections.abc import Sequence

import attrs
import trio

from townwatch.access.sealing import SealBroken, Sealer
from townwatch.net.addresses import AddressRefused, Network, address_to_call
from townwatch.net.http_client import NotAnswered, exchange
from townwatch.notify import signing
from townwatch.notify.occasions import CONTENT_TYPE
from townwatch.store.calls.deliveries import Delivery
from townwatch.store.calls.webhooks import Webhook

MAX_ANSWER = 65_536
"""Bytes of an answer; its content means nothing to us."""
LONGEST_RETRY_AFTER = 86_400
GONE = 410


@attrs.frozen(kw_only=True)
class AttemptOutcome:
    """`error` None: it was delivered. `retry_after`: seconds that the receiver asked for. `gone`: it wants no more of
    any message.
    """

    status: int | None = None
    error: str | None = None
    retry_after: int | None = None
    gone: bool = False


@attrs.frozen(kw_only=True)
class Courier:
    """Sends messages. `seconds`: for one attempt, all of it. `networks`: private ones that may be called."""

    sealer: Sealer
    seconds: float
    networks: Sequence[Network]

    async def deliver(self, webhook: Webhook, delivery: Delivery, now_ms: int) -> AttemptOutcome:
        """Send a message once."""
        try:
            secrets = self._secrets(webhook, now_ms)
            with trio.fail_after(self.seconds):
                address = await address_to_call(webhook.url, self.networks)
                body = delivery.body.encode()
                reply = await exchange(
                    "POST",
                    webhook.url,
                    body=body,
                    headers={
                        "content-type": CONTENT_TYPE,
                        "user-agent": "Townwatch",
                        **signing.headers(secrets, delivery.message_id, now_ms // 1000, body),
                    },
                    seconds=self.seconds,
                    max_bytes=MAX_ANSWER,
                    address=address,
                )
        except trio.TooSlowError:
            return AttemptOutcome(error=f"no answer within {self.seconds:g} s")
        except (AddressRefused, SealBroken, NotAnswered, OSError) as error:
            return AttemptOutcome(error=str(error)[:500] or type(error).__name__)
        return judged(reply.status, reply.headers.get("retry-after"))

    def _secrets(self, webhook: Webhook, now_ms: int) -> list[str]:
        """The secret, and the one before it while that is still good."""
        found = [self.sealer.open(webhook.secret, webhook.webhook_id)]
        if webhook.old_secret is not None and (webhook.old_until_ms or 0) > now_ms:
            found.append(self.sealer.open(webhook.old_secret, webhook.webhook_id))
        return found


def judged(status: int, retry_after: str | None) -> AttemptOutcome:
    """Return what an answer means: 2xx is a delivery, and nothing else is."""
    if 200 <= status < 300:
        return AttemptOutcome(status=status)
    if status == GONE:
        return AttemptOutcome(status=status, error="the receiver answered 410: it wants no more messages", gone=True)
    told = f"the receiver answered {status}" + (", and redirects are not followed" if 300 <= status < 400 else "")
    wish = int(retry_after) if retry_after is not None and retry_after.isascii() and retry_after.isdigit() else None
    return AttemptOutcome(
        status=status, error=told, retry_after=None if wish is None else min(wish, LONGEST_RETRY_AFTER)
    )
