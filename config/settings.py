"""Settings of Townwatch: every option with its unit, its default and what zero means (`reading.py` reads them)."""

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import attrs

from townwatch.config.bridge import BridgeSettings
from townwatch.config.calling import CallsSettings, MailSettings, WebhookSettings
from townwatch.config.place import default_state_dir
from townwatch.config.telemetry import TelemetrySettings


class ConfigError(Exception):
    """The configuration cannot be used; the message is one line for the person at the terminal."""


@attrs.frozen(kw_only=True)
class ServerSettings:
    """The one port."""

    host: str = "127.0.0.1"
    """Address to listen on. 0.0.0.0 is every IPv4 interface: set `allowed_hosts` then."""
    port: int = 8484
    """TCP port; 0 lets the system choose one (it is printed)."""
    public_url: str = ""
    """Address by which browsers reach the service (https://name), for redirects to it. Empty: as the request says."""
    path: str = ""
    """Path below which a proxy publishes the service (/tw); the proxy may keep it or strip it. Empty: the root."""
    allowed_hosts: list[str] = attrs.field(factory=list)
    """Host names that requests may name beside localhost and `host`. Empty: those only."""
    allowed_origins: list[str] = attrs.field(factory=list)
    """Origins (https://name) of other pages that may connect. Empty: the service's own page only."""
    trusted_proxies: list[str] = attrs.field(factory=list)
    """Addresses and networks (10.0.0.0/8) whose X-Forwarded-For and -Proto are believed. Empty: none."""
    tls_certificate: str = ""
    """PEM file. Empty: plain HTTP (put a proxy with TLS in front, or stay on loopback)."""
    tls_key: str = ""
    tls_client_ca: str = ""
    """PEM file. A runner that shows a certificate of this CA needs no token: its common name, or the last part of a URI
    in it, is the runner's id. Empty: no client is asked for a certificate."""
    max_body_bytes: int = 1_000_000
    """Largest body of a request."""
    header_timeout: float = 10.0
    """Seconds a client has to send the head of a request."""
    stall_timeout: float = 30.0
    """Seconds without progress after which the reader of an answer is cut. A slow one that goes on is waited for."""
    chaos: bool = False
    """Let administrators break the service on purpose, over /api/chaos (docs/chaos.md)."""

    @property
    def origins(self) -> tuple[str, ...]:
        """Origins of pages that may connect beside the one that the request's Host names: a proxy may not pass it."""
        public = urlsplit(self.public_url)
        return (*self.allowed_origins, *([f"{public.scheme}://{public.netloc}"] if public.netloc else []))

    @property
    def public_address(self) -> str:
        """Return `public_url` with `path`, without a slash at its end; empty where `public_url` is."""
        known = self.public_url.rstrip("/")
        return known if not known or known.endswith(self.path) else f"{known}{self.path}"


@attrs.frozen(kw_only=True)
class JournalSettings:
    """The durable log."""

    synchronous: Literal["full", "normal"] = "full"
    """full: what was acknowledged survives power loss. normal: survives a crash of the process only."""
    keep_days: float = 0
    """Days that events are kept. 0: for ever."""
    keep_mb: float = 0
    """Megabytes of events kept a village, the oldest go first. 0: no limit."""


@attrs.frozen(kw_only=True)
class DialSettings:
    """A runner that listens and that the service connects to."""

    url: str
    """ws:// or wss://, with the path."""
    token: str = ""
    """The token that the runner demands from the service."""
    runner_id: str
    """Id of the runner that must answer. Its villages are granted as for every runner."""


@attrs.frozen(kw_only=True)
class RunnersSettings:
    """The runner side."""

    window: int = 1024
    """Events a runner may have unacknowledged. More is faster over long distances and costs memory."""
    heartbeat_ms: int = 30_000
    """Milliseconds between two heartbeats. A runner is offline after two missed ones."""
    ackless: bool = False
    """Let runners of the dialect without acknowledgements connect. Their token is in the URL: development
    only.
    """
    end_detached_hours: float = 0
    """Hours that a runner may be away before the service ends its sessions as FAILED; they count from the start of the
    service at the earliest. 0: it never does; an owner may.
    """
    dial: list[DialSettings] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class OwnRunner:
    """The runner of this machine: `townwatch runner`, `townwatch run`."""

    run_as: str = ""
    """Name of the system user that sessions are executed as. Empty: the runner's own user, whose files agents can then
    read, the service's secret among them where that runs here, too (docs/operations.md).
    """


@attrs.frozen(kw_only=True)
class LimitsSettings:
    """Limits of one person, address or runner. 0 is never "no limit" here: it is none at all."""

    connections_per_user: int = 10
    """Live connections of a signed-in person, over Socket.IO and the control WebSocket together."""
    connections_per_address: int = 32
    """Live connections of the anonymous behind one IP address."""
    connections: int = 10_000
    """Live connections of all people together."""
    runners: int = 1000
    """Runners that are connected."""
    sessions_per_runner: int = 500
    """Sessions of a runner that have not ended, whatever the runner says of itself."""
    joins: int = 20
    """Rooms that a Socket.IO connection may join within `joins_seconds`."""
    joins_seconds: float = 5.0
    subscriptions_per_second: float = 50.0
    """Subscriptions of a person over the control WebSocket, after `subscriptions_burst` at once."""
    subscriptions_burst: int = 200
    typing_per_second: float = 50.0
    """Messages of terminal input and resizes of a person, whichever way they come, after `typing_burst` at once."""
    typing_burst: int = 200
    commands_per_second: float = 20.0
    """Requests of a person over REST that change something, after `commands_burst` at once."""
    commands_burst: int = 60
    reads_per_second: float = 200.0
    """Requests of a person that only look, after `reads_burst` at once."""
    reads_burst: int = 400


