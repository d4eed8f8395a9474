"""Wires the sender of webhooks to the service and its settings."""

from townwatch.app import supervision_tree as cast
from townwatch.app.resources import Resources
from townwatch.config.settings import ConfigError, Settings
from townwatch.net.addresses import Network, check_literal, networks_of
from townwatch.notify import signing
from townwatch.notify.deliver import Courier
from townwatch.notify.occasions import CallOrigin, cloud_event
from townwatch.notify.sender import Retries, WebhookSender
from townwatch.supervision import ChildSpec
from townwatch.transports.http.deps import WebhookPort


def sender_spec(base: Resources, settings: Settings) -> ChildSpec:
    """Return the child that delivers."""
    set_ = settings.webhooks
    courier = Courier(sealer=base.sealer, seconds=set_.seconds, networks=_networks(settings))
    retries = Retries(attempts=max(1, set_.attempts), first_seconds=set_.retry_seconds)
    page = settings.server.public_url.rstrip("/")
    args = (base.context, base.database, base.event_log, courier, retries, base.sender_bell, page)
    return ChildSpec(id="webhooks", actor=WebhookSender, args=args, backoff=cast.BACKOFF)


def webhook_port(base: Resources, settings: Settings) -> WebhookPort:
    """Return what the REST operations need. Raises `ConfigError`."""
    networks, page = _networks(settings), settings.server.public_url.rstrip("/")

    def test_body(message_id: str, village: str, now_ms: int) -> str:
        origin = CallOrigin(village=village, agent_id="", page=page)
        return cloud_event(message_id, "webhook.test", origin, now_ms, {"village": village, "text": "This is a test."})

    return WebhookPort(
        sealer=base.sealer,
        new_secret=signing.new_secret,
        position=lambda: base.event_log.position,
        check_url=lambda url: check_literal(url, networks),
        changed=base.sender_bell.ring,
        test_body=test_body,
    )


def _networks(settings: Settings) -> tuple[Network, ...]:
    try:
        return networks_of(settings.webhooks.private_networks)
    except ValueError as error:
        raise ConfigError(f"[webhooks] private_networks: {error}") from None
