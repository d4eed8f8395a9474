"""Messages of adapters about their agent, beyond the vocabulary of contracts/agent_events.py: facts that become events
of their own (FILE_TOUCHED, TEST_RUN_*, USAGE_TICK, ALERT_RAISED), and what is asked of a person.
"""

from typing import Any, Literal

import attrs

from townwatch.contracts.agent_events import (
    AgentEvent,
    AgentMessage,
    AgentPlan,
    AgentStatus,
    CliSession,
    ContextUsage,
    ModelRetry,
    PlanItem,
    Prompt,
    Status,
    Subagent,
    Tool,
    Turn,
)
from townwatch.contracts.answers import FromAfar
from townwatch.contracts.events import Category, Risk
from townwatch.runner.session.answering import Answer, Deliver

__all__ = [
    "AgentEvent",
    "AgentMessage",
    "AgentPlan",
    "AgentStatus",
    "Alert",
    "Answer",
    "AnswerOption",
    "CliSession",
    "CommandEnded",
    "CommandStarted",
    "ContextUsage",
    "Deliver",
    "Fact",
    "FileAccess",
    "FromAfar",
    "ModelRetry",
    "PlanItem",
    "Prompt",
    "Question",
    "Status",
    "Subagent",
    "Tokens",
    "Tool",
    "Turn",
]

OUTPUT_CHARS = 4096
"""How much of a tool's output is forwarded: its end."""
INPUT_BYTES = 32 * 1024
"""How much of a tool's input a person is shown, as JSON; a larger one is cut and says so."""


@attrs.frozen(kw_only=True)
class FileAccess:
    """A file that a tool call read, wrote or deleted: FILE_TOUCHED. Absolute, or below the session's directory."""

    path: str
    reason: Literal["read", "write", "delete"]


@attrs.frozen(kw_only=True)
class CommandStarted:
    """A shell command of the agent has started. Where it is a test run: TEST_RUN_STARTED. `id`: its tool call's."""

    id: str
    command: str


@attrs.frozen(kw_only=True)
class CommandEnded:
    """It has ended. `exit_code` is None where the CLI does not say; `output`: all that is known of it."""

    id: str
    output: str = ""
    exit_code: int | None = None
    ran: bool = True
    """False: it was denied or never began."""


@attrs.frozen(kw_only=True)
class Tokens:
    """Tokens used since the adapter said so last, in the CLI's own figures."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cost_usd: float | None = None
    """None: the CLI does not say what it cost."""
    model: str | None = None


@attrs.frozen(kw_only=True)
class Alert:
    """ALERT_RAISED. Raised again as info under the same id, it is over."""

    id: str
    title: str
    description: str = ""
    severity: Literal["info", "warn", "error", "critical"] = "warn"
    category: Literal["security", "performance", "build", "test", "dependency", "policy"] = "performance"


Fact = FileAccess | CommandStarted | CommandEnded | Tokens | Alert


@attrs.frozen(kw_only=True)
class AnswerOption:
    """One answer that the CLI itself offers. `kind`: allow_once, allow_always, reject_once, reject_always, choice."""

    id: str
    label: str
    kind: str = "choice"
    description: str | None = None


BY_OPTION_ALONE = FromAfar(note="no", changed_input=False)
"""A yes or a no, by one of the CLI's options: no words for the agent, and no change of what it does."""


@attrs.frozen(kw_only=True)
class Question:
    """A question of the CLI to a person: a permission, a question or a plan. It becomes an ApprovalRequest."""

    summary: str
    category: Category
    risk: Risk = "med"
    tool: str | None = None
    tool_use_id: str | None = None
    input: Any = None
    cwd: str | None = None
    diff: str | None = None
    options: list[AnswerOption] = attrs.field(factory=list[AnswerOption])
    suggestions: Any = None
    subagent: str | None = None
    questions: Any = None
    """Of category question: [{question, header, options [{label, description}], multiSelect, freeText}]; one's own
    words are an answer, too, unless `freeText` is false.
    """
    from_afar: FromAfar = BY_OPTION_ALONE
    """What the adapter can give the CLI."""
    timeout_seconds: float | None = None
