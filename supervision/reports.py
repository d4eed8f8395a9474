"""Reports of supervisors, as data, and their way into telemetry and the log."""

import logging
from typing import Any, Literal

import attrs
import trio

from townwatch.runtime import Reason, telemetry
from townwatch.runtime.kernel import describe
from townwatch.supervision._child import Child

logger = logging.getLogger("townwatch.supervision")

Phase = Literal["running", "starting"]
Decision = Literal["restart", "give_up", "keep", "remove"]


@attrs.frozen
class CrashReport:
    """One failure of one child, and its supervisor's decision.

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
class SupervisorView:
    """The part of a crash report that only the supervisor knows."""

    supervisor: str
    strategy: str
    recent: int
    intensity: int
    period: float
    delay: float
    decision: Decision


def crash_report(child: Child, reason: Reason, phase: Phase, around: SupervisorView) -> CrashReport:
    """Build the report of a failure."""
    ref, current = child.ref, child.current
    return CrashReport(
        child=ref.path if ref is not None and ref.path else child.id,
        actor=child.spec.actor.__name__,
        urn=ref.actor_urn if ref is not None else None,
        incarnation=ref.incarnation if ref is not None else 0,
        phase=phase,
        reason=reason,
        message_type=current.last_message if current is not None else None,
        waiting=len(ref.actor_inbox) if ref is not None else 0,
        state=current.state_summary() if current is not None else {},
        uptime=trio.current_time() - child.started_at if phase == "running" else 0.0,
        restarts=child.restarts,
        **attrs.asdict(around),
    )


def crashed(report: CrashReport) -> None:
    """Publish a crash: telemetry `crashed`, and a log line without contents."""
    telemetry.emit("crashed", actor=report.actor, path=report.child, urn=report.urn, incarnation=report.incarnation,
                   reason=describe(report.reason), error=type(report.reason).__name__, report=report)  # fmt: skip
    fields = {
        "child": report.child,
        "phase": report.phase,
        "reason": describe(report.reason),
        "message_type": report.message_type,
        "restarts": report.restarts,
        "recent": f"{report.recent} of {report.intensity} in {report.period:g} s",
        "decision": report.decision,
        "delay": round(report.delay, 3),
    }
    text = "Child %s crashed (%s): %s; decision: %s"
    reason = fields["reason"]
    logger.warning(text, report.child, report.phase, reason, report.decision, extra={"fields": fields})


def restarted(supervisor: str, child: Child) -> None:
    """Publish that a child is up again."""
    assert child.ref is not None
    telemetry.emit("restarted", supervisor=supervisor, actor=child.spec.actor.__name__, path=child.ref.path,
                   incarnation=child.ref.incarnation, restarts=child.restarts)  # fmt: skip


def escalated(supervisor: str, child: Child, recent: int, period: float) -> None:
    """Publish that a supervisor gave up and hands the problem to its parent."""
    telemetry.emit("escalated", supervisor=supervisor, child=child.id, recent=recent, period=period)
    fields = {"supervisor": supervisor, "child": child.id, "failures": recent, "period": period}
    text = "Supervisor %s gave up after %d failures within %g s, the last of child %r"
    logger.error(text, supervisor, recent, period, child.id, extra={"fields": fields})


def stopped_late(supervisor: str, child: Child) -> None:
    """Publish that a child ignored its shutdown deadline and was cancelled."""
    telemetry.emit("killed", supervisor=supervisor, actor=child.spec.actor.__name__, child=child.id)
    if child.spec.shutdown != "brutal":
        fields = {"supervisor": supervisor, "child": child.id, "shutdown": child.spec.shutdown}
        text = "Child %r of %s did not stop within %s s and was cancelled"
        logger.warning(text, child.id, supervisor, child.spec.shutdown, extra={"fields": fields})
