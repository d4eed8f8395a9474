"""Functions that the command line calls: one for each command, which returns its exit status."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import structlog
import trio

from townwatch.contracts.events import default_agent_id
from townwatch.runner import account as accounts, local
from townwatch.runner.account import Account, CannotRunAs
from townwatch.runner.agents import catalog
from townwatch.runner.identity import Identity, new_session_id
from townwatch.runner.opening import DEFAULT_SESSIONS, open_runner
from townwatch.runner.runner import Runner
from townwatch.runner.session.plan import SessionSpec
from townwatch.runner.session.session import Session
from townwatch.runner.slots import SlotTaken
from townwatch.runner.spool.spool import DEFAULT_LIMIT_BYTES

log = structlog.get_logger("commands")

TROUBLE = 2
"""Exit status of a command that could not be carried out."""


async def run_command(
    identity: Identity,
    state_dir: Path,
    command: Sequence[str],
    *,
    name: str | None = None,
    provider: str = "command",
    plain: bool = False,
    run_as: str = "",
    say_link: bool = False,
    qr: bool = False,
) -> int:
    """`townwatch run -- COMMAND`: a session whose keyboard and screen are here. Returns the command's exit status.
    An agent's CLI that we know gets its adapter beside it, unless `plain`. `say_link`: a person's screen first shows
    where the session is on the page, and in the end whether the service knows of it. `qr`: as a code as well, also
    where no other machine can open that.
    """
    try:
        account = _account(run_as, state_dir)
    except CannotRunAs as error:
        return _complain(error)
    cols, rows = local.size()
    adapter = catalog.recognise(command) if not plain and local.is_interactive() else None
    plan = SessionSpec(
        session_id=new_session_id(),
        village=identity.village,
        command=list(command),
        directory=Path.cwd(),
        provider=adapter.provider if adapter is not None else provider,
        adapter=adapter,
        agent_name=name or Path(command[0]).name,
        cols=cols,
        rows=rows,
        own_terminal=True,
        stdin=local.piped_input(),
    )

    screen = local.LocalScreen()
    if say_link and local.is_interactive():
        _say_link(page_of(identity, default_agent_id(plan.session_id)), qr)

    def prepare(session: Session) -> None:
        session.output.screen = screen.show
        session.output.local_answers = local.has_keyboard() and local.has_screen()

    async with open_runner(
        identity, state_dir, dispatch=False, account=account, agents=not plain and catalog.is_agent(command)
    ) as runner:
        with local.raw_keyboard():
            session = runner.start(plan, prepare)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(local.keyboard, session)
                nursery.start_soon(local.follow_size, session)
                nursery.start_soon(_pass_on_signals, session)
                nursery.start_soon(local.end_with_the_reader, screen, session)
                await session.over.wait()
                nursery.cancel_scope.cancel()
            await screen.finish()
            if session.exit is None or session.exit.signal is not None or session.lifecycle.state == "FAILED":
                await screen.put_back()
    if say_link and not runner.told and local.is_interactive():
        _say_not_told(identity, runner)
    if session.exit is None:
        return TROUBLE
    if (session.lifecycle.reason or "").startswith(("could not start", "the runner failed")):
        print(f"townwatch: {session.lifecycle.reason}", file=sys.stderr)
    return session.exit.shell_code


def _say_link(link: str, qr: bool) -> None:
    from townwatch.net.shown import shown

    print(f"townwatch: {link}", file=sys.stderr, flush=True)
    if code := shown(link, sys.stderr, qr):
        print(code, file=sys.stderr, flush=True)


def page_of(identity: Identity, agent_id: str) -> str:
    """Return the address of an agent on the service's page."""
    base = identity.url.replace("ws", "http", 1).removesuffix("/runner")
    return f"{base}/#/a/{quote(agent_id, safe='')}"


def _say_not_told(identity: Identity, runner: Runner) -> None:
    """Say that the service does not know all of the session, why, and what becomes of it."""
    why = f" ({runner.link.trouble})" if runner.link.trouble else ""
    print(
        f"townwatch: the service at {identity.url} was not told all of this{why}; it is kept on this machine, and told "
        "by the next townwatch runner or townwatch run that reaches it",
        file=sys.stderr,
    )


async def _pass_on_signals(session: Session) -> None:
    """A SIGTERM or SIGHUP to us is the session's end, told as such. A SIGINT, which comes only where no keyboard of
    ours is raw (piped input), is the command's, as without us.
    """
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT) as signals:
        async for number in signals:
            if number in (signal.SIGINT, signal.SIGQUIT):
                session.interrupt(number)
            else:
                await session.stop(reason=f"runner got {signal.Signals(number).name}")


async def run_daemon(
    identity: Identity,
    state_dir: Path,
    *,
    max_sessions: int = DEFAULT_SESSIONS,
    spool_bytes: int = DEFAULT_LIMIT_BYTES,
    run_as: str = "",
) -> int:
    """`townwatch runner`: takes start commands until SIGTERM or SIGINT. `run_as`: the user that sessions are executed
    as; empty: our own.
    """
    try:
        account = _account(run_as, state_dir)
        # Before anything is opened: a runner that is told to stop in its first moment stops in order, too.
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async with open_runner(
                identity, state_dir, slot="main", max_sessions=max_sessions, spool_bytes=spool_bytes, account=account
            ) as runner:
                async for number in signals:
                    log.info("stopping", signal=signal.Signals(number).name, sessions=len(runner.sessions))
                    break
    except (SlotTaken, CannotRunAs) as trouble:
        return _complain(trouble)
    return 0


def _account(run_as: str, state_dir: Path) -> Account | None:
    """Raises `CannotRunAs`, also where the state directory is open to that user."""
    account = accounts.find(run_as)
    if account is not None:
        accounts.check_closed(account, state_dir)
    return account


def _complain(error: Exception) -> int:
    print(f"townwatch: {error}", file=sys.stderr)
    return TROUBLE
