"""What people did: to read page by page, and to take away as a file."""

import trio

from access.policy import Action
from contracts import rest
from contracts.codec import encode
from store import audit
from store.audit import Entry
from transports.http import views
from transports.http.operation import Call, Routes
from transports.http.paging import unknown_cursor
from transports.http.problems import NDJSON, Answer

routes = Routes("Audit")


@routes.get("/api/villages/{villageId}/audit", rest.AuditList, on="village", may=Action.MANAGE, query=rest.PageQuery)
async def list_audit(call: Call[None, rest.PageQuery]) -> rest.AuditList:
    """What people did in a village, newest first."""
    return await _page(call, [call.path["villageId"]])


@routes.get("/api/audit", rest.AuditList, on="service", may=Action.ADMIN, query=rest.PageQuery)
async def list_all_audit(call: Call[None, rest.PageQuery]) -> rest.AuditList:
    """What people did anywhere in the service, newest first; for administrators."""
    return await _page(call, None)


@routes.get("/api/villages/{villageId}/audit/export", NDJSON, on="village", may=Action.MANAGE, query=rest.AuditExport)
async def export_audit(call: Call[None, rest.AuditExport]) -> Answer:
    """What people did in a village, oldest first, one JSON object a line.

    The header x-next-after says where to go on; without it that was all."""
    return await _export(call, call.path["villageId"])


@routes.get("/api/audit/export", NDJSON, on="service", may=Action.ADMIN, query=rest.AuditExport)
async def export_all_audit(call: Call[None, rest.AuditExport]) -> Answer:
    """What people did anywhere in the service, oldest first, one JSON object a line; for administrators.

    The header x-next-after says where to go on; without it that was all."""
    return await _export(call, None)


async def _page(call: Call[None, rest.PageQuery], village_ids: list[str] | None) -> rest.AuditList:
    try:
        page = await call.api.database.read(audit.page, village_ids, cursor=call.query.cursor, limit=call.query.limit)
    except ValueError:
        raise unknown_cursor() from None
    return rest.AuditList(items=[views.audit_view(entry) for entry in page.items], next=page.next)


async def _export(call: Call[None, rest.AuditExport], village_id: str | None) -> Answer:
    after, limit = call.query.after, call.query.limit
    found = await call.api.database.read(audit.later, after, limit + 1, village_id)
    shown = found[:limit]
    headers = {"content-disposition": 'attachment; filename="audit.ndjson"'}
    if len(found) > limit:
        headers["x-next-after"] = str(shown[-1].audit_id)
    return Answer(200, await trio.to_thread.run_sync(_lines, shown), NDJSON, headers)


def _lines(entries: list[Entry]) -> bytes:
    return b"".join(encode(views.audit_view(entry)) + b"\n" for entry in entries)
