"""The checks of `townwatch doctor`: each says what it looked at, how it is, and what to do. Nothing is changed."""

import fcntl
import os
import shlex
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from townwatch.app.doctor import databases
from townwatch.app.doctor.findings import Finding, Level
from townwatch.app.doctor.postgres import shared_log
from townwatch.config.settings import Settings
from townwatch.config.writable import advice_for
from townwatch.runner.agents import discovery
from townwatch.runner.session.system import cgroups
from townwatch.store.engine.postgres import is_postgres

PRIVATE = ("token.secret", "runner.json", "journal.db", "townwatch.db", "search.db")
LOW_BYTES, VERY_LOW_BYTES = 1 << 30, 64 << 20
EARLIEST_MS = 1_700_000_000_000
"""A clock before this (November 2023) was never set."""


def examine(settings: Settings) -> list[Finding]:
    """Yield the findings of every check, in order. One that fails unexpectedly is a finding, not an end."""
    state = settings.state
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("state directory", lambda: _directory(state)),
        ("service", lambda: _service(state)),
        ("disk", lambda: _disk(state)),
        ("journal", lambda: _journal(settings)),
        ("tables", lambda: databases.tables(settings)),
        ("spool", lambda: databases.spools(state)),
        ("clock", lambda: _clock(state)),
        ("settings", lambda: _settings(settings)),
        ("programs", _programs),
        ("processes", _processes),
        ("agents", lambda: _agents(state)),
    ]
    found: list[Finding] = []
    for name, check in checks:
        try:
            found += list(check())
        except OSError as error:
            found.append(Finding(name, "fail", f"could not be examined: {_said(error)}", advice_for(error)))
        except Exception as error:  # a doctor must get to the end of the examination
            found.append(Finding(name, "fail", f"could not be examined: {error!r}", "report this"))
    return found


def _said(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)


def in_use(state: Path) -> bool:
    """Return True if a service has the journal of this state directory open."""
    lock = state / "journal.db.lock"
    if not lock.exists():
        return False
    descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _journal(settings: Settings) -> Iterator[Finding]:
    url = settings.database.url
    return shared_log(url) if is_postgres(url) else databases.journal(settings.state / "journal.db")


def _directory(state: Path) -> Iterator[Finding]:
    name = "state directory"
    if not state.is_dir():
        yield Finding(name, "warn", f"{state} is not there", "townwatch serve makes it; or give --state-dir")
        return
    about = state.stat()
    if about.st_uid != os.geteuid():
        yield Finding(name, "fail", f"{state} belongs to user {about.st_uid}", "run as that user, or chown it")
    elif stat.S_IMODE(about.st_mode) & 0o077:
        yield Finding(name, "warn", f"{state} can be read by others", f"chmod 700 {shlex.quote(str(state))}")
    elif not os.access(state, os.W_OK):
        yield Finding(name, "fail", f"{state} cannot be written", "remount it, or change its mode")
    else:
        yield Finding(name, "ok", f"{state}, private and writable")
    for file in (state / one for one in PRIVATE):
        if file.exists() and stat.S_IMODE(file.stat().st_mode) & 0o077:
            yield Finding(name, "fail", f"{file.name} can be read by others", f"chmod 600 {shlex.quote(str(file))}")


def _service(state: Path) -> Iterator[Finding]:
    yield Finding("service", "ok", "is running on this directory" if in_use(state) else "is not running here")


def _disk(state: Path) -> Iterator[Finding]:
    place = state if state.is_dir() else Path(".")
    room = os.statvfs(place)
    free, nodes = room.f_bavail * room.f_frsize, room.f_favail
    text = f"{free / 1e6:.0f} MB free"
    if free < VERY_LOW_BYTES or (room.f_files and nodes < 100):
        yield Finding("disk", "fail", f"{text}, {nodes} files more", "make room: events cannot be stored soon")
    elif free < LOW_BYTES:
        yield Finding("disk", "warn", text, "make room, or set [journal] keep_days or keep_mb")
    else:
        yield Finding("disk", "ok", text)


def _clock(state: Path) -> Iterator[Finding]:
    now = time.time() * 1000
    newest = databases.newest_stored_ms(state / "journal.db")
    if now < EARLIEST_MS:
        yield Finding("clock", "fail", "the machine's clock was never set", "set it (ntp), then restart the service")
    elif newest is not None and newest > now + 60_000:
        ahead = (newest - now) / 1000
        yield Finding(
            "clock", "warn", f"the newest event was stored {ahead:.0f} s in the future", "set the clock (ntp)"
        )
    else:
        yield Finding("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))


def _settings(settings: Settings) -> Iterator[Finding]:
    server = settings.server
    open_to_all = server.host not in ("127.0.0.1", "::1", "localhost")
    missing = [
        one for one in (server.tls_certificate, server.tls_key, server.tls_client_ca) if one and not Path(one).exists()
    ]
    if missing:
        yield Finding("settings", "fail", f"{', '.join(missing)} is not there", "correct [server] tls_…")
    elif open_to_all and not server.allowed_hosts:
        yield Finding("settings", "warn", f"listens on {server.host} for addresses only", "set [server] allowed_hosts")
    else:
        yield Finding("settings", "ok", f"{server.host}:{server.port}")


def _programs() -> Iterator[Finding]:
    git = shutil.which("git")
    if git is None:
        yield Finding("git", "warn", "is not found", "install git: sessions show no repository without it")
    else:
        yield Finding("git", "ok", git)
    shell = os.environ.get("SHELL") or "/bin/sh"
    if shutil.which(shell) is None:
        yield Finding("shell", "fail", f"{shell} is not found", "set SHELL to a shell that exists")
    else:
        yield Finding("shell", "ok", shell)


def _processes() -> Iterator[Finding]:
    """Say if a runner that is started from here finds every process of a session."""
    if cgroups.usable() is not None:
        yield Finding("processes", "ok", "each session has a control group: every process of it is found and ended")
    else:
        text = "no control group can be made here: one that drops its environment and outlives its parent may be missed"
        yield Finding("processes", "ok", f"{text} (a runner in a unit with Delegate=yes has them)")


def _agents(state: Path) -> Iterator[Finding]:
    """The agents that a runner of this state directory offers."""
    if not (state / "runner.json").exists():
        return
    found = discovery.installed()
    if not found:
        where = "install one on this machine, e.g. npm install -g @anthropic-ai/claude-code"
        yield Finding("agents", "ok", f"none is on the PATH; commands run all the same ({where})")
    for agent in found:
        yield Finding(f"agent {agent.provider_id}", "ok", discovery.readable(agent))


def as_json(findings: list[Finding]) -> list[dict[str, str]]:
    """Return the findings as data for --json."""
    return [attrs.asdict(finding) for finding in findings]


def worst(findings: list[Finding]) -> Level:
    """The worst level of all."""
    levels = {finding.level for finding in findings}
    return "fail" if "fail" in levels else "warn" if "warn" in levels else "ok"
