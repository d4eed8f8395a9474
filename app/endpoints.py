"""Endpoints beside Socket.IO: runners, the control plane's clients, REST and the page."""

from contextlib import AsyncExitStack, suppress
from functools import partial
from importlib.metadata import version
from typing import Any

from townwatch.access.bootstrap import token_secret
from townwatch.actors.context import Context
from townwatch.actors.directory import tell_if_alive
from townwatch.actors.messages import RecheckAccess
from townwatch.app import supervision_tree as cast
from townwatch.app.budgets.port import BudgetsOverRest
from townwatch.app.calls import call_port, webhook_port
from townwatch.app.health.disk_room import DiskRoom
from townwatch.app.health.liveness import Health
from townwatch.app.identity import (
    administrator_changed,
    open_provider_endpoint,
    person_signed_out,
    provider_of,
    token_ended,
)
from townwatch.app.lockout import locked_out
from townwatch.app.policies import PolicySigner
from townwatch.app.resources import Resources
from townwatch.app.rights import rates
from townwatch.app.search.indexer import Finder
from townwatch.app.upkeep.authority import end_all_of
from townwatch.app.upkeep.ending import village_deleted
from townwatch.app.upkeep.session_gc import delete_session, forget_session
from townwatch.config.settings import Settings
from townwatch.contracts.networks import is_loopback
from townwatch.contracts.tracing import context as trace_context
from townwatch.dashboard import ROOT as PAGE
from townwatch.runtime import whereis
from townwatch.store import runners
from townwatch.supervision import ChildError, Supervisor
from townwatch.transports.control import ControlDeps, ControlEndpoint
from townwatch.transports.http.app import mount
from townwatch.transports.http.deps import Api, Ceilings
from townwatch.transports.runners import DialTarget, LinkDeps, LinkSettings, RunnerEndpoint, dial_specs


async def open_runner_endpoint(base: Resources, settings: Settings) -> RunnerEndpoint:
    """Open /runner, and dial the runners that listen."""
    set_ = settings.runners
    links = LinkDeps(
        context=base.context,
        links=cast.LINKS,
        authenticate=base.rights.runner,
        grants=base.grants.of,
        recognize=base.rights.certified,
        settings=LinkSettings(
            window=set_.window,
            heartbeat_ms=set_.heartbeat_ms,
            ackless=set_.ackless,
            policies=base.policies.for_runner,
            sign=PolicySigner(token_secret(settings.state)).sign,
            allowing=base.accountant.desk,
        ),
    )
    endpoint = RunnerEndpoint(links)
    base.edge.websocket("/runner", endpoint.serve)
    targets = [DialTarget(url=dial.url, token=dial.token, runner_id=dial.runner_id) for dial in set_.dial]
    if targets:
        await base.database.call(runners.ensure, [target.runner_id for target in targets], base.context.clock.now_ms())
    for spec in dial_specs(links, targets):
        supervisor = whereis(cast.LINKS)
        assert supervisor is not None  # the tree has started
        await Supervisor.start_child(supervisor, spec)
    return endpoint


def open_control_endpoint(base: Resources, settings: Settings, stack: AsyncExitStack) -> ControlEndpoint:
    """Open /ws, the control plane."""
    rights = base.rights
    control = ControlEndpoint(
        ControlDeps(
            context=base.context,
            clients=cast.CLIENTS,
            authenticate=rights.person,
            access=rights,
            allow_origin=partial(own_origin, settings.server.origins),
        )
    )
    base.edge.websocket("/ws", control.serve)
    stack.callback(control.shutdown)
    return control


