"""How Townwatch is set: every option with its unit, its default and what zero means.

Settings come from, later ones winning: the defaults here, a TOML file (``townwatch.toml`` in the working directory, or
``--config``), environment variables ``TOWNWATCH_<SECTION>_<OPTION>``, and the command line. An option that does not
exist or has the wrong type stops the start with one line that says where it stands and what was meant.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import attrs
import cattrs
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError

DEFAULT_FILE = "townwatch.toml"
ENV_PREFIX = "TOWNWATCH_"


class ConfigError(Exception):
    """The configuration cannot be used; the message is one line for the person at the terminal."""


@attrs.frozen(kw_only=True)
class Server:
    """The one port."""

    host: str = "127.0.0.1"
    """Address to listen on. 0.0.0.0 is every IPv4 interface: set `allowed_hosts` then."""
    port: int = 8484
    """TCP port; 0 lets the system choose one (it is printed)."""
    public_url: str = ""
    """How browsers reach the service (https://name), for redirects to it. Empty: as the request says."""
    allowed_hosts: list[str] = attrs.field(factory=list)
    """Host names that requests may name beside localhost and `host`. Empty: those only."""
    allowed_origins: list[str] = attrs.field(factory=list)
    """Origins (https://name) of other pages that may connect. Empty: the service's own page only."""
    trusted_proxies: list[str] = attrs.field(factory=list)
    """Addresses whose X-Forwarded-For is believed. Empty: nobody's."""
    tls_certificate: str = ""
    """PEM file. Empty: plain HTTP (put a proxy with TLS in front, or stay on loopback)."""
    tls_key: str = ""
    tls_client_ca: str = ""
    """PEM file. A runner that shows a certificate of this CA needs no token: its common name, or the last part of a URI
    in it, is the runner's id. Empty: nobody is asked for a certificate."""
    max_body_bytes: int = 1_000_000
    """Largest body of a request."""
    header_timeout: float = 10.0
    """Seconds a client has to send the head of a request."""
    chaos: bool = False
    """Whether administrators may break the service on purpose, over /api/chaos (docs/chaos.md)."""


@attrs.frozen(kw_only=True)
class Journal:
    """The durable log."""

    synchronous: Literal["full", "normal"] = "full"
    """full: what was acknowledged survives power loss. normal: survives a crash of the process only."""
    keep_days: float = 0
    """Days that events are kept. 0: for ever."""
    keep_mb: float = 0
    """Megabytes of events kept a village, the oldest go first. 0: no limit."""


@attrs.frozen(kw_only=True)
class Dial:
    """A runner that listens and that the service connects to."""

    url: str
    """ws:// or wss://, with the path."""
    token: str = ""
    """What the runner asks of us."""
    runner_id: str = ""
    """Who must answer. Empty: whoever does."""


@attrs.frozen(kw_only=True)
class Runners:
    """The runner side."""

    window: int = 1024
    """Events a runner may have unacknowledged. More is faster over long distances and costs memory."""
    heartbeat_ms: int = 30_000
    """Milliseconds between two heartbeats. A runner is offline after two missed ones."""
    ackless: bool = False
    """Whether runners of the dialect without acknowledgements may connect. Their token is in the URL: development
    only.
    """
    dial: list[Dial] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class Limits:
    """What one person, address or runner may use up. 0 is never "no limit" here: it is none at all."""

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
class Database:
    """People, villages, tokens, decisions."""

    url: str = ""
    """SQLAlchemy URL, postgresql+psycopg://… for PostgreSQL. Empty: SQLite in the state directory."""


@attrs.frozen(kw_only=True)
class OidcGrant:
    """Who may do what in a village, as the provider of sign-ins says."""

    village: str
    role: Literal["owner", "operator", "viewer"]
    group: str = ""
    """Whom it is for. Empty: everybody who signs in at the provider."""


@attrs.frozen(kw_only=True)
class Oidc:
    """Signing in at a provider, by OpenID Connect (authorization code with PKCE)."""

    issuer: str = ""
    """Its address, exactly as it names itself. Empty: nobody signs in this way."""
    client_id: str = ""
    client_secret: str = ""
    """Empty: a public client. Better set as TOWNWATCH_OIDC_CLIENT_SECRET than in a file."""
    label: str = "single sign-on"
    """What the button calls it."""
    scopes: list[str] = attrs.field(factory=lambda: ["openid", "profile", "email"])
    algorithms: list[str] = attrs.field(factory=lambda: ["RS256", "ES256", "EdDSA"])
    """That identity tokens may be signed with."""
    allowed_domains: list[str] = attrs.field(factory=list)
    """Domains of the verified e-mail address that may come in. Empty: whoever the provider lets in."""
    newcomers: bool = True
    """Whether a person is made for who was never here. false: only those whose identity is known."""
    groups_claim: str = "groups"
    """The claim that names a person's groups."""
    admin_group: str = ""
    """Its members run the service. Empty: the provider does not say who does."""
    grants: list[OidcGrant] = attrs.field(factory=list)
    """Places in villages. A village that is named here is the provider's to fill, at each sign-in."""


@attrs.frozen(kw_only=True)
class Issuer:
    """Another's access tokens that are believed, for people whose identity there is known here."""

    issuer: str
    audience: str = "townwatch"
    algorithms: list[str] = attrs.field(factory=lambda: ["RS256", "ES256", "EdDSA"])
    jwks_url: str = ""
    """Where its public keys are, https. Either this or `key_file`."""
    key_file: str = ""
    """A JWKS document, or one public key as PEM."""


@attrs.frozen(kw_only=True)
class Identity:
    """Whose word counts beside our own."""

    issuers: list[Issuer] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class Logging:
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


@attrs.frozen(kw_only=True)
class Settings:
    """Everything."""

    state_dir: str = ".townwatch"
    """The one directory Townwatch writes to."""
    server: Server = attrs.field(factory=Server)
    journal: Journal = attrs.field(factory=Journal)
    runners: Runners = attrs.field(factory=Runners)
    limits: Limits = attrs.field(factory=Limits)
    database: Database = attrs.field(factory=Database)
    oidc: Oidc = attrs.field(factory=Oidc)
    identity: Identity = attrs.field(factory=Identity)
    log: Logging = attrs.field(factory=Logging)

    @property
    def state(self) -> Path:
        return Path(self.state_dir)


def load(file: str | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from the file (the default one may be missing) and the environment. Raises `ConfigError`."""
    environ = os.environ if environ is None else environ
    path = Path(file or DEFAULT_FILE)
    tables = _read(path) if file or path.exists() else {}
    _apply_environment(tables, environ)
    return _structure(tables, str(path))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from None


_TABLES = (list[Dial], list[OidcGrant], list[Issuer])
"""Options that are tables themselves: a file sets them, no variable can."""


def _apply_environment(tables: dict[str, Any], environ: Mapping[str, str]) -> None:
    """TOWNWATCH_SERVER_PORT=9000 is [server] port = 9000; lists are separated by commas."""
    if state_dir := environ.get(f"{ENV_PREFIX}STATE_DIR"):
        tables["state_dir"] = state_dir
    for section in attrs.fields(Settings):
        if not attrs.has(cast(type, section.type)):
            continue
        for option in attrs.fields(section.type):
            text = environ.get(f"{ENV_PREFIX}{section.name}_{option.name}".upper())
            if text is not None and option.type not in _TABLES:
                tables.setdefault(section.name, {})[option.name] = _parse(text, option.type)


def _parse(text: str, kind: Any) -> Any:
    """A variable's text as the option's type; left as it is where it does not fit, for the check to complain."""
    if kind is bool:
        return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}.get(text.lower(), text)
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            return text
    if kind == list[str]:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)

    def strict(value: Any, kind: Any) -> Any:
        fits = isinstance(value, (int, float) if kind is float else kind)
        if not fits or (isinstance(value, bool) and kind is not bool):
            raise TypeError(f"must be {_NAMES[kind]}, not {value!r}")
        return kind(value)

    for kind in _NAMES:
        converter.register_structure_hook(kind, strict)
    return converter


_NAMES: dict[type, str] = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def _structure(tables: dict[str, Any], source: str) -> Settings:
    try:
        return _make_converter().structure(tables, Settings)
    except ClassValidationError as error:
        raise ConfigError(f"{source}: {_first_complaint(error, Settings)}") from None
    except Exception as error:
        raise ConfigError(f"{source}: {error}") from None


def _first_complaint(error: BaseException, cls: Any, where: str = "") -> str:
    """The innermost of cattrs' nested errors, as one line."""
    if isinstance(error, ForbiddenExtraKeysError):
        key = sorted(error.extra_fields)[0]
        known = [field.name for field in attrs.fields(error.cl)]
        close = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
        return f"{_section(where)}unknown option {key!r}: {hint}"
    if isinstance(error, BaseExceptionGroup):
        inner = cast("BaseException", error.exceptions[0])
        name = next((note.name for note in getattr(inner, "__notes__", ()) if hasattr(note, "name")), "")
        return _first_complaint(inner, cls, ".".join(part for part in (where, str(name)) if part))
    section, _, option = where.rpartition(".")
    return f"{_section(section)}{option}: {error}"


def _section(where: str) -> str:
    return f"[{where}] " if where else ""
