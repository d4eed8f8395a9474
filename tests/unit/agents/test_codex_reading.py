"""What the parser reads out of recorded conversations with Codex's app-server."""

from typing import Any

import pytest

from tests.support.tracing import lines, of_type
from townwatch.runner.agents.codex import launch, reading
from townwatch.runner.agents.codex.answers import decision
from townwatch.runner.agents.events import (
    AgentMessage,
    Answer,
    CliSession,
    CommandEnded,
    CommandStarted,
    ContextUsage,
    FileAccess,
    Prompt,
    Status,
    Tokens,
    Tool,
    Turn,
)
from townwatch.runner.agents.jsonrpc import RpcRequest
from townwatch.runner.agents.readings import Asked, Reading, Settled
from townwatch.runner.agents.shape import ShapeError
from townwatch.runner.session.lifecycle import NotPossible

LATE, LOCAL = "codex-0.171.0-app-server-late-client", "codex-0.171.0-app-server-local-answers"


def replay(name: str) -> list[Reading]:
    reader = reading.CodexReader()
    found: list[Reading] = []
    for line in lines(name):
        message = line["m"]
        if line["dir"] == "in":
            continue
        method = message.get("method")
        if method is None:
            if "thread" in (message.get("result") or {}):
                found += reader.thread(message["result"]["thread"], message["result"])
        elif "id" in message:
            found += reader.asked(str(message["id"]), method, message["params"])
        else:
            found += reader.notification(method, message["params"])
    return found


class TestAClientThatComesLate:
    def test_hears_which_conversation_this_is(self) -> None:
        about = of_type(replay(LATE), CliSession)[0]
        assert about.cli_session_id == "01a22370-8b21-7823-bc79-e9ac54769afb"
        assert (about.model, about.version) == ("gpt-5.5", "0.171.0")

    def test_hears_that_the_agent_waits_and_for_what(self) -> None:
        heard = replay(LATE)
        assert of_type(heard, Status)[0].status == "waiting"
        (asked,) = of_type(heard, Asked)
        assert asked.question.summary == "echo outside > risky.txt"
        assert asked.question.category == "shell"
        assert asked.question.suggestions == ["/bin/bash", "-lc", "echo outside > risky.txt"]
        assert [option.kind for option in asked.question.options] == ["allow_once", "reject_once", "reject_once"]

    def test_hears_that_it_is_over_and_the_command_ran(self) -> None:
        heard = replay(LATE)
        assert of_type(heard, Settled)[0].request == of_type(heard, Asked)[0].request
        assert [command.command for command in of_type(heard, CommandStarted)] == ["echo outside > risky.txt"]
        assert [(command.exit_code, command.ran) for command in of_type(heard, CommandEnded)] == [(0, True)]

    def test_ends_idle_after_a_turn_that_was_completed(self) -> None:
        heard = replay(LATE)
        assert of_type(heard, Status)[-1].status == "idle"
        assert [turn.result for turn in of_type(heard, Turn)] == ["completed"]

    def test_hears_the_message_once(self) -> None:
        assert "".join(message.text for message in of_type(replay(LATE), AgentMessage)) == "That was all."

    def test_counts_tokens_once_though_the_sums_are_repeated(self) -> None:
        used = of_type(replay(LATE), Tokens)
        assert [(tokens.input_tokens, tokens.output_tokens) for tokens in used] == [(1200, 40), (1200, 40)]
        assert of_type(replay(LATE), ContextUsage)[-1].size == 258_400

    def test_reads_what_was_said_before_it_came(self) -> None:
        reader = reading.CodexReader()
        (answer,) = [line["m"]["result"] for line in lines(LOCAL) if "thread" in (line["m"].get("result") or {})]
        heard = reader.history(answer["thread"], since=0)
        assert [prompt.text for prompt in of_type(heard, Prompt)] == ["do:risky hello"]
        assert "".join(message.text for message in of_type(heard, AgentMessage)) == "This needs leave.That was all."
        assert [turn.result for turn in of_type(heard, Turn)] == ["completed"]
        assert reading.CodexReader().history(answer["thread"], since=4e9) == []
        assert reader.history(answer["thread"], since=0) == []  # a second time

    def test_takes_no_end_from_a_history_that_has_none_yet(self) -> None:
        """As Codex 0.171.0 said it, asked between a failed turn's `systemError` and its `turn/completed`."""
        began = {"id": "turn_1", "items": [], "itemsView": "full", "startedAt": 1_796_134_970}
        early = {**began, "status": "interrupted", "error": None, "completedAt": None, "durationMs": None}
        thread = {"id": "thread_1", "parentThreadId": None, "ephemeral": False, "status": {"type": "systemError"}}
        reader = reading.CodexReader()
        assert reader.history({**thread, "turns": [early]}, since=0) == []
        end = {**began, "status": "failed", "error": {"message": "out of paper"}, "completedAt": 1_796_134_970}
        (told,) = reader.notification("turn/completed", {"threadId": "thread_1", "turn": end})
        assert isinstance(told, Turn)
        assert (told.result, told.reason) == ("failed", "out of paper")

    def test_takes_the_end_of_a_turn_that_a_person_interrupted(self) -> None:
        turn = {"id": "turn_1", "items": [], "startedAt": 1.0, "status": "interrupted", "completedAt": 2}
        heard = reading.CodexReader().history({"id": "thread_1", "turns": [turn]}, since=0)
        assert [turn.result for turn in of_type(heard, Turn)] == ["interrupted"]


