"""Route of a session's diff: asked of its runner while it lives, read from its events when it has ended."""

import uuid
from typing import Any

import attrs
import trio

from townwatch.access.policy import Action
from townwatch.actors import messages as m
from townwatch.actors.log_reading import decode_records
from townwatch.actors.runner import command_result
from townwatch.contracts import events as e, rest, scopes
from townwatch.contracts.codec import ContractError, encode
from townwatch.contracts.link import Command
from townwatch.contracts.lists import SessionDiff, session_diff
from townwatch.contracts.secrets.left_out import LEFT_OUT
from townwatch.contracts.secrets.shapes import masked_event
from townwatch.transports.http.operation import Call, Routes
from townwatch.transports.http.problems import ProblemError
from townwatch.transports.http.streams import reader_of

routes = Routes("Sessions")

RUNNER_SECONDS = 25.0
"""How long git on the runner's machine may take."""
READ_BYTES = 4 << 20
NO_DIFF = "E_NO_DIFF"


@routes.get(
    "/api/runner/sessions/{sessionId}/diff",
    rest.DiffView,
    who="visitor",
    on="session",
    may=Action.READ,
    query=rest.DiffQuery,
    fails=(409, 502, 504),
)
async def get_diff(call: Call[None, rest.DiffQuery]) -> rest.DiffView:
    """Return what a session changed, file by file, as text.

    While the session runs its runner is asked: the state that its last DIFF_SUMMARY counts, or a newer one, whose
    DIFF_SUMMARY is sent then. Of a session that has ended, what was kept at its end. 409 E_NO_DIFF where there is none
    (outside of a repository, the runner was killed, the named file is not changed); 409 E_RUNNER_OFFLINE while its
    runner is away.
    """
    async with call.api.pages.place(reader_of(call)):
        if call.session.ended:
            return await _kept(call)
        return _view(call, await _asked(call), live=True, at=call.now_ms)


async def _asked(call: Call[None, rest.DiffQuery]) -> SessionDiff:
    """The runner's answer, masked once more. Raises `ProblemError`, `RunnerOffline`, `Unsupported`."""
    session_id, runner_id = call.session.session_id, call.session.runner_id
    command = Command(
        command_id=scopes.session_command("diff", session_id, uuid.uuid4().hex),
        command="diff",
        session_id=session_id,
        path=call.query.path,
    )
    runner = await call.api.context.router_call(m.EnsureRunner(runner_id))
    try:
        result = await command_result(runner, command, RUNNER_SECONDS)
    except trio.TooSlowError:
        raise ProblemError(504, f"runner {runner_id} did not answer within {RUNNER_SECONDS:g} s; ask again") from None
    if not result.ok:
        why = result.error.message if result.error is not None else "the runner did not say why"
        raise ProblemError(409, why, NO_DIFF)
    try:
        return await trio.to_thread.run_sync(_checked, result.data)
    except ContractError as error:
        raise ProblemError(502, f"runner {runner_id} answered with something else than a diff: {error}") from None


def _checked(said: Any) -> SessionDiff:
    return session_diff.decode(masked_event(encode(said)))


async def _kept(call: Call[None, rest.DiffQuery]) -> rest.DiffView:
    """Return what the session's last words say. Raises `ProblemError`."""
    state, path = call.session, call.query.path
    nothing_changed = not (state.diff or {}).get("filesChanged")
    if state.diff_seq is None and nothing_changed and path is None:
        empty = SessionDiff(base="", files_changed=0, lines_added=0, lines_removed=0)
        return _view(call, empty, live=False, at=state.signs.ended_at or call.now_ms)
    if state.texts_left_out:
        raise ProblemError(409, f"the text of what this session changed was {LEFT_OUT}", NO_DIFF)
    found = None if state.diff_seq is None else await _read(call, state.session_id, state.diff_seq)
    if found is None:
        raise ProblemError(409, "the text of what this session changed was not kept", NO_DIFF)
    at, diff = found
    if path is not None:
        files = [file for file in diff.files if file.path == path]
        if not files:
            raise ProblemError(409, f"this session has not changed {path[:200]}, or it was not kept", NO_DIFF)
        diff = attrs.evolve(diff, files=files, truncated=any(file.truncated for file in files))
    return _view(call, diff, live=False, at=at)


async def _read(call: Call[None, rest.DiffQuery], session_id: str, seq: int) -> tuple[int, SessionDiff] | None:
    log = call.api.context.journal_log
    records = await trio.to_thread.run_sync(log.read, session_id, seq - 1, 1, READ_BYTES)
    for event in decode_records(records):
        if event.seq == seq and isinstance(event, e.ProviderEventForwarded):
            try:
                diff = await trio.to_thread.run_sync(session_diff.convert, event.provider_event)
            except ContractError:
                return None
            return records[0].stored_ms, diff
    return None


def _view(call: Call[None, rest.DiffQuery], diff: SessionDiff, *, live: bool, at: int) -> rest.DiffView:
    fields = attrs.asdict(diff, recurse=False)
    fields["base"] = diff.base or None
    return rest.DiffView(session_id=call.session.session_id, live=live, at=at, **fields)
