"""The scripted model in three more protocols: OpenAI Responses, OpenAI Chat Completions, Gemini generateContent.

Each turns its request into the one form that `fake_model.Model` answers, and the answered step into its own events. A
script names Claude's tools; which of the agent's tools that is, and with which arguments, is found in what it offers.
"""

import json
import re
import time
import uuid
from collections.abc import Iterator
from typing import Any

import attrs

from tests.support.agents.fake_model import CACHED_TOKENS, INPUT_TOKENS, OUTPUT_TOKENS, Json, Step

NAMES = {
    "Bash": ("bash", "shell", "exec_command", "shell_command", "run_shell_command", "local_shell"),
    "Write": ("write", "write_file", "create", "apply_patch"),
    "AskUserQuestion": ("question", "ask_user_question", "request_user_input", "ask_user"),
    "Agent": ("task", "agent", "spawn_agent"),
}
ARGUMENTS = {
    "command": ("command", "cmd"),
    "file_path": ("filepath", "path", "absolutepath"),
    "content": ("content", "filetext"),
    "prompt": ("prompt", "message"),
}
"""Argument in a script → what agents call it, in small letters and without underscores."""
Event = tuple[str | None, Json]
_IN_DIRECTORY = re.compile(r"\bin (/[\w./-]+)")


@attrs.frozen
class Call:
    """A tool call. `text`: of a tool that takes free text (Codex's apply_patch)."""

    name: str
    arguments: Json = attrs.field(factory=dict)
    text: str | None = None


@attrs.frozen
class Offered:
    name: str
    schema: Json = attrs.field(factory=dict)
    freeform: bool = False


@attrs.frozen
class Asked:
    """A request, in the form that the model reads. `schema`: of a JSON answer that is wanted."""

    messages: list[Json]
    tools: list[Offered]
    schema: Json | None = None

    @property
    def body(self) -> Json:
        return {"messages": self.messages, "tools": [tool.name for tool in self.tools]}


def call_of(step: Step, asked: Asked) -> Call | None:
    """Return the call of one of the offered tools that a step means; None where it calls none."""
    offered = {tool.name.lower(): tool for tool in asked.tools}
    tool = next((offered[name] for name in NAMES.get(step.tool, ()) if name in offered), None)
    if tool is None:
        return None
    given = dict(step.given)
    text = "\n".join(str(m["content"][-1].get("text", "")) for m in asked.messages if m["content"])
    places = _IN_DIRECTORY.findall(text)
    if "file_path" in given and places and not tool.freeform:
        given["file_path"] = f"{places[-1]}/{given['file_path']}"
    if tool.name == "task" and "subagent_type" in given:  # OpenCode's name for it
        given["subagent_type"] = "general"
    if tool.freeform:
        lines = "".join(f"+{line}\n" for line in str(given.get("content", "")).splitlines())
        patch = f"*** Begin Patch\n*** Add File: {given.get('file_path')}\n{lines}*** End Patch"
        return Call(tool.name, text=patch)
    return Call(tool.name, _arguments(tool.schema, given))


def _arguments(schema: Json, given: Json) -> Json:
    found: Json = {}
    for name, kind in schema.get("properties", {}).items():
        plain = name.lower().replace("_", "")
        key = next((key for key, names in ARGUMENTS.items() if plain in names and key in given), name)
        if name == "sandbox_permissions" and given.get("escalate"):
            found[name] = "require_escalated"
        elif name == "justification" and given.get("escalate"):
            found[name] = given["escalate"]
        elif key == "questions" and key in given:
            found[name] = [_question(one, kind.get("items", {})) for one in given[key]]
        elif key in given:
            found[name] = given[key]
        elif name in schema.get("required", ()):
            found[name] = smallest(kind)
    return found


