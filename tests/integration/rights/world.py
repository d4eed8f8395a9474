"""One composed service with four villages, and a token of every kind for every role."""

import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import h11
import httpx
import trio
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from sqlalchemy import Connection

from tests.integration.rights.expected import EVERY_SCOPE, ROLES, Asker, Place, Role
from tests.support.cast import event
from tests.support.service import Town, open_town
from tests.support.villages import connect, enrol, key_of, make_village
from townwatch.access.bootstrap import token_secret
from townwatch.access.grants import grant_api_token, grant_runner_token
from townwatch.access.jwt import OwnTokens
from townwatch.config.settings import IdentitySettings, IssuerSettings, LimitsSettings, Settings
from townwatch.contracts.budgets import BudgetTerms
from townwatch.contracts.ui import repo_id
from townwatch.store import members, tokens, users
from townwatch.store.audit import Entry
from townwatch.store.budgets import rows as budgets
from townwatch.store.calls import webhooks
from townwatch.store.calls.webhooks import Webhook

ISSUER, GENEROUS = "https://ci.example", "https://deploy.example"
"""Issuers whose tokens may be used to look where they name no scope of ours (the default), and for everything."""
KEY = ECKey.generate_key("P-256", {"kid": "ci"})
MANY = 1_000_000
REPO = "/src/app"
NARROW = ("read", "drive", "decide", "manage", "admin", "read drive", "read decide", "read manage", "read admin")
WAYS = ("in_private", "in_public", "of_others_private", "of_others_public")


@attrs.define(eq=False)
class World:
    """What the matrix asks, and as whom."""

    town: Town
    askers: list[Asker]
    places: list[Place]

    @asynccontextmanager
    async def desk(self) -> AsyncGenerator["Desk"]:
        """A connection to the REST door that is used again and again."""
        host, _, port = self.town.url.removeprefix("http://").partition(":")
        stream = await trio.open_tcp_stream(host, int(port))
        async with stream:
            yield Desk(stream, f"{host}:{port}")

    def hidden_from(self, asker: Asker) -> list[str]:
        """Texts that this asker must not find in any answer."""
        unseen = [place for place in self.places if not asker.sees(place) and asker.runner != place.runner]
        return [mark for place in unseen for mark in place.marks]


@attrs.define(eq=False)
class Desk:
    """Asks over one kept-alive connection."""

    stream: trio.SocketStream
    host: str
    http: h11.Connection = attrs.field(factory=lambda: h11.Connection(h11.CLIENT))

    async def ask(self, method: str, path: str, token: str | None, body: Any = None, **headers: str) -> tuple[int, str]:
        """Status and text of the answer."""
        content = b"" if body is None else json.dumps(body).encode()
        head = [("host", self.host), ("content-length", str(len(content)))]
        head += [("authorization", f"Bearer {token}")] if token is not None else []
        head += [("content-type", "application/json")] if body is not None else []
        head += [(name.replace("_", "-"), value) for name, value in headers.items()]
        request = h11.Request(method=method, target=path, headers=head)
        sent = [self.http.send(one) or b"" for one in (request, h11.Data(data=content), h11.EndOfMessage())]
        await self.stream.send_all(b"".join(sent))
        status, text = 0, b""
        with trio.fail_after(30):
            while not isinstance(found := self.http.next_event(), h11.EndOfMessage):
                match found:
                    case h11.NEED_DATA:
                        self.http.receive_data(await self.stream.receive_some(65536))
                    case h11.Response():
                        status = found.status_code
                    case h11.Data():
                        text += found.data
                    case _:
                        raise AssertionError(f"{method} {path}: {found!r}")
        self.http.start_next_cycle()
        return status, text.decode("utf-8", "replace")


