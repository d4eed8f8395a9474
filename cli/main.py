"""The command line: `townwatch COMMAND`. Every error is one line on stderr; 2 is the status of a command used
wrongly.
"""

import errno
import logging
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Annotated

import attrs
from cyclopts import App, CycloptsError, MissingArgumentError, Parameter, UnusedCliTokensError

from townwatch import __version__
from townwatch.cli import quick, run as running
from townwatch.cli.adopt import adopt as adopt_command
from townwatch.cli.base import unknown_option
from townwatch.cli.chaos import chaos as chaos_command
from townwatch.cli.conformance import conformance_app
from townwatch.cli.doctor import backup as backup_command, doctor as doctor_command
from townwatch.cli.migrate import migrate as migrate_command
from townwatch.cli.policy import policy_app
from townwatch.cli.remote import (
    attach as attach_commands,
    landing as landing_commands,
    login as login_commands,
    sessions as session_commands,
)
from townwatch.cli.remote.acp import acp as acp_command
from townwatch.cli.remote.budgets import budget_app
from townwatch.cli.remote.channels import channel_app
from townwatch.cli.remote.mcp import mcp as mcp_command
from townwatch.cli.remote.webhooks import webhook_app
from townwatch.cli.runner import runner_app
from townwatch.cli.schema import schema as schema_command
from townwatch.cli.shared import (
    ConfigFile,
    Filled,
    Json,
    StateDir,
    Whole,
    check_state,
    complain as _complain,
    is_text,
    line_of,
    log_to_file as _log_to_file,
    log_to_stderr as _log_to_stderr,
    own_runner,
    run_async,
    service_settings,
    settings_of as _settings,
    tell,
)
from townwatch.cli.user import user_app
from townwatch.config.log_sink import drain_all, open_missing_descriptors
from townwatch.config.place import default_state_dir, former_state, has_service
from townwatch.config.writable import advice_for
from townwatch.contracts.faults import FilesDamaged, TablesRefused, TablesUnavailable

app = App(
    name="townwatch",
    version=__version__,
    help="The control room for coding agents: one self-hosted process that you can pull any plug on.",
    help_format="plaintext",
    default_parameter=Parameter(negative=()),
)

app.command(adopt_command)
app.command(chaos_command)
app.command(conformance_app)
app.command(backup_command)
app.command(acp_command)
app.command(mcp_command)
app.command(doctor_command)
app.command(migrate_command)
app.command(policy_app)
app.command(runner_app)
app.command(schema_command)
app.command(user_app)
session_commands.add_to(app)
attach_commands.add_to(app)
landing_commands.add_to(app)
login_commands.add_to(app)
app.command(webhook_app)
app.command(budget_app)
app.command(channel_app)


