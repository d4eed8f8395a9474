"""Wires the cast under its supervisors: who is under whom, how often each may fail, in which order they start and stop.

townwatch                 one_for_one
  timers
  ledger                  rest_for_one: a new journal means new sessions, and runners that come back to resume
    journal
    sessions              dynamic, one actor a runner session
    links                 dynamic, one actor a runner connection; temporary: the runner dials again
  villages, agents, runners   dynamic
  router
  clients                 dynamic, temporary: they come back by themselves; limited per person and address
"""

from collections.abc import Callable

from townwatch.actors.context import Context
from townwatch.actors.journal import JournalActor
from townwatch.actors.limits import RateLimits
from townwatch.actors.router import SessionRouter
from townwatch.actors.timers import Timers
from townwatch.config.settings import LimitsSettings
from townwatch.supervision import Backoff, ChildSpec, DynamicSupervisor, Rate, Supervisor, TokenBuckets

ROOT = "townwatch"
SESSIONS, LINKS = f"{ROOT}/ledger/sessions", f"{ROOT}/ledger/links"
VILLAGES, AGENTS, RUNNERS = f"{ROOT}/villages", f"{ROOT}/agents", f"{ROOT}/runners"
CLIENTS = f"{ROOT}/clients"

BACKOFF = Backoff(base=0.02, cap=5.0, reset_after=1.0)
"""A crash is answered at once; a child that keeps crashing waits longer each time, up to 5 s. One that worked for a
second does not: who is killed now and then is back now and then as fast as the first time.
"""


def _many(name: str, *, intensity: int = 100, max_children: int = 100_000) -> ChildSpec:
    options = {"intensity": intensity, "period": 10.0, "max_children": max_children, "backoff": BACKOFF}
    return ChildSpec(id=name, actor=DynamicSupervisor, kwargs=options)


def allowances(limits: LimitsSettings) -> RateLimits:
    """Return the rate limits as they are configured."""
    return RateLimits(
        joins=limits.joins,
        joins_seconds=limits.joins_seconds,
        sessions_per_runner=limits.sessions_per_runner,
        typing=TokenBuckets("typing", Rate(limits.typing_per_second, limits.typing_burst)),
        subscriptions=TokenBuckets("subscriptions", Rate(limits.subscriptions_per_second, limits.subscriptions_burst)),
    )


def tree(context: Context, limits: LimitsSettings, observe_commit: Callable[[int, float], None]) -> list[ChildSpec]:
    """The root's children, in the order in which they start."""
    context.allowances = allowances(limits)
    ledger = [
        ChildSpec(
            id="journal",
            actor=JournalActor,
            args=(context, observe_commit),
            shutdown=4.0,
            backoff=BACKOFF,
            # What waits behind an append that a crash lost must not be stored without it: that is a hole, and an
            # acknowledgement covers it. The sessions start over with the journal and are sent everything again.
            mailbox="clear",
        ),
        _many("sessions"),
        _many("links", max_children=limits.runners),
    ]
    nurseries = {"session": SESSIONS, "village": VILLAGES, "agent": AGENTS, "runner": RUNNERS}
    clients = {
        "max_children": limits.connections,
        "max_per_key": {"user": limits.connections_per_user, "address": limits.connections_per_address},
        "intensity": 100,
        "period": 10.0,
    }
    return [
        ChildSpec(id="timers", actor=Timers, args=(context,)),
        ChildSpec(
            id="ledger", actor=Supervisor, args=(ledger, "rest_for_one"), kwargs={"intensity": 10, "period": 10.0}
        ),
        _many("villages"),
        _many("agents"),
        _many("runners", max_children=limits.runners),
        ChildSpec(id="router", actor=SessionRouter, args=(context, nurseries), backoff=BACKOFF),
        ChildSpec(id="clients", actor=DynamicSupervisor, kwargs=clients),
    ]
