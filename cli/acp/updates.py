"""Events of a session in the words of the Agent Client Protocol: pure, one list of updates for each event."""

from typing import Any, cast

import attrs

from townwatch.client import UnknownEvent
from townwatch.contracts import agent_events as a
from townwatch.contracts.answers import FromAfar
from townwatch.contracts.events import ApprovalRequest, ProviderEventForwarded, RunnerEvent, TerminalChunk
from townwatch.contracts.vt.words import Words

Json = dict[str, Any]
KINDS = {
    "execute": ("bash", "shell", "exec", "command", "terminal"),
    "edit": ("edit", "write", "patch", "notebook"),
    "read": ("read", "view", "cat"),
    "search": ("grep", "glob", "search", "find", "ls", "list"),
    "fetch": ("fetch", "web", "http"),
    "think": ("think", "todo", "task"),
}
"""The protocol's kinds of tools, and what is in the names of such tools."""
APPROVAL_KINDS = {"shell": "execute", "edit": "edit", "network": "fetch", "plan": "switch_mode"}
STATUSES = {"running": "in_progress", "ok": "completed", "failed": "failed", "denied": "failed"}
PLAN_STATUSES = ("pending", "in_progress", "completed")
OPTION_KINDS = ("allow_once", "allow_always", "reject_once", "reject_always")
PLAIN_OPTIONS: list[Json] = [
    {"optionId": "townwatch:allow", "name": "Allow", "kind": "allow_once"},
    {"optionId": "townwatch:deny", "name": "Deny", "kind": "reject_once"},
]
OWN_PREFIX = "townwatch:"
STOP_REASONS = {"completed": "end_turn", "interrupted": "cancelled"}


def text_block(text: str) -> Json:
    """Return a content block of text."""
    return {"type": "text", "text": text}


@attrs.define(eq=False)
class UpdateMaker:
    """Makes the updates of one session. `own`: prompts that the editor shows already, by their text."""

    structured: bool = True
    """Whether an agent tells what it does; else its terminal is all there is to show."""
    own: list[str] = attrs.field(factory=list[str])
    _calls: set[str] = attrs.field(factory=set[str])
    _words: Words = attrs.field(factory=Words)

    def of(self, event: RunnerEvent | UnknownEvent) -> list[Json]:
        """Return the updates that an event becomes."""
        match event:
            case TerminalChunk(data=data) if not self.structured:
                words = self._words.feed(data)
                return [{"sessionUpdate": "agent_message_chunk", "content": text_block(words)}] if words else []
            case ProviderEventForwarded(provider_event=values):
                told = a.from_provider_event(values)
                return [] if told is None else self._agent(told)
            case _:
                return []

    def _agent(self, told: a.AgentEvent) -> list[Json]:
        match told:
            case a.AgentMessage(text="", final=True):
                return []
            case a.AgentMessage(id=name, role=role, text=text):
                kind = "agent_thought_chunk" if role == "thought" else "agent_message_chunk"
                return [{"sessionUpdate": kind, "content": text_block(text), "messageId": name}]
            case a.Prompt(queued=True) | a.Prompt(withdrawn=True):
                return []
            case a.Prompt(text=text):
                if text in self.own:
                    self.own.remove(text)
                    return []
                return [{"sessionUpdate": "user_message_chunk", "content": text_block(text)}]
            case a.Tool():
                return [self._tool(told)]
            case a.AgentPlan(items=items):
                entries = [
                    {
                        "content": one.text,
                        "priority": "medium",
                        "status": one.status if one.status in PLAN_STATUSES else "pending",
                    }
                    for one in items
                ]
                return [{"sessionUpdate": "plan", "entries": entries}]
            case a.ContextUsage(used=used, size=int() as size):
                return [{"sessionUpdate": "usage_update", "used": used, "size": size}]
            case _:
                return []

    def _tool(self, tool: a.Tool) -> Json:
        known = tool.id in self._calls
        self._calls.add(tool.id)
        fields: Json = {"toolCallId": tool.id, "status": STATUSES[tool.status]}
        if tool.title is not None or not known:
            fields |= {"title": tool.title or tool.name}
        if not known:
            fields |= {"kind": kind_of(tool.name), "name": tool.name}
        if tool.input is not None:
            fields["rawInput"] = tool.input
        if tool.output:
            fields["content"] = [{"type": "content", "content": text_block(tool.output)}]
        if tool.status == "denied":
            fields["rawOutput"] = {"denied": True}
        return {"sessionUpdate": "tool_call_update" if known else "tool_call", **fields}


def kind_of(name: str) -> str:
    """Return the protocol's kind of a tool, by its name."""
    lowered = name.lower()
    return next((kind for kind, parts in KINDS.items() if any(part in lowered for part in parts)), "other")


def permission(approval: ApprovalRequest) -> Json | None:
    """Return what an editor is asked for an approval; None where a yes or a no does not answer it."""
    context = cast(Json, approval.context) if isinstance(approval.context, dict) else {}
    if context.get("questions"):
        return None
    call: Json = {
        "toolCallId": str(context.get("toolUseId") or approval.approval_id),
        "title": approval.summary,
        "kind": APPROVAL_KINDS.get(approval.category, "other"),
        "status": "pending",
    }
    if context.get("input") is not None:
        call["rawInput"] = context["input"]
    if isinstance(context.get("diff"), str):
        call["content"] = [{"type": "content", "content": text_block(f"```diff\n{context['diff']}\n```")}]
    return {"toolCall": call, "options": _options(context)}


def _options(context: Json) -> list[Json]:
    """Return the agent's own options where they have a yes and a no, else ours; without a yes that it cannot take from
    here.
    """
    allow = FromAfar.of(context).allow
    given: Any = context.get("options")
    found = [
        {"optionId": str(one["id"]), "name": str(one.get("label") or one["id"]), "kind": one["kind"]}
        for one in cast("list[Json]", given if isinstance(given, list) else [])
        if one.get("kind") in OPTION_KINDS and one.get("id")
    ]
    kinds = {str(one["kind"]).partition("_")[0] for one in found}
    offered = found if kinds == {"allow", "reject"} else PLAIN_OPTIONS
    return offered if allow != "no" else [one for one in offered if not str(one["kind"]).startswith("allow")]


def prompt_text(blocks: list[Json]) -> str:
    """Return a prompt's blocks as the text that an agent gets. Raises ValueError for a kind that cannot be given."""
    parts: list[str] = []
    for block in blocks:
        match block.get("type"):
            case "text":
                parts.append(str(block.get("text", "")))
            case "resource_link":
                parts.append(f"[{block.get('name') or block.get('uri')}]({block.get('uri')})")
            case "resource":
                inner = cast(Json, block.get("resource") or {})
                if not isinstance(inner.get("text"), str):
                    raise ValueError("an embedded resource that is no text cannot be given to the agent")
                parts.append(f'<context ref="{inner.get("uri")}">\n{inner["text"]}\n</context>')
            case other:
                raise ValueError(f"a prompt's {other} cannot be given to the agent: text, links and texts can")
    text = "\n".join(parts).strip()
    if not text:
        raise ValueError("the prompt is empty")
    return text
