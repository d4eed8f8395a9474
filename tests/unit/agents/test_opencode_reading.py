"""What the parser reads out of the recorded events of OpenCode's server."""

from typing import Any, ClassVar

import pytest

from tests.support.tracing import lines, of_type
from townwatch.runner.agents.events import (
    AgentMessage,
    AgentPlan,
    Answer,
    CliSession,
    CommandEnded,
    CommandStarted,
    ModelRetry,
    Prompt,
    Status,
    Subagent,
    Tokens,
    Tool,
    Turn,
)
from townwatch.runner.agents.opencode.adapter import OpenCodeAdapter, reply
from townwatch.runner.agents.opencode.reading import OpenCodeReader
from townwatch.runner.agents.opencode.server import Lines
from townwatch.runner.agents.readings import Asked, Reading, Settled
from townwatch.runner.agents.shape import ShapeError
from townwatch.runner.session.lifecycle import NotPossible


def replay() -> list[Reading]:
    reader = OpenCodeReader()
    found: list[Reading] = []
    for event in lines("opencode-1.18.33-tui-sse"):
        read = reader.event(event)
        for settled in of_type(read, Settled):
            call = next(a.question.tool_use_id for a in of_type(found, Asked) if a.request == settled.request)
            if settled.outcome == "deny":
                reader.calls.deny(call)
            else:
                read += reader.calls.release(call or "")
        found += read
    return found


class TestARecordedTurn:
    def test_says_which_conversation_with_which_model(self) -> None:
        about = of_type(replay(), CliSession)[0]
        assert about.cli_session_id == "ses_ddc7ba3d4ffe5p1LhWZ6QDIfAf"
        assert (about.model, about.version) == ("fake/scripted", "1.18.33")
        assert about.resume == ["opencode", "--session", "ses_ddc7ba3d4ffe5p1LhWZ6QDIfAf"]

    def test_has_one_prompt(self) -> None:
        assert [prompt.text for prompt in of_type(replay(), Prompt)] == ["do:two x"]

    def test_asks_twice_and_says_how_each_was_answered(self) -> None:
        heard = replay()
        assert [a.question.summary for a in of_type(heard, Asked)] == [
            "echo first > first.txt",
            "echo second > second.txt",
        ]
        assert [settled.outcome for settled in of_type(heard, Settled)] == ["allow", "deny"]

    def test_offers_always_only_as_opencode_suggests_it(self) -> None:
        asked = of_type(replay(), Asked)[0]
        assert asked.effects == {"once": "allow", "always": "always", "reject": "deny"}
        assert asked.question.suggestions == ["echo *"]
        kinds = [option.kind for option in asked.question.options]
        assert kinds == ["allow_once", "allow_always", "reject_once"]

    def test_the_refused_command_never_ran(self) -> None:
        heard = replay()
        assert [command.command for command in of_type(heard, CommandStarted)] == ["echo first > first.txt"]
        assert [(command.exit_code, command.ran) for command in of_type(heard, CommandEnded)] == [(0, True)]
        ended = [tool.status for tool in of_type(heard, Tool) if tool.status != "running"]
        assert ended == ["ok", "denied"]

    def test_the_message_is_said_once(self) -> None:
        assert "".join(message.text for message in of_type(replay(), AgentMessage)) == "Both commands were tried."

    def test_counts_tokens_and_cost_of_each_step_once(self) -> None:
        used = of_type(replay(), Tokens)
        assert [(tokens.input_tokens, tokens.output_tokens) for tokens in used] == [(1200, 40)] * 3
        assert sum(tokens.cost_usd or 0 for tokens in used) == pytest.approx(0.00324)

    def test_ends_idle_with_one_turn(self) -> None:
        heard = replay()
        assert [turn.result for turn in of_type(heard, Turn)] == ["completed"]
        assert of_type(heard, Status)[-1].status == "idle"


class TestQuestions:
    ASKED: ClassVar[dict[str, Any]] = {
        "id": "q1",
        "sessionID": "s",
        "questions": [{"question": "Which?", "header": "h", "options": [], "multiple": True, "custom": False}],
    }

    def test_several_answers_and_none_of_ones_own_are_said_in_our_words(self) -> None:
        (asked,) = OpenCodeReader().question(self.ASKED).question.questions
        assert (asked["multiSelect"], asked["freeText"]) == (True, False)

    def test_a_single_one_is_answered_by_an_option(self) -> None:
        path, body = reply(OpenCodeReader().question(self.ASKED), Answer(decision="allow", option_id="red"))
        assert (path, body) == ("/question/q1/reply", {"answers": [["red"]]})

    def test_a_yes_alone_answers_none(self) -> None:
        with pytest.raises(NotPossible):
            reply(OpenCodeReader().question(self.ASKED), Answer(decision="allow"))


