"""Ports of the REST transport, filled by the composition root."""

import secrets
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Protocol

import attrs
from prometheus_client import CollectorRegistry

from townwatch.access.authenticator import Authenticator
from townwatch.access.gate import Gate
from townwatch.access.oidc import Oidc
from townwatch.access.sealing import Sealer
from townwatch.access.sign_in import SignIn
from townwatch.access.token_places import TokenPlaces
from townwatch.actors.context import Context
from townwatch.actors.ports import Ref
from townwatch.contracts import rest
from townwatch.contracts.budgets import Spender
from townwatch.contracts.tracing import context as trace_context
from townwatch.contracts.tracing.context import TraceContext
from townwatch.store.audit import Entry
from townwatch.store.budgets.spending import SpendingRow, StartLimit
from townwatch.store.database import Database
from townwatch.store.search.records import Found, Freshness, Wanted
from townwatch.supervision import History, Rate, TokenBuckets
from townwatch.transports.http.guesses import PasswordGuard
from townwatch.transports.http.streams import StreamLimits, StreamPlaces

PAGES = StreamLimits(total=8, person=4, anonymous=4)


def _ready() -> list[str]:
    return []


@attrs.frozen(kw_only=True)
class Rates:
    """Rates of requests that a person (an address for the anonymous, a runner for its own) may make."""

    reads: Rate = attrs.field(factory=lambda: Rate(per_second=200, burst=400))
    writes: Rate = attrs.field(factory=lambda: Rate(per_second=20, burst=60))
    sign_ins: Rate = attrs.field(factory=lambda: Rate(per_second=0.5, burst=10))
    """By address: what a guesser of codes and passwords gets."""
    passwords: Rate = attrs.field(factory=lambda: Rate(per_second=0.1, burst=5))
    """By account and place (device or network), right ones too."""
    strange_passwords: Rate = attrs.field(factory=lambda: Rate(per_second=0.1, burst=30))
    """By account, from all places together that never signed in to it."""
    confirmations: Rate = attrs.field(factory=lambda: Rate(per_second=1 / 600, burst=5))
    """Codes that a person has sent to e-mail addresses."""
    links: Rate = attrs.field(factory=lambda: Rate(per_second=2, burst=40))
    """By address: what is asked of links in calls."""


@attrs.frozen(kw_only=True)
class Ceilings:
    """Limits of connections: of a person, of all people, of runners. The supervisors hold them."""

    connections_per_user: int = 10
    connections: int = 10_000
    runners: int = 1000


@attrs.frozen(kw_only=True)
class WebhookPort:
    """Webhooks, for their routes."""

    sealer: Sealer
    new_secret: Callable[[], str]
    position: Callable[[], int]
    """The position of the newest event in the log."""
    check_url: Callable[[str], None]
    """Raises ValueError, with one line, for an address that may not be called."""
    changed: Callable[[str], None]
    """This webhook was changed, or has something to send."""
    test_body: Callable[[str, str, int], str]
    """(message id, village, now) → a message that says it is a test."""


@attrs.frozen(kw_only=True)
class ChannelAddress:
    """An address as its form takes it. `stored`: to be sealed. `shown`: what of it people may see."""

    stored: str = attrs.field(repr=False)
    shown: str


@attrs.frozen(kw_only=True)
class CallPort:
    """People's channels, for their routes."""

    sealer: Sealer
    push_key: str
    """What browsers subscribe with."""
    mail: bool
    """Whether this service can send e-mail."""
    position: Callable[[], int]
    """The position of the newest event in the log."""
    address: Callable[[rest.NewChannel], ChannelAddress]
    """Raises ValueError, with one line, for an address that its form cannot use or that may not be called."""
    confirm: Callable[[str, str], Awaitable[str | None]]
    """(e-mail address, code) → sends the code there; why that failed, None where it did not."""
    check_zone: Callable[[str], None]
    """Raises ValueError for a time zone that is not known here."""
    changed: Callable[[str], None]
    """This channel was changed, or has something to send."""
    test_body: Callable[[int], str]
    """(now) → a call that says it is a test."""


class BudgetPort(Protocol):
    """Budgets that sessions share."""

    async def changed(self, village_id: str) -> None:
        """Let the changed budgets of a village (by key) hold."""
        ...

    def limits(self, village_id: str, spender: Spender) -> list[StartLimit]:
        """Return the budgets that a session would use if it began."""
        ...

    async def began(self, row: SpendingRow) -> None:
        """Lease to a session that was stored, before its runner hears of it."""
        ...

    def void(self, session_id: str) -> None:
        """A session never began: its row is gone."""
        ...

    async def views(self, village_id: str) -> list[rest.BudgetView]:
        """Return the village's budgets with what is used of them, the oldest first."""
        ...


class Search(Protocol):
    """Full-text search. The villages where the asker may look are the caller's to name."""

    async def find(self, wanted: Wanted) -> Found:
        """Return a page of matches. Raises `SearchError`."""
        ...

    async def freshness(self, village_ids: Collection[str]) -> Freshness:
        """Return how far the index is behind these villages' events."""
        ...


