"""A replica among the processes that share a PostgreSQL: it tells where it is, sees who leads, and while another one
does, hands what comes to its port on to that one.
"""

import hashlib
import ssl
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Any

import structlog
import trio

from townwatch.cluster.lease import ProcessLease
from townwatch.cluster.replicas import Replica, ReplicasSeen, ReplicaTable
from townwatch.config.settings import ConfigError, Settings
from townwatch.contracts import rest
from townwatch.transports.edge.http import HttpHandler, WebSocketHandler
from townwatch.transports.edge.relay.dialling import Dialler, LeaderDoor
from townwatch.transports.edge.relay.pump import Pump
from townwatch.transports.edge.relay.relaying import Relaying
from townwatch.transports.edge.relay.wire import RelayRefused, RelaySecret
from townwatch.transports.edge.server import Edge
from townwatch.transports.trunk.keeping import TrunkKeeper

log = structlog.get_logger("cluster")

LOOK_SECONDS, LEADER_LOOK_SECONDS, DOUBT_SECONDS = 0.25, 1.0, 0.05
"""Between two looks at the table: of a follower, of the leader, and after the leader did not answer."""
RENEW_SECONDS = 1.0
LOOK_TIMEOUT = 5.0
PROBE_SECONDS, PROBE_TIMEOUT = 1.0, 2.0
TAKE_OVER_SECONDS = 8.0
"""Beside the rest of the lease, the time that a connection waits for the next leader."""
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
OWN_PAGES = ("/healthz", "/readyz", "/metrics")
SHARED_PATH = "/socket.io"
"""Of the WebSockets that thousands have to hear the same."""


