"""`townwatch runner`: be one, become one, get a new token; and the service's side of it, a code for the next one."""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
from cyclopts import App

from townwatch.cli.shared import (
    ConfigFile,
    Filled,
    Json,
    StateDir,
    Whole,
    check_state,
    complain,
    line_of,
    log_to_stderr,
    own_runner,
    run_async,
    service_settings,
    settings_of,
    tell,
)

if TYPE_CHECKING:
    from townwatch.config.settings import Settings
    from townwatch.runner.identity import Identity

runner_app = App(name="runner", help="Run this machine's runner, or enrol it at a service.")


@runner_app.default
def runner(
    *,
    url: Filled | None = None,
    token: Filled | None = None,
    runner_id: Filled | None = None,
    ca: Filled | None = None,
    cert: Filled | None = None,
    key: Filled | None = None,
    max_sessions: Whole = 8,
    spool_mb: Whole = 256,
    run_as: str | None = None,
    anew: bool = False,
    state_dir: StateDir = None,
    config: ConfigFile = None,
) -> int:
    """Run this machine's runner: take sessions from the service until stopped.

    Parameters
    ----------
    url
        the service, e.g. wss://townwatch.example/runner
    token
        the runner's token; none where a certificate says who it is
    runner_id
        the runner's id, where the token or the certificate belongs to one
    ca
        PEM file of who signs the service's certificate (default: whom this machine trusts)
    cert
        PEM file of the runner's own certificate
    key
        PEM file of its key
    max_sessions
        sessions at once
    spool_mb
        megabytes of events kept while the service is away
    run_as
        the system user that sessions are executed as (default: [runner] run_as, else the runner's own)
    anew
        forget the runner that this state directory belongs to, for the one that the options name
    """
    from townwatch.net.service_url import BadServiceUrl, runner_endpoint
    from townwatch.runner import commands

    if max_sessions < 0:
        return complain(f"--max-sessions {max_sessions}: 0 or more")
    if spool_mb < 1:
        return complain(f"--spool-mb {spool_mb}: 1 or more")
    found = settings_of(config, state_dir)
    check_state(found.state, full_is_fine=True)
    try:
        endpoint = runner_endpoint(url) if url is not None else None
        files = {"ca": ca, "certificate": cert, "key": key}
        known = _enrolment(found, endpoint, token, runner_id, files, anew=anew)
        known.tls.context()
    except (BadServiceUrl, OSError) as error:
        return complain(line_of(error))
    log_to_stderr(found)
    wanted = found.runner.run_as if run_as is None else run_as
    return run_async(
        lambda: commands.run_daemon(
            known, found.state, max_sessions=max_sessions, spool_bytes=spool_mb << 20, run_as=wanted
        )
    )


def _enrolment(
    found: Settings,
    url: str | None,
    token: str | None,
    runner_id: str | None,
    files: dict[str, str | None],
    *,
    anew: bool,
) -> Identity:
    """Return the enrolment: runner.json, changed by the command line's options; saved for the next time.

    Raises:
        SystemExit: with one line, where the options name another runner than runner.json (`anew`: that may be
            forgotten), or there is no runner.json and they do not say all.
    """
    from townwatch.runner import identity
    from townwatch.runner.link.tls import Tls

    state = found.state
    paths = {name: str(Path(path).absolute()) for name, path in files.items() if path}
    Tls(**paths).context()  # files that cannot be used are kept nowhere
    known = own_runner(found) if (state / identity.FILE).exists() and not anew else None
    if known is None and (anew or url or token or runner_id or paths):
        given = {"--url": url, "--runner-id": runner_id, "--token (or --cert)": token or paths.get("certificate")}
        if missing := [name for name, value in given.items() if not value]:
            why = "--anew was given" if anew else f"{state / identity.FILE} is not there"
            raise SystemExit(complain(f"{why}, so the options must say all: {', '.join(missing)}"))
        known = identity.Identity(
            runner_id=runner_id or "", token=token or "", url=url or identity.DEFAULT_URL, tls=Tls(**paths)
        )
        _replace(state, known)
        return known
    known = known or own_runner(found)
    given = {"url": url, "token": token, "runner_id": runner_id}
    changed = attrs.evolve(known, **{name: value for name, value in given.items() if value is not None})
    changed = attrs.evolve(changed, tls=attrs.evolve(known.tls, **paths))
    moved, other = changed.url != known.url, changed.runner_id != known.runner_id
    if other or (moved and (changed.token, changed.tls) != (known.token, known.tls)):
        raise SystemExit(complain(identity.belongs(state, known)))
    if changed != known:
        identity.save(state, changed)
        if moved or changed.token != known.token:
            what = f"is at {changed.url} now, no more at {known.url}" if moved else "has another token now"
            print(f"townwatch: {state / identity.FILE}: {known.runner_id} {what}", file=sys.stderr)
    return changed


