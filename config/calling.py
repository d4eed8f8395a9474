"""Settings of calls to people and programs outside."""

from typing import Literal

import attrs


@attrs.frozen(kw_only=True)
class WebhookSettings:
    """Calls to addresses that the people of villages name."""

    private_networks: list[str] = attrs.field(factory=list)
    """Networks (10.1.0.0/16) of private addresses, or of this machine, that may be called. Empty: public ones only."""
    seconds: float = 15.0
    """Seconds that one attempt may take."""
    attempts: int = 9
    """Attempts until a message is a dead letter. 0 and 1: one."""
    retry_seconds: float = 5.0
    """Seconds between the first two attempts; then four times as long each time, ten hours at most."""


@attrs.frozen(kw_only=True)
class MailSettings:
    """The mail server that e-mail to people is sent through."""

    host: str = ""
    """Its name. Empty: the service sends no e-mail."""
    port: int = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    """tls: from the first byte on (port 465). none: only for a server of this machine or of a network of your own."""
    user: str = ""
    """Empty: without signing in."""
    password: str = attrs.field(default="", repr=False)
    """Better set as TOWNWATCH_MAIL_PASSWORD than in a file."""
    sender: str = ""
    """The address that e-mail comes from. Empty: townwatch@ and the server's name."""
    ca: str = ""
    """PEM file that its certificate is checked with. Empty: the authorities that this machine trusts."""
    seconds: float = 20.0
    """Seconds that one attempt may take."""


@attrs.frozen(kw_only=True)
class CallsSettings:
    """Calls to people. Retries and addresses that may be called are those of [webhooks]."""

    contact: str = ""
    """mailto: or https: address at which the people of push services reach yours. Empty: `server.public_url`."""
