"""Sessions, turns of agents, their tool calls and questions as spans, by the GenAI semantic conventions (v1.41).

Made from durable events alone. What was said and typed is in none of them: names, times and outcomes are.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from townwatch.actors.session.state import SessionState
from townwatch.contracts import agent_events as a, events as e
from townwatch.contracts.tracing import context as trace_context
from townwatch.contracts.tracing.context import TraceContext, span_id_of, trace_id_of
from townwatch.net.otlp.spans import Span, Value

MOST = 4096
"""Sessions and running tool calls that are remembered; the oldest are forgotten."""
PROVIDERS = {"claude_code": "anthropic", "codex": "openai", "gemini_cli": "gcp.gemini"}
"""providerId → gen_ai.provider.name, where the CLI has one vendor's models; else the providerId itself."""

Attributes = dict[str, Value | None]
K = TypeVar("K")
V = TypeVar("V")


class SessionSpans:
    """Reads the events of all sessions. `boot`: distinguishes the turn under way at this start of the service from the
    one that an earlier process followed.
    """

    def __init__(self, offer: Callable[[Span], None], boot: str) -> None:
        self._offer = offer
        self._boot = boot
        self._turns: dict[str, int] = {}
        """Session → the event that ended its last turn: what comes before the next end is below that one."""
        self._tools: dict[tuple[str, str], float] = {}

    def heard(self, before: SessionState, after: SessionState, events: Sequence[e.RunnerEvent]) -> None:
        """Note events that made `before` into `after`."""
        place = place_of(after)
        if place.sampled:
            for event in events:
                for span in self._spans(before, after, place, event):
                    self._offer(span)

    def _spans(
        self, before: SessionState, state: SessionState, place: TraceContext, event: e.RunnerEvent
    ) -> Iterator[Span]:
        match event:
            case e.ProviderEventForwarded(provider_event=found) if str(found.get("type")) in (
                "agent.turn",
                "agent.tool",
            ):
                said = a.from_provider_event(found)
                if isinstance(said, a.Tool):
                    yield from self._tool(state, place, event, said)
                elif isinstance(said, a.Turn):
                    yield self._turn(state, place, event, said)
            case e.ApprovalResolved():
                asked = before.pending.get(event.approval_id)
                if asked is not None:
                    yield _approval(state, place, event, asked)
            case e.SessionEnded():
                self._turns.pop(state.session_id, None)
                yield _session(state, place, event)
            case _:
                pass

    def _tool(self, state: SessionState, place: TraceContext, event: e.RunnerEvent, tool: a.Tool) -> Iterator[Span]:
        key = (state.session_id, tool.id)
        if tool.status == "running":
            _keep(self._tools, key, event.ts)
            return
        began = self._tools.pop(key, None)
        start = event.ts - tool.ms if tool.ms is not None else began
        attributes: Attributes = {
            **_agent(state),
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": tool.name,
            "gen_ai.tool.call.id": tool.id,
            "townwatch.tool.status": tool.status,
            "error.type": None if tool.status == "ok" else tool.status,
        }
        yield Span(
            name=f"execute_tool {tool.name}",
            trace_id=place.trace_id,
            span_id=span_id_of(state.session_id, event.seq),
            parent_id=self._turn_id(state),
            start_ns=_ns(event.ts if start is None else start),
            end_ns=_ns(event.ts),
            attributes=attributes,
            error=None if tool.status == "ok" else tool.status,
        )

    def _turn(self, state: SessionState, place: TraceContext, event: e.RunnerEvent, turn: a.Turn) -> Span:
        span_id = self._turn_id(state)
        _keep(self._turns, state.session_id, event.seq)
        failed = turn.result == "failed"
        return Span(
            name=f"invoke_agent {state.agent_name or state.agent_id}",
            trace_id=place.trace_id,
            span_id=span_id,
            parent_id=session_span_id(state.session_id),
            start_ns=_ns(event.ts - (turn.ms or 0)),
            end_ns=_ns(event.ts),
            attributes={
                **_agent(state),
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.request.model": state.agent.model if state.agent is not None else None,
                "townwatch.turn.id": turn.id,
                "townwatch.turn.result": turn.result,
                "error.type": "failed" if failed else None,
            },
            error="the turn failed" if failed else None,
        )

    def _turn_id(self, state: SessionState) -> str:
        known = self._turns.get(state.session_id)
        return span_id_of(state.session_id, "turn after", self._boot if known is None else known)


def place_of(state: SessionState) -> TraceContext:
    """Return where a session's spans belong: in the trace of what started it, else in one of its own."""
    given = trace_context.read(state.traceparent)
    return given or TraceContext(trace_id_of("session", state.session_id), session_span_id(state.session_id))


def session_span_id(session_id: str) -> str:
    return span_id_of("session", session_id)


def _session(state: SessionState, place: TraceContext, event: e.SessionEnded) -> Span:
    own = session_span_id(state.session_id)
    failed = event.final_state == "FAILED"
    usage = event.total_usage
    return Span(
        name=f"session {state.provider_id or 'command'}",
        trace_id=place.trace_id,
        span_id=own,
        parent_id=None if place.span_id == own else place.span_id,
        start_ns=_ns(state.started_at or state.created_at or event.ts),
        end_ns=_ns(event.ts),
        attributes={
            **_agent(state),
            "townwatch.session.state": event.final_state,
            "gen_ai.usage.input_tokens": usage.input_tokens,
            "gen_ai.usage.output_tokens": usage.output_tokens,
            "error.type": "failed" if failed else None,
        },
        error="the session failed" if failed else None,
    )


def _approval(state: SessionState, place: TraceContext, event: e.ApprovalResolved, asked: e.ApprovalRequest) -> Span:
    return Span(
        name=f"approval {asked.category}",
        trace_id=place.trace_id,
        span_id=span_id_of(state.session_id, event.seq),
        parent_id=session_span_id(state.session_id),
        start_ns=_ns(min(asked.requested_at, event.ts)),
        end_ns=_ns(event.ts),
        attributes={
            **_agent(state),
            "townwatch.approval.id": asked.approval_id,
            "townwatch.approval.decision": event.decision,
            "townwatch.approval.risk": asked.risk,
        },
    )


def _agent(state: SessionState) -> Attributes:
    provider = state.provider_id
    return {
        "gen_ai.agent.name": state.agent_name or state.agent_id,
        "gen_ai.provider.name": None if provider in (None, "command") else PROVIDERS.get(provider, provider),
        "gen_ai.conversation.id": state.agent.cli_session_id if state.agent is not None else None,
        "townwatch.session.id": state.session_id,
        "townwatch.village.id": state.village_id,
        "townwatch.runner.id": state.runner_id,
    }


def _ns(ms: float) -> int:
    return int(ms * 1_000_000)


def _keep(table: dict[K, V], key: K, value: V) -> None:
    table.pop(key, None)
    if len(table) >= MOST:
        del table[next(iter(table))]
    table[key] = value