@app.command
def serve(
    *,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    host: str | None = None,
    port: Whole | None = None,
    demo: bool = False,
    seed: Whole = 1,
    chaos: bool = False,
    keep: bool = False,
    qr: bool = False,
) -> int:
    """Run the service.

    Parameters
    ----------
    host
        address to listen on
    port
        TCP port, 0 for any free one
    demo
        also run the demo's agents
    seed
        what the demo does, the same for the same seed
    chaos
        let administrators break parts of it, over /api/chaos
    keep
        start it again whenever it dies; ends when it is told to
    qr
        show the sign-in link as a QR code as well, also where only this machine can open it
    """
    from townwatch.app.service import STOOD_DOWN, run_service
    from townwatch.config.settings import ConfigError

    found = _settings(config, state_dir)
    given = {"host": host, "port": port, "chaos": chaos or None}
    server = {name: value for name, value in given.items() if value is not None}
    found = attrs.evolve(found, server=attrs.evolve(found.server, **server))
    if not found.server.host.strip():  # it would be every interface, as 0.0.0.0
        return _complain("[server] host is empty: 127.0.0.1 is this machine only, 0.0.0.0 every interface")
    if not 0 <= found.server.port <= 65535:
        return _complain(f"port {found.server.port}: a TCP port is 0 (any free one) to 65535")
    check_state(found.state, make=False, full_is_fine=True)
    if found.state_dir == default_state_dir() and (former := former_state(found.state)) is not None:
        return _complain(
            f"{former} holds a service of an earlier version, {found.state} none: "
            f"--state-dir {shlex.quote(str(former))} goes on with it, or move it there"
        )
    if (other := _of_another_service(found.state)) is not None:
        return _complain(other)
    check_state(found.state, make=True, full_is_fine=True)
    if keep:
        from townwatch.cli.watchdog import keep_running
        from townwatch.config.process import free_port

        port = found.server.port or free_port(found.server.host)  # the same for every life
        found = attrs.evolve(found, server=attrs.evolve(found.server, port=port))
        if (status := keep_running(sys.argv[1:], port)) is not None:
            return status
    _log_to_stderr(found)
    try:
        status = run_async(run_service, found, seed if demo else None, qr)
        return _stand_by_again() if status == STOOD_DOWN and not keep else status  # --keep starts it again itself
    except ConfigError as error:
        return _complain(str(error))
    except TablesUnavailable as error:  # it went away in the middle of the start: the next start waits for it
        _complain(str(error))
        return 1
    except OSError as error:
        where = f"{found.server.host}:{found.server.port}"
        why, while_binding, _ = line_of(error).partition(" (while attempting to bind")
        if error.errno == errno.EADDRINUSE:
            return _complain(f"{where} is in use: stop what listens there, or choose another one with --port")
        if while_binding:
            return _complain(f"{where}: {why}; --host and --port say where to listen (below 1024 is root's)")
        _complain(line_of(error) + (f"; {advice_for(error)}" if _is_about_files_of(found.state, error) else ""))
        return 1 if error.errno in (errno.ENOSPC, errno.EDQUOT) else 2  # 1: --keep tries again, there may be room then
    except KeyboardInterrupt:
        return 130


def _is_about_files_of(state: Path, error: OSError) -> bool:
    """Return whether another state directory could help: not for a refused setting, nor for a file elsewhere."""
    where = error.filename if isinstance(error.filename, str) else None
    return error.errno is not None and (where is None or Path(where).is_relative_to(state))


def _of_another_service(state: Path) -> str | None:
    """Return one line where no service was ever started in a state directory, and a runner of another one has it."""
    from townwatch.runner import identity

    if has_service(state):
        return None
    try:
        known = identity.load(state)
    except identity.NotEnrolled:
        return None
    return (
        f"{state} is {known.runner_id} of {known.url}: give this service another --state-dir, or remove "
        f"{state / identity.FILE} to forget that runner"
    )


def _stand_by_again() -> int:
    """Begin anew in this process, with nothing left of what it knew as the leader: as a standby, then."""
    drain_all(1.0)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


@app.command(name="run")
def run_command(
    *command: Annotated[str, Parameter(allow_leading_hyphen=True)],
    name: str | None = None,
    plain: bool = False,
    quiet: bool = False,
    qr: bool = False,
    state_dir: StateDir = None,
    config: ConfigFile = None,
) -> int:
    """Run a command as a session: its terminal here, and on the page at the same moment.

    Parameters
    ----------
    command
        what to run, after --
    name
        the agent's name on the page
    plain
        watch an agent's CLI (claude …) as any other command: only its terminal
    quiet
        do not print the session's address on the page first
    qr
        print it as a QR code as well, also where only this machine can open it
    """
    if (unknown := unknown_option(command)) is not None:
        return _complain(f"unknown option {unknown}; see townwatch run --help (a command goes after --)")
    return running.run(list(command), name=name, plain=plain, quiet=quiet, qr=qr, state_dir=state_dir, config=config)


@app.command
def demo(*, seed: Whole = 1, state_dir: StateDir = None, config: ConfigFile = None) -> int:
    """An agent's afternoon, with real terminals in a throw-away repository.

    Parameters
    ----------
    seed
        what happens, the same for the same seed
    """
    from townwatch.runner.demo import run_demo
    from townwatch.runner.demo.play import RUNS_ALREADY

    found = _settings(config, state_dir)
    known = own_runner(found)
    _log_to_file(found, "demo.log")
    status = run_async(run_demo, known, found.state, seed)
    if status == RUNS_ALREADY:
        _complain(f"another process plays the demo of {found.state}: stop that first, or go on with it")
    return status


