"""Routes of the audit log: to read page by page, and to take away as a file."""

from math import ceil

import trio

from townwatch.access.policy import Action
from townwatch.contracts import rest
from townwatch.contracts.codec import encode
from townwatch.store import audit
from townwatch.store.audit import Entry
from townwatch.transports.http import views
from townwatch.transports.http.operation import Call, Routes
from townwatch.transports.http.paging import unknown_cursor
from townwatch.transports.http.problems import NDJSON, RestResponse
from townwatch.transports.http.streams import reader_of

routes = Routes("Audit")
COUNTED = 10_000
"""Entries that are counted for `total`."""


@routes.get("/api/villages/{villageId}/audit", rest.AuditList, on="village", may=Action.MANAGE, query=rest.AuditQuery)
async def list_audit(call: Call[None, rest.AuditQuery]) -> rest.AuditList:
    """List the actions of people in a village, newest first."""
    return await _page(call, [call.path["villageId"]])


@routes.get("/api/audit", rest.AuditList, on="service", may=Action.ADMIN, query=rest.AuditQuery)
async def list_all_audit(call: Call[None, rest.AuditQuery]) -> rest.AuditList:
    """List the actions of people in the whole service, newest first. For administrators."""
    return await _page(call, None)


@routes.get("/api/villages/{villageId}/audit/export", NDJSON, on="village", may=Action.MANAGE, query=rest.AuditExport)
async def export_audit(call: Call[None, rest.AuditExport]) -> RestResponse:
    """Export the actions of people in a village, oldest first, one JSON object a line.

    The header x-next-after says where to continue; without it the export is complete.
    """
    return await _export(call, call.path["villageId"])


@routes.get("/api/audit/export", NDJSON, on="service", may=Action.ADMIN, query=rest.AuditExport)
async def export_all_audit(call: Call[None, rest.AuditExport]) -> RestResponse:
    """Export the actions of people in the whole service, oldest first, one JSON object a line. For administrators.

    The header x-next-after says where to continue; without it the export is complete.
    """
    return await _export(call, None)


async def _page(call: Call[None, rest.AuditQuery], village_ids: list[str] | None) -> rest.AuditList:
    query, database = call.query, call.api.database
    wanted = audit.Filter(
        villages=village_ids,
        user_id=query.user_id,
        action=query.action,
        since_ms=None if query.since is None else ceil(query.since),
        until_ms=None if query.until is None else ceil(query.until),
    )
    try:
        page = await database.read(audit.page, wanted, cursor=query.cursor, limit=query.limit)
    except ValueError:
        raise unknown_cursor() from None
    counted = await database.read(audit.count, wanted, COUNTED + 1)
    return rest.AuditList(
        items=[views.audit_view(entry) for entry in page.items],
        next=page.next,
        total=min(counted, COUNTED),
        more_than_total=counted > COUNTED,
    )


async def _export(call: Call[None, rest.AuditExport], village_id: str | None) -> RestResponse:
    after, limit = call.query.after, call.query.limit
    async with call.api.pages.place(reader_of(call)):
        found = await call.api.database.read(audit.entries_after, after, limit + 1, village_id)
        shown = found[:limit]
        headers = {"content-disposition": 'attachment; filename="audit.ndjson"'}
        if len(found) > limit:
            headers["x-next-after"] = str(shown[-1].audit_id)
        body = await trio.to_thread.run_sync(_lines, shown, limiter=call.api.pages.limiter)
    return RestResponse(200, body, NDJSON, headers)


def _lines(entries: list[Entry]) -> bytes:
    return b"".join(encode(views.audit_view(entry)) + b"\n" for entry in entries)
