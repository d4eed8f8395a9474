"""What the parsers read out of recorded events of the terminals of Qwen, Copilot and Gemini."""

from typing import Any

import pytest

from tests.support.tracing import lines, of_type
from townwatch.runner.agents import catalog
from townwatch.runner.agents.copilot.reading import CopilotReader
from townwatch.runner.agents.events import (
    AgentMessage,
    CliSession,
    CommandEnded,
    CommandStarted,
    Prompt,
    Status,
    Tokens,
    Tool,
    Turn,
)
from townwatch.runner.agents.gemini.reading import GeminiReader
from townwatch.runner.agents.qwen.reading import QwenReader
from townwatch.runner.agents.readings import Asked, Reading, Settled
from townwatch.runner.agents.shape import ShapeError

COMMAND = "echo from-the-shell | tee shell.txt"


def statuses(found: list[Reading]) -> list[str]:
    """The statuses without repetitions."""
    said = [status.status for status in of_type(found, Status)]
    return [status for at, status in enumerate(said) if at == 0 or said[at - 1] != status]


class TestQwen:
    def replay(self) -> list[Reading]:
        reader = QwenReader()
        found: list[Reading] = []
        for line in lines("qwen-0.24.4-tui-json-file"):
            read = reader.event(line)
            for settled in of_type(read, Settled):
                asked = next(a for a in of_type(found, Asked) if a.request == settled.request)
                read += reader.calls.release(asked.question.tool_use_id or "")
            found += read
        return found

    def test_says_who_it_is(self) -> None:
        about = of_type(self.replay(), CliSession)[0]
        assert (about.cli_session_id, about.version) == ("c85fecee-7cd3-4272-988c-626f3f0228e2", "0.24.4")

    def test_reads_two_turns_of_prompt_question_and_message(self) -> None:
        heard = self.replay()
        assert [prompt.text for prompt in of_type(heard, Prompt)] == ["do:shell via file", "do:shell again"]
        assert [asked.question.summary for asked in of_type(heard, Asked)] == [COMMAND, COMMAND]
        assert [settled.outcome for settled in of_type(heard, Settled)] == ["allow", "allow"]
        assert [turn.result for turn in of_type(heard, Turn)] == ["completed", "completed"]
        said = "".join(message.text for message in of_type(heard, AgentMessage))
        assert said == "I run a command.The command ran." * 2

    def test_the_commands_ran(self) -> None:
        assert [command.output for command in of_type(self.replay(), CommandEnded)] == ["from-the-shell"] * 2

    def test_is_idle_between_and_after_its_turns(self) -> None:
        assert statuses(self.replay()) == ["idle", "busy", "idle", "busy", "idle"]

    def test_counts_its_tokens(self) -> None:
        assert sum(tokens.input_tokens for tokens in of_type(self.replay(), Tokens)) >= 2400

    def test_a_no_ends_the_turn(self) -> None:
        reader = QwenReader()
        request = {"subtype": "can_use_tool", "tool_name": "run_shell_command", "tool_use_id": "t", "input": {}}
        reader.event({"type": "control_request", "request_id": "r", "request": request})
        answer = {"subtype": "success", "request_id": "r", "response": {"allowed": False}}
        said = reader.event({"type": "control_response", "response": answer})
        assert [settled.outcome for settled in of_type(said, Settled)] == ["deny"]
        assert statuses(said) == ["idle"]

    def test_a_prompt_while_a_question_seems_open_says_that_it_was_refused_in_the_terminal(self) -> None:
        reader = QwenReader()
        request = {"subtype": "can_use_tool", "tool_name": "run_shell_command", "tool_use_id": "t", "input": {}}
        reader.event({"type": "control_request", "request_id": "r", "request": request})
        said = reader.event({"type": "user", "message": {"role": "user", "content": "go on"}})
        assert [settled.outcome for settled in of_type(said, Settled)] == ["withdrawn"]


class TestCopilot:
    def replay(self) -> list[Reading]:
        reader = CopilotReader()
        return [reading for line in lines("copilot-1.0.102-tui-events-file") for reading in reader.event(line)]

    def test_says_who_it_is(self) -> None:
        about = of_type(self.replay(), CliSession)[0]
        assert (about.model, about.version) == ("gpt-5.5", "1.0.102")

    def test_waits_for_the_exact_command(self) -> None:
        waiting = [status.for_ for status in of_type(self.replay(), Status) if status.status == "waiting"]
        assert set(waiting) == {COMMAND}

    def test_goes_on_when_it_was_answered_in_the_terminal(self) -> None:
        assert statuses(self.replay()) == ["idle", "busy", "waiting", "busy", "idle"]

    def test_tells_one_turn_with_the_command_that_ran(self) -> None:
        heard = self.replay()
        assert [prompt.text for prompt in of_type(heard, Prompt)] == ["do:shell please"]
        assert [turn.result for turn in of_type(heard, Turn)] == ["completed"]
        assert [command.command for command in of_type(heard, CommandStarted)] == [COMMAND]
        assert [command.exit_code for command in of_type(heard, CommandEnded)] == [0]
        assert [tokens.input_tokens for tokens in of_type(heard, Tokens)] == [1200, 1200]