class TestOtherEvents:
    def test_todos_are_a_plan(self) -> None:
        todos = [{"content": "write", "status": "in_progress", "priority": "high"}]
        (plan,) = OpenCodeReader().event({"type": "todo.updated", "properties": {"sessionID": "s", "todos": todos}})
        assert isinstance(plan, AgentPlan)
        assert [(item.text, item.status) for item in plan.items] == [("write", "in_progress")]

    def test_a_conversation_with_a_parent_is_a_subagent_and_its_end_is_no_turn(self) -> None:
        reader = OpenCodeReader()
        info = {"id": "child", "parentID": "root", "title": "look"}
        said = reader.event({"type": "session.created", "properties": {"info": info}})
        assert [sub.status for sub in of_type(said, Subagent)] == ["running"]
        reader.status_of("child", {"type": "busy"})
        ended = reader.status_of("child", {"type": "idle"})
        assert [sub.status for sub in of_type(ended, Subagent)] == ["ok"]
        assert of_type(ended, Turn) == []

    def test_an_aborted_turn_is_interrupted(self) -> None:
        reader = OpenCodeReader()
        reader.status_of("s", {"type": "busy"})
        error = {"name": "MessageAbortedError", "data": {}}
        reader.event({"type": "session.error", "properties": {"sessionID": "s", "error": error}})
        assert [turn.result for turn in of_type(reader.status_of("s", {"type": "idle"}), Turn)] == ["interrupted"]

    def test_a_model_that_fails_is_asked_again_until_it_goes_on(self) -> None:
        reader = OpenCodeReader()
        failing = reader.status_of("s", {"type": "retry", "attempt": 2, "message": "overloaded", "next": 1})
        assert [retry.attempt for retry in of_type(failing, ModelRetry)] == [2]
        assert [retry.attempt for retry in of_type(reader.status_of("s", {"type": "busy"}), ModelRetry)] == [0]

    @pytest.mark.parametrize(
        "event",
        [
            {"type": "session.status", "properties": {"sessionID": "s", "status": {"type": "dreaming"}}},
            {"type": "permission.asked", "properties": {"id": 1}},
            {"type": "message.part.updated", "properties": {"part": {"type": "tool", "id": "p", "messageID": "m"}}},
            {"type": "session.created", "properties": {}},
            {"properties": {}},
        ],
    )
    def test_a_known_event_of_another_shape_is_an_error(self, event: dict[str, Any]) -> None:
        with pytest.raises(ShapeError):
            OpenCodeReader().event(event)

    def test_an_unknown_event_is_ignored(self) -> None:
        assert OpenCodeReader().event({"type": "from.the.future", "properties": {"x": 1}}) == []


class TestReplies:
    def asked(self) -> Asked:
        return of_type(replay(), Asked)[0]

    def test_a_yes_is_for_this_once(self) -> None:
        assert reply(self.asked(), Answer(decision="allow"))[1] == {"reply": "once"}

    def test_a_no_tells_the_agent_why_so_that_it_goes_on(self) -> None:
        assert reply(self.asked(), Answer(decision="deny", by="Ada", note="use make"))[1] == {
            "reply": "reject",
            "message": "use make",
        }

    def test_a_no_and_stop_has_no_message(self) -> None:
        assert reply(self.asked(), Answer(decision="deny", stop=True))[1] == {"reply": "reject"}

    def test_an_unknown_option_is_no_way_to_allow(self) -> None:
        for option in ("reject", "whenever"):
            with pytest.raises(NotPossible):
                reply(self.asked(), Answer(decision="allow", option_id=option))

    def test_a_question_without_an_answer_stays_open(self) -> None:
        question = {"question": "Which colour?", "options": [{"label": "red"}]}
        asked = OpenCodeReader().question({"id": "q", "sessionID": "s", "questions": [question]})
        with pytest.raises(NotPossible):
            reply(asked, Answer(decision="allow"))
        chosen = Answer(decision="allow", answers={"Which colour?": "red"})
        assert reply(asked, chosen) == ("/question/q/reply", {"answers": [["red"]]})


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_whole_however_they_are_cut(size: int) -> None:
    stream = b': hello\n\ndata: {"a":1}\r\n\r\nid: 3\ndata: {"b":\ndata: 2}\n\n'
    lines_ = Lines()
    found = [data for at in range(0, len(stream), size) for data in lines_.feed(stream[at : at + size])]
    assert found == ['{"a":1}', '{"b":\n2}']


@pytest.mark.parametrize(
    "words", ["opencode", "opencode .", "opencode -m fake/scripted", "/usr/bin/opencode --continue"]
)
def test_a_conversation_is_recognised(words: str) -> None:
    assert OpenCodeAdapter.recognise(words.split())


@pytest.mark.parametrize("words", ["opencode run x", "opencode --port 1", "opencode acp", "opencode -v", "openpencil"])
def test_anything_else_is_left_alone(words: str) -> None:
    assert not OpenCodeAdapter.recognise(words.split())
