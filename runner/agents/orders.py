"""A dispatched session's order as an agent gets it: its words, and what it forbids."""

from townwatch.contracts.tasks import SessionConfig
from townwatch.runner.agents.claude.policy import forbidden
from townwatch.runner.agents.events import Answer, Question


def order_text(order: SessionConfig) -> str:
    """Return the prompt for an order: title, goal, constraints and acceptance."""
    task = order.task
    parts = task.words
    for head, lines in (("Constraints:", task.constraints), ("Done when:", task.acceptance)):
        if lines:
            parts.append("\n".join([head, *(f"- {line}" for line in lines)]))
    return "\n\n".join(parts)


def refusal(order: SessionConfig | None, question: Question) -> Answer | None:
    """Return the no that an order's policy gives to a question by itself; None where a person is asked."""
    if order is None or question.category != "shell":
        return None
    pattern = forbidden(order.policy, "Bash", question.summary)
    if pattern is None:
        return None
    note = f"denied by policy:shellDenylist ({pattern})"
    return Answer(decision="deny", by="policy:shellDenylist", note=note)