class TestGemini:
    def replay(self) -> list[Reading]:
        reader = GeminiReader()
        return [reading for line in lines("gemini-0.61.0-hooks-tui") for reading in reader.hook(line["stdin"])]

    def test_tells_prompts_and_the_command_that_ran(self) -> None:
        heard = self.replay()
        assert of_type(heard, Prompt)[0].text == "do:shell please"
        assert next(command.command for command in of_type(heard, CommandStarted)) == COMMAND
        assert [tool.status for tool in of_type(heard, Tool)][:2] == ["running", "ok"]

    def test_waits_for_the_exact_command(self) -> None:
        waiting = [status.for_ for status in of_type(self.replay(), Status) if status.status == "waiting"]
        assert waiting[0] == COMMAND

    def test_is_idle_after_its_turn(self) -> None:
        assert statuses(self.replay())[:5] == ["idle", "busy", "waiting", "busy", "idle"]

    def opened(self) -> tuple[GeminiReader, Asked]:
        """A reader of a turn whose dialog is open."""
        reader = GeminiReader()
        said: list[Reading] = []
        for line in lines("gemini-0.61.0-hooks-tui"):
            said += reader.hook(line["stdin"])
            if asked := of_type(said, Asked):
                return reader, asked[0]
        raise AssertionError("no dialog")

    def test_its_dialog_is_a_question_that_the_tools_end_settles(self) -> None:
        heard = self.replay()
        asked, settled = of_type(heard, Asked)[0], of_type(heard, Settled)[0]
        assert (asked.question.summary, asked.question.category, asked.question.tool) == (
            COMMAND, "shell", "run_shell_command",
        )  # fmt: skip
        assert (settled.request, settled.outcome) == (asked.request, "allow")

    def test_a_no_is_told_by_its_telemetry_and_ends_the_turn(self) -> None:
        reader, asked = self.opened()
        refused = {"event.name": "gemini_cli.tool_call", "function_name": "run_shell_command", "decision": "reject"}
        assert reader.told({**refused, "event.timestamp": "2026-11-28T18:58:30.000Z"}) == []  # of an earlier call
        assert reader.told({**refused, "event.timestamp": "2026-11-28T18:59:00Z", "decision": "accept"}) == []
        said = reader.told({**refused, "event.timestamp": "2026-11-28T18:59:00.000Z"})
        assert of_type(said, Settled) == [Settled(request=asked.request, outcome="deny")]
        assert [tool.status for tool in of_type(said, Tool)] == ["denied"]
        assert [turn.result for turn in of_type(said, Turn)] == ["interrupted"]
        assert statuses(said) == ["idle"]
        assert reader.told({**refused, "event.timestamp": "2026-11-28T19:00:00.000Z"}) == []

    def test_a_screen_that_stands_still_is_an_interrupt_where_it_was_at_work_and_nothing_where_a_dialog_waits(
        self,
    ) -> None:
        reader, _ = self.opened()
        assert reader.stood_still() == []
        reader.hook({"hook_event_name": "BeforeAgent", "prompt": "and now"})
        said = reader.stood_still()
        assert [turn.result for turn in of_type(said, Turn)] == ["interrupted"]
        assert statuses(said) == ["idle"]
        assert reader.stood_still() == []

    def test_what_a_turn_left_open_ends_with_the_next_prompt(self) -> None:
        reader, asked = self.opened()
        said = reader.hook({"hook_event_name": "BeforeAgent", "prompt": "and now"})
        assert of_type(said, Settled) == [Settled(request=asked.request, outcome="withdrawn")]
        assert [tool.status for tool in of_type(said, Tool)] == ["failed"]


class TestUnknownShapes:
    @pytest.mark.parametrize(
        ("reader", "event"),
        [
            (QwenReader().event, {"type": "system", "subtype": "session_start", "data": {"protocol_version": 9}}),
            (QwenReader().event, {"type": "control_request", "request_id": 1, "request": {}}),
            (CopilotReader().event, {"type": "permission.requested", "data": {"requestId": "r"}}),
            (CopilotReader().event, {"data": {}}),
            (GeminiReader().hook, {"hook_event_name": "BeforeTool"}),
            (GeminiReader().hook, {}),
        ],
    )
    def test_a_known_event_of_another_shape_is_an_error(self, reader: Any, event: dict[str, Any]) -> None:
        with pytest.raises(ShapeError):
            reader(event)


@pytest.mark.parametrize(
    ("words", "provider"),
    [
        ("claude", "claude_code"),
        ("codex fix", "codex"),
        ("opencode", "opencode"),
        ("gemini", "gemini_cli"),
        ("qwen", "qwen_code"),
        ("copilot", "copilot"),
        ("gemini --acp", None),
        ("qwen -p hello", None),
        ("copilot login", None),
        ("codex exec hello", None),
        ("opencode run hello", None),
        ("vim codex", None),
    ],
)
def test_command_lines_are_recognised(words: str, provider: str | None) -> None:
    adapter = catalog.recognise(words.split())
    assert (adapter.provider if adapter else None) == provider
