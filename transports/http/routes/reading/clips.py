"""Parts of recordings, shared by a link that ends: made, listed, ended; and looked at without signing in.

A link shows the events between two of one session, as its maker may see them now, and the terminal as it stood before
the first of them. It opens nothing else, and nothing at all once its maker may not share there any more.
"""

from functools import partial
from typing import Any

import trio

from townwatch.access import secrets
from townwatch.access.gate import Denied, NotFound
from townwatch.access.policy import Action, Open, Verdict
from townwatch.access.subject import Subject, WrongSecret
from townwatch.actors.log_reading import read_for_viewers
from townwatch.actors.terminal_at import terminal_before
from townwatch.contracts import rest
from townwatch.contracts.codec import decode_json, encode, to_json_values
from townwatch.contracts.networks import network_of
from townwatch.store import users
from townwatch.store.rows import new_id
from townwatch.store.showing import clips
from townwatch.store.showing.clips import Clip, ListedClip, TooManyClips
from townwatch.transports.http.operation import Call, Routes
from townwatch.transports.http.paging import cut
from townwatch.transports.http.problems import ProblemError, not_found
from townwatch.transports.http.streams import reader_of

routes = Routes("Clips")

HOUR_MS = 3_600_000
PAGE = 500
"""Events of one answer."""
OVER = "this link is over, or there never was one; ask who gave it to you"
SCOPES = frozenset({"read", "drive"})
HIDDEN = ("sessionId", "orgId", "repoRef")
"""Names of the envelope that tell nothing of the part."""


@routes.post(
    "/api/runner/sessions/{sessionId}/clips",
    rest.SharedClip,
    status=201,
    on="session",
    may=Action.DRIVE,
    body=rest.NewClip,
    secret=True,
    fails=(409,),
    audit="clip.share",
)
async def share_clip(call: Call[rest.NewClip, None]) -> rest.SharedClip:
    """Share a part of a session by a link, which shows that part and nothing else until it ends.

    Who has the link needs no account. The answer shows it once.
    """
    body, state = call.body, call.session
    if body.from_seq > body.to_seq or body.to_seq > state.seq:
        raise ProblemError(
            409, f"fromSeq, toSeq: the session has the events 1 to {state.seq}; name two, the first first"
        )
    async with call.api.pages.place(reader_of(call)):
        read = partial(terminal_before, call.api.context.journal_log, state.session_id, body.from_seq)
        screen = await trio.to_thread.run_sync(read)
    secret = secrets.make(secrets.CLIP)
    clip = Clip(
        clip_id=new_id("clip"),
        hash=secrets.digest(secret),
        village_id=state.village_id,
        session_id=state.session_id,
        user_id=call.user_id,
        from_seq=body.from_seq,
        to_seq=body.to_seq,
        screen=None if screen is None else encode(screen).decode(),
        created_ms=call.now_ms,
        expires_ms=call.now_ms + body.hours * HOUR_MS,
    )
    try:
        await call.api.database.call(clips.add, clip)
    except TooManyClips as error:
        raise ProblemError(409, str(error)) from None
    call.target, call.notes = clip.clip_id, {"from": clip.from_seq, "to": clip.to_seq, "hours": body.hours}
    path = f"{call.api.path}/clip.html#{secret}"
    return rest.SharedClip(clip_id=clip.clip_id, path=path, expires_at=clip.expires_ms)


@routes.get("/api/villages/{villageId}/clips", rest.ClipList, on="village", may=Action.DRIVE, query=rest.ClipQuery)
async def list_clips(call: Call[None, rest.ClipQuery]) -> rest.ClipList:
    """List the parts of recordings that are shared now: your own, and for owners of the village all of them."""
    query = call.query
    maker = await _only(call)
    found = await call.api.database.read(clips.of_village, call.path["villageId"], maker, call.now_ms)
    wanted = [one for one in found if query.session_id in (None, one.clip.session_id)]
    page, following = cut(wanted, lambda one: (-one.clip.created_ms, one.clip.clip_id), query.cursor, query.limit)
    return rest.ClipList(items=[_row(call, one) for one in page], next=following)