async def open_api(
    base: Resources, settings: Settings, root: Any, endpoint: RunnerEndpoint, control: ControlEndpoint, health: Health
) -> Api:
    """Open REST and the page."""
    context = base.context
    room = DiskRoom(settings.state, lambda: base.event_log.reserve_in_use)
    api = Api(
        context=context,
        database=base.database,
        authenticator=base.authenticator,
        gate=base.gate,
        sign_in=base.sign_in,
        version=version("townwatch"),
        everyone_makes_villages=settings.people.may_create_villages == "everyone",
        root=lambda: root,
        history=base.history,
        chaos=settings.server.chaos,
        reasons_not_ready=partial(not_ready, context, health, base, room),
        warnings=lambda: [*base.damage.warnings(), *(base.bridge.warnings() if base.bridge is not None else ())],
        cluster=lambda: None if base.member is None else base.member.words,
        replicas=lambda: [] if base.member is None else base.member.views(),
        registry=base.metrics.registry,
        metrics_open=for_this_machine(settings),
        forget_session=partial(forget_session, context),
        delete_session=partial(delete_session, context, base.event_log, base.database),
        stop_runner=partial(_stop_runner, context, endpoint),
        end_sessions=partial(end_all_of, context, reason="its runner was removed"),
        cut_runner=partial(_cut_runner, endpoint),
        grants_changed=partial(_grants_changed, base),
        policy_changed=base.policy_keeper.changed,
        village_deleted=partial(deleted_village, base),
        membership_changed=partial(_membership_changed, context),
        token_ended=partial(token_ended, context),
        person_signed_out=partial(person_signed_out, context),
        person_locked_out=partial(locked_out, context),
        administrator_changed=partial(administrator_changed, context),
        broadcast=control.announce,
        webhooks=webhook_port(base, settings),
        calls=call_port(base, settings),
        budgets=BudgetsOverRest(base.accountant, base.policy_keeper),
        keep_audit=base.trail.keep,
        search=Finder(base.search),
        oidc=provider_of(settings),
        public_url=settings.server.public_address,
        path=settings.server.path,
        allowed_origins=settings.server.origins,
        trace=base.tracing.maker.place if base.tracing is not None else trace_context.read,
        rates=rates(settings.limits),
        ceilings=Ceilings(
            connections_per_user=settings.limits.connections_per_user,
            connections=settings.limits.connections,
            runners=settings.limits.runners,
        ),
    )
    await mount(base.edge, api, PAGE)
    open_provider_endpoint(base.edge, api, settings)
    return api


async def _grants_changed(base: Resources, runner_id: str) -> None:
    """A runner serves other villages than before: it gets their rules, too."""
    await base.grant_keeper.changed(runner_id)
    base.policy_keeper.tell_runners()


def for_this_machine(settings: Settings) -> bool:
    """Return whether the service is for programs of this machine only, as far as its settings tell."""
    server = settings.server
    behind_proxy = server.trusted_proxies or server.public_url or server.allowed_hosts
    return is_loopback(server.host) and not behind_proxy


def own_origin(allowed: tuple[str, ...], origin: str | None, host: str | None) -> bool:
    """Return True for no Origin (no browser), the service's own page, or one of the list."""
    return origin is None or origin in allowed or origin in (f"http://{host}", f"https://{host}")


def not_ready(context: Context, health: Health, base: Resources, room: DiskRoom) -> list[str]:
    """Return why the service should get no work now, one line each; empty when it is ready."""
    tables = base.database.outage.reason()
    journal = base.damage.reasons() or _journal_or_late(context, health)
    lease = base.leadership.reasons() if base.leadership is not None else []
    return [*lease, *journal, *([] if tables is None else [tables]), *room.lacking()]


def _journal_or_late(context: Context, health: Health) -> list[str]:
    journal = context.journal
    if journal is None or not journal.is_up:
        return ["the journal is not running"]
    refusal = context.disk.refusal
    return [f"the journal cannot write: {refusal}"] if refusal else health.overdue()


async def deleted_village(base: Resources, village_id: str) -> None:
    """The rows of a village are gone: its runners serve it no more, its sessions end, its people leave."""
    await base.grant_keeper.settle()
    await village_deleted(base.context, base.event_log, base.database, village_id)


async def _stop_runner(context: Context, endpoint: RunnerEndpoint, runner_id: str) -> None:
    """Close a removed runner's connections and stop its actor."""
    endpoint.cut(runner_id, "this runner was removed")
    context.last_seen.pop(runner_id, None)
    supervisor = whereis(cast.RUNNERS)
    if supervisor is not None:
        with suppress(ChildError):
            await Supervisor.terminate_child(supervisor, f"runner:{runner_id}")


async def _cut_runner(endpoint: RunnerEndpoint, runner_id: str) -> None:
    """A revoked runner's connections end; it may be enrolled anew, and its sessions wait for that."""
    endpoint.cut(runner_id, "this runner's token was revoked: enrol it anew with townwatch runner join")


async def _membership_changed(context: Context, _village_id: str) -> None:
    """Make all clients check again that they may be in their rooms."""
    for client in list(context.directory.clients.values()):
        tell_if_alive(client, RecheckAccess())
