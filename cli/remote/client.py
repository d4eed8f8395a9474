"""The REST client of the command line: this machine's service, or another one at which a login is saved.

Exit statuses of the commands that use it: 0 done · 1 the service said no (not found, not allowed, decided already) ·
2 used wrongly, or the service was not reached · 130 interrupted.
"""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast
from urllib.parse import quote, urlencode

import attrs
from cyclopts import Parameter

from townwatch.cli.remote import logins
from townwatch.cli.shared import FILLED, is_text, settings_of

if TYPE_CHECKING:
    from townwatch.config.settings import Settings
    from townwatch.net.http_client import Reply

SECONDS = 60.0
MAX_BYTES = 64 << 20
WAITS, LONGEST_WAIT_SECONDS = 3, 5
"""What a 429 may say to wait, and how often in a row."""
SAID_NO, TROUBLE = 1, 2


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class Where:
    """The service that a command talks to, and how it answers."""

    url: Annotated[
        str | None, Parameter(validator=FILLED, help="the service (default: this machine's, else the saved login)")
    ] = None
    token: Annotated[str | None, Parameter(validator=FILLED, help="a token for it (default: the saved login's)")] = None
    json: Annotated[bool, Parameter(help="one JSON value, as the API has it", negative=())] = False
    state_dir: Annotated[
        str | None, Parameter(validator=FILLED, help="where logins and this machine's service are kept")
    ] = None
    config: Annotated[str | None, Parameter(name=["--config", "-c"], validator=FILLED, help="TOML file")] = None


class CommandFailed(Exception):
    """The service said no, or was not reached; the message is one line, `status` the exit status of the command."""

    def __init__(self, message: str, status: int = TROUBLE, code: str = "", details: Any = None) -> None:
        super().__init__(message)
        self.status, self.code, self.details = status, code, details


@attrs.define(kw_only=True)
class ServiceClient:
    """One service, as one person. `own`: it is this machine's. `kept`: the token is one that was saved for that."""

    url: str
    token: str = attrs.field(repr=False)
    settings: "Settings" = attrs.field(repr=False)
    own: bool = False
    ca: str = ""
    kept: bool = False

    async def get(self, path: str, **query: Any) -> Any:
        """Return the answer's JSON. Raises `CommandFailed`."""
        return await self.ask("GET", path, query=query)

    async def post(self, path: str, body: Any = None) -> Any:
        """Return the answer's JSON. Raises `CommandFailed`."""
        return await self.ask("POST", path, body={} if body is None else body)

    async def ask(self, method: str, path: str, *, body: Any = None, query: dict[str, Any] | None = None) -> Any:
        """Send one request and return the answer's JSON. A 429 did nothing: a short wait that it names is waited.
        Raises `CommandFailed`.
        """
        import trio

        reply = await self._exchange(method, path, body, query)
        if reply.status == 401 and self.kept:  # the owner's sign-ins were ended meanwhile, or the tables are others
            self.kept = False
            self.token = (await _sign_in_here(self.settings)).token
            reply = await self._exchange(method, path, body, query)
        for _ in range(WAITS):
            rest = reply.headers.get("retry-after", "")
            if reply.status != 429 or not rest.isdecimal() or int(rest) > LONGEST_WAIT_SECONDS:
                break
            await trio.sleep(int(rest))
            reply = await self._exchange(method, path, body, query)
        try:
            found: Any = json.loads(reply.body)
        except ValueError:
            raise CommandFailed(f"{self.url} answered HTTP {reply.status}, and no JSON: is this a Townwatch?") from None
        if 200 <= reply.status < 300:
            return found
        raise _refusal(self.url, reply.status, found)

    async def _exchange(self, method: str, path: str, body: Any, query: dict[str, Any] | None) -> "Reply":
        from townwatch.net.http_client import NotAnswered, exchange
        from townwatch.net.service_url import explain

        given = {
            name: str(value).lower() if isinstance(value, bool) else value for name, value in (query or {}).items()
        }
        present = {name: value for name, value in given.items() if value is not None}
        headers = {"content-type": "application/json"} if body is not None else {}
        if not (self.token.isascii() and self.token.isprintable()):
            raise CommandFailed("the token has a sign that no token has (the end of a line, a letter with an accent)")
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        try:
            data = None if body is None else json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        except UnicodeEncodeError:
            raise CommandFailed(f"{_not_text(body)} is no UTF-8, and only text can be sent") from None
        except ValueError:
            raise CommandFailed("a number is given that is none, or has no end (nan, inf)") from None
        try:
            return await exchange(
                method,
                f"{self.url}{path}{'?' + urlencode(present) if present else ''}",
                body=data,
                headers=headers,
                seconds=SECONDS,
                max_bytes=MAX_BYTES,
                tls=await tls_of(self.url, self.ca),
                proxies=True,
            )
        except (OSError, NotAnswered) as error:
            raise CommandFailed(self._not_reached(explain(self.url, str(error)))) from None

    async def pages(self, path: str, **query: Any) -> AsyncIterator[dict[str, Any]]:
        """Yield all items of a list, page after page. Raises `CommandFailed`."""
        cursor = None
        while True:
            page = await self.get(path, **query, cursor=cursor)
            for item in page["items"]:
                yield item
            cursor = page["next"]
            if cursor is None:
                return

    def _not_reached(self, trouble: str) -> str:
        if self.own:
            return f"{self.url}: {trouble}; start it with townwatch serve (its state is in {self.settings.state})"
        return f"{self.url}: {trouble}"


