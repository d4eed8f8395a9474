"""Channels of a person: how they are called; when not; and who is called next."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import trio
from sqlalchemy import Connection

from townwatch.access.policy import Action, Oneself
from townwatch.access.secrets import digest
from townwatch.contracts import rest
from townwatch.contracts.rest.channels import CALL_KINDS
from townwatch.contracts.village_ids import name_of
from townwatch.store import members, villages
from townwatch.store.calls import channels, deliveries, links, preferences, targets
from townwatch.store.calls.channels import Channel, Escalation
from townwatch.store.calls.deliveries import CallMessage
from townwatch.store.calls.preferences import CallPreferences
from townwatch.store.calls.targets import MessageCounts
from townwatch.store.rows import from_json, to_json
from townwatch.transports.http.operation import Call, Routes
from townwatch.transports.http.paging import unknown_cursor
from townwatch.transports.http.problems import ProblemError, not_found
from townwatch.transports.http.routes.calls.webhooks import delivery_view

routes = Routes("Calls")
ALL = "/api/me/channels"
ONE = f"{ALL}/{{channelId}}"
TEST_KIND = "channel.test"
CODE_DIGITS = 8


@routes.get(ALL, rest.ChannelList, may=Oneself.ACCOUNT, on="self")
async def list_channels(call: Call[None, None]) -> rest.ChannelList:
    """List the channels that call you, the oldest first."""
    found = await call.api.database.read(channels.of_person, call.user_id)
    counts = await call.api.database.read(targets.counts, [one.channel_id for one in found])
    return rest.ChannelList(items=[_view(one, counts.get(one.channel_id)) for one in found])


@routes.post(
    ALL,
    rest.ChannelView,
    may=Oneself.SIGN_IN,
    on="self",
    body=rest.NewChannel,
    status=201,
    fails=(404, 409, 502),
    audit="channel.make",
)
async def make_channel(call: Call[rest.NewChannel, None]) -> rest.ChannelView:
    """Have yourself called: by web push, e-mail, ntfy, Slack or Teams.

    You are called about what you may see when the call is made, in villages that you belong to. An approval that you
    may answer comes with a link that opens it, for you alone; so only a sign-in of this service makes channels. An
    e-mail address is sent a code, and calls you once that has come back.
    """
    body, port = call.body, call.api.calls
    try:
        address = port.address(body)
    except ValueError as error:
        where = "subscription" if body.form == "push" else "address"
        raise ProblemError(400, f"{where}: {error}", details={"field": where}) from None
    code = "".join(secrets.choice("0123456789") for _ in range(CODE_DIGITS)) if body.form == "mail" else None
    channel_id = channels.new_channel_id()
    made = Channel(
        channel_id=channel_id,
        user_id=call.user_id,
        form=body.form,
        name=body.name,
        shown=address.shown,
        address=port.sealer.seal(address.stored, channel_id),
        kinds=" ".join(dict.fromkeys(body.kinds)),
        villages=to_json(await _by_key(call, body.villages)),
        after_seconds=body.after_seconds,
        enabled=code is None,
        confirm_hash=None if code is None else digest(f"{channel_id}:{code}"),
        from_position=port.position(),
        created_ms=call.now_ms,
    )
    call.target, call.notes = channel_id, {"form": body.form, "shown": address.shown}
    if code is not None:
        call.api.confirmations.take(call.user_id, trio.current_time())
    try:
        await call.api.database.call(channels.add, made)
    except channels.TooManyChannels as error:
        raise ProblemError(409, str(error)) from None
    if code is not None and (failed := await port.confirm(address.stored, code)) is not None:
        await call.api.database.call(_remove, call.user_id, channel_id)
        raise ProblemError(502, f"the code could not be sent to {address.shown}: {failed}", "E_MAIL")
    port.changed(channel_id)
    return _view(made, None)


@routes.post(
    f"{ONE}/confirm",
    rest.ChannelView,
    may=Oneself.SIGN_IN,
    on="self",
    body=rest.ConfirmChannel,
    fails=(403, 409),
    audit="channel.confirm",
)
async def confirm_channel(call: Call[rest.ConfirmChannel, None]) -> rest.ChannelView:
    """Bring back the code that was sent to an e-mail address: from then on it calls you."""
    found = await _channel(call)
    if found.confirm_hash is None:
        raise ProblemError(409, "it is confirmed already")
    if found.confirm_tries >= channels.CONFIRM_TRIES:
        raise ProblemError(409, "too many wrong codes; remove this channel and add it again")
    hashed = digest(f"{found.channel_id}:{call.body.code.strip()}")
    position = call.api.calls.position()
    if not await call.api.database.call(channels.confirm, call.user_id, found.channel_id, hashed, position):
        raise ProblemError(403, "code: is not the one that was sent there", "E_WRONG_CODE")
    return await _changed(call)


@routes.patch(
    ONE,
    rest.ChannelView,
    may=Oneself.ACCOUNT,
    on="self",
    body=rest.ChannelChange,
    fails=(409,),
    audit="channel.change",
)
async def change_channel(call: Call[rest.ChannelChange, None]) -> rest.ChannelView:
    """Change what a channel calls you about, and whether it does."""
    body, found = call.body, await _channel(call)
    values: dict[str, Any] = {}
    if body.name is not None:
        values["name"] = body.name
    if body.kinds is not None:
        values["kinds"] = " ".join(dict.fromkeys(body.kinds))
    if body.villages is not None:
        values["villages"] = to_json(await _by_key(call, body.villages, found.by_village()))
    if body.after_seconds is not None:
        values["after_seconds"] = body.after_seconds
    if body.enabled is not None:
        if body.enabled and found.confirm_hash is not None:
            raise ProblemError(409, "it is not confirmed yet: bring back the code that was sent there")
        values |= {"enabled": body.enabled, "trouble": None}
        if body.enabled and not found.enabled:
            values["from_position"] = call.api.calls.position()
    call.notes = {"changed": sorted(set(values) - {"trouble", "from_position"})}
    return await _changed(call, **values)


@routes.delete(ONE, rest.Done, may=Oneself.ACCOUNT, on="self", audit="channel.delete")
async def delete_channel(call: Call[None, None]) -> rest.Done:
    """Remove a channel, with its calls. Links that were sent there are good for nothing any more."""
    call.target = call.path["channelId"][:200]
    if not await call.api.database.call(_remove, call.user_id, call.target):
        raise not_found(f"channel {call.target!r}")
    return rest.Done()


def _remove(connection: Connection, user_id: str, channel_id: str) -> bool:
    removed = channels.remove(connection, user_id, channel_id)
    if removed:
        links.forget_all_of(connection, channel_id)
    return removed


@routes.post(f"{ONE}/test", rest.DeliveryQueued, may=Oneself.ACCOUNT, on="self", fails=(409,), audit="channel.test")
async def try_channel(call: Call[None, None]) -> rest.DeliveryQueued:
    """Send a call that says it is a test, quiet hours or not; the list of calls says what became of it."""
    found = await _channel(call)
    if not found.enabled:
        why = "it is not confirmed yet" if found.confirm_hash is not None else "the channel is off; switch it on first"
        raise ProblemError(409, why)
    message = CallMessage(
        target_id=found.channel_id,
        message_id=f"msg_{secrets.token_hex(20)}",
        kind=TEST_KIND,
        body=call.api.calls.test_body(call.now_ms),
    )
    queued = await call.api.database.call(deliveries.queue, message, call.now_ms)
    if queued is None:
        raise ProblemError(409, f"{deliveries.QUEUE} calls wait for it already")
    call.api.calls.changed(found.channel_id)
    return rest.DeliveryQueued(delivery_id=str(queued))


@routes.get("/api/me/calls", rest.CallList, may=Oneself.ACCOUNT, on="self", query=rest.CallQuery)
async def list_calls(call: Call[None, rest.CallQuery]) -> rest.CallList:
    """List the calls that were made to you, or wait to be made, the latest first. They are kept for 7 days."""
    query = call.query
    mine = [one.channel_id for one in await call.api.database.read(channels.of_person, call.user_id)]
    wanted = [one for one in mine if query.channel_id in (None, one)]
    try:
        page = await call.api.database.read(deliveries.page, wanted, None, query.cursor, query.limit)
    except ValueError:
        raise unknown_cursor() from None
    items = [
        rest.CallView(**attrs.asdict(delivery_view(one, _title(one.body))), channel_id=one.target_id)
        for one in page.items
    ]
    return rest.CallList(items=items, next=page.next)


def _title(body: str) -> str:
    """Return what of a call is listed: the rest is in its channel."""
    told: Any = from_json(body)
    return str(told.get("title", ""))


@routes.get("/api/me/call-settings", rest.MyCallSettings, may=Oneself.ACCOUNT, on="self")
async def get_call_settings(call: Call[None, None]) -> rest.MyCallSettings:
    """Return your quiet hours and how many calls are too many, and what this service can call with."""
    return _settings(call, await call.api.database.read(preferences.of, call.user_id))


@routes.put(
    "/api/me/call-settings",
    rest.MyCallSettings,
    may=Oneself.ACCOUNT,
    on="self",
    body=rest.CallSettings,
    fails=(409,),
    audit="calls.settings",
)
async def put_call_settings(call: Call[rest.CallSettings, None]) -> rest.MyCallSettings:
    """Set your quiet hours and how many calls are too many. 409 where this service knows no such time zone."""
    try:
        call.api.calls.check_zone(call.body.time_zone)
    except ValueError as error:
        raise ProblemError(409, f"timeZone: {error}", details={"field": "timeZone"}) from None
    quiet, values = call.body.quiet, attrs.asdict(call.body, filter=attrs.filters.exclude("quiet"))
    if quiet is not None:
        values |= {"quiet_from": quiet.begins, "quiet_until": quiet.ends}
    wanted = CallPreferences(**values)
    await call.api.database.call(preferences.put, call.user_id, wanted)
    for one in await call.api.database.read(channels.of_person, call.user_id):
        call.api.calls.changed(one.channel_id)
    return _settings(call, wanted)


@routes.get("/api/villages/{villageId}/escalation", rest.EscalationView, on="village", may=Action.DECIDE)
async def get_escalation(call: Call[None, None]) -> rest.EscalationView:
    """Return how long an approval waits in this village before the next person is called, and who that is."""
    return await call.api.database.read(_escalation, call.path["villageId"])


@routes.put(
    "/api/villages/{villageId}/escalation",
    rest.EscalationView,
    on="village",
    may=Action.MANAGE,
    body=rest.EscalationSetting,
    audit="village.escalation",
)
async def put_escalation(call: Call[rest.EscalationSetting, None]) -> rest.EscalationView:
    """Set who is called, in order, about an approval that is not answered; for those that are asked for from now on."""
    village, wanted = call.path["villageId"], call.body
    known = {one.user_id: one.role for one in await call.api.database.read(members.of_village, village)}
    for user_id in wanted.people:
        if known.get(user_id) not in ("owner", "operator"):
            told = f"people: {user_id[:80]!r} is no member of this village who may answer approvals"
            raise ProblemError(404, told, details={"field": "people"})
    if (other := next((one for one in wanted.waits if one not in wanted.people), None)) is not None:
        raise ProblemError(400, f"waits: {other[:80]!r} is none of people", details={"field": "waits"})
    setting = Escalation(minutes=wanted.minutes, people=tuple(dict.fromkeys(wanted.people)), waits=wanted.waits)
    by = call.subject.name or call.user_id
    await call.api.database.call(preferences.put_escalation, village, setting, by, call.now_ms)
    call.notes = {"minutes": wanted.minutes, "people": list(setting.people), "waits": dict(setting.waits)}
    return await call.api.database.read(_escalation, village)


def _escalation(connection: Connection, village_id: str) -> rest.EscalationView:
    setting = channels.escalation_of(connection, village_id)
    known = {one.user_id: one for one in members.of_village(connection, village_id) if one.role != "viewer"}
    reached = {
        one.user_id
        for one, _ in channels.of_members(connection, village_id)
        if "approval.escalated" in one.kinds_in(village_id)
    }
    order = setting.people or [one.user_id for one in known.values() if one.role == "owner"]
    people: list[rest.EscalationPerson] = []
    after = 0 if setting.people else setting.minutes
    for one in order:
        wait = setting.wait_of(one) if setting.people else setting.minutes
        after += wait if setting.people else 0
        if one in known:
            person = rest.EscalationPerson(
                user_id=one, name=known[one].name, reachable=one in reached, wait=wait, after=after
            )
            people.append(person)
    return rest.EscalationView(minutes=setting.minutes, ordered=bool(setting.people), people=people)


def _settings(call: Call[Any, Any], found: CallPreferences) -> rest.MyCallSettings:
    port, begins, ends = call.api.calls, found.quiet_from, found.quiet_until
    return rest.MyCallSettings(
        time_zone=found.time_zone,
        quiet=None if begins is None or ends is None else rest.QuietHours(begins=begins, ends=ends),
        quiet_escalations=found.quiet_escalations,
        digest_calls=found.digest_calls,
        digest_minutes=found.digest_minutes,
        push_key=port.push_key,
        mail=port.mail,
        kinds=list(CALL_KINDS),
    )


async def _by_key(
    call: Call[Any, Any], wanted: Mapping[str, Sequence[str]], before: Iterable[str] = ()
) -> dict[str, list[str]]:
    """Return kinds by key of the village. Raises 404 for a village that the caller does not belong to and that the
    channel does not have yet (`before`).
    """
    if not wanted:
        return {}
    mine = await call.api.database.read(villages.of_user, call.user_id, public_too=False)
    keys = {name_of(key): key for key in (*before, *(one.village_id for one in mine))}
    for name in wanted:
        if name not in keys:
            raise not_found(f"village {name[:80]!r} that you belong to")
    return {keys[name]: list(dict.fromkeys(kinds)) for name, kinds in wanted.items()}


async def _channel(call: Call[Any, Any]) -> Channel:
    """Return the channel that the path names. Raises 404."""
    call.target = call.path["channelId"][:200]
    found = await call.api.database.read(channels.get, call.user_id, call.target)
    if found is None:
        raise not_found(f"channel {call.target!r}")
    return found


async def _changed(call: Call[Any, Any], **values: Any) -> rest.ChannelView:
    assert call.target is not None  # _channel
    found = await call.api.database.call(channels.change, call.user_id, call.target, **values)
    if found is None:
        raise not_found(f"channel {call.target!r}")
    call.api.calls.changed(found.channel_id)
    counts = await call.api.database.read(targets.counts, [found.channel_id])
    return _view(found, counts.get(found.channel_id))


def _view(channel: Channel, counts: MessageCounts | None) -> rest.ChannelView:
    counts = counts or MessageCounts()
    form: Any = channel.form
    return rest.ChannelView(
        channel_id=channel.channel_id,
        form=form,
        name=channel.name,
        shown=channel.shown,
        kinds=channel.kinds.split(),
        villages={name_of(key): kinds for key, kinds in channel.by_village().items()},
        after_seconds=channel.after_seconds,
        enabled=channel.enabled,
        confirmed=channel.confirm_hash is None,
        created_at=channel.created_ms,
        waiting=counts.waiting,
        dead=counts.dead,
        dropped=channel.dropped,
        trouble=channel.trouble,
    )
