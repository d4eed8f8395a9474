"""What the command line calls: one function a command, each returns its exit status."""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
import trio

from runner import asks, local
from runner.asks import NotInSession
from runner.identity import Identity, new_session_id
from runner.runner import DEFAULT_SESSIONS, Runner, SlotTaken, open_runner
from runner.session import Plan, Session
from runner.spool import DEFAULT_LIMIT_BYTES

log = structlog.get_logger("commands")

ASK_EXIT = {"allow": 0, "deny": 1}
TROUBLE = 2
"""The exit status of `ask` when there is no decision: not 0, so that no script takes it for a yes."""


async def run_command(
    identity: Identity, state_dir: Path, command: Sequence[str], *, name: str | None = None, provider: str = "command"
) -> int:
    """`townwatch run -- COMMAND`: a session whose keyboard and screen are here. Returns the command's exit status."""
    cols, rows = local.size()
    plan = Plan(
        session_id=new_session_id(),
        village=identity.village,
        command=list(command),
        directory=Path.cwd(),
        provider=provider,
        agent_name=name or Path(command[0]).name,
        cols=cols,
        rows=rows,
        stdin=local.piped_input(),
    )

    def prepare(session: Session) -> None:
        session.on_output = local.Screen().show

    async with open_runner(identity, state_dir, dispatch=False) as runner:
        with local.raw_keyboard():
            session = runner.start(plan, prepare)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(local.keyboard, session)
                nursery.start_soon(local.follow_size, session)
                nursery.start_soon(_pass_on_signals, session)
                await session.over.wait()
                nursery.cancel_scope.cancel()
    if session.exit is None:
        return TROUBLE
    if (session.lifecycle.reason or "").startswith("could not start"):
        print(f"townwatch: {session.lifecycle.reason}", file=sys.stderr)
    return session.exit.shell_code


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
) -> int:
    """`townwatch runner`: takes start commands until SIGTERM or SIGINT."""
    try:
        async with open_runner(
            identity, state_dir, slot="main", max_sessions=max_sessions, spool_bytes=spool_bytes
        ) as runner:
            await until_told(runner)
    except SlotTaken as taken:
        print(f"townwatch: {taken}", file=sys.stderr)
        return TROUBLE
    return 0


async def until_told(runner: Runner) -> None:
    """Until somebody wants this process to end."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async for number in signals:
            log.info("stopping", signal=signal.Signals(number).name, sessions=len(runner.sessions))
            return


async def ask(category: str, risk: str, summary: str, timeout: float | None, context: Any = None) -> int:
    """`townwatch ask`: 0 for allow, 1 for deny, 2 where nobody could be asked."""
    fields = {"category": category, "risk": risk, "summary": summary, "timeoutSeconds": timeout, "context": context}
    answer = await _request("ask", fields)
    if answer is None:
        return TROUBLE
    decision = str(answer.get("decision"))
    by = f" by {answer['resolvedBy']}" if answer.get("resolvedBy") else ""
    note = f": {answer['note']}" if answer.get("note") else ""
    print(f"{decision}{by}{note}")
    return ASK_EXIT.get(decision, TROUBLE)


async def tell(action: str, fields: Mapping[str, Any]) -> int:
    """`townwatch alert` and `townwatch usage`: 0 when the runner took it."""
    return TROUBLE if await _request(action, fields) is None else 0


async def _request(action: str, fields: Mapping[str, Any]) -> dict[str, Any] | None:
    """The answer, or None after a line on stderr that says what was wrong."""
    try:
        answer = await asks.request(action, fields, os.environ)
    except (NotInSession, OSError) as error:
        print(f"townwatch: {error}", file=sys.stderr)
        return None
    if not answer.get("ok"):
        print(f"townwatch: {answer.get('error')}", file=sys.stderr)
        return None
    return answer
