"""Sessions that the service ends by itself: their runner lost the village, or the village was deleted."""

import structlog

from townwatch.actors import messages as m
from townwatch.actors.context import Context
from townwatch.actors.directory import tell_if_alive
from townwatch.actors.session.state import SessionState
from townwatch.app import supervision_tree as tree
from townwatch.app.upkeep.authority import end
from townwatch.app.upkeep.session_gc import delete_session, end_child
from townwatch.store import villages
from townwatch.store.database import Database
from townwatch.store.log.port import DurableLog

log = structlog.get_logger("ending")


async def end_session(context: Context, state: SessionState, reason: str) -> None:
    """Stop a session at its runner, and write its end in the runner's place: FAILED, for this reason."""
    await end(context, state.session_id, reason)


async def village_deleted(context: Context, event_log: DurableLog, database: Database, village_id: str) -> None:
    """End what is left in memory and in the log of a village whose rows are gone. Done again, it does what is left."""
    for client in list(context.directory.clients.values()):
        tell_if_alive(client, m.RecheckAccess())  # it asks the database, which knows the village no more
    for state in context.board.of_village(village_id):
        await delete_session(context, event_log, database, state.session_id)
    await end_child(tree.VILLAGES, f"village:{village_id}")
    context.directory.villages.pop(village_id, None)
    await database.call(villages.forget_removed, village_id)
    log.info("village_deleted", village=village_id)
