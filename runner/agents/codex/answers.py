"""A person's decisions, and an order's policy, in the terms of Codex's app-server."""

from typing import Any

from townwatch.contracts.tasks import SessionConfig
from townwatch.runner.agents import shape
from townwatch.runner.agents.events import Answer
from townwatch.runner.agents.jsonrpc import RpcRequest
from townwatch.runner.agents.readings import Asked, answer_to
from townwatch.runner.agents.shape import Json
from townwatch.runner.session.lifecycle import NotPossible


def decision(asked: Asked, request: RpcRequest, answer: Answer) -> Json:
    """Return the result that a person's decision is to the server. Raises `NotPossible` where it fits none."""
    if asked.question.category == "question":
        return {"answers": _answers(asked, answer)}
    if asked.effects and request.method == "item/permissions/requestApproval":
        granted = shape.maybe(request.params.get("permissions") if answer.decision == "allow" else None)
        return {"permissions": granted, "scope": "turn"}
    if answer.decision == "deny":
        return {"decision": "cancel" if answer.stop and "cancel" in asked.effects else "decline"}
    chosen = answer.option_id or "accept"
    if asked.effects.get(chosen) not in ("allow", "always"):
        raise NotPossible(f"{chosen} is no option to allow this")
    return {"decision": chosen}


def _answers(asked: Asked, answer: Answer) -> Json:
    """Return the answers to a question of the agent by the questions' ids; none for a no."""
    if answer.decision == "deny":
        return {}
    found: dict[str, Any] = {}
    questions = [shape.maybe(one) for one in shape.maybe_list(asked.question.questions)]
    for question in questions:
        name, text = shape.text(question, "id"), shape.text(question, "question")
        found[name] = {"answers": answer_to(text, name, of=len(questions), answer=answer)}
    return found


def policy(order: SessionConfig) -> Json:
    """Return the order's policy in Codex's own terms; our own rules apply as well."""
    wary = order.policy.shell_allowlist != ["*"] or bool(order.policy.shell_denylist)
    access = order.policy.network_mode == "open"
    return {
        "sandbox": "workspace-write",
        "approvalPolicy": "untrusted" if wary else "on-request",
        "config": {"sandbox_workspace_write.network_access": access},
    }


def alone(order: SessionConfig, text: str) -> list[str]:
    """Return the arguments by which the terminal program carries an order out without a server: it asks in its own
    dialogs then, as the policy has it.
    """
    terms = policy(order)
    access = str(terms["config"]["sandbox_workspace_write.network_access"]).lower()
    given = ["--sandbox", terms["sandbox"], "--ask-for-approval", terms["approvalPolicy"]]
    given += ["-c", f"sandbox_workspace_write.network_access={access}"]
    given += ["--model", order.model] if order.model is not None else []
    conversation = order.cli_session_id
    return [*given, "--", text] if conversation is None else ["resume", *given, "--", conversation, text]
