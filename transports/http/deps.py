"""What the REST room needs from the rest of the house: filled by the composition root."""

from collections.abc import Awaitable, Callable

import attrs
from prometheus_client import CollectorRegistry

from access.authenticator import Authenticator
from access.gate import Gate
from access.oidc import Oidc
from access.sign_in import SignIn
from actors.context import Context
from actors.ports import Ref
from store.database import Database
from supervision import History, Rate, TokenBuckets


def _ready() -> list[str]:
    return []


async def _forget_nothing(_session_id: str) -> None:
    return None


async def _change_nothing(_id: str) -> None:
    return None


@attrs.frozen(kw_only=True)
class Rates:
    """How many requests a person (an address for the anonymous, a runner for its own) may make."""

    reads: Rate = attrs.field(factory=lambda: Rate(per_second=200, burst=400))
    writes: Rate = attrs.field(factory=lambda: Rate(per_second=20, burst=60))
    sign_ins: Rate = attrs.field(factory=lambda: Rate(per_second=0.5, burst=10))
    """By address: what a guesser of codes and passwords gets."""
    passwords: Rate = attrs.field(factory=lambda: Rate(per_second=0.1, burst=5))
    """By account, wherever the attempts come from, right ones too."""


@attrs.define(eq=False, kw_only=True)
class Api:
    """Everything the routes use. Only the first six have no default."""

    context: Context
    database: Database
    authenticator: Authenticator
    gate: Gate
    sign_in: SignIn
    version: str
    root: Callable[[], Ref | None] = lambda: None
    """The root supervisor, for the tree."""
    history: History = attrs.field(factory=History)
    """What happened to whom lately."""
    chaos: bool = False
    """Whether administrators may break the service on purpose."""
    reasons_not_ready: Callable[[], list[str]] = _ready
    """Why the service should get no work now, one line each; empty when it is ready."""
    registry: CollectorRegistry = attrs.field(factory=CollectorRegistry)
    metrics_open: bool = True
    """Whether /metrics needs no token. The root sets it for loopback; else an administrator's token is asked for."""
    forget_session: Callable[[str], Awaitable[None]] = _forget_nothing
    """Ends the actor of a session that never began (its runner refused it)."""
    delete_session: Callable[[str], Awaitable[None]] = _change_nothing
    """Everything that there is of a session that has ended."""
    stop_runner: Callable[[str], Awaitable[None]] = _change_nothing
    """Closes a removed runner's connection and ends its actor."""
    cut_runner: Callable[[str], Awaitable[None]] = _change_nothing
    """Closes the connections of a runner whose token was revoked; its actor and its sessions live on."""
    membership_changed: Callable[[str], Awaitable[None]] = _change_nothing
    """Somebody's role in this village changed: live connections are to be checked again."""
    token_ended: Callable[[str], Awaitable[None]] = _change_nothing
    """A token was revoked or signed out: the live connections that came in with it are to end."""
    person_signed_out: Callable[[str], Awaitable[None]] = _change_nothing
    """All of a person's sign-ins ended: their live connections are to end."""
    oidc: Oidc | None = None
    """The provider that people may sign in at; None: there is none."""
    public_url: str = ""
    """Scheme and host that browsers know the service by; empty: those of the request."""
    start_seconds: float = 15.0
    """How long a runner may take to accept a session."""
    request_seconds: float = 30.0
    """How long any request may take."""
    rates: Rates = attrs.field(factory=Rates)
    reads: TokenBuckets = attrs.field(init=False)
    writes: TokenBuckets = attrs.field(init=False)
    sign_ins: TokenBuckets = attrs.field(init=False)
    passwords: TokenBuckets = attrs.field(init=False)
    started_ms: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.reads = TokenBuckets("requests", self.rates.reads)
        self.writes = TokenBuckets("commands", self.rates.writes)
        self.sign_ins = TokenBuckets("sign_ins", self.rates.sign_ins)
        self.passwords = TokenBuckets("passwords", self.rates.passwords)
        self.started_ms = self.context.clock.now_ms()
