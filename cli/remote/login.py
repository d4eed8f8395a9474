"""`townwatch login` and `logout`: a saved login at a service on another machine."""

import getpass
import platform
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

from cyclopts import App, Parameter

from townwatch.cli.remote import logins, show
from townwatch.cli.remote.client import CommandFailed, ServiceClient, Where
from townwatch.cli.shared import check_state, complain, line_of, run_async, settings_of

SCOPES = ["read", "drive", "decide", "manage"]
DAYS = 90


def login(
    url: Annotated[str, Parameter(help="the service, or a sign-in link of it (townwatch link, townwatch user add)")],
    *,
    code: Annotated[str | None, Parameter(help="the code of a sign-in link")] = None,
    email: Annotated[str | None, Parameter(help="sign in with a password, which is asked for")] = None,
    token: Annotated[
        str | None,
        Parameter(help="an API token that you have; - reads it from standard input", allow_leading_hyphen=True),
    ] = None,
    ca: Annotated[str | None, Parameter(help="PEM file of who signs its certificate")] = None,
    plain: Annotated[bool, Parameter(help="let the token travel unencrypted, in a network of your own")] = False,
    where: Where | None = None,
) -> int:
    """Sign in at a service, and keep an API token for it (mode 0600, for 90 days, revocable on the page).

    Without --code, --email or --token a sign-in link or its code is asked for.
    """
    from townwatch.net.service_url import BadServiceUrl, is_loopback, service_base

    chosen = where or Where()
    found = settings_of(chosen.config, chosen.state_dir)
    check_state(found.state, make=True)  # before a code is used up
    try:
        base = service_base(url)
    except BadServiceUrl as error:
        return complain(str(error))
    if base.startswith("http:") and not plain and not is_loopback(base):
        return complain(f"{base} would carry the token in the clear: use https, or --plain in a network of your own")
    code = code or _code_in(url)
    token = token or chosen.token
    if token == "-":
        token = sys.stdin.readline().strip()
    if not (code or email or token):
        code = _asked(f"Sign-in link or code for {base}: ")
        code = _code_in(code) or code
        if not code:
            return complain("nothing was given; townwatch link prints a sign-in link on the service's machine")
    password = _password(email) if email and not (code or token) else ""
    if email and not (code or token or password):
        return complain(f"no password of {email} was given")
    authority = str(Path(ca).absolute()) if ca else ""
    stranger = ServiceClient(url=base, token="", settings=found, ca=authority)

    async def work() -> tuple[logins.Login, Any]:
        if token is None:
            how = {"code": code} if code else {"email": email, "password": password}
            signed = await stranger.post(f"/api/auth/{'exchange' if code else 'password'}", how)
            kept = await _lasting(
                ServiceClient(url=base, token=signed["token"], settings=found, ca=authority), authority
            )
        else:
            kept = logins.Login(token=token, ca=authority)
        me = await ServiceClient(url=base, token=kept.token, settings=found, ca=authority).get("/api/me")
        return kept, me

    try:
        kept, me = run_async(work)
        logins.save(found.state, base, kept)
    except CommandFailed as refused:
        complain(str(refused))
        return refused.status
    except OSError as error:
        return complain(f"the login cannot be kept: {line_of(error)}")
    if chosen.json:
        show.emit({"url": base, "userId": me["userId"], "name": me["name"], "expiresAt": kept.expires_at})
    else:
        print(f"Signed in at {base} as {me['name']}; townwatch logout {base} forgets it")
    return 0


def logout(
    url: Annotated[str | None, Parameter(help="the service (default: the only one that a login is saved at)")] = None,
    *,
    where: Where | None = None,
) -> int:
    """Revoke and forget the login at a service."""
    from townwatch.net.service_url import BadServiceUrl, service_base

    chosen = where or Where()
    found = settings_of(chosen.config, chosen.state_dir)
    saved = logins.load(found.state)
    try:
        known = [name for name in saved if name != logins.OWN]
        base = service_base(url) if url is not None else known[0] if len(known) == 1 else ""
    except BadServiceUrl as error:
        return complain(str(error))
    if base not in saved:
        return complain(f"there is no login at {base or 'any service, or more than one: name it'}")
    login = saved[base]

    async def revoke() -> None:
        client = ServiceClient(url=base, token=login.token, settings=found, ca=login.ca)
        await client.post("/api/auth/logout")

    if login.token_id is not None:
        try:
            run_async(revoke)
        except CommandFailed as refused:
            print(f"townwatch: forgotten here, but not revoked: {refused}", file=sys.stderr)
    logins.save(found.state, base, None)
    if chosen.json:
        show.emit({"url": base})
    else:
        print(f"The login at {base} is forgotten")
    return 0


async def _lasting(client: ServiceClient, ca: str) -> logins.Login:
    """Make an API token in the place of an access token, which ends within hours."""
    wanted = {
        "name": f"townwatch login on {platform.node() or 'a machine'}"[:100],
        "scopes": SCOPES,
        "lifetimeDays": DAYS,
    }
    made = await client.post("/api/tokens", wanted)
    return logins.Login(token=made["token"], token_id=made["tokenId"], expires_at=made["expiresAt"], ca=ca)


def _code_in(url: str) -> str | None:
    return next(iter(parse_qs(urlsplit(url).query).get("code", [])), None) if "?" in url else None


def _password(email: str) -> str:
    """Ask for it, unseen; without a terminal it is a line of standard input. Empty at its end."""
    try:
        return getpass.getpass(f"Password of {email}: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    except EOFError:
        return ""


def _asked(question: str) -> str:
    try:
        return input(question).strip() if sys.stdin.isatty() else sys.stdin.readline().strip()
    except EOFError:
        return ""


def add_to(app: App) -> None:
    """Register the commands of this module."""
    app.command(login)
    app.command(logout)
