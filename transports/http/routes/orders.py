"""Route of a session's order, to start another one like it."""

from townwatch.access.policy import Action
from townwatch.contracts import rest
from townwatch.contracts.codec import ContractError, Decoder
from townwatch.contracts.tasks import SessionConfig
from townwatch.store import sessions
from townwatch.transports.http.operation import Call, Routes
from townwatch.transports.http.problems import ProblemError

routes = Routes("Sessions")
_config: Decoder[SessionConfig] = Decoder(SessionConfig)


@routes.get(
    "/api/runner/sessions/{sessionId}/order", rest.SessionOrderView, on="session", may=Action.DRIVE, fails=(409,)
)
async def get_session_order(call: Call[None, None]) -> rest.SessionOrderView:
    """Return what a session was started with, without its environment. 409 where its runner began it by itself."""
    session_id = call.session.session_id
    row = await call.api.database.read(sessions.get, session_id)
    missing = ProblemError(409, f"session {session_id!r} has no order: its runner began it by itself")
    if row is None or row.config is None:
        raise missing
    try:
        config = _config.convert(row.config)
    except ContractError:  # of an earlier version
        raise missing from None
    return rest.SessionOrderView(
        provider_id=config.provider_id,
        repo_ref=config.repo_ref,
        task=config.task,
        policy=config.policy,
        agent_name=config.agent_name,
        checkout=config.checkout,
        room_path=config.room_path,
        command=config.command,
        worktree=config.worktree,
        model=config.model,
        runner_id=row.runner_id,
        budget=config.budget,
    )