@attrs.frozen(kw_only=True)
class DatabaseSettings:
    """People, villages, tokens, decisions; with PostgreSQL the event log too."""

    url: str = ""
    """SQLAlchemy URL, postgresql+psycopg://… for PostgreSQL: for the event log too, and for several processes of which
    one leads and the others stand by. Empty: SQLite in the state directory.
    """
    lease_seconds: float = 5.0
    """PostgreSQL only: a leader that has not renewed its lease for so long is replaced by a standby. More than 1."""
    process_name: str = ""
    """PostgreSQL only: this process, as others name it. Empty: host name, port and process id."""
    address: str = ""
    """PostgreSQL only: host:port where the other processes reach this one's port, to hand connections on to it. Empty:
    [server] host and port; where host is every interface, the address from which this machine reaches PostgreSQL.
    """


@attrs.frozen(kw_only=True)
class OidcGrant:
    """A role in a village for people whom the sign-in provider names."""

    village: str
    role: Literal["owner", "operator", "viewer"]
    group: str = ""
    """The provider's group that gets the role. Empty: all people who sign in at the provider."""


@attrs.frozen(kw_only=True)
class OidcSettings:
    """Signing in at a provider, by OpenID Connect (authorization code with PKCE)."""

    issuer: str = ""
    """Its address, exactly as it names itself. Empty: OpenID Connect sign-in is off."""
    client_id: str = ""
    client_secret: str = ""
    """Empty: a public client. Better set as TOWNWATCH_OIDC_CLIENT_SECRET than in a file."""
    label: str = "single sign-on"
    """The provider's name on the sign-in button."""
    scopes: list[str] = attrs.field(factory=lambda: ["openid", "profile", "email"])
    algorithms: list[str] = attrs.field(factory=lambda: ["RS256", "ES256", "EdDSA"])
    """Algorithms that identity tokens may be signed with."""
    allowed_domains: list[str] = attrs.field(factory=list)
    """Domains of the verified e-mail address that may sign in. Empty: all people of the provider."""
    newcomers: bool = True
    """Create an account at a person's first sign-in. false: only people whose identity is linked may sign in."""
    groups_claim: str = "groups"
    """The claim that names a person's groups."""
    admin_group: str = ""
    """Its members run the service. Empty: the provider does not say who does."""
    grants: list[OidcGrant] = attrs.field(factory=list)
    """Places in villages. A village that is named here is the provider's to fill, at each sign-in."""


@attrs.frozen(kw_only=True)
class IssuerSettings:
    """Another's access tokens that are believed, for people whose identity there is known here."""

    issuer: str
    audience: str = "townwatch"
    algorithms: list[str] = attrs.field(factory=lambda: ["RS256", "ES256", "EdDSA"])
    jwks_url: str = ""
    """Address of its public keys, https. Either this, `key_file` or `secret`."""
    key_file: str = ""
    """A JWKS document, or one public key as PEM."""
    secret: str = attrs.field(default="", repr=False)
    """A secret that is shared with it, 32 bytes or more (HS256; `algorithms` does not count). Weaker than the others:
    each program that can check such a token can also make one."""
    scopes: list[str] = attrs.field(factory=lambda: ["read"])
    """What its tokens may be used for that name none of read, drive, decide, manage, admin in their `scope`."""


@attrs.frozen(kw_only=True)
class PeopleSettings:
    """Rights of people of the service beyond their roles in villages."""

    may_create_villages: Literal["admins", "everyone"] = "admins"
    """People who may make villages. everyone: each person that is signed in, with a token that has the scope manage."""
    sign_ins_kept_days: int = 90
    """Days that a person's list of past sign-ins has one that is over. 0: it is forgotten as soon as it is over."""


@attrs.frozen(kw_only=True)
class IdentitySettings:
    """Issuers of identity tokens beside this service."""

    issuers: list[IssuerSettings] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class LoggingSettings:
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


@attrs.frozen(kw_only=True)
class Settings:
    """Everything."""

    state_dir: str = attrs.field(factory=default_state_dir)
    """The one directory Townwatch writes to. Left out: $XDG_STATE_HOME/townwatch, else ~/.local/state/townwatch."""
    server: ServerSettings = attrs.field(factory=ServerSettings)
    journal: JournalSettings = attrs.field(factory=JournalSettings)
    runners: RunnersSettings = attrs.field(factory=RunnersSettings)
    runner: OwnRunner = attrs.field(factory=OwnRunner)
    limits: LimitsSettings = attrs.field(factory=LimitsSettings)
    database: DatabaseSettings = attrs.field(factory=DatabaseSettings)
    oidc: OidcSettings = attrs.field(factory=OidcSettings)
    identity: IdentitySettings = attrs.field(factory=IdentitySettings)
    people: PeopleSettings = attrs.field(factory=PeopleSettings)
    webhooks: WebhookSettings = attrs.field(factory=WebhookSettings)
    calls: CallsSettings = attrs.field(factory=CallsSettings)
    mail: MailSettings = attrs.field(factory=MailSettings)
    log: LoggingSettings = attrs.field(factory=LoggingSettings)
    telemetry: TelemetrySettings = attrs.field(factory=TelemetrySettings)
    bridge: BridgeSettings = attrs.field(factory=BridgeSettings)

    @property
    def state(self) -> Path:
        return Path(self.state_dir)
