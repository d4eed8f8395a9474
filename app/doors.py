"""Where everybody comes in, beside Socket.IO: runners, the control plane's clients, REST and the page."""

from contextlib import AsyncExitStack, suppress
from functools import partial
from importlib.metadata import version
from typing import Any

from actors.context import Context
from actors.directory import tell_if_alive
from actors.messages import Evict
from actors.runtime import whereis
from app import cast
from app.forget import delete_session, forget_session
from app.foundation import Foundation
from app.identity import open_provider_door, person_signed_out, provider_of, token_ended
from app.pulse import Health
from app.rights import rates
from config.settings import Settings
from dashboard import ROOT as PAGE
from supervision import ChildError
from transports.control import ControlDeps, ControlDoor
from transports.http.deps import Api
from transports.http.mount import mount
from transports.runners import DialTarget, LinkDeps, LinkSettings, RunnerDoor, dial_specs


async def open_runner_door(base: Foundation, settings: Settings) -> RunnerDoor:
    """/runner, and the runners that are dialled."""
    set_ = settings.runners
    links = LinkDeps(
        context=base.context,
        links=cast.LINKS,
        authenticate=base.rights.runner,
        recognize=base.rights.certified,
        settings=LinkSettings(window=set_.window, heartbeat_ms=set_.heartbeat_ms, ackless=set_.ackless),
    )
    door = RunnerDoor(links)
    base.edge.websocket("/runner", door.serve)
    targets = [DialTarget(url=dial.url, token=dial.token, runner_id=dial.runner_id or None) for dial in set_.dial]
    for spec in dial_specs(links, targets):
        supervisor = whereis(cast.LINKS)
        assert supervisor is not None  # the tree has started
        await supervisor.proxy().start_child(spec)
    return door


def open_control_door(base: Foundation, settings: Settings, stack: AsyncExitStack) -> None:
    """/ws."""
    rights = base.rights
    control = ControlDoor(
        ControlDeps(
            context=base.context,
            clients=cast.CLIENTS,
            authenticate=rights.person,
            access=rights,
            allow_origin=partial(own_origin, tuple(settings.server.allowed_origins)),
        )
    )
    base.edge.websocket("/ws", control.serve)
    stack.callback(control.shutdown)


async def open_api(base: Foundation, settings: Settings, root: Any, door: RunnerDoor, health: Health) -> Api:
    """REST and the page."""
    context = base.context
    api = Api(
        context=context,
        database=base.database,
        authenticator=base.authenticator,
        gate=base.gate,
        sign_in=base.sign_in,
        version=version("townwatch"),
        root=lambda: root,
        history=base.history,
        chaos=settings.server.chaos,
        reasons_not_ready=partial(not_ready, context, health),
        registry=base.metrics.registry,
        metrics_open=settings.server.host in ("127.0.0.1", "::1", "localhost"),
        forget_session=partial(forget_session, context),
        delete_session=partial(delete_session, context, base.event_log, base.database),
        stop_runner=partial(_stop_runner, context, door),
        cut_runner=partial(_cut_runner, door),
        membership_changed=partial(_membership_changed, context),
        token_ended=partial(token_ended, context),
        person_signed_out=partial(person_signed_out, context),
        oidc=provider_of(settings),
        public_url=settings.server.public_url,
        rates=rates(settings.limits),
    )
    await mount(base.edge, api, PAGE)
    open_provider_door(base.edge, api, settings)
    return api


def own_origin(allowed: tuple[str, ...], origin: str | None, host: str | None) -> bool:
    """No Origin (no browser), the service's own page, or one of the list."""
    return origin is None or origin in allowed or origin in (f"http://{host}", f"https://{host}")


def not_ready(context: Context, health: Health) -> list[str]:
    """Why the service should get no work now."""
    journal = context.journal
    if journal is None or not journal.is_up:
        return ["the journal is not running"]
    refusal = context.disk.refusal
    return [f"the journal cannot write: {refusal}"] if refusal else health.late()


async def _stop_runner(context: Context, door: RunnerDoor, runner_id: str) -> None:
    """A removed runner's connections end, and nobody waits for it any more."""
    door.cut(runner_id, "this runner was removed")
    context.heard.pop(runner_id, None)
    supervisor = whereis(cast.RUNNERS)
    if supervisor is not None:
        with suppress(ChildError):
            await supervisor.proxy().terminate_child(f"runner:{runner_id}")


async def _cut_runner(door: RunnerDoor, runner_id: str) -> None:
    """A revoked runner's connections end; it may be enrolled anew, and its sessions wait for that."""
    door.cut(runner_id, "this runner's token was revoked: enrol it anew with townwatch runner join")


async def _membership_changed(context: Context, _village_id: str) -> None:
    """Everybody looks again whether they may still be where they are."""
    for client in list(context.directory.clients.values()):
        tell_if_alive(client, Evict())