@routes.delete("/api/villages/{villageId}/clips/{clipId}", rest.Done, on="village", may=Action.DRIVE, audit="clip.end")
async def end_clip(call: Call[None, None]) -> rest.Done:
    """End a link to a part of a recording: one of yours, and for owners of the village any."""
    clip_id = call.target = call.path["clipId"][:200]
    maker = await _only(call)
    ended = None
    if clip_id.isprintable():
        ended = await call.api.database.call(clips.end, call.path["villageId"], clip_id, maker)
    if ended is None:
        raise not_found(f"clip {clip_id!r}")
    call.notes = {"of": ended.user_id, "session": ended.session_id}
    return rest.Done()


@routes.post(
    "/api/clips/look",
    rest.ClipView,
    who="any",
    may=Open.OPEN,
    on="public",
    body=rest.OpenClip,
    secret=True,
    fails=(401, 429),
)
async def look_at_clip(call: Call[rest.OpenClip, None]) -> rest.ClipView:
    """Return the events of a part of a recording that was shared by a link, oldest first. Needs no token."""
    call.api.links.take(network_of(call.address), trio.current_time())
    clip, maker = await _opened(call)
    state = call.api.context.board.session(clip.session_id)
    assert state is not None  # _opened
    after = max(call.body.after, clip.from_seq - 1)
    limit = min(PAGE, clip.to_seq - after)
    found: list[Any] = []
    if limit > 0:
        async with call.api.pages.place(reader_of(call)):
            found = await read_for_viewers(call.api.context, clip.session_id, after, limit=limit)
    found = [event for event in found if event.seq <= clip.to_seq]
    last = found[-1].seq if found else clip.to_seq
    first = call.body.after == 0
    return rest.ClipView(
        agent_name=state.agent_name or state.agent_id,
        shared_by=maker,
        from_seq=clip.from_seq,
        to_seq=clip.to_seq,
        expires_at=clip.expires_ms,
        screen=rest.ClipScreen(**decode_json(clip.screen, max_bytes=1 << 24)) if first and clip.screen else None,
        items=[_bare(to_json_values(event)) for event in found],
        next=last if last < clip.to_seq else None,
    )


async def _opened(call: Call[rest.OpenClip, None]) -> tuple[Clip, str]:
    """Return the clip of a link and its maker's name. Raises `WrongSecret` where it opens nothing any more."""
    clip = await call.api.database.read(clips.by_hash, secrets.digest(call.body.link), call.now_ms)
    if clip is None:
        raise WrongSecret(OVER)
    person = await call.api.database.read(users.get, clip.user_id)
    state = call.api.context.board.session(clip.session_id)
    if person is None or person.disabled or state is None or state.village_id != clip.village_id:
        raise WrongSecret(OVER)
    maker = Subject(kind="user", user_id=person.user_id, name=person.name, scopes=SCOPES)
    try:
        await call.api.gate.check(maker, Action.DRIVE, "village", clip.village_id)
    except (NotFound, Denied):
        raise WrongSecret(OVER) from None
    return clip, person.name


def _bare(event: Any) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name not in HIDDEN}


async def _only(call: Call[Any, Any]) -> str | None:
    """Return whose clips the caller may list and end: None for all, of an owner; else their own."""
    verdict = await call.api.gate.verdict(call.subject, Action.MANAGE, "village", call.path["villageId"])
    return None if verdict is Verdict.ALLOWED else call.user_id


def _row(call: Call[Any, Any], one: ListedClip) -> rest.ClipRow:
    clip = one.clip
    state = call.api.context.board.session(clip.session_id)
    return rest.ClipRow(
        clip_id=clip.clip_id,
        session_id=clip.session_id,
        agent_name=clip.session_id if state is None else (state.agent_name or state.agent_id),
        from_seq=clip.from_seq,
        to_seq=clip.to_seq,
        made_by=one.maker,
        made_at=clip.created_ms,
        expires_at=clip.expires_ms,
        mine=clip.user_id == call.subject.user_id,
    )
