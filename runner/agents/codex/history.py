"""A thread as Codex's app-server gives it to who subscribes or asks: whose it is, and which of its turns are over."""

from typing import Any

from townwatch.runner.agents import shape
from townwatch.runner.agents.shape import Json

TURN_RESULTS: dict[str, Any] = {"completed": "completed", "interrupted": "interrupted", "failed": "failed"}


def is_conversation(thread: Json) -> bool:
    """Return whether a thread is a person's: not a subagent's, and not one that Codex asks for a title or a summary."""
    return not shape.optional_text(thread, "parentThreadId") and thread.get("ephemeral") is not True


def turns_under_way(thread: Json) -> list[Json]:
    """Return the turns of a thread that are not over."""
    return [turn for turn in shape.items(thread, "turns") if turn.get("status") not in TURN_RESULTS]


def has_ended(turn: Json) -> bool:
    """Return whether a turn of a thread's history is over. Codex says "interrupted" of one that is about to end, too,
    between the thread's new status and the turn's own end; that end, and how, is told in a moment.
    """
    ended = turn.get("status")
    return ended in TURN_RESULTS and (ended != "interrupted" or turn.get("completedAt") is not None)


def has_prompt(turn: Json) -> bool:
    """Return whether a turn's history holds what began it."""
    return any(item.get("type") == "userMessage" for item in shape.items(turn, "items"))