class TestAnswersInTheTerminal:
    def test_both_questions_are_over_by_themselves(self) -> None:
        heard = replay(LOCAL)
        assert [s.request for s in of_type(heard, Settled)] == [a.request for a in of_type(heard, Asked)]

    def test_what_was_typed_is_a_prompt(self) -> None:
        assert [p.text for p in of_type(replay(LOCAL), Prompt)] == ["do:risky again", "do:full plan", "do:slow go"]

    def test_an_edit_is_asked_for_with_its_diff(self) -> None:
        edit = of_type(replay(LOCAL), Asked)[1].question
        assert edit.category == "edit"
        assert "+class Sum(unittest.TestCase):" in (edit.diff or "")
        assert edit.summary == "edit /home/test/project/test_sum.py"

    def test_a_cancelled_edit_touches_no_file(self) -> None:
        heard = replay(LOCAL)
        assert of_type(heard, FileAccess) == []
        assert [t.status for t in of_type(heard, Tool) if t.name == "edit" and t.status != "running"] == ["failed"]

    def test_escape_interrupts_the_turn_and_the_agent_is_idle(self) -> None:
        heard = replay(LOCAL)
        assert [turn.result for turn in of_type(heard, Turn)] == ["completed", "interrupted", "interrupted"]
        assert of_type(heard, Status)[-1].status == "idle"


class TestDecisions:
    COMMAND = "item/commandExecution/requestApproval"

    def asked(self, **params: Any) -> tuple[Asked, RpcRequest]:
        whole = {"itemId": "c", "threadId": "t", "command": "make", **params}
        (asked,) = of_type(reading.CodexReader().asked("0", self.COMMAND, whole), Asked)
        return asked, RpcRequest(method=self.COMMAND, params=whole, id=0)

    def test_a_yes_is_for_this_once(self) -> None:
        assert decision(*self.asked(), Answer(decision="allow")) == {"decision": "accept"}

    def test_a_no_lets_the_turn_go_on(self) -> None:
        assert decision(*self.asked(), Answer(decision="deny")) == {"decision": "decline"}

    def test_a_no_and_stop_interrupts_the_turn(self) -> None:
        assert decision(*self.asked(), Answer(decision="deny", stop=True)) == {"decision": "cancel"}

    def test_always_is_possible_only_where_codex_offers_it(self) -> None:
        offered = self.asked(availableDecisions=["accept", "acceptForSession", "cancel"])
        always = Answer(decision="allow", option_id="acceptForSession")
        assert decision(*offered, always) == {"decision": "acceptForSession"}
        kinds = [option.kind for option in offered[0].question.options]
        assert kinds == ["allow_once", "allow_always", "reject_once", "reject_once"]
        with pytest.raises(NotPossible):
            decision(*self.asked(), always)

    def test_an_option_that_denies_is_no_way_to_allow(self) -> None:
        with pytest.raises(NotPossible):
            decision(*self.asked(), Answer(decision="allow", option_id="decline"))


