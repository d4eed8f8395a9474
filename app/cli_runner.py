"""`townwatch runner`: be one, become one, get a new token; and the service's side of it, a code for the next one."""

from functools import partial
from pathlib import Path
from typing import Any

import attrs
import trio
from cyclopts import App

from app.cli_shared import ConfigFile, StateDir, complain, log_to_stderr, settings_of

runner_app = App(name="runner", help="Be this machine's runner, or become one.")


@runner_app.default
def runner(
    *,
    url: str | None = None,
    token: str | None = None,
    runner_id: str | None = None,
    ca: str | None = None,
    cert: str | None = None,
    key: str | None = None,
    max_sessions: int = 8,
    spool_mb: int = 256,
    state_dir: StateDir = None,
    config: ConfigFile = None,
) -> int:
    """Be this machine's runner: take sessions from the service until stopped.

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
    """
    from runner import commands, identity

    found = settings_of(config, state_dir)
    log_to_stderr(found)
    try:
        known = _enrolment(found.state, url, token, runner_id, {"ca": ca, "certificate": cert, "key": key})
        known.tls.context()
    except (identity.NotEnrolled, OSError) as error:
        return complain(str(error))
    return trio.run(
        lambda: commands.run_daemon(known, found.state, max_sessions=max_sessions, spool_bytes=spool_mb << 20)
    )


def _enrolment(
    state: Path, url: str | None, token: str | None, runner_id: str | None, files: dict[str, str | None]
) -> Any:
    """What runner.json says, with what the command line says on top; kept for the next time."""
    from runner import identity
    from runner.tls import Tls

    paths = {name: str(Path(path).absolute()) for name, path in files.items() if path}
    try:
        known = identity.load(state)
    except identity.NotEnrolled:
        if not (url and runner_id and (token or "certificate" in paths)):
            raise
        known = identity.Identity(runner_id=runner_id, token=token or "", url=url, tls=Tls(**paths))
        identity.save(state, known)
        return known
    given = {"url": url, "token": token, "runner_id": runner_id}
    changed = attrs.evolve(known, **{name: value for name, value in given.items() if value is not None})
    changed = attrs.evolve(changed, tls=attrs.evolve(known.tls, **paths))
    if changed != known:
        identity.save(state, changed)
    return changed


@runner_app.command
def join(
    url: str,
    *,
    code: str,
    name: str | None = None,
    ca: str | None = None,
    plain: bool = False,
    anew: bool = False,
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
    from runner import enrolment
    from runner.asking import AskingFailed, Service
    from runner.tls import Tls

    found = settings_of(config, state_dir)
    tls = Tls(ca=str(Path(ca).absolute()) if ca else "")
    try:
        service = Service.at(url, plain=plain)
        joined = trio.run(partial(enrolment.join, found.state, service, code, name=name, tls=tls, anew=anew))
    except AskingFailed as error:
        return complain(str(error))
    print(f"This is runner {joined.runner_id} ({joined.name}) of {service.base}; start it with: townwatch runner")
    return 0


@runner_app.command
def rotate(*, state_dir: StateDir = None, config: ConfigFile = None) -> int:
    """A new token for this runner. The old one ends five minutes later; a runner at work goes on."""
    from runner import enrolment, identity
    from runner.asking import AskingFailed

    found = settings_of(config, state_dir)
    try:
        trio.run(enrolment.rotate, found.state, identity.load(found.state))
    except (identity.NotEnrolled, AskingFailed) as error:
        return complain(str(error))
    print("The token is a new one.")
    return 0


@runner_app.command
def code(
    *,
    village: str | None = None,
    name: str | None = None,
    state_dir: StateDir = None,
    config: ConfigFile = None,
) -> int:
    """Print a one-time code that takes a runner in, within an hour. For whoever runs the service, on its machine.

    Parameters
    ----------
    village
        the only one it serves (default: all of them)
    name
        what it will be called
    """
    from app.identity import UnknownVillage, new_enrolment

    found = settings_of(config, state_dir)
    try:
        print(trio.run(partial(new_enrolment, found, village=village, name=name)))
    except UnknownVillage as error:
        return complain(str(error))
    return 0
