"""Views of REST, made from what the service knows. Pure."""

from typing import Any

import attrs

from townwatch.actors.rendering.houses import HouseState
from townwatch.actors.session.state import SessionState
from townwatch.contracts import rest, ui
from townwatch.contracts.events import ApprovalRequest
from townwatch.contracts.lists import LastTest
from townwatch.contracts.village_ids import name_of
from townwatch.store.audit import Entry
from townwatch.store.deciding.approvals import Approval
from townwatch.store.members import Member
from townwatch.store.tokens import ApiToken
from townwatch.store.villages import VillageOf


def session_view(
    state: SessionState,
    waiting: list[ApprovalRequest],
    more: dict[str, Any],
    *,
    runner_away: bool,
    started_by: rest.StartedBy | None = None,
) -> rest.SessionView:
    """A session. `waiting`: what is undecided in it. `more`: what lists show of it. Away: a session that lives on
    without us is detached, one that ended has ended.
    """
    return rest.SessionView(
        session_id=state.session_id,
        agent_id=state.agent_id,
        agent_name=state.agent_name or state.agent_id,
        village_id=name_of(state.village_id),
        repo_id=state.repo_id,
        repo_path=state.repo_path,
        provider_id=state.provider_id,
        workspace_path=state.workspace_path,
        runner_id=state.runner_id,
        state=state.state,
        reason=state.reason,
        detached=runner_away and not state.ended,
        last_event_seq=state.seq,
        created_at=state.created_at,
        started_at=state.signs.started_at,
        ended_at=state.signs.ended_at,
        exit_code=state.exit_code,
        pending_approvals=waiting,
        usage=state.total_usage,
        agent=_agent_state(state),
        worktree=None if state.worktree is None else rest.WorktreeView(**attrs.asdict(state.worktree)),
        resume_of=state.agent.resume_of if state.agent is not None else None,
        started_by=started_by,
        pending_approval_ids=[one.approval_id for one in waiting],
        workspace=_workspace(state),
        error_message=state.reason if state.state == "FAILED" else None,
        **more,
    )


def _workspace(state: SessionState) -> rest.WorkspaceView | None:
    if state.workspace_path is None:
        return None
    began = state.signs.started_at
    return rest.WorkspaceView(worktree_path=state.workspace_path, repo_ref=state.repo_ref, created_at=began)


def prompts(state: SessionState) -> list[rest.QueuedPromptView]:
    """The prompts that wait, the next one first."""
    waiting = state.agent.prompts.values() if state.agent is not None and not state.ended else ()
    return [rest.QueuedPromptView(**attrs.asdict(one)) for one in waiting]


def _agent_state(state: SessionState) -> rest.AgentStateView | None:
    if state.agent is None:
        return None
    known: dict[str, Any] = attrs.asdict(state.agent, recurse=False)
    known["prompts"] = prompts(state)
    del known["resume_of"]
    return rest.AgentStateView(**known)


def agent_view(
    state: SessionState, waiting: list[ApprovalRequest], more: dict[str, Any], runner_status: rest.RunnerStatus
) -> rest.AgentView:
    """An agent, by its latest session."""
    return rest.AgentView(
        agent_id=state.agent_id,
        session_id=state.session_id,
        village_id=name_of(state.village_id),
        repo_id=state.repo_id,
        agent_name=state.agent_name or state.agent_id,
        agent_type=ui.agent_type(state.provider_id or ""),
        repo_path=state.repo_path,
        state=state.state,
        reason=state.reason,
        runner_id=state.runner_id,
        runner_status=runner_status,
        started_at=state.signs.started_at or state.created_at,
        ended_at=state.signs.ended_at,
        last_event_seq=state.seq,
        pending_approvals=waiting,
        usage=state.total_usage,
        **more,
    )


def house_view(house: HouseState, roof: LastTest | None, now: float) -> rest.HouseView:
    """A house with its lights, banner and smoke."""
    shown = house.snapshot(now)
    return rest.HouseView(
        house_id=house.repo_id,
        repo_id=house.repo_id,
        village_id=name_of(house.village_id),
        name=house.name,
        repo_path=house.repo_path,
        version=house.version,
        indicators=shown.indicators,
        last_test=roof,
    )


def pending_view(
    state: SessionState, approval: ApprovalRequest, answer: rest.AnswerView | None
) -> rest.PendingApproval:
    """A request that waits, where it belongs, and who may answer."""
    fields = attrs.asdict(approval, recurse=False)
    village = name_of(state.village_id)
    return rest.PendingApproval(**fields, agent_id=state.agent_id, village_id=village, answer=answer)


def decided_view(approval: Approval, asked: ApprovalRequest, agent_id: str) -> rest.PendingApproval:
    """A decision on record, and how it ended at its runner where that is another."""
    decision: Any = approval.decision
    ended: Any = approval.outcome
    outcome = None
    if ended is not None and (ended, approval.outcome_by) != (decision, approval.resolved_by):
        outcome = rest.Outcome(decision=ended, resolved_by=approval.outcome_by, note=approval.outcome_note)
    fields = attrs.asdict(asked, recurse=False)
    decided: dict[str, Any] = {
        "decision": decision,
        "resolved_by": approval.resolved_by,
        "note": approval.note,
        "resolved_at": approval.resolved_ms,
        "confirmed_at": approval.confirmed_ms,
        "release_at": approval.release_ms,
        "outcome": outcome,
    }
    return rest.PendingApproval(**{**fields, **decided}, agent_id=agent_id, village_id=approval.village_id)


def village_view(village: VillageOf) -> rest.MyVillage:
    role: Any = village.role
    return rest.MyVillage(
        village_id=name_of(village.village_id),
        name=village.name,
        public=village.public,
        role=role,
        leave_out_texts=village.leave_out_texts,
    )


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
    if entry.village_id is not None:
        fields["village_id"] = name_of(entry.village_id)
    return rest.AuditEntry(at=fields.pop("at_ms"), **fields)
