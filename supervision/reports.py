"""What supervisors report, as data. Formatting is for whoever reads it."""

from typing import Any, Literal

import attrs
import structlog
import trio

from actors.runtime import Reason, telemetry
from actors.runtime._reasons import describe
from supervision.child import Child

log = structlog.get_logger("supervision")

Phase = Literal["running", "starting"]
Decision = Literal["restart", "give_up", "keep", "remove"]


@attrs.frozen
class CrashReport:
    """One failure of one child, and what its supervisor makes of it.

    supervisor, child: paths. phase: did it fail while running or while starting. message_type: type of the message
    in hand. waiting: messages in its mailbox. state: outline of its attributes. uptime, delay, period: seconds.
    restarts: of this child, ever; recent: failures of all children in the period; delay: before the restart.
    """

    supervisor: str
    strategy: str
    child: str
    actor: str
    urn: str | None
    incarnation: int
    phase: Phase
    reason: Reason
    message_type: str | None
    waiting: int
    state: dict[str, Any]
    uptime: float
    restarts: int
    recent: int
    intensity: int
    period: float
    delay: float
    decision: Decision


@attrs.frozen
class Circumstances:
    """The part of a crash report that only the supervisor knows."""

    supervisor: str
    strategy: str
    recent: int
    intensity: int
    period: float
    delay: float
    decision: Decision


def crash_report(child: Child, reason: Reason, phase: Phase, around: Circumstances) -> CrashReport:
    """Put together what is known about a failure."""
    ref, life = child.ref, child.life
    return CrashReport(
        child=ref.path if ref is not None and ref.path else child.id,
        actor=child.spec.actor.__name__,
        urn=ref.actor_urn if ref is not None else None,
        incarnation=ref.incarnation if ref is not None else 0,
        phase=phase,
        reason=reason,
        message_type=life.last_message if life is not None else None,
        waiting=len(ref.actor_inbox) if ref is not None else 0,
        state=life.state_summary() if life is not None else {},
        uptime=trio.current_time() - child.born if phase == "running" else 0.0,
        restarts=child.restarts,
        **attrs.asdict(around),
    )


def crashed(report: CrashReport) -> None:
    """Publish a crash: telemetry `crashed`, and a log line without contents."""
    telemetry.emit("crashed", actor=report.actor, path=report.child, urn=report.urn, incarnation=report.incarnation,
                   reason=describe(report.reason), error=type(report.reason).__name__, report=report)  # fmt: skip
    log.warning(
        "child_crashed",
        child=report.child,
        phase=report.phase,
        reason=describe(report.reason),
        message_type=report.message_type,
        restarts=report.restarts,
        recent=f"{report.recent} of {report.intensity} in {report.period:g} s",
        decision=report.decision,
        delay=round(report.delay, 3),
    )


def restarted(supervisor: str, child: Child) -> None:
    """Publish that a child is up again."""
    assert child.ref is not None
    telemetry.emit("restarted", supervisor=supervisor, actor=child.spec.actor.__name__, path=child.ref.path,
                   incarnation=child.ref.incarnation, restarts=child.restarts)  # fmt: skip


def escalated(supervisor: str, child: Child, recent: int, period: float) -> None:
    """Publish that a supervisor gave up and hands the problem to its parent."""
    telemetry.emit("escalated", supervisor=supervisor, child=child.id, recent=recent, period=period)
    log.error("supervisor_gave_up", supervisor=supervisor, child=child.id, failures=recent, period=period)


def stopped_late(supervisor: str, child: Child) -> None:
    """Publish that a child ignored its shutdown deadline and was cancelled."""
    telemetry.emit("killed", supervisor=supervisor, actor=child.spec.actor.__name__, child=child.id)
    if child.spec.shutdown != "brutal":
        log.warning("child_ignored_shutdown", supervisor=supervisor, child=child.id, shutdown=child.spec.shutdown)
