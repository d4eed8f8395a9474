"""The REST room on the real edge, before a real cast, a real log and a real database, asked over a real socket."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import httpx
import trio
from prometheus_client import CollectorRegistry, Counter

from tests.support.cast import Cast, batch, open_cast
from townwatch import dashboard
from townwatch.access import secrets
from townwatch.access.authenticator import Authenticator
from townwatch.access.bootstrap import OWNER_ID, bootstrap
from townwatch.access.gate import Gate
from townwatch.access.grants import grant_api_token, grant_runner_token
from townwatch.access.jwt import OwnTokens
from townwatch.access.sealing import Sealer
from townwatch.access.sign_in import SignIn
from townwatch.access.subject import ALL_SCOPES
from townwatch.actors import messages as m
from townwatch.actors.ports import Ref
from townwatch.app.budgets.accountant import Accountant
from townwatch.app.budgets.book import BudgetBook
from townwatch.app.budgets.desk import LeaseDesk
from townwatch.app.budgets.port import BudgetsOverRest
from townwatch.app.held.commands import HeldCommands
from townwatch.app.policies import PolicyBook, PolicyKeeper
from townwatch.app.promises import StoredDecisions, StoredPromises
from townwatch.app.search.index import SearchIndex
from townwatch.app.search.indexer import Finder
from townwatch.app.upkeep.session_gc import delete_session
from townwatch.contracts.link import Capabilities, Command, ErrorBody, Hello, Result
from townwatch.runtime import TrioActor
from townwatch.store import members, runner_grants, runners, users, villages
from townwatch.store.database import Database
from townwatch.store.runners import RunnerRow
from townwatch.store.search.sqlite import SqliteSearch
from townwatch.transports.edge.server import Edge, EdgeSettings
from townwatch.transports.http.app import mount
from townwatch.transports.http.deps import Api, CallPort, ChannelAddress, Rates, WebhookPort

PEOPLE = ("owner", "operator", "viewer", "stranger")
"""Of the village `closed`: its members by role, and somebody who is none."""


class FakeLink(TrioActor):
    """A runner's connection that answers every command at once."""

    def __init__(self, refuse: str | None = None) -> None:
        super().__init__()
        self.refuse = refuse
        self.silent = False
        self.commands: list[Command] = []
        self.runner: Ref | None = None

    def on_receive(self, message: Any) -> Any:
        match message:
            case m.SendCommand(command=command):
                self.commands.append(command)
                if self.silent:
                    return
                error = ErrorBody(code="E_REFUSED", message=self.refuse) if self.refuse else None
                assert self.runner is not None
                self.runner.tell(m.CommandResult(Result(command_id=command.command_id, ok=error is None, error=error)))
            case _:
                pass


@attrs.define
class Rest:
    """What a test holds in its hands."""

    cast: Cast
    api: Api
    database: Database
    url: str
    http: httpx.AsyncClient
    tokens: dict[str | None, str | None]
    keys: dict[str, str]
    """Name → key of the villages."""
    failures: list[str] = attrs.field(factory=list)

    async def ask(
        self, method: str, path: str, body: Any = None, who: str | None = "owner", **options: Any
    ) -> httpx.Response:
        """A request of somebody (None: anonymous)."""
        headers = dict(options.pop("headers", {}))
        token = self.tokens.get(who, who)
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        if body is not None:
            headers.setdefault("content-type", "application/json")
            options["content"] = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.http.request(method, path, headers=headers, **options)

    async def get(self, path: str, who: str | None = "owner", **options: Any) -> httpx.Response:
        return await self.ask("GET", path, who=who, **options)

    async def post(self, path: str, body: Any = None, who: str | None = "owner", **options: Any) -> httpx.Response:
        return await self.ask("POST", path, body, who, **options)

    async def runner(
        self, runner_id: str = "r1", village: str | None = None, refuse: str | None = None, **hello: Any
    ) -> FakeLink:
        """A connected runner that serves this village, else all of them; the link holds what it was told."""
        known = RunnerRow(runner_id=runner_id, name=runner_id, created_ms=1)
        await self.database.call(runners.put, known)
        for name in self.keys if village is None else [village]:
            await self.database.call(runner_grants.grant, runner_id, self.keys[name], None, 1)
        ref = await self.cast.context.router_call(m.EnsureRunner(runner_id))
        link_ref = FakeLink.start(refuse)
        link: Any = link_ref._actor_weakref()
        link.runner = ref
        options = {"providers": ["codex", "claude_code", "command"], **hello}
        greeting = Hello(runner_id=runner_id, name=runner_id, version="1", capabilities=Capabilities(**options))
        await ref.call(m.LinkUp(link_ref, greeting), timeout=5)
        return link

    async def session(self, *events: dict[str, Any], session_id: str = "s1", village: str = "closed") -> Ref:
        """A session with these durable events."""
        ref = await self.cast.session(session_id, self.keys[village], "r1")
        link = FakeLink.start()
        await ref.send(batch(link, *[{**one, "sessionId": session_id, "orgId": village} for one in events]))
        await self.cast.settle()
        return ref


