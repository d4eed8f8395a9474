"""`townwatch conformance`: named checks for a runner, or for a service, of other authors."""

from __future__ import annotations

import json as json_
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from cyclopts import App, Parameter

from townwatch.cli.shared import ConfigFile, Filled, Json, Seconds, StateDir, complain, run_async

if TYPE_CHECKING:
    from townwatch.conformance.report import KitReport

conformance_app = App(name="conformance", help="Check a runner, or a service, that speaks our protocols.")
LISTEN = "ws://127.0.0.1:0/runner"


@conformance_app.command
def runner(
    url: str = LISTEN,
    *,
    provider: str | None = None,
    command: str | None = None,
    directory: Path | None = None,
    ask: str | None = None,
    wait: Seconds = 300.0,
    patience: Seconds = 15.0,
    hang: Annotated[bool, Parameter(negative=())] = False,
    json: Json = False,
) -> int:
    """Be the service for a runner that you wrote, and check what it does: docs/runner-protocol.md.

    Status 0: no rule was broken; 1: one was; 2: not all was seen that every runner promises.

    Parameters
    ----------
    url
        where the kit listens; port 0 is any free one
    provider
        what the session runs (default: command, else the first that the runner names)
    command
        the session's command line, instead of the kit's own shell script
    directory
        where the session runs, on the runner's machine (default: here)
    ask
        a shell command that asks for an approval when it is run inside a session
    wait
        seconds that the runner has until its first hello
    patience
        seconds that it has for each answer
    hang
        also hang for a while, and see whether the runner notices that within 15 s
    """
    from functools import partial

    from townwatch.conformance.runner.actions import TrialOptions

    where = urlsplit(url)
    try:
        port = where.port or 0
    except ValueError:
        return complain(f"{url}: the port is 0 (any free one) to 65535")
    if where.scheme != "ws" or not where.hostname:
        return complain(f"{url}: the kit listens at ws://HOST:PORT/runner")
    try:
        words = shlex.split(command) if command else None
    except ValueError:
        return complain(f"--command {command!r}: a quotation mark in it has no second one")
    options = TrialOptions(
        directory=str((directory or Path.cwd()).absolute()),
        provider=provider,
        command=words,
        ask=ask,
        wait=wait,
        patience=patience,
        hang=15.0 if hang else None,
    )
    try:
        report = run_async(partial(_try_runner, where.hostname, port, options, quiet=json))
    except OSError as error:
        return complain(f"{where.hostname}:{port}: {error.strerror or error}")
    except UnicodeError:
        return complain(f"{where.hostname} is no name of a host")
    return _tell(report, json)


async def _try_runner(host: str, port: int, options: object, *, quiet: bool) -> KitReport:
    from townwatch.conformance.report import KitReport
    from townwatch.conformance.runner.actions import TrialOptions
    from townwatch.conformance.runner.promises import PROMISES
    from townwatch.conformance.runner.stand_in import open_stand_in
    from townwatch.conformance.runner.trial import RunnerTrial
    from townwatch.conformance.runner.witness import Witness

    assert isinstance(options, TrialOptions)
    report = KitReport(PROMISES, told=lambda line: None if quiet else print(line, flush=True))
    async with open_stand_in(Witness(report), host, port) as stand_in:
        shown = f"[{host}]" if ":" in host else host
        address = f"ws://{shown}:{stand_in.port}/runner"
        print(f"connect your runner to  {address}", file=sys.stderr)
        print(f"with the token          {stand_in.token}", file=sys.stderr)
        ours = f"townwatch runner --url {address} --runner-id kit --token {stand_in.token} --state-dir /tmp/kit"
        print(f"(ours:                  {ours})", file=sys.stderr, flush=True)
        await RunnerTrial(stand_in, report, options).run()
    return report


@conformance_app.command
def client(
    url: Filled | None = None,
    *,
    token: Filled | None = None,
    village: str = "demo",
    directory: str | None = None,
    runner: str | None = None,
    patience: Seconds = 15.0,
    json: Json = False,
    state_dir: StateDir = None,
    config: ConfigFile = None,
) -> int:
    """Be a client of a service, and check what clients rely on at REST, Socket.IO and /ws: docs/client-protocol.md.

    It starts one session, which runs sh on a runner of the village. Status 0: no rule was broken; 1: one was; 2: not
    all was seen that every service promises.

    Parameters
    ----------
    url
        the service (default: this machine's, else the saved login)
    token
        of a person who may start sessions in the village (default: the saved login's)
    directory
        where the session runs, on the runner's machine (default: here)
    runner
        the runner that runs it (default: any)
    patience
        seconds that the service has for each answer
    """
    from townwatch.cli.remote.client import CommandFailed, Where, connect, tls_of
    from townwatch.conformance.report import KitReport
    from townwatch.conformance.service.lines import ServiceUnderTest
    from townwatch.conformance.service.rules import RULES
    from townwatch.conformance.service.trial import ServiceOptions, ServiceTrial, reachable

    where = str(Path(directory or ".").absolute())
    options = ServiceOptions(village=village, directory=where, runner_id=runner, patience=patience)

    async def work() -> KitReport:
        known = await connect(Where(url=url, token=token, state_dir=state_dir, config=config))
        service = ServiceUnderTest(url=known.url, token=known.token, tls=await tls_of(known.url, known.ca))
        if (trouble := await reachable(service)) is not None:
            raise CommandFailed(f"{known.url}: {trouble}")
        report = KitReport(RULES, told=lambda line: None if json else print(line, flush=True))
        await ServiceTrial(service, report, options).run()
        return report

    try:
        return _tell(run_async(work), json)
    except CommandFailed as failed:
        complain(str(failed))
        return 2


def _tell(report: KitReport, as_json: bool) -> int:
    print(json_.dumps(report.as_json()) if as_json else f"\n{report.as_text()}")
    return report.status
