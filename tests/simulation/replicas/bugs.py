"""Deliberate bugs of the take-over: the simulation finds each."""

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from tests.simulation.replicas.threads import run_sync
from tests.simulation.replicas.world import Runner, Service
from townwatch.cluster import lease
from townwatch.cluster.lease import Leader, ProcessLease
from townwatch.contracts.records import LogRecord
from townwatch.store.log.records import LogError, LogFenced, LogUnreachable
from townwatch.store.pg_log import log
from townwatch.store.pg_log.log import PostgresLog

Patch = tuple[Any, str, Any]
BUGS: dict[str, Callable[[], list[Patch]]] = {}
CALM = {"what_a_standby_saw_before_postgresql_restarted_counts", "a_standby_does_not_wait_for_a_leader_to_come_back"}
"""Those that cost nothing but a leader: found where nothing is a reason to replace it."""


def bug(make: Callable[[], list[Patch]]) -> Callable[[], list[Patch]]:
    """Its name is its description."""
    BUGS[make.__name__] = make
    return make


@contextmanager
def planted(name: str) -> Generator[None]:
    """While open, the product has this bug."""
    with ExitStack() as stack:
        for owner, attribute, value in BUGS[name]():
            stack.enter_context(patch.object(owner, attribute, value))
        yield


@bug
def a_write_does_not_name_its_epoch() -> list[Patch]:
    return [(log, "PASS_FENCE_TO_LOG", "SELECT pg_sleep(%s)")]


@bug
def a_take_over_does_not_raise_the_epoch() -> list[Patch]:
    return [(lease, "_TAKE", lease._TAKE.replace("epoch = epoch + 1", "epoch = epoch"))]


@bug
def an_event_is_shown_before_its_commit() -> list[Patch]:
    store = Service.store

    async def early(self: Service, event_log: PostgresLog, runner: Runner, batch: list[LogRecord]) -> None:
        self.world.show(runner, batch[-1].seq)
        await store(self, event_log, runner, batch)

    return [(Service, "store", early)]


def _acknowledging(taken_for_stored: type[LogError]) -> list[Patch]:
    async def store(self: Service, event_log: PostgresLog, runner: Runner, batch: list[LogRecord]) -> None:
        try:
            await run_sync(event_log.append, batch)
        except taken_for_stored:
            pass
        except LogFenced:
            self.takes = False
            return
        except LogError:
            return
        self.world.acknowledge(runner, batch[-1].seq)

    return [(Service, "store", store)]


@bug
def a_leader_acknowledges_after_its_lease_was_taken() -> list[Patch]:
    return _acknowledging(LogFenced)


@bug
def a_lost_answer_is_taken_for_a_commit() -> list[Patch]:
    return _acknowledging(LogUnreachable)


@bug
def a_lost_answer_is_taken_for_a_failure() -> list[Patch]:
    """What is in memory stays as it was, and the events are written again."""
    connect, drop = PostgresLog._connect, PostgresLog._drop_writer

    def keep(self: PostgresLog) -> None:
        memory = self._heads, self._villages, self._next_key, self._next_position
        connect(self)
        if self.__dict__.pop("dropped", False):
            self._heads, self._villages, self._next_key, self._next_position = memory

    def note(self: PostgresLog) -> None:
        self.__dict__["dropped"] = bool(self._heads)
        drop(self)

    return [(PostgresLog, "_connect", keep), (PostgresLog, "_drop_writer", note)]


@bug
def what_a_standby_saw_before_postgresql_restarted_counts() -> list[Patch]:
    disconnect = ProcessLease.disconnect

    def remember(self: ProcessLease) -> None:
        seen = self._seen
        disconnect(self)
        self._seen = seen

    return [(ProcessLease, "disconnect", remember), (lease, "RETURN_SECONDS", 1e9)]


@bug
def a_standby_does_not_wait_for_a_leader_to_come_back() -> list[Patch]:
    def at_once(_self: ProcessLease, _leader: Leader) -> bool:
        return True

    return [(ProcessLease, "_may_judge", at_once)]