@asynccontextmanager
async def open_rest(path: Path, **options: Any) -> AsyncIterator[Rest]:
    """Everything but Socket.IO and the WebSockets."""
    database = await trio.to_thread.run_sync(Database.open, path / "townwatch.db")
    try:
        async with open_cast(path) as cast:
            held = HeldCommands()
            cast.context.decisions = StoredDecisions(database, lambda: None, held)
            cast.context.promises = StoredPromises(database, cast.clock, held)
            now = cast.clock.now_ms()
            await database.call(bootstrap, path, now)
            own = OwnTokens(b"x" * 32, lambda: cast.clock.now_ms() / 1000)
            keys = await database.call(_villages, now)
            tokens = await database.call(_people, own, now, keys)
            registry = CollectorRegistry()
            Counter("townwatch_tests", "of this fixture", registry=registry).inc()
            index = SearchIndex(cast.log, lambda: SqliteSearch(path / "search.db"), lambda: 1 << 40)
            await trio.to_thread.run_sync(index.step)  # opens it
            options.setdefault("search", Finder(index))
            options.setdefault("rates", Rates())
            options.setdefault("everyone_makes_villages", False)
            options.setdefault("metrics_open", True)
            options.setdefault("keep_audit", list[Any]().append)
            acts = (
                "forget_session", "stop_runner", "end_sessions", "cut_runner", "grants_changed", "village_deleted",
                "membership_changed", "token_ended", "person_signed_out", "person_locked_out",
                "policy_changed",
            )  # fmt: skip
            for name in acts:
                options.setdefault(name, _nothing)  # what acts on live connections is tested over the whole service
            options.setdefault("administrator_changed", lambda _user, _admin: _nothing(""))
            options.setdefault("broadcast", lambda _event, _data, _user: 0)
            api = Api(
                context=cast.context,
                database=database,
                authenticator=Authenticator(database, own, now_ms=cast.clock.now_ms),
                gate=Gate(database),
                sign_in=SignIn(database, own, now_ms=cast.clock.now_ms),
                version="0.test",
                root=lambda: cast.root,
                delete_session=partial(delete_session, cast.context, cast.log, database),
                registry=registry,
                webhooks=WebhookPort(
                    sealer=Sealer(b"x" * 32),
                    new_secret=lambda: "whsec_AAAA",
                    position=lambda: 0,
                    check_url=lambda _url: None,
                    changed=lambda _webhook: None,
                    test_body=lambda _message, _village, _now: "{}",
                ),
                calls=CallPort(
                    sealer=Sealer(b"x" * 32),
                    push_key="",
                    mail=False,
                    position=lambda: 0,
                    address=lambda new: ChannelAddress(stored=new.address or "", shown="shown"),
                    confirm=_no_mail,
                    check_zone=lambda _zone: None,
                    changed=lambda _channel: None,
                    test_body=lambda _now: "{}",
                ),
                budgets=_budgets(cast, database),
                **options,
            )
            edge = Edge(EdgeSettings(port=0))
            await mount(edge, api, dashboard.ROOT)
            async with trio.open_nursery() as nursery:
                host, port = (await nursery.start(edge.serve))[0][:2]
                url = f"http://{host}:{port}"
                async with httpx.AsyncClient(base_url=url, timeout=30) as http:
                    yield Rest(cast, api, database, url, http, tokens, keys)
                nursery.cancel_scope.cancel()
            assert edge.failed_connections == 0
    finally:
        database.close()


async def _no_mail(_address: str, _code: str) -> str | None:
    return None


def _budgets(cast: Cast, database: Database) -> BudgetsOverRest:
    book = BudgetBook()
    accountant = Accountant(cast.context, database, book, LeaseDesk())
    return BudgetsOverRest(accountant, PolicyKeeper(cast.context, PolicyBook(book), database))


async def _nothing(_id: str) -> None:
    return None


def _villages(connection: Any, now: int) -> dict[str, str]:
    """Two beside the demo village: `closed` with its members, `open` that anybody may read. Name → key."""
    closed = villages.create(connection, "closed", "A closed village", now)
    opened = villages.create(connection, "open", "An open village", now, public=True)
    assert closed is not None and opened is not None
    return {"demo": "demo", "closed": closed, "open": opened}


def _people(connection: Any, own: OwnTokens, now: int, keys: dict[str, str]) -> dict[str | None, str | None]:
    """Tokens of everybody."""
    found: dict[str | None, str | None] = {None: None, "admin": own.issue(OWNER_ID).token}
    for name in PEOPLE:
        user = users.create(connection, name.title(), now, user_id=f"user_{name}_1", email=f"{name}@example.org")
        if name != "stranger":
            for village in ("closed", "open"):
                members.put(connection, keys[village], user.user_id, name, now)  # type: ignore[arg-type]
        found[name] = own.issue(user.user_id).token
    found["agent"] = grant_api_token(connection, "user_owner_1", "agent", ALL_SCOPES, now, session_id="s1").token
    found["reader"] = grant_api_token(connection, "user_owner_1", "reader", frozenset({"read"}), now).token
    runners.put(connection, RunnerRow(runner_id="r1", name="r1", created_ms=now))
    for key in keys.values():
        runner_grants.grant(connection, "r1", key, None, now)
    found["runner"] = grant_runner_token(connection, "r1", now).token
    assert secrets.RUNNER_TOKEN in (found["runner"] or "")
    return found
