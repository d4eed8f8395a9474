"""Web push: to a browser, also where no page of ours is open (RFC 8030, 8291, 8292)."""

import json

import attrs

from townwatch.contracts.clock import epoch_ms
from townwatch.contracts.codec import ContractError, Decoder
from townwatch.notify.deliver import AttemptOutcome, Courier
from townwatch.notify.forms.encrypted import MAX_PLAIN, encrypt, public_key
from townwatch.notify.forms.letter import Letter
from townwatch.notify.vapid import Vapid, from_base64url

AUTH_BYTES = 16
ENDED = "the browser ended its subscription: switch calls on in it once more"


@attrs.frozen(kw_only=True)
class Subscription:
    """A browser's subscription: the address to send to, its public key, its secret. The keys are base64url."""

    endpoint: str
    p256dh: str
    auth: str = attrs.field(repr=False)

    def check(self) -> None:
        """Raises ValueError for keys with which nothing can be encrypted."""
        if len(from_base64url(self.auth)) != AUTH_BYTES:
            raise ValueError(f"auth must be {AUTH_BYTES} bytes")
        public_key(from_base64url(self.p256dh))


_subscriptions = Decoder(Subscription)


@attrs.frozen(kw_only=True)
class PushForm:
    """Sends what the service worker shows (dashboard/service-worker.js)."""

    courier: Courier
    vapid: Vapid

    async def send(self, address: str, letter: Letter) -> AttemptOutcome:
        try:
            found = _subscriptions.decode(address)
            body = encrypt(_payload(letter), from_base64url(found.p256dh), from_base64url(found.auth))
        except (ContractError, ValueError) as error:
            return AttemptOutcome(error=f"the subscription is of no use: {error}", gone=True)
        headers = {
            "content-type": "application/octet-stream",
            "content-encoding": "aes128gcm",
            "ttl": str(letter.ttl),
            "urgency": "high" if letter.urgent else "normal",
            "topic": letter.tag,
            "authorization": self.vapid.authorization(found.endpoint, epoch_ms() // 1000),
        }
        outcome = await self.courier.post(found.endpoint, body, headers)
        if outcome.status in (404, 410):
            return attrs.evolve(outcome, error=ENDED, gone=True)
        if outcome.status in (400, 401, 403):
            why = f"{outcome.error}: it does not take our key; switch calls on in this browser once more"
            return attrs.evolve(outcome, error=why, hopeless=True)
        return attrs.evolve(outcome, hopeless=outcome.status == 413)


def _payload(letter: Letter) -> bytes:
    """Return the JSON for the service worker; the text is cut where it would not fit."""
    told = {
        "kind": letter.kind,
        "title": letter.title,
        "text": letter.whole or letter.text,
        "village": letter.village,
        "path": letter.path,
        "tag": letter.tag,
        "at": letter.at_ms,
        **({"link": letter.link, "acts": True} if letter.link is not None and letter.whole is not None else {}),
    }
    text = str(told["text"])
    while len(data := json.dumps(told, ensure_ascii=False).encode()) > MAX_PLAIN:
        text = text[: len(text) * 3 // 4]
        told["text"] = f"{text}…"
    return data
