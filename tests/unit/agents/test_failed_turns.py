"""A turn that failed says why: what the readers make of recorded turns whose model answered with an error."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.tracing import lines, of_type
from townwatch.runner.agents.acp.reading import UpdateReader
from townwatch.runner.agents.claude.hooks import Hooks
from townwatch.runner.agents.claude.stream import ClaudeStream
from townwatch.runner.agents.codex.reading import CodexReader
from townwatch.runner.agents.copilot.reading import CopilotReader
from townwatch.runner.agents.events import AgentMessage, Status, Turn
from townwatch.runner.agents.gemini.reading import GeminiReader
from townwatch.runner.agents.jsonrpc import RpcError
from townwatch.runner.agents.opencode.reading import OpenCodeReader
from townwatch.runner.agents.qwen.reading import QwenReader
from townwatch.runner.agents.readings import error_text

READERS: dict[str, Callable[[], Any]] = {
    "claude-code-2.1.332-hooks-tui": Hooks,
    "claude-code-2.1.332-stream-json": ClaudeStream,
    "codex-0.171.0-app-server": CodexReader,
    "opencode-1.18.33-tui-sse": OpenCodeReader,
    "gemini-0.61.0-hooks-tui": lambda: GeminiReader(explains=True),
    "qwen-0.24.4-tui-json-file": QwenReader,
    "copilot-1.0.102-tui-events-file": CopilotReader,
    "copilot-1.0.102-acp": lambda: UpdateReader(agent="Copilot"),
}


def replay(cli: str, reader: Any) -> list[Any]:
    """Return what a reader says of the recorded turns of its CLI."""
    found: list[Any] = []
    for line in lines("failed-turns"):
        if line["cli"] == cli:
            given = line["m"] if isinstance(line["m"], list) else [line["m"]]
            read = getattr(reader, line["of"])(*given)
            found += read if isinstance(read, list) else [*read.events, *([read.status] if read.status else [])]
    return found


@pytest.mark.parametrize("cli", READERS)
def test_it_says_why_and_the_next_one_goes_well(cli: str) -> None:
    said = replay(cli, READERS[cli]())
    failed, completed = of_type(said, Turn)
    assert (failed.result, completed.result, completed.reason) == ("failed", "completed", None)
    assert "the model is out of paper" in failed.reason
    assert "{" not in failed.reason
    assert of_type(said, Status)[-1].status == "idle" if cli != "copilot-1.0.102-acp" else True


def test_codex_is_idle_after_it() -> None:
    said = replay("codex-0.171.0-app-server", CodexReader())
    assert {status.status for status in of_type(said, Status)} == {"idle", "busy"}


def test_geminis_telemetry_that_comes_elsewhere_explains_nothing() -> None:
    said = replay("gemini-0.61.0-hooks-tui", GeminiReader())
    assert [turn.result for turn in of_type(said, Turn)] == ["completed", "completed"]
    assert of_type(said, AgentMessage)[0].text == "[no response text]"


def test_geminis_telemetry_of_an_earlier_turn_explains_no_later_one() -> None:
    reader = GeminiReader(explains=True)
    for line in lines("failed-turns"):
        if line["cli"] == "gemini-0.61.0-hooks-tui" and line["of"] == "hook":
            reader.hook(line["m"])
    last = {"hook_event_name": "AfterAgent", "prompt_response": "[no response text]"}
    later = {"hook_event_name": "BeforeAgent", "prompt": "again", "timestamp": "2027-01-01T00:00:00.000Z"}
    assert of_type(reader.hook(later) + reader.hook(last), Turn) == []
    for line in lines("failed-turns"):
        if line["cli"] == "gemini-0.61.0-hooks-tui" and line["of"] == "told":
            assert reader.told(line["m"]) == []
    assert [turn.result for turn in of_type(reader.never_explained(), Turn)] == ["completed"]
    assert reader.never_explained() == []


def test_a_copilot_that_says_nothing_more_has_ended_its_turn() -> None:
    reader = CopilotReader()
    for event in ({"type": "assistant.turn_start"}, {"type": "assistant.turn_end"}):
        assert of_type(reader.event(event), Turn) == []
    assert reader.ending
    assert [turn.result for turn in of_type(reader.ended(), Turn)] == ["completed"]
    assert reader.ended() == []


def test_an_error_behind_a_tool_call_ends_copilots_turn() -> None:
    reader = CopilotReader()
    called = {"type": "assistant.message", "data": {"messageId": "m", "toolRequests": [{}]}}
    error = {"type": "session.error", "data": {"errorType": "query", "message": "no more"}}
    start, end = {"type": "assistant.turn_start"}, {"type": "assistant.turn_end"}
    said = [one for event in (start, called, end, start, end, error) for one in reader.event(event)]
    assert [(turn.result, turn.reason) for turn in of_type(said, Turn)] == [("failed", "no more")]


def test_an_answer_that_speaks_of_an_error_is_an_answer() -> None:
    reader = UpdateReader(agent="Copilot")
    for piece in ("Error: ", "that ", "is what it printed."):
        chunk = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": piece}}
        reader.update({"update": chunk})
    (turn,) = of_type(reader.turn_ended("t", {"stopReason": "end_turn"}), Turn)
    assert turn.result == "completed"


@pytest.mark.parametrize(
    ("stopped", "why"), [("max_tokens", "longer than the model may give"), ("refusal", "refused"), ("odd", "odd")]
)
def test_acp_says_why_by_its_stop_reason(stopped: str, why: str) -> None:
    (turn,) = of_type(UpdateReader().turn_ended("t", {"stopReason": stopped}), Turn)
    assert turn.result == "failed"
    assert why in turn.reason


def test_an_error_of_json_rpc_has_its_details() -> None:
    assert RpcError("session/prompt", -32603, "Internal error", "no credit").said == "Internal error: no credit"
    assert RpcError("session/prompt", -32603, "no credit", "no credit").said == "no credit"


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (("", None, "why"), "why"),
        (('{"error": {"message": "why", "code": 400}}',), "why"),
        (('{"message": "why"}',), "why"),
        (('{"odd": 1}',), '{"odd": 1}'),
        (("{no json",), "{no json"),
        ((None, 5), None),
    ],
)
def test_the_words_of_an_error(said: tuple[Any, ...], text: str | None) -> None:
    assert error_text(*said) == text
