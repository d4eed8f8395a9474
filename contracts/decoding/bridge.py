"""Sessions that a bridge reports (docs/original.md): a program beside an agent's command line that says over REST what
it sees of it, and takes no orders. Pure: its reports become runner events, which the service numbers.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

import attrs

from townwatch.contracts import events as e
from townwatch.contracts.rest.bridge import BridgeEvent, BridgeSession

RUNNER = "bridge:"
"""How the runner ids of such sessions begin; a real runner's never does."""
PREFIX = "bridge."
"""How the types of provider events begin that carry a bridge's own kinds (thinking, command …)."""
PROVIDERS = {"claude": "claude_code", "codex": "codex", "custom": "command"}
TOUCHES = {"file_read": "read", "file_edit": "write", "file_create": "write", "file_delete": "delete"}
AGENT_TYPES = {"claude_code": "claude", "codex": "codex", "aider": "aider", "cursor": "cursor"}
STARTED_SEQ = 3
"""The seq of SESSION_STARTED among the events of a registration (`beginning`)."""
SAID_AT_THE_START = "session_start"
"""A bridge says that its session began after it has registered it, which says the same."""
ENVELOPE = frozenset({"type", "providerId", "timestamp"})
"""Fields of a provider event that are not the bridge's own."""
UNNUMBERED = 1
"""The seq of an event that the session has not numbered yet."""
SKEW_MS = 2000
_KIND = re.compile(r"[a-z][a-z_]{0,39}")


def runner_of(user_id: str, session_id: str) -> str:
    """The runner id of a bridge's session: only this person may report it."""
    return f"{RUNNER}{user_id}:{session_id}"


def is_bridge(runner_id: str) -> bool:
    return runner_id.startswith(RUNNER)


def agent_name(wanted: BridgeSession) -> str:
    return wanted.agent_name or f"{wanted.agent_type}-agent"


def provider_of(agent_type: str) -> str:
    return PROVIDERS.get(agent_type, agent_type)


def agent_type_of(provider_id: str | None) -> str:
    """The original's name for a kind of agent."""
    return AGENT_TYPES.get(provider_id or "", "custom")


def beginning(wanted: BridgeSession, org_id: str, now_ms: int) -> list[e.RunnerEvent]:
    """The events of a session that was registered: it runs in its directory."""
    envelope: dict[str, Any] = {
        "session_id": wanted.session_id,
        "org_id": org_id,
        "ts": now_ms,
        "seq": UNNUMBERED,
        "repo_ref": e.RepoRef(provider="local", path=wanted.repo_path),
    }
    states: list[e.State] = ["CREATED", "PREPARING_WORKSPACE", "STARTING_PROVIDER", "RUNNING"]
    moves = [
        e.SessionStateChanged(**envelope, previous_state=before, new_state=after) for before, after in pairwise(states)
    ]
    started = e.SessionStarted(
        **envelope,
        provider_id=provider_of(wanted.agent_type),
        provider_version="unknown",
        workspace_path=wanted.repo_path,
        agent_id=wanted.agent_id,
        agent_name=agent_name(wanted),
    )
    return [*moves[:-1], started, moves[-1]]


@attrs.frozen(kw_only=True)
class Reporter:
    """The session that reports are translated for. `began_ms`: when it began; None: not known."""

    session_id: str
    org_id: str
    provider_id: str
    state: e.State
    usage: e.UsageMetrics
    began_ms: float | None


def reported(said: Sequence[BridgeEvent], of: Reporter, now_ms: int) -> list[e.RunnerEvent]:
    """The runner events of one session's reports, up to its end."""
    found: list[e.RunnerEvent] = []
    for one in said:
        found += _translated(one, of, now_ms)
        if found and isinstance(found[-1], e.SessionEnded):
            break
    return found


def ending(of: Reporter, now_ms: int, exit_code: int | None, signal: str | None) -> list[e.RunnerEvent]:
    """The end of a session whose command has ended. Without an exit code or a signal it is not known how."""
    envelope: dict[str, Any] = {"session_id": of.session_id, "org_id": of.org_id, "ts": now_ms, "seq": UNNUMBERED}
    final: e.State = "COMPLETED" if exit_code == 0 or (exit_code is None and signal is None) else "FAILED"
    reason = f"killed by {signal}" if signal else f"exited with code {exit_code}"
    if exit_code is None and signal is None:
        reason = "ended by its bridge, which did not say how"
    return [
        e.SessionStateChanged(**envelope, previous_state=of.state, new_state=final, reason=reason),
        e.SessionEnded(
            **envelope,
            final_state=final,
            exit_code=exit_code,
            total_duration_ms=max(0, int(now_ms - (of.began_ms or now_ms))),
            total_usage=of.usage,
            reason=reason,
        ),
    ]


def _translated(said: BridgeEvent, of: Reporter, now_ms: int) -> list[e.RunnerEvent]:
    envelope: dict[str, Any] = {"session_id": of.session_id, "org_id": of.org_id, "ts": now_ms, "seq": UNNUMBERED}
    envelope["reported_ts"] = _reported_at(said.timestamp, now_ms)
    path = said.payload.get("path") or said.payload.get("file")
    match said.type:
        case kind if kind == SAID_AT_THE_START:
            return []
        case "session_end":
            code, signal = said.payload.get("exitCode"), said.payload.get("signal")
            whole = isinstance(code, int) and not isinstance(code, bool)
            return ending(of, now_ms, code if whole else None, str(signal)[:40] if signal else None)
        case kind if kind in TOUCHES and isinstance(path, str) and path:
            return [e.FileTouched(**envelope, path=path[:4096], reason=TOUCHES[kind])]  # type: ignore[arg-type]
        case kind:
            inner = {**said.payload, "type": PREFIX + kind, "providerId": of.provider_id, "timestamp": now_ms}
            return [e.ProviderEventForwarded(**envelope, provider_event=inner)]


def _reported_at(timestamp: str | None, now_ms: int) -> float | None:
    """Return what the bridge's clock said, where it is more than two seconds off."""
    try:
        at = datetime.fromisoformat(timestamp or "").timestamp() * 1000
    except (ValueError, OverflowError):
        return None
    return at if abs(at - now_ms) > SKEW_MS and 0 <= at <= 253_402_300_799_999 else None


def kind_of(provider_event: dict[str, Any]) -> str | None:
    """The bridge's own kind of event in a provider event; None for those of others."""
    kind = provider_event.get("type")
    if not isinstance(kind, str) or not kind.startswith(PREFIX):
        return None
    inner = kind.removeprefix(PREFIX)
    return inner if _KIND.fullmatch(inner) else None


def line_of(provider_event: dict[str, Any]) -> str:
    """A bridge's event as one line for a person: its kind, and the first text in it."""
    kind = kind_of(provider_event) or "event"
    said = [value for name, value in provider_event.items() if name not in ENVELOPE and isinstance(value, str)]
    return f"{kind.replace('_', ' ')}: {said[0][:200]}" if said else kind.replace("_", " ")
