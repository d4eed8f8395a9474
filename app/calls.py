"""Wires the sender of calls to the service and its settings: webhooks of villages, channels of people."""

import re
import socket
import ssl
from functools import partial
from urllib.parse import urlsplit

from townwatch.access.bootstrap import token_secret
from townwatch.app import supervision_tree as cast
from townwatch.app.resources import Resources
from townwatch.config.settings import ConfigError, Settings
from townwatch.contracts import rest
from townwatch.contracts.clock import epoch_ms
from townwatch.contracts.codec import encode
from townwatch.net.addresses import AddressRefused, Network, check_literal, networks_of
from townwatch.net.smtp import MailServer
from townwatch.notify import call, signing
from townwatch.notify.deliver import Courier, WebhookCaller
from townwatch.notify.forms.chats import ChatAddress, ChatForm, ntfy_topic
from townwatch.notify.forms.letter import Letter
from townwatch.notify.forms.mail import MailForm
from townwatch.notify.forms.push import PushForm, Subscription
from townwatch.notify.occasions import CallOrigin, cloud_event
from townwatch.notify.people import PersonCaller
from townwatch.notify.quiet import zone
from townwatch.notify.sender import CallSender, Retries
from townwatch.notify.vapid import Vapid
from townwatch.supervision import ChildSpec
from townwatch.transports.http.deps import CallPort, ChannelAddress, WebhookPort

_MAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+")


def sender_spec(base: Resources, settings: Settings) -> ChildSpec:
    """Return the child that delivers. Raises `ConfigError`."""
    set_ = settings.webhooks
    courier = Courier(seconds=set_.seconds, networks=_networks(settings))
    now_ms = base.context.clock.now_ms
    hooks = WebhookCaller(database=base.database, sealer=base.sealer, courier=courier, now_ms=now_ms)
    people = PersonCaller(
        context=base.context,
        database=base.database,
        sealer=base.sealer,
        forms={
            "push": PushForm(courier=courier, vapid=_vapid(settings)),
            "mail": _mail_form(settings),
            **{form: ChatForm(courier=courier, form=form) for form in ("ntfy", "slack", "teams")},
        },
        page=_page(settings),
    )
    retries = Retries(attempts=max(1, set_.attempts), first_seconds=set_.retry_seconds)
    callers = {"hook": hooks, "chan": people}
    args = (base.context, base.database, base.event_log, callers, retries, base.sender_bell, _page(settings))
    return ChildSpec(id="calls", actor=CallSender, args=args, backoff=cast.BACKOFF)


def webhook_port(base: Resources, settings: Settings) -> WebhookPort:
    """Return what the REST operations of webhooks need. Raises `ConfigError`."""
    networks, page = _networks(settings), _page(settings)

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


def call_port(base: Resources, settings: Settings) -> CallPort:
    """Return what the REST operations of channels need. Raises `ConfigError`."""
    mail = _mail_form(settings)
    return CallPort(
        sealer=base.sealer,
        push_key=_vapid(settings).public,
        mail=mail.server is not None,
        position=lambda: base.event_log.position,
        address=partial(_address, networks=_networks(settings), mail=mail.server is not None),
        confirm=partial(_confirm, mail),
        check_zone=lambda name: (zone(name), None)[1],
        changed=base.sender_bell.ring,
        test_body=lambda now_ms: call.to_text(call.test_call(now_ms)),
    )


def _address(new: rest.NewChannel, *, networks: tuple[Network, ...], mail: bool) -> ChannelAddress:
    """Check an address for its form. Raises ValueError."""
    if new.form == "push":
        given = new.subscription
        if given is None:
            raise ValueError("a push channel needs the subscription of a browser")
        check_literal(given.endpoint, networks)
        found = Subscription(endpoint=given.endpoint, p256dh=given.p256dh, auth=given.auth)
        try:
            found.check()
        except ValueError as error:
            raise ValueError(f"the browser's keys are of no use: {error}") from None
        return ChannelAddress(stored=encode(found).decode(), shown=urlsplit(given.endpoint).hostname or "")
    if new.address is None:
        raise ValueError(f"a channel of the form {new.form} needs an address")
    if new.form == "mail":
        if not mail:
            raise ValueError("this service has no mail server: an administrator sets [mail]")
        if not _MAIL.fullmatch(new.address) or len(new.address) > 254:
            raise ValueError("this is no e-mail address")
        return ChannelAddress(stored=new.address, shown=new.address)
    check_literal(new.address, networks)
    host = urlsplit(new.address).hostname or ""
    shown = f"{host}/{ntfy_topic(new.address)[1]}" if new.form == "ntfy" else host
    return ChannelAddress(stored=encode(ChatAddress(url=new.address, token=new.token)).decode(), shown=shown)


async def _confirm(mail: MailForm, address: str, code: str) -> str | None:
    letter = Letter(
        message_id=f"confirm.{code[:2]}{epoch_ms()}",
        kind="channel.confirm",
        title="Confirm that Townwatch may call you here",
        text=f"The code is {code}. Enter it in Townwatch, in your settings under Calls. Nothing else is sent to this"
        " address until then.\n\nWas it not you? Then do nothing.",
        village="",
        tag="confirm",
        at_ms=epoch_ms(),
    )
    return (await mail.send(address, letter)).error


def _page(settings: Settings) -> str:
    return settings.server.public_address


def _vapid(settings: Settings) -> Vapid:
    contact = settings.calls.contact
    if contact and not contact.startswith(("mailto:", "https://")):
        raise ConfigError("[calls] contact: must begin with mailto: or https://")
    page = _page(settings)
    known = contact or (page if page.startswith("https://") else f"mailto:townwatch@{socket.gethostname()}")
    return Vapid(token_secret(settings.state), known)


def _mail_form(settings: Settings) -> MailForm:
    """Return how e-mail is sent. Raises `ConfigError`."""
    mail = settings.mail
    if not mail.host:
        return MailForm(server=None, sender="", seconds=mail.seconds)
    sender = mail.sender or f"townwatch@{mail.host}"
    if not re.fullmatch(r"[\x21-\x7e]+@[A-Za-z0-9.-]+", sender):
        raise ConfigError(f"[mail] sender: {sender!r} is no e-mail address")
    if mail.security == "none" and mail.user and mail.host not in ("localhost", "127.0.0.1", "::1"):
        raise ConfigError('[mail] security: "none" would send the password in the clear; use starttls or tls')
    server = MailServer(
        host=mail.host,
        port=mail.port,
        security=mail.security,
        user=mail.user,
        password=mail.password,
        trusted=_trusted(mail.ca),
    )
    return MailForm(server=server, sender=sender, seconds=mail.seconds)


def _trusted(ca: str) -> ssl.SSLContext | None:
    if not ca:
        return None
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"[mail] ca: {ca} cannot be used: {error}") from None


def _networks(settings: Settings) -> tuple[Network, ...]:
    try:
        return networks_of(settings.webhooks.private_networks)
    except (ValueError, AddressRefused) as error:
        raise ConfigError(f"[webhooks] private_networks: {error}") from None