def _replace(state: Path, known: Identity) -> None:
    """Save a new enrolment, and say which one is forgotten by it."""
    from townwatch.runner import identity, policies

    with suppress(identity.NotEnrolled):
        before = identity.load(state)
        if before.runner_id != known.runner_id or before.url != known.url:
            print(f"townwatch: forgotten: {before.runner_id} of {before.url}", file=sys.stderr)
    policies.forget(state)
    identity.save(state, known)


@runner_app.command
def join(
    url: str,
    *,
    code: str,
    name: str | None = None,
    ca: str | None = None,
    plain: bool = False,
    anew: bool = False,
    json: Json = False,
    state_dir: StateDir = None,
    config: ConfigFile = None,
) -> int:
    """Become a runner of a service, for a one-time code; `townwatch runner` is that runner from then on.

    Parameters
    ----------
    url
        the service, e.g. https://townwatch.example
    code
        what `townwatch runner code` printed there
    name
        what people call it (default: this machine's name)
    ca
        PEM file of who signs the service's certificate (default: whom this machine trusts)
    plain
        let the token travel unencrypted, in a network of your own
    anew
        forget the runner that this state directory belongs to
    """
    from townwatch.runner.link import enrolment
    from townwatch.runner.link.api_client import AskingFailed, Service
    from townwatch.runner.link.tls import Tls

    found = settings_of(config, state_dir)
    check_state(found.state, make=True)  # before the code is used up
    tls = Tls(ca=str(Path(ca).absolute()) if ca else "")
    try:
        service = Service.at(url, plain=plain)
        joined = run_async(partial(enrolment.join, found.state, service, code, name=name, tls=tls, anew=anew))
    except AskingFailed as error:
        return complain(str(error))
    if json:
        return tell("runnerId", joined.runner_id, json)
    print(f"This is runner {joined.runner_id} ({joined.name}) of {service.base}; start it with: townwatch runner")
    return 0


@runner_app.command
def rotate(*, json: Json = False, state_dir: StateDir = None, config: ConfigFile = None) -> int:
    """A new token for this runner. The old one ends five minutes later; a runner at work goes on."""
    from townwatch.runner.link import enrolment
    from townwatch.runner.link.api_client import AskingFailed

    found = settings_of(config, state_dir)
    found_runner = own_runner(found)
    try:
        run_async(enrolment.rotate, found.state, found_runner)
    except AskingFailed as error:
        return complain(str(error))
    return tell("runnerId", found_runner.runner_id, json) if json else tell("", "The token is a new one.", json)


@runner_app.command
def code(
    *,
    village: str | None = None,
    name: str | None = None,
    json: Json = False,
    state_dir: StateDir = None,
    config: ConfigFile = None,
) -> int:
    """Print a one-time code that takes a runner in, within an hour. To be run on the service's machine.

    Parameters
    ----------
    village
        the one it serves from the start (default: none, until it is granted one on the page or over REST)
    name
        what it will be called
    """
    from townwatch.app.identity import NoEnrolment, new_enrolment

    found = service_settings(config, state_dir)
    try:
        made = run_async(partial(new_enrolment, found, village=village, name=name))
    except NoEnrolment as error:
        return complain(str(error))
    return tell("code", made, json)
