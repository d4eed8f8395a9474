"""The command line: `townwatch COMMAND`. Every error is one line on stderr; 2 is the status of a command used
wrongly.
"""

import errno
import logging
import sys
from importlib.metadata import version
from typing import Annotated, Literal

import attrs
import structlog
import trio
from cyclopts import App, Parameter

from app.cli_chaos import chaos as chaos_command
from app.cli_runner import runner_app
from app.cli_shared import ConfigFile, StateDir
from app.cli_shared import complain as _complain
from app.cli_shared import log_to_file as _log_to_file
from app.cli_shared import log_to_stderr as _log_to_stderr
from app.cli_shared import settings_of as _settings
from app.cli_user import user_app
from config.settings import ConfigError

app = App(
    name="townwatch",
    version=version("townwatch"),
    help="The control room for coding agents: one self-hosted process that you can pull any plug on.",
)

app.command(chaos_command)
app.command(runner_app)
app.command(user_app)


@app.command
def serve(
    *,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    host: str | None = None,
    port: int | None = None,
    demo: bool = False,
    seed: int = 1,
    chaos: bool = False,
    keep: bool = False,
) -> int:
    """Run the service.

    Parameters
    ----------
    host: address to listen on
    port: TCP port, 0 for any free one
    demo: also run the demo's agents
    seed: what the demo does, the same for the same seed
    chaos: let administrators break parts of it, over /api/chaos
    keep: start it again whenever it dies; ends when it is told to
    """
    from app.service import run_service

    found = _settings(config, state_dir)
    given = {"host": host, "port": port, "chaos": chaos or None}
    server = {name: value for name, value in given.items() if value is not None}
    found = attrs.evolve(found, server=attrs.evolve(found.server, **server))
    if keep:
        from app.keep import free_port, keep_running

        port = found.server.port or free_port(found.server.host)  # the same for every life
        found = attrs.evolve(found, server=attrs.evolve(found.server, port=port))
        if (status := keep_running(sys.argv[1:], port)) is not None:
            return status
    _log_to_stderr(found)
    try:
        return trio.run(run_service, found, seed if demo else None)
    except ConfigError as error:
        return _complain(str(error))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            where = f"{found.server.host}:{found.server.port}"
            return _complain(f"{where} is in use: stop what listens there, or choose another one with --port")
        return _complain(str(error))
    except KeyboardInterrupt:
        return 130


@app.command
def run(
    *command: Annotated[str, Parameter(allow_leading_hyphen=True)],
    name: str | None = None,
    state_dir: StateDir = None,
    config: ConfigFile = None,
) -> int:
    """Run a command as a session: its terminal here, and on the page at the same moment.

    Parameters
    ----------
    command: what to run, after --
    name: the agent's name on the page
    """
    if not command:
        return _complain("which command? e.g. townwatch run -- bash")
    from runner import commands, identity

    found = _settings(config, state_dir)
    _log_to_file(found, "run.log")
    try:
        known = identity.load(found.state)
    except identity.NotEnrolled as error:
        return _complain(str(error))
    return trio.run(lambda: commands.run_command(known, found.state, command, name=name))


@app.command
def demo(*, seed: int = 1, state_dir: StateDir = None, config: ConfigFile = None) -> int:
    """An agent's afternoon, with real terminals in a throw-away repository.

    Parameters
    ----------
    seed: what happens, the same for the same seed
    """
    from runner import identity
    from runner.demo import run_demo

    found = _settings(config, state_dir)
    _log_to_file(found, "demo.log")
    try:
        known = identity.load(found.state)
    except identity.NotEnrolled as error:
        return _complain(str(error))
    return trio.run(run_demo, known, found.state, seed)


@app.command
def ask(
    summary: str,
    *,
    category: Literal["merge", "deps_add", "secrets", "deploy", "shell", "network"],
    risk: Literal["low", "med", "high"],
    timeout: float | None = None,
) -> int:
    """Ask for approval, from inside a session: 0 when allowed, 1 when denied, 2 when nobody could be asked.

    Parameters
    ----------
    summary: what is to be done
    category: what kind of thing it is
    risk: how bad it could be
    timeout: seconds after which no answer is a no (default: a day)
    """
    from runner import commands

    return trio.run(commands.ask, category, risk, summary, timeout)


@app.command
def alert(
    title: str,
    description: str = "",
    *,
    severity: Literal["info", "warn", "error", "critical"] = "warn",
    category: Literal["security", "performance", "build", "test", "dependency", "policy"] = "build",
    alert_id: str | None = None,
) -> int:
    """Raise an alert, from inside a session. Raised again as info or warn under the same id, it is resolved."""
    from runner import commands

    fields = {"title": title, "description": description, "severity": severity, "category": category}
    return trio.run(commands.tell, "alert", {**fields, "alertId": alert_id})


@app.command
def usage(*, input_tokens: int = 0, output_tokens: int = 0, cost_usd: float = 0.0) -> int:
    """Report tokens that were used, from inside a session."""
    from runner import commands

    fields = {"inputTokens": input_tokens, "outputTokens": output_tokens, "costUsd": cost_usd}
    return trio.run(commands.tell, "usage", fields)


@app.command
def link(*, state_dir: StateDir = None, config: ConfigFile = None) -> int:
    """Print a new one-time link that signs the owner in on another device."""
    from app.service import new_link

    found = _settings(config, state_dir)
    print(trio.run(new_link, found))
    return 0


@app.command
def tree(
    url: str | None = None,
    *,
    token: str | None = None,
    once: bool = False,
    json: bool = False,
    state_dir: StateDir = None,
    config: ConfigFile = None,
) -> int:
    """The supervision tree, live: states, mailboxes, messages a second, restarts within the limit, last exits.

    Parameters
    ----------
    url: the service (default: that of the state directory)
    token: an administrator's token (default: the owner's, of the state directory)
    once: print it and end
    json: as the API has it
    """
    from app.service import local_access
    from app.tree_view import NoTree, show
    from runner import identity

    try:
        if url is not None and token is None:
            return _complain(f"{url}: a token is needed, --token")
        if url is None or token is None:
            url, own = trio.run(local_access, _settings(config, state_dir))
            token = token or own
        show(url.rstrip("/"), token, once=once, as_json=json)
    except (NoTree, identity.NotEnrolled) as error:
        return _complain(str(error))
    except KeyboardInterrupt:
        return 130
    return 0


def main() -> None:
    """The entry point."""
    logging.captureWarnings(True)
    structlog.reset_defaults()
    status = app()
    sys.exit(status if isinstance(status, int) else 0)