def _not_text(body: Any, name: str = "what was given") -> str:
    """Return the name of the field that is no text. Not what is in it: that may be a password."""
    fields = cast("dict[str, Any]", body).items() if isinstance(body, dict) else [(name, one) for one in body]
    for field, value in fields:
        if isinstance(value, str) and not is_text(value):
            return field
        if isinstance(value, dict | list) and (found := _not_text(value, field)):
            return found
    return ""


def _refusal(url: str, status: int, found: Any) -> CommandFailed:
    problem: dict[str, Any] = {}
    if isinstance(found, dict):
        problem = cast("dict[str, Any]", found).get("error") or {}
    message = str(problem.get("message") or f"HTTP {status}")
    if status == 401:
        message = f"{message}; sign in with townwatch login {url}"
    return CommandFailed(
        message, SAID_NO if status < 500 else TROUBLE, str(problem.get("code", "")), problem.get("details")
    )


async def tls_of(url: str, ca: str) -> Any:
    """Return the TLS context for a service whose certificate `ca` signs, else None. Raises OSError."""
    if not ca or not url.startswith("https"):
        return None
    import trio

    from townwatch.runner.link.tls import Tls

    return await trio.to_thread.run_sync(Tls(ca=ca).context)


async def connect(where: Where) -> ServiceClient:
    """Return the client for a command's options: `--url` or TOWNWATCH_URL, else this machine's service, else the one
    saved login.

    Raises:
        CommandFailed: there is no such service, or no login at it.
    """
    from townwatch.config import place

    found = settings_of(where.config, where.state_dir)
    url = where.url or os.environ.get("TOWNWATCH_URL")
    token = where.token or os.environ.get("TOWNWATCH_TOKEN")
    saved = {name: one for name, one in logins.load(found.state).items() if name != logins.OWN}
    if url is None and place.has_service(found.state):
        return await own_client(found, token)
    if url is None and len(saved) == 1:
        (url,) = saved
    if url is None and saved:
        raise CommandFailed(f"logins at {', '.join(sorted(saved))}: name one of them with --url, or set TOWNWATCH_URL")
    if url is None:
        raise CommandFailed(f"{place.no_service(found.state)}, or sign in elsewhere with townwatch login URL")
    return await _remote(found, url, token, saved)


async def _remote(found: "Settings", url: str, token: str | None, saved: dict[str, logins.Login]) -> ServiceClient:
    from townwatch.config import place
    from townwatch.net.service_url import BadServiceUrl, service_base

    try:
        base = service_base(url)
    except BadServiceUrl as error:
        raise CommandFailed(str(error)) from None
    login = saved.get(base)
    if token is None and login is None and place.has_service(found.state):
        own = await own_client(found, None)
        if own.url == base:
            return own
    if token is None and (login is None or login.over):
        why = "there is no login" if login is None else "the login is over"
        raise CommandFailed(f"{base}: {why}; sign in with townwatch login {base}, or give --token")
    known = login or logins.Login(token="")
    return ServiceClient(url=base, token=token or known.token, settings=found, ca=known.ca)


async def own_client(found: "Settings", token: str | None) -> ServiceClient:
    """Return the client for this machine's service, as its owner. The token is made once and kept until it ends."""
    from townwatch.config import place
    from townwatch.runner import identity

    if token is None and (elsewhere := place.tables_elsewhere(found.state, found.database.url)):
        raise CommandFailed(elsewhere)  # a sign-in in other tables would open nothing
    try:
        url = identity.load(found.state).url.replace("ws", "http", 1).removesuffix("/runner")
    except identity.NotEnrolled as error:
        raise CommandFailed(str(error)) from None
    if token is None:
        login = logins.load(found.state).get(logins.OWN)
        kept = login is not None and not login.over
        token = login.token if login is not None and kept else (await _sign_in_here(found)).token
    else:
        kept = False
    return ServiceClient(url=url, token=token, settings=found, own=True, kept=kept)


async def _sign_in_here(found: "Settings") -> logins.Login:
    from townwatch.app.identity import OwnerLockedOut, owner_sign_in

    try:
        signed_in = await owner_sign_in(found)
    except OwnerLockedOut as error:
        raise CommandFailed(str(error), SAID_NO) from None
    login = logins.Login(token=signed_in.token, name=signed_in.user.name, expires_at=signed_in.expires_ms)
    _keep(found.state, login)
    return login


def _keep(state: Path, login: logins.Login) -> None:
    """Save it where that is possible: on a full disk the command works all the same, only slower next time."""
    from contextlib import suppress

    with suppress(OSError):
        logins.save(state, logins.OWN, login)


def part(text: str) -> str:
    """Return a text as one part of a path."""
    return quote(text, safe="")
