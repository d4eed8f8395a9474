"""Channels of a person: how they are called, about what, and when not. How a village passes approvals on."""

from typing import Annotated, Literal, get_args

import attrs
import msgspec

from townwatch.contracts.decoding.patterns import NO_CONTROLS
from townwatch.contracts.events import Id
from townwatch.contracts.rest.shared import Cursor, Limit, Name
from townwatch.contracts.rest.webhooks import DeliveryView

ChannelForm = Literal["push", "mail", "ntfy", "slack", "teams"]
CallKind = Literal[
    "approval.requested",
    "approval.escalated",
    "approval.resolved",
    "session.ended",
    "session.failed",
    "alert.opened",
]
CALL_KINDS: tuple[str, ...] = get_args(CallKind)
DEFAULT_KINDS: tuple[CallKind, ...] = ("approval.requested", "approval.escalated", "session.failed", "alert.opened")
CallKinds = Annotated[list[CallKind], msgspec.Meta(max_length=20)]
ByVillage = Annotated[dict[Id, CallKinds], msgspec.Meta(max_length=200)]
ChannelName = Annotated[str, msgspec.Meta(max_length=200, pattern=NO_CONTROLS)]
Address = Annotated[str, msgspec.Meta(min_length=1, max_length=2000, pattern=NO_CONTROLS)]
AfterSeconds = Annotated[int, msgspec.Meta(ge=0, le=3600)]
CallMinutes = Annotated[int, msgspec.Meta(ge=0, le=1440)]
MinuteOfDay = Annotated[int, msgspec.Meta(ge=0, le=1439)]
ZoneName = Annotated[str, msgspec.Meta(min_length=1, max_length=80, pattern=NO_CONTROLS)]


@attrs.frozen(kw_only=True)
class PushSubscription:
    """A subscription as a browser's `PushManager` gives it; the keys are base64url."""

    endpoint: Address
    p256dh: Annotated[str, msgspec.Meta(max_length=200)]
    auth: Annotated[str, msgspec.Meta(max_length=100)] = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class NewChannel:
    """`address`: of mail the e-mail address, of ntfy the topic's (https://server/topic), of slack and teams the
    incoming webhook's. `token`: of a protected ntfy topic. `subscription`: of push, in place of an address.

    `kinds`: what calls here. `villages`: name of a village → its own kinds, in place of `kinds`; none is silence.
    `afterSeconds`: how long an approval waits for an answer before it calls here.
    """

    form: ChannelForm
    name: ChannelName = ""
    address: Address | None = None
    token: Annotated[str, msgspec.Meta(max_length=500, pattern=NO_CONTROLS)] = attrs.field(default="", repr=False)
    subscription: PushSubscription | None = None
    kinds: CallKinds = attrs.field(factory=lambda: list(DEFAULT_KINDS))
    villages: ByVillage = attrs.field(factory=dict)
    after_seconds: AfterSeconds = 0


@attrs.frozen(kw_only=True)
class ChannelChange:
    """Changes of a channel; what is left out stays. `enabled` true again: what happened meanwhile is not told."""

    name: ChannelName | None = None
    kinds: CallKinds | None = None
    villages: ByVillage | None = None
    after_seconds: AfterSeconds | None = None
    enabled: bool | None = None


@attrs.frozen(kw_only=True)
class ChannelView:
    """`shown`: what may be shown of its address. `confirmed`: false until the code that was sent there has come back;
    until then nothing else is sent. `waiting`, `dead`, `dropped`, `trouble`: as of a webhook.
    """

    channel_id: str
    form: ChannelForm
    name: str
    shown: str
    kinds: list[str]
    villages: dict[str, list[str]]
    after_seconds: int
    enabled: bool
    confirmed: bool
    created_at: int
    waiting: int
    dead: int
    dropped: int
    trouble: str | None = None


@attrs.frozen(kw_only=True)
class ChannelList:
    items: list[ChannelView]


@attrs.frozen(kw_only=True)
class ConfirmChannel:
    """`code`: as it was sent to the address."""

    code: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]


@attrs.frozen(kw_only=True)
class CallQuery:
    """`channelId`: only of this one."""

    channel_id: Id | None = None
    cursor: Cursor | None = None
    limit: Limit = 50


@attrs.frozen(kw_only=True)
class CallView(DeliveryView):
    """A call to a person, and what became of it. `body`: its title. `state` void: it was not needed any more, and
    `error` says why.
    """

    channel_id: str


@attrs.frozen(kw_only=True)
class CallList:
    items: list[CallView]
    next: str | None


@attrs.frozen(kw_only=True)
class QuietHours:
    """Minutes of the day; they may go over midnight. Where both are the same, nothing is quiet."""

    begins: MinuteOfDay
    ends: MinuteOfDay


@attrs.frozen(kw_only=True)
class CallSettings:
    """`quiet`: hours in `timeZone`, null for none. What comes then waits until they are over, but for approvals that
    are passed on (`quietEscalations`: those, too). A channel is called at most
    `digestCalls` times in `digestMinutes`, what is more is summed up in one call; 0 calls: no limit.
    """

    time_zone: ZoneName = "UTC"
    quiet: QuietHours | None = None
    quiet_escalations: bool = False
    digest_calls: Annotated[int, msgspec.Meta(ge=0, le=100)] = 6
    digest_minutes: Annotated[int, msgspec.Meta(ge=1, le=60)] = 3


@attrs.frozen(kw_only=True)
class MyCallSettings(CallSettings):
    """`pushKey`: what browsers subscribe with. `mail`: whether this service can send e-mail. `kinds`: all there are."""

    push_key: str
    mail: bool
    kinds: list[str]


@attrs.frozen(kw_only=True)
class EscalationSetting:
    """`minutes`: how long an approval waits for an answer before it goes on; 0: it never does. `people`: user ids of
    members who may answer; the first is called after `minutes`, the second after twice as long, and so on. `waits`:
    user id → minutes behind the one before (the first: behind the question), in place of `minutes`; 0: together with
    the one before. Without any people: all owners, at once. It holds for approvals that are asked for from then on.
    """

    minutes: CallMinutes = 10
    people: Annotated[list[Id], msgspec.Meta(max_length=20)] = attrs.field(factory=list)
    waits: Annotated[dict[Id, CallMinutes], msgspec.Meta(max_length=20)] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class EscalationPerson:
    """`reachable`: whether one of their channels takes approvals that are passed on. `wait`: minutes behind the one
    before; `after`: minutes behind the question.
    """

    user_id: str
    name: Name
    reachable: bool
    wait: int
    after: int


@attrs.frozen(kw_only=True)
class EscalationView:
    """`people`: in the order in which they are called; without an order (`ordered` false) the owners, all at once."""

    minutes: int
    ordered: bool
    people: list[EscalationPerson]