class TestWhatIsAnsweredFromAfar:
    def asked(self, method: str, **params: Any) -> Asked:
        (asked,) = of_type(reading.CodexReader().asked("0", method, {"itemId": "c", "threadId": "t", **params}), Asked)
        return asked

    @pytest.mark.parametrize(
        ("offered", "allow"), [(["accept"], "plain"), (["acceptForSession"], "option"), (["cancel"], "no")]
    )
    def test_a_yes_as_codex_offers_it(self, offered: list[str], allow: str) -> None:
        asked = self.asked(TestDecisions.COMMAND, command="make", availableDecisions=offered)
        assert asked.question.from_afar.allow == allow

    def test_no_secret_is_typed_elsewhere_than_in_its_terminal(self) -> None:
        question = {"id": "q", "header": "h", "question": "The key?", "isSecret": True, "options": None}
        asked = self.asked("item/tool/requestUserInput", questions=[question])
        assert asked.question.from_afar.allow == "no"

    def test_a_single_question_is_answered_by_an_option(self) -> None:
        question = {"id": "q", "header": "h", "question": "Which?", "options": [{"label": "red", "description": ""}]}
        asked = self.asked("item/tool/requestUserInput", questions=[question])
        request = RpcRequest(method="item/tool/requestUserInput", params={}, id=0)
        given = decision(asked, request, Answer(decision="allow", option_id="red"))
        assert given == {"answers": {"q": {"answers": ["red"]}}}


class TestUnknownShapes:
    @pytest.mark.parametrize(
        ("method", "params"),
        [
            ("thread/status/changed", {"threadId": "t", "status": {"type": "dreaming"}}),
            ("turn/completed", {"threadId": "t", "turn": {"id": "x", "status": "perhaps"}}),
            ("item/started", {"item": {"type": "commandExecution", "id": "c"}}),
            ("item/completed", {"item": None}),
            ("thread/tokenUsage/updated", {"threadId": "t", "tokenUsage": {}}),
        ],
    )
    def test_a_known_message_of_another_shape_is_an_error(self, method: str, params: dict[str, Any]) -> None:
        with pytest.raises(ShapeError):
            reading.CodexReader().notification(method, params)

    def test_an_unknown_message_is_ignored(self) -> None:
        assert reading.CodexReader().notification("thread/from/the/future", {"x": 1}) == []


class TestCommandLines:
    @pytest.mark.parametrize("words", ["codex", "codex fix-it", "codex -m gpt-5.5 fix-it", "codex resume --last"])
    def test_a_conversation_is_recognised(self, words: str) -> None:
        assert launch.is_conversation(words.split())

    @pytest.mark.parametrize(
        "words", ["codex exec x", "codex -c a=b exec x", "codex --remote unix://x", "codex --no-daemon", "codex login"]
    )
    def test_anything_else_is_left_alone(self, words: str) -> None:
        assert not launch.is_conversation(words.split())

    def test_the_server_is_configured_as_the_program_is(self) -> None:
        words = ["codex", "-c", "a=b", "-m", "exec", "--enable=x", "say", "-c", "d=e"]
        assert launch.arguments(words) == (["-c", "a=b", "--enable=x", "-c", "d=e"], ["say"])
