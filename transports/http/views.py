"""From what the service knows to what REST shows. Pure."""

from typing import Any

import attrs

from actors.houses import House
from actors.session_state import SessionState
from contracts import rest, ui
from contracts.codec import to_json_values
from contracts.events import ApprovalRequest
from store.audit import Entry
from store.members import Member
from store.tokens import ApiToken
from store.villages import VillageOf


def session_view(state: SessionState, *, runner_away: bool) -> rest.SessionView:
    """A session. Away: a session that lives on without us is detached, one that ended has ended."""
    return rest.SessionView(
        session_id=state.session_id,
        agent_id=state.agent_id,
        agent_name=state.agent_name or state.agent_id,
        village_id=state.village_id,
        repo_id=state.repo_id,
        repo_path=state.repo_path,
        provider_id=state.provider_id,
        workspace_path=state.workspace_path,
        runner_id=state.runner_id,
        state=state.state,
        reason=state.reason,
        detached=runner_away and not state.ended,
        last_event_seq=state.seq,
        last_event_at=state.last_event_at,
        created_at=state.created_at,
        started_at=state.started_at,
        ended_at=state.ended_at,
        exit_code=state.exit_code,
        pending_approvals=list(state.pending.values()),
        usage=state.total_usage,
        last_test=None if state.last_test is None else to_json_values(state.last_test),
        diff=state.diff,
    )


def agent_view(state: SessionState, runner_status: rest.RunnerStatus) -> rest.AgentView:
    """An agent, by its latest session."""
    return rest.AgentView(
        agent_id=state.agent_id,
        session_id=state.session_id,
        village_id=state.village_id,
        repo_id=state.repo_id,
        agent_name=state.agent_name or state.agent_id,
        agent_type=ui.agent_type(state.provider_id or ""),
        repo_path=state.repo_path,
        state=state.state,
        reason=state.reason,
        runner_id=state.runner_id,
        runner_status=runner_status,
        started_at=state.started_at or state.created_at,
        ended_at=state.ended_at,
        last_event_at=state.last_event_at,
        last_event_seq=state.seq,
        pending_approvals=list(state.pending.values()),
        usage=state.total_usage,
    )


def house_view(house: House) -> rest.HouseView:
    """A house with its lights, banner and smoke."""
    shown = house.snapshot()
    return rest.HouseView(
        house_id=house.repo_id,
        repo_id=house.repo_id,
        village_id=house.village_id,
        name=house.name,
        repo_path=house.repo_path,
        version=house.version,
        indicators=shown.indicators,
    )


def pending_view(state: SessionState, approval: ApprovalRequest) -> rest.PendingApproval:
    """A request that waits, and where it belongs."""
    fields = attrs.asdict(approval, recurse=False)
    return rest.PendingApproval(**fields, agent_id=state.agent_id, village_id=state.village_id)


def village_view(village: VillageOf) -> rest.MyVillage:
    role: Any = village.role
    return rest.MyVillage(village_id=village.village_id, name=village.name, public=village.public, role=role)


def member_view(member: Member, *, emails: bool) -> rest.MemberView:
    """`emails`: whether the address is shown."""
    email = member.email if emails else None
    return rest.MemberView(
        user_id=member.user_id, name=member.name, email=email, role=member.role, added_at=member.added_ms
    )


def token_view(token: ApiToken) -> rest.TokenView:
    """A token without anything that could be used."""
    return rest.TokenView(
        token_id=token.token_id,
        name=token.name,
        scopes=token.scopes.split(),
        created_at=token.created_ms,
        expires_at=token.expires_ms,
        used_at=token.used_ms,
        revoked_at=token.revoked_ms,
    )


def audit_view(entry: Entry) -> rest.AuditEntry:
    fields = attrs.asdict(entry, recurse=False)
    return rest.AuditEntry(at=fields.pop("at_ms"), **fields)