def _question(asked: Json, schema: Json) -> Json:
    """Return a question of a script with the members that this agent's tool has."""
    known: Json = schema.get("properties") or asked
    required = [name for name in schema.get("required", ()) if name not in asked]
    return {name: value for name, value in asked.items() if name in known} | {
        name: smallest(known.get(name, {})) for name in required
    }


def smallest(schema: Json) -> Any:
    """Return the smallest value that a schema allows, as far as agents use schemas."""
    if schema.get("enum"):
        return schema["enum"][0]
    kind = str(schema.get("type", "object")).lower()
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: smallest(properties[name]) for name in schema.get("required", ()) if name in properties}
    return {"string": "scripted", "integer": 1, "number": 1, "boolean": False, "array": []}.get(kind)


def words(step: Step) -> Iterator[str]:
    for word in re.findall(r"\S+\s*", step.say):
        yield word
        time.sleep(step.delay)


def _id(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex[:20]}"


def _user(text: Any) -> Json:
    if not isinstance(text, str):
        text = "\n".join(str(block.get("text", "")) for block in text or () if isinstance(block, dict))
    return {"role": "user", "content": [{"type": "text", "text": text}]}


RESULT: Json = {"role": "user", "content": [{"type": "tool_result", "content": "scripted"}]}


class Responses:
    """POST /v1/responses: Codex."""

    end = "/responses"

    def read(self, body: Json) -> Asked:
        items = body.get("input")
        messages: list[Json] = []
        for item in items if isinstance(items, list) else [{"role": "user", "content": items}]:
            if str(item.get("type", "")).endswith("_output"):
                messages.append(RESULT)
            elif item.get("role") == "user":
                messages.append(_user(item.get("content")))
        known = [tool for tool in body.get("tools") or [] if tool.get("type") in ("function", "custom")]
        tools = [Offered(t["name"], t.get("parameters") or {}, t["type"] == "custom") for t in known]
        return Asked(messages, tools)

    def events(self, body: Json, step: Step, call: Call | None) -> Iterator[Event]:
        def event(kind: str, **fields: Any) -> Event:
            return f"response.{kind}", {"type": f"response.{kind}", **fields}

        items = list(self._items(step, call))
        usage = {
            "input_tokens": INPUT_TOKENS,
            "input_tokens_details": {"cached_tokens": CACHED_TOKENS},
            "output_tokens": OUTPUT_TOKENS,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
        }
        whole = {"id": _id("resp"), "object": "response", "created_at": 0, "model": body.get("model")}
        yield event("created", response={**whole, "status": "in_progress", "output": []})
        for index, item in enumerate(items):
            blank = {name: value for name, value in (("content", []), ("arguments", ""), ("input", "")) if name in item}
            yield event("output_item.added", output_index=index, item={**item, **blank, "status": "in_progress"})
            for word in words(step) if item["type"] == "message" else ():
                yield event("output_text.delta", item_id=item["id"], output_index=index, content_index=0, delta=word)
            yield event("output_item.done", output_index=index, item=item)
        yield event("completed", response={**whole, "status": "completed", "output": items, "usage": usage})

    @staticmethod
    def _items(step: Step, call: Call | None) -> Iterator[Json]:
        if step.say:
            content = [{"type": "output_text", "text": step.say, "annotations": []}]
            message = {"type": "message", "role": "assistant", "status": "completed", "content": content}
            yield {**message, "id": _id("msg")}
        if call is not None:
            item = {"id": _id("fc"), "call_id": _id("call"), "name": call.name, "status": "completed"}
            if call.text is not None:
                yield {"type": "custom_tool_call", **item, "input": call.text}
            else:
                yield {"type": "function_call", **item, "arguments": json.dumps(call.arguments)}