@asynccontextmanager
async def open_world(path: Path) -> AsyncGenerator[World]:
    """The service, its villages with a session and a runner each, everybody's tokens."""
    keys = path / "ci.json"
    keys.write_text(json.dumps(KeySet([KEY]).as_dict(private=False)))

    def change(found: Settings) -> Settings:
        generous = IssuerSettings(issuer=GENEROUS, key_file=str(keys), scopes=sorted(EVERY_SCOPE))
        identity = IdentitySettings(issuers=[IssuerSettings(issuer=ISSUER, key_file=str(keys)), generous])
        server = attrs.evolve(found.server, chaos=True)
        return attrs.evolve(found, identity=identity, limits=_no_limits(), server=server)

    async with open_town(path / "town", change) as town:
        places = [await _place(town, way) for way in WAYS]
        yield World(town, await _askers(town, places), places)


def _no_limits() -> LimitsSettings:
    return LimitsSettings(
        joins=MANY,
        subscriptions_per_second=MANY,
        subscriptions_burst=MANY,
        typing_per_second=MANY,
        typing_burst=MANY,
        commands_per_second=MANY,
        commands_burst=MANY,
        reads_per_second=MANY,
        reads_burst=MANY,
    )


# --- villages ---------------------------------------------------------------------------------------------------------


async def _place(town: Town, way: str) -> Place:
    """A village with a runner of its own, which began a session there."""
    name = f"v_{way}"
    place = Place(village=name, own=way.startswith("in_"), public=way.endswith("public"))
    await make_village(town, name, public=place.public)
    key, joined = await key_of(town, name), await enrol(town, name, f"machine_{way}")
    session = f"s{WAYS.index(way)}_{way}_session"
    async with connect(town, joined) as runner:
        started = event("SESSION_STARTED", 1, session, providerId="command", providerVersion="1", workspacePath=REPO)
        await runner.send({**started, "orgId": name, "repoRef": {"provider": "local", "path": REPO}})
        await runner.acked(1)
    state = town.service.context.board.session(session)
    assert state is not None and state.village_id == key
    webhook = Webhook(
        webhook_id=f"hook_{way}", village_id=key, name="", url="https://example.org/", kinds="alert.opened",
        enabled=False, secret="", from_position=0, created_by="the test", created_ms=1,
    )  # fmt: skip
    await town.service.database.call(webhooks.add, webhook)
    made = Entry(at_ms=1, kind="user", action="budget.make", village_id=key)
    terms = BudgetTerms(scope="agent", unit="usd", amount=1, target="of the matrix")
    budget = await town.service.database.call(budgets.add, key, terms, None, 1, made)
    place = attrs.evolve(place, webhook=webhook.webhook_id, budget=budget)
    return attrs.evolve(
        place, key=key, session=session, agent=state.agent_id, repo=repo_id(key, REPO), runner=joined.runner_id
    )


# --- tokens -----------------------------------------------------------------------------------------------------------


async def _askers(town: Town, places: list[Place]) -> list[Asker]:
    now = town.service.context.clock.now_ms()
    call = town.service.database.call
    found = [Asker(name="none", kind="none", token=None)]
    for role in ROLES:
        await call(_person, role, places, now)
        sign_in = (await town.service.sign_in.reissue(f"user_the_{role}")).token
        found.append(Asker(name=f"sign_in {role}", kind="sign_in", role=role, scopes=EVERY_SCOPE, token=sign_in))
        found.append(_issued(role, None))
        for scopes in (EVERY_SCOPE, *({"read"} if role not in ("owner", "admin") else NARROW)):
            names = scopes if isinstance(scopes, frozenset) else frozenset(scopes.split())
            granted = await call(grant_api_token, f"user_the_{role}", "a token", names, now)
            name = f"api {role} {' '.join(sorted(names)) if names != EVERY_SCOPE else 'all'}"
            found.append(Asker(name=name, kind="api", role=role, scopes=names, token=granted.token))
    found += [
        _issued("owner", "read"),
        _issued("admin", "openid profile"),
        _issued("owner", "read drive decide manage"),
    ]
    found += [_issued(role, scope, GENEROUS) for role in ("owner", "admin") for scope in (None, "openid", "read")]
    limited = OwnTokens(token_secret(town.state)).issue("user_the_owner", frozenset({"read", "manage"})).token
    scopes = frozenset({"read", "manage"})
    found.append(Asker(name="limited sign_in", kind="sign_in", role="owner", scopes=scopes, token=limited))
    agents = await call(grant_api_token, "user_the_owner", "agent", EVERY_SCOPE, now, None, places[0].session)
    found.append(Asker(name="a session's own", kind="session", role="owner", token=agents.token))
    for place in (places[0], places[2]):
        token = (await call(grant_runner_token, place.runner, now, MANY * 1000)).token
        found.append(Asker(name=f"runner {place.runner}", kind="runner", runner=place.runner, token=token))
    return found + await _bad(town, now, places[0].key)