class ClusterMember:
    """`LeaderView`. One a process, for as long as it lives; relays until the process leads itself."""

    def __init__(self, settings: Settings, edge: Edge, lease: ProcessLease) -> None:
        self.name, self.life, self.version = lease.name, lease.life, version("townwatch")
        self.seen = ReplicasSeen()
        self.leads = self.serves = False
        """Whether this process has the lease, and whether it serves as the leader already."""
        self.link_seconds: float | None = None
        """How long the leader took to answer the last probe; None where it did not."""
        self._lease_seconds = lease.seconds
        self._stall = settings.server.stall_timeout
        self._table = ReplicaTable(settings.database.url, _mine(settings, edge, lease))
        self._trouble = "the table of replicas was not read yet"
        self._looked = trio.current_time()
        self._renewed = -RENEW_SECONDS
        self._unanswered = ""
        self._door: LeaderDoor | None = None
        self._nursery: trio.Nursery | None = None
        self._port: tuple[trio.CancelScope, trio.Event] | None = None
        self._changed, self._wake = trio.Event(), trio.Event()
        self.wait = lease.seconds + TAKE_OVER_SECONDS
        """Seconds that a connection waits for the next leader."""
        self._answered = -self.wait
        """When a leader answered last."""
        self.relaying = self._relaying(edge) if Pump.possible() else None
        """None where the system has no epoll: such a replica refuses connections while it does not lead."""

    def _relaying(self, edge: Edge) -> Relaying:
        return Relaying(edge, self, self.name, OWN_PAGES, self.wait, TrunkKeeper(self.name), SHARED_PATH)

    # --- LeaderView ---------------------------------------------------------------------------------------------------

    @property
    def door(self) -> LeaderDoor | None:
        return self._door

    @property
    def may_come(self) -> bool:
        """False while PostgreSQL is away, and where a process leads to which no connection is handed on (it is of an
        older release, or copies the database).
        """
        leader = self.seen.leader
        return not self._trouble and (leader is None or any(one.life == leader.life for one in self.seen.replicas))

    async def changed(self) -> None:
        await self._changed.wait()

    def doubt(self, why: str) -> None:
        self._unanswered = why
        self._wake.set()

    # --- what others are told -----------------------------------------------------------------------------------------

    def not_ready(self) -> str | None:
        """Return why this follower takes no connections now; None where it relays to a leader that answers, or did so
        a moment ago: what comes while the leader is replaced waits for the next one, and a proxy that took all replicas
        for dead would refuse it instead.
        """
        why = self._not_relaying()
        if why is not None and self.may_come and trio.current_time() - self._answered < self.wait:
            return None
        return why

    def _not_relaying(self) -> str | None:
        late = trio.current_time() - self._looked - self._lease_seconds
        if self._door is None:
            return self._trouble or "no process leads"
        if late > 0:
            return f"who leads could not be read for {late + self._lease_seconds:.0f} s: {self._trouble or 'no answer'}"
        if self.link_seconds is None:
            return f"{self._door} does not answer at {self._door.host}:{self._door.port}: {self._unanswered or 'yet'}"
        return None

    @property
    def words(self) -> str:
        """Return in words what this process does in the cluster."""
        if self.leads:
            return "leads" if self.serves else "begins to lead"
        if self._door is None:
            return "waits for the next leader"
        return f"relays to {self._door}" if self.link_seconds is not None else f"waits for {self._door}"

    def views(self) -> list[rest.ReplicaView]:
        """Return all processes as people see them. A process of a release that tells nothing of itself is missing."""
        leader = self.seen.leader.life if self.seen.leader is not None else self.life if self.leads else None
        return [
            rest.ReplicaView(
                name=one.name,
                role="leader" if one.life == leader else "follower",
                version=one.version,
                since=None if one.since is None else one.since.timestamp() * 1000,
                lag_ms=round(one.lag_ms),
                relayed=one.relayed,
                link_ms=None if one.link_ms is None else round(one.link_ms, 1),
                address=one.address,
            )
            for one in self.seen.replicas
        ]

    # --- the port, while this process does not serve as the leader ----------------------------------------------------

    async def open_port(self, edge: Edge, http: dict[str, HttpHandler], websocket: dict[str, WebSocketHandler]) -> None:
        """Serve these pages, and relay, until `close_port`: also while this process begins to lead. What comes then
        waits for it, and proxies hear that it is there.
        """
        scope, ended = trio.CancelScope(), trio.Event()

        async def run(task_status: trio.TaskStatus[Any] = trio.TASK_STATUS_IGNORED) -> None:
            try:
                with scope:
                    await edge.serve_meanwhile(http, websocket, self.relaying, task_status=task_status)
            finally:
                ended.set()

        assert self._nursery is not None  # `run` has started
        await self._nursery.start(run)
        self._port = scope, ended

    async def close_port(self) -> None:
        """End what `open_port` began. What waits at the port is carried over to who serves it next."""
        if self._port is not None:
            (scope, ended), self._port = self._port, None
            scope.cancel()
            await ended.wait()

    # --- its tasks ----------------------------------------------------------------------------------------------------

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the table and the view of it up to date until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                task_status.started()
                if self.relaying is not None:
                    nursery.start_soon(self.relaying.pump.run)
                    nursery.start_soon(self._probe)
                while True:
                    await self._look(nursery)
                    self._wake = trio.Event()
                    await trio.sleep(DOUBT_SECONDS)
                    with trio.move_on_after(LEADER_LOOK_SECONDS if self.leads else LOOK_SECONDS):
                        await self._wake.wait()
        finally:
            if self._renewed > 0:  # else no row stands there
                with trio.move_on_after(1.0, shield=True):
                    await self._leave()

    def take_the_lead(self) -> None:
        """Begin to lead: end what was relayed, which went to a process that does not lead any more."""
        self.leads = True
        if self.relaying is not None:
            self.relaying.end_all_but(None)
        self._note_door(None)

    async def _look(self, nursery: trio.Nursery) -> None:
        now, relayed = trio.current_time(), 0 if self.relaying is None else len(self.relaying)
        renew = now - self._renewed >= RENEW_SECONDS
        link_ms = None if self.link_seconds is None else self.link_seconds * 1000
        look = partial(self._table.look, relayed, link_ms, renew=renew)
        with trio.move_on_after(LOOK_TIMEOUT) as scope:
            try:
                self.seen = await trio.to_thread.run_sync(look, abandon_on_cancel=True)
            except OSError as error:
                self._note_trouble(str(error))
                return
        if scope.cancelled_caught:
            self._table.disconnect()  # ends the call that is left in its thread
            self._note_trouble("PostgreSQL does not answer")
            return
        self._looked = trio.current_time()
        self._renewed = now if renew else self._renewed
        self._note_trouble("")
        secret, relaying = self.seen.secret, self.relaying
        if relaying is not None and secret is not None and relaying.dialler is None:
            relaying.dialler = Dialler(RelaySecret(secret), nursery, self._stall)
        self._note_door(self._find_door())

    def _find_door(self) -> LeaderDoor | None:
        """Return the leader's port, as the table says; None while no process leads, and what is relayed goes on."""
        leader, relaying = self.seen.leader, self.relaying
        if self.leads or relaying is None or relaying.dialler is None or leader is None or leader.life == self.life:
            return None
        row = next((one for one in self.seen.replicas if one.life == leader.life), None)
        host, _, port = ("" if row is None else row.address).rpartition(":")
        if row is None or not port.isdigit():
            return None
        return LeaderDoor(
            life=leader.life,
            name=row.name,
            host=host.strip("[]"),
            port=int(port),
            fingerprint=row.fingerprint,
            since=_iso(leader.since),
        )

    def _note_door(self, door: LeaderDoor | None) -> None:
        if door == self._door:
            return
        self._door, self.link_seconds, self._unanswered = door, None, ""
        if door is not None and self.relaying is not None:
            log.info("relays", leader=door.name, address=f"{door.host}:{door.port}", since=door.since)
            self.relaying.end_all_but(door.life)
        self._tell()

    def _note_trouble(self, trouble: str) -> None:
        if bool(trouble) != bool(self._trouble):
            self._trouble = trouble
            self._tell()
        self._trouble = trouble

    def _tell(self) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    async def _probe(self) -> None:
        """See whether the leader answers, again and again: a proxy sends people to a follower that says it does."""
        while not self.leads:
            door, relaying = self._door, self.relaying
            if door is None or relaying is None or relaying.dialler is None:
                await self.changed()
                continue
            took, why = None, f"no answer within {PROBE_TIMEOUT:g} s"
            with trio.move_on_after(PROBE_TIMEOUT):
                try:
                    took = await relaying.dialler.probe(door)
                except (OSError, RelayRefused) as error:
                    why = str(error)
            if door == self._door:
                self.link_seconds = took
                if took is not None:
                    self._answered = trio.current_time()
                else:
                    self.doubt(why)
            with trio.move_on_after(PROBE_SECONDS if took is not None else LOOK_SECONDS):
                await self.changed()

    async def _leave(self) -> None:
        try:
            await trio.to_thread.run_sync(self._table.leave, abandon_on_cancel=True)
        except OSError as error:
            log.info("replica_not_taken_off", reason=str(error))


def _mine(settings: Settings, edge: Edge, lease: ProcessLease) -> Replica:
    return Replica(
        life=lease.life,
        name=lease.name,
        address=_address(settings, edge.port),
        fingerprint=_fingerprint(settings.server.tls_certificate),
        version=version("townwatch"),
    )


def _address(settings: Settings, port: int) -> str:
    """Return where others reach this process; ":port" where its host is still to be found. Raises `ConfigError`."""
    given = settings.database.address
    if given:
        host, colon, number = given.rpartition(":")
        if not (colon and host and number.isdigit() and 0 < int(number) < 65536):
            raise ConfigError(f"[database] address: {given!r} is not host:port")
        return given
    host = settings.server.host
    if host in ("0.0.0.0", "::"):
        return f":{port}"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _fingerprint(certificate: str) -> str | None:
    """SHA-256 of the first certificate in a PEM file. Raises OSError."""
    if not certificate:
        return None
    with open(certificate, encoding="ascii", errors="replace") as file:
        after = file.read().partition(_BEGIN)[2]
    whole = f"{_BEGIN}{after.partition(_END)[0]}{_END}\n"
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(whole)).hexdigest()


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