class Chat:
    """POST /v1/chat/completions: OpenCode, Qwen, Copilot."""

    end = "/chat/completions"

    def read(self, body: Json) -> Asked:
        said = [message for message in body.get("messages", ()) if message.get("role") in ("tool", "user")]
        messages = [RESULT if message["role"] == "tool" else _user(message.get("content")) for message in said]
        known = [tool["function"] for tool in body.get("tools") or () if "function" in tool]
        return Asked(messages, [Offered(tool["name"], tool.get("parameters") or {}) for tool in known])

    def events(self, body: Json, step: Step, call: Call | None) -> Iterator[Event]:
        head = {"id": _id("chatcmpl"), "created": 0, "model": body.get("model"), "object": "chat.completion.chunk"}

        def chunk(delta: Json, why: str | None = None) -> Event:
            return None, {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": why}]}

        yield chunk({"role": "assistant", "content": ""})
        for word in words(step):
            yield chunk({"content": word})
        if call is not None:
            function = {"name": call.name, "arguments": json.dumps(call.arguments)}
            yield chunk({"tool_calls": [{"index": 0, "id": _id("call"), "type": "function", "function": function}]})
        yield chunk({}, "tool_calls" if call is not None else "stop")
        usage = {
            "prompt_tokens": INPUT_TOKENS,
            "completion_tokens": OUTPUT_TOKENS,
            "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
            "prompt_tokens_details": {"cached_tokens": CACHED_TOKENS},
        }
        yield None, {**head, "choices": [], "usage": usage}


class Gemini:
    """POST …:streamGenerateContent and …:generateContent: Gemini."""

    end = "enerateContent"

    def read(self, body: Json) -> Asked:
        messages: list[Json] = []
        for content in body.get("contents", ()):
            parts = content.get("parts", ())
            messages += [RESULT for part in parts if "functionResponse" in part]
            if content.get("role", "user") == "user" and any("text" in part for part in parts):
                messages.append(_user(list(parts)))
        known = [tool for group in body.get("tools") or () for tool in group.get("functionDeclarations", ())]
        tools = [Offered(t["name"], t.get("parametersJsonSchema") or t.get("parameters") or {}) for t in known]
        config = body.get("generationConfig", {})
        return Asked(messages, tools, config.get("responseJsonSchema") or config.get("responseSchema"))

    def events(self, body: Json, step: Step, call: Call | None) -> Iterator[Event]:
        for word in words(step):
            yield None, self._answer([{"text": word}])
        called = [{"functionCall": {"name": call.name, "args": call.arguments, "id": _id("call")}}] if call else []
        yield None, self._answer(called or [{"text": ""}], ended=True)

    @staticmethod
    def _answer(parts: list[Json], *, ended: bool = False) -> Json:
        candidate: Json = {"content": {"role": "model", "parts": parts}, "index": 0}
        answer: Json = {"candidates": [candidate], "modelVersion": "scripted", "responseId": "scripted"}
        if ended:
            candidate["finishReason"] = "STOP"
            answer["usageMetadata"] = {
                "promptTokenCount": INPUT_TOKENS,
                "candidatesTokenCount": OUTPUT_TOKENS,
                "cachedContentTokenCount": CACHED_TOKENS,
                "totalTokenCount": INPUT_TOKENS + OUTPUT_TOKENS,
            }
        return answer


PROTOCOLS = (Responses(), Chat(), Gemini())


def joined(events: list[Event], end: str) -> Json:
    """Return one whole answer for a request that wants no stream."""
    data = [value for _, value in events]
    if end == "/responses":
        return data[-1]["response"]
    if end == "enerateContent":
        parts = [part for value in data for part in value["candidates"][0]["content"]["parts"]]
        data[-1]["candidates"][0]["content"]["parts"] = parts
        return data[-1]
    deltas = [value["choices"][0]["delta"] for value in data if value["choices"]]
    message: Json = {"role": "assistant", "content": "".join(delta.get("content", "") for delta in deltas)}
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
    reason = "tool_calls" if calls else "stop"
    choice = {"index": 0, "message": {**message, **({"tool_calls": calls} if calls else {})}, "finish_reason": reason}
    return {**data[-1], "object": "chat.completion", "choices": [choice]}