def _quick(name: str) -> None:
    """Register a command of `cli/quick.py`, which the entry point runs before this module is imported: for --help."""

    @app.command(name=name, help=quick.COMMANDS[name].summary, help_flags=[])
    def command(*words: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> int:  # pyright: ignore[reportUnusedFunction]
        return quick.run([name, *words])


for _name in quick.COMMANDS:
    _quick(_name)


@app.command
def link(*, qr: bool = False, json: Json = False, state_dir: StateDir = None, config: ConfigFile = None) -> int:
    """Print a new one-time link that signs the owner in on another device.

    Parameters
    ----------
    qr
        as a QR code as well, also where only this machine can open it
    """
    from townwatch.app.identity import OwnerLockedOut, new_link
    from townwatch.net.shown import shown

    try:
        made = run_async(new_link, service_settings(config, state_dir))
    except OwnerLockedOut as error:
        return _complain(str(error))
    status = tell("link", made, json)
    if not json and (code := shown(made, sys.stdout, qr)):
        print(code)
    return status


@app.command
def tree(
    url: Filled | None = None,
    *,
    token: Filled | None = None,
    once: bool = False,
    json: bool = False,
    state_dir: StateDir = None,
    config: ConfigFile = None,
) -> int:
    """The supervision tree, live: states, mailboxes, messages a second, restarts within the limit, last exits.

    Parameters
    ----------
    url
        the service (default: that of the state directory)
    token
        an administrator's token (default: the owner's, of the state directory)
    once
        print it and end, as it does where the output is no terminal
    json
        as the API has it
    """
    from townwatch.cli.remote.client import CommandFailed, Where, connect
    from townwatch.cli.tree_view import NoTree, show

    async def work() -> None:
        client = await connect(Where(url=url, token=token, state_dir=state_dir, config=config))
        await show(client.url, client.token, once=once or not sys.stdout.isatty(), as_json=json)

    try:
        run_async(work)
    except (NoTree, CommandFailed) as error:
        return _complain(str(error))
    except KeyboardInterrupt:
        return 130
    return 0


def _named(words: list[str]) -> str:
    """Return the beginning of a command line that names its command, with a blank behind it."""
    known: list[str] = []
    here = app
    for word in words:
        if word.startswith("-") or word not in here:
            break
        known.append(f"{word} ")
        here = here[word]
    return "".join(known)


def _worded(error: CycloptsError) -> str:
    """The error in one line, in the words of a person who types commands."""
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return f"Too many words: {', '.join(map(repr, error.unused_tokens))} (quote what has blanks)."
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        info = error.argument.field_info
        name = error.argument.name if info.is_keyword_only else info.name.upper()
        if not any(word.partition("=")[0] in error.argument.names for word in sys.argv):
            return f"{name} is missing."
    said = " ".join(str(error).split())
    for kind, words in (("int", "a whole number"), ("float", "a number"), ("bool", "true or false")):
        said = re.sub(rf'unable to convert "(.*)" into {kind}\.', rf'must be {words}, not "\1".', said)
    if said.startswith('Unknown command "-'):
        return said.replace("Unknown command", "Options come after the command; no command is", 1)
    return said


def run() -> int:
    """Run the command line of `sys.argv` and return its exit status."""
    open_missing_descriptors()
    logging.captureWarnings(True)
    if "structlog" in sys.modules:  # configured by an earlier command of this process
        sys.modules["structlog"].reset_defaults()
    try:
        status = app(result_action="return_value", print_error=False, exit_on_error=False)
    except CycloptsError as error:
        status = _complain(f"{_worded(error)} See townwatch {_named(sys.argv[1:])}--help")
    except (TablesUnavailable, TablesRefused, FilesDamaged) as error:
        status = _complain(str(error))
    except UnicodeEncodeError:
        wrong = next((number for number, word in enumerate(sys.argv) if not is_text(word)), None)
        if wrong is None:
            raise
        status = _complain(f"word {wrong} after townwatch is no UTF-8, and only text can be used")
    return status if isinstance(status, int) else 0