def _person(connection: Connection, role: Role, places: list[Place], now: int) -> None:
    users.create(connection, role.title(), now, user_id=f"user_the_{role}", admin=role == "admin")
    for issuer in (ISSUER, GENEROUS):
        users.link_identity(connection, f"user_the_{role}", issuer, role, now)
    if role in ("viewer", "operator", "owner"):
        for place in places:
            if place.own:
                members.put(connection, place.key, f"user_the_{role}", role, now)  # type: ignore[arg-type]


def _issued(role: Role, scope: str | None, issuer: str = ISSUER) -> Asker:
    unnamed = EVERY_SCOPE if issuer == GENEROUS else frozenset({"read"})
    scopes = EVERY_SCOPE & frozenset((scope or "").split()) or unnamed
    name = f"issuer {issuer} {role} {scope or 'without scopes'}"
    return Asker(name=name, kind="issuer", role=role, scopes=scopes, token=issuer_token(role, scope, issuer=issuer))


def issuer_token(subject: str, scope: str | None, lifetime: int = 3600, issuer: str = ISSUER) -> str:
    now = int(time.time())
    claims: dict[str, Any] = {"iss": issuer, "aud": "townwatch", "sub": subject, "iat": now - 10, "exp": now + lifetime}
    if scope is not None:
        claims["scope"] = scope
    return jwt.encode({"alg": "ES256", "kid": "ci", "typ": "at+jwt"}, claims, KEY, algorithms=["ES256"])


async def _bad(town: Town, now: int, key: str) -> list[Asker]:
    """Tokens of an owner who is an administrator too, each no good in its own way; and of one who is locked out."""
    call, sign_in = town.service.database.call, town.service.sign_in
    for name in ("mighty", "locked"):
        await call(_mighty, f"user_{name}", name, now, key)
    made: dict[str, str] = {
        "locked out, sign-in": (await sign_in.reissue("user_locked")).token,
        "locked out, api": (await call(grant_api_token, "user_locked", "t", EVERY_SCOPE, now)).token,
        "locked out, issuer": issuer_token("locked", None),
        "expired, api": (await call(grant_api_token, "user_mighty", "t", EVERY_SCOPE, now - 2000, 1000)).token,
        "expired, issuer": issuer_token("mighty", None, -300),
        "unknown to us, issuer": issuer_token("nobody", None),
        "forged": OwnTokens(b"x" * 32).issue("user_mighty").token,
        "expired, sign-in": OwnTokens(token_secret(town.state), lambda: time.time() - 90 * 86400)
        .issue("user_mighty")
        .token,
        "no token at all": "twx_nothing",
    }
    await call(users.set_disabled, "user_locked", True)
    revoked = await call(grant_api_token, "user_mighty", "t", EVERY_SCOPE, now)
    await call(tokens.revoke_api_token, "user_mighty", revoked.token_id, now)
    made["revoked, api"] = revoked.token
    ended = (await sign_in.reissue("user_mighty")).token
    async with httpx.AsyncClient(base_url=town.url, headers={"authorization": f"Bearer {ended}"}) as http:
        assert (await http.post("/api/auth/logout")).status_code == 200
    made["signed out"] = ended
    return [Asker(name=f"bad: {name}", kind="bad", token=token) for name, token in made.items()]


def _mighty(connection: Connection, user_id: str, name: str, now: int, key: str) -> None:
    users.create(connection, name, now, user_id=user_id, admin=True)
    users.link_identity(connection, user_id, ISSUER, name, now)
    members.put(connection, key, user_id, "owner", now)
