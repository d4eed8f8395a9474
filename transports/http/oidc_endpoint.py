"""The two addresses of a browser that signs in at a provider: it leaves from one and comes back to the other.

No REST: a person looks at what they answer, so every end of it is a redirect to the page, which says what happened. The
page gets a one-time code and no token, so that nothing of use stays in the browser's history.
"""

from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode

import structlog
import trio

from townwatch.access.oidc import Declined, Oidc
from townwatch.access.oidc_wire import ATTEMPT_SECONDS, BadProvider, ExpiredAttempt
from townwatch.access.provisioning import NotProvisioned, ProvisioningRules, welcome
from townwatch.access.sign_in import REDIRECT_CODE_LIFETIME_MS
from townwatch.access.subject import InvalidCredentials
from townwatch.contracts.networks import network_of
from townwatch.store import audit
from townwatch.store.audit import Entry
from townwatch.supervision import RateLimited
from townwatch.transports.edge.server import Request, Response, error_response
from townwatch.transports.http.deps import Api

log = structlog.get_logger("http")

PREFIX = "/auth/oidc"
START, CALLBACK = f"{PREFIX}/start", f"{PREFIX}/callback"
COOKIE = "townwatch_sign_in"
MAX_FIELDS = 32
MAX_THEN = 300
REQUEST_SECONDS = 30.0
NO_STORE = [("cache-control", "no-store"), ("referrer-policy", "no-referrer")]


class OidcEndpoint:
    """An edge handler for everything below `PREFIX`."""

    def __init__(self, api: Api, oidc: Oidc, rules: ProvisioningRules, public_url: str = "") -> None:
        """`public_url`: address that browsers know us by; empty: that of the request."""
        self._api = api
        self._oidc = oidc
        self._rules = rules
        self._public_url = public_url.rstrip("/")

    async def __call__(self, request: Request) -> Response:
        """A redirect: to the provider, or back to the page with a code or with the reason why there is none."""
        step = {START: self._start, CALLBACK: self._callback}.get(request.path)
        if step is None:
            return error_response(404, "E_NOT_FOUND", f"there is nothing at {request.path[:200]}")
        if request.method != "GET":
            return error_response(405, "E_METHOD", "browsers come here with GET", [("allow", "GET")])
        try:
            with trio.fail_after(REQUEST_SECONDS):
                return await step(request, _query(request))
        except RateLimited:
            return _failed("busy", self._api.path)
        except ExpiredAttempt as error:
            log.info("sign_in_failed", step=request.path, why=str(error))
            return _failed("stale", self._api.path)
        except Declined as error:
            log.info("sign_in_failed", step=request.path, why=f"the provider said {error}")
            return _failed("declined", self._api.path)
        except NotProvisioned as error:
            log.warning("sign_in_refused", why=str(error))
            return _failed("refused", self._api.path)
        except (BadProvider, InvalidCredentials, trio.TooSlowError) as error:
            log.warning("sign_in_failed", step=request.path, why=str(error) or "took too long")
            return _failed("unavailable", self._api.path)

    async def _start(self, request: Request, query: Mapping[str, str]) -> Response:
        redirect_uri = self._here(request) + CALLBACK
        begun = await self._oidc.begin(redirect_uri, _place(query.get("then", "")))
        secure = redirect_uri.startswith("https:")
        return _redirect(begun.url, _cookie(begun.cookie, ATTEMPT_SECONDS, self._api.path, secure=secure))

    async def _callback(self, request: Request, query: Mapping[str, str]) -> Response:
        self._api.sign_ins.take(network_of(request.client), trio.current_time())
        person, then = await self._oidc.finish(_sealed(request), query)
        api = self._api
        now = api.context.clock.now_ms()
        welcomed = await api.database.call(welcome, person, self._rules, now)
        entry = Entry(
            at_ms=now,
            kind="user",
            action="auth.oidc",
            user_id=welcomed.user.user_id,
            address=request.client,
            details={
                "new": welcomed.new,
                "villages": list(welcomed.changed),
                "administrator": welcomed.administrator,
            },
        )
        await api.database.call(audit.add, entry)
        for village_id in welcomed.changed:
            await api.membership_changed(village_id)
        await api.administrator_changed(welcomed.user.user_id, welcomed.user.admin)
        code = await api.sign_in.issue_code(welcomed.user.user_id, REDIRECT_CODE_LIFETIME_MS, "oidc")
        return _redirect(
            f"{api.path}/?{urlencode({'code': code})}{_place(then)}", _cookie("", 0, api.path, secure=False)
        )

    def _here(self, request: Request) -> str:
        """The edge answers only for hosts that are ours, so what the request says can be repeated."""
        return self._public_url or f"{request.scheme}://{request.header('host')}{self._api.path}"


def _query(request: Request) -> dict[str, str]:
    """Read the parameters. One that is there twice counts as not there, so that none of its values is chosen."""
    try:
        pairs = parse_qsl(request.query, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except (ValueError, UnicodeError):
        raise ExpiredAttempt("the query cannot be read") from None
    names = [name for name, _ in pairs]
    return {name: value for name, value in pairs if names.count(name) == 1}


def _sealed(request: Request) -> str | None:
    try:
        cookies = SimpleCookie(request.header("cookie"))
    except CookieError:
        return None
    return cookies[COOKIE].value if COOKIE in cookies else None


def _place(then: str) -> str:
    """A place on the page (``#/agent/…``), and never another page."""
    if not then.startswith("#") or len(then) > MAX_THEN:
        return ""
    return "#" + quote(then[1:], safe="/:@-._~!$&'()*+,;=?%")


def _cookie(value: str, seconds: int, below: str, *, secure: bool) -> tuple[str, str]:
    kept = f"{COOKIE}={value}; Path={below}{PREFIX}; Max-Age={seconds}; HttpOnly; SameSite=Lax"
    return ("set-cookie", kept + ("; Secure" if secure else ""))


def _redirect(where: str, cookie: tuple[str, str]) -> Response:
    return Response(302, b"", [("location", where), cookie, *NO_STORE])


def _failed(reason: str, below: str) -> Response:
    return _redirect(f"{below}/?sign-in={reason}", _cookie("", 0, below, secure=False))