@attrs.define(eq=False, kw_only=True)
class Api:
    """Everything the routes use. What decides who may, or makes a change of rights act, has no default."""

    context: Context
    database: Database
    authenticator: Authenticator
    gate: Gate
    sign_in: SignIn
    version: str
    everyone_makes_villages: bool
    """Whether everyone may make villages, or administrators only."""
    metrics_open: bool
    """Whether programs of this machine need no token for /metrics. The root sets it where the service listens on
    loopback only, and is not told of a proxy."""
    forget_session: Callable[[str], Awaitable[None]]
    """Ends the actor of a session that never began (its runner refused it)."""
    delete_session: Callable[[str], Awaitable[None]]
    """Everything that there is of a session that has ended."""
    stop_runner: Callable[[str], Awaitable[None]]
    """Closes a removed runner's connection and ends its actor."""
    end_sessions: Callable[[str], Awaitable[None]]
    """Ends the live sessions of a removed runner."""
    cut_runner: Callable[[str], Awaitable[None]]
    """Closes the connections of a runner whose token was revoked; its actor and its sessions live on."""
    grants_changed: Callable[[str], Awaitable[None]]
    """A runner was granted other villages than before: its connections and its sessions are to follow."""
    policy_changed: Callable[[str], Awaitable[None]]
    """The rules of this village (by key) were changed: its runners are to have them."""
    village_deleted: Callable[[str], Awaitable[None]]
    """A village (by key) was deleted from the database: what lives of it in memory and in the log is to end."""
    membership_changed: Callable[[str], Awaitable[None]]
    """A person's role in this village changed: live connections are to be checked again."""
    token_ended: Callable[[str], Awaitable[None]]
    """A token was revoked or signed out: the live connections that came in with it are to end."""
    person_signed_out: Callable[[str], Awaitable[None]]
    """All of a person's sign-ins ended: their live connections are to end."""
    person_locked_out: Callable[[str], Awaitable[None]]
    """A person was locked out: their live connections are to end."""
    administrator_changed: Callable[[str, bool], Awaitable[None]]
    """A person was given administrator rights or lost them: their live connections are to follow."""
    broadcast: Callable[[str, dict[str, Any], str | None], int]
    """broadcast(event, data, user id or None for all) to clients of the control WebSocket; how many they are."""
    webhooks: WebhookPort
    calls: CallPort
    budgets: BudgetPort
    keep_audit: Callable[[Entry], None]
    """Takes an audit entry that could not be written now, to be written later."""
    search: Search
    """Finds text in what the asker may read."""
    root: Callable[[], Ref | None] = lambda: None
    """The root supervisor, for the tree."""
    history: History = attrs.field(factory=History)
    """What happened to whom lately."""
    chaos: bool = False
    """Whether administrators may break the service on purpose."""
    reasons_not_ready: Callable[[], list[str]] = _ready
    """Why the service should get no work now, one line each; empty when it is ready."""
    warnings: Callable[[], list[str]] = _ready
    """What people should know of a service that is ready."""
    cluster: Callable[[], str | None] = lambda: None
    """What this process does among those that share the database; None where there are no others."""
    replicas: Callable[[], list[rest.ReplicaView]] = list
    """The processes that share the database."""
    registry: CollectorRegistry = attrs.field(factory=CollectorRegistry)
    oidc: Oidc | None = None
    """The provider that people may sign in at; None: there is none."""
    allowed_origins: tuple[str, ...] = ()
    """Origins of other pages that may use the API; none unless they are named."""
    public_url: str = ""
    """Address that browsers know the service by, with `path`; empty: scheme and host of the request."""
    path: str = ""
    """Prefix of its addresses in a browser: empty, or /tw."""
    start_seconds: float = 15.0
    """How long a runner may take to accept a session."""
    request_seconds: float = 30.0
    """How long any request may take."""
    rates: Rates = attrs.field(factory=Rates)
    ceilings: Ceilings = attrs.field(factory=Ceilings)
    streams: StreamPlaces = attrs.field(factory=lambda: StreamPlaces(StreamLimits()))
    """Places for answers that grow with the data and are made while they are sent."""
    pages: StreamPlaces = attrs.field(factory=lambda: StreamPlaces(PAGES))
    """Places for answers of some megabytes that are made in memory."""
    reads: TokenBuckets = attrs.field(init=False)
    writes: TokenBuckets = attrs.field(init=False)
    sign_ins: TokenBuckets = attrs.field(init=False)
    confirmations: TokenBuckets = attrs.field(init=False)
    links: TokenBuckets = attrs.field(init=False)
    token_places: TokenPlaces = attrs.field(init=False)
    """Notes from where programs' tokens are used."""
    passwords: PasswordGuard = attrs.field(init=False)
    started_ms: int = attrs.field(init=False)
    trace: Callable[[str | None], TraceContext | None] = trace_context.read
    """Place of a request that changes something, from its header traceparent: the caller's own where nothing is traced
    here."""
    process: str = attrs.field(factory=lambda: secrets.token_hex(8))
    """Names this life of the service: an Idempotency-Key that another life left unanswered is free."""

    def __attrs_post_init__(self) -> None:
        self.reads = TokenBuckets("requests", self.rates.reads)
        self.writes = TokenBuckets("commands", self.rates.writes)
        self.sign_ins = TokenBuckets("sign_ins", self.rates.sign_ins)
        self.confirmations = TokenBuckets("confirmations", self.rates.confirmations)
        self.links = TokenBuckets("links", self.rates.links)
        self.passwords = PasswordGuard(self.rates.passwords, self.rates.strange_passwords)
        self.token_places = TokenPlaces(self.database, self.sign_in.keep_ms, self.context.clock.now_ms)
        self.started_ms = self.context.clock.now_ms()
