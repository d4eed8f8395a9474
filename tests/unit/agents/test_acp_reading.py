"""What the parser reads out of recorded conversations of six agents that speak the Agent Client Protocol."""

from typing import Any

import attrs
import pytest

from tests.support.tracing import lines, of_type
from townwatch.runner.agents.acp import reading
from townwatch.runner.agents.acp.host import choice
from townwatch.runner.agents.events import (
    AgentMessage,
    Answer,
    CliSession,
    CommandEnded,
    CommandStarted,
    ContextUsage,
    FileAccess,
    Tokens,
    Tool,
    Turn,
)
from townwatch.runner.agents.readings import Asked, Reading
from townwatch.runner.agents.shape import ShapeError

AGENTS = [
    "claude-agent-acp",
    "codex-acp",
    "copilot-1.0.102-acp",
    "gemini-0.61.0-acp",
    "opencode-1.18.33-acp",
    "qwen-0.24.4-acp",
]


@attrs.define
class Replay:
    """A conversation as the host would read it: which answer belongs to which request, and which calls were refused."""

    about: CliSession
    session: CliSession
    readings: list[Reading]


def replay(name: str) -> Replay:
    methods: dict[Any, str] = {}
    asked: dict[Any, Asked] = {}
    talk = reading.UpdateReader()
    about = session = CliSession()
    found: list[Reading] = []
    for line in lines(name):
        message = line["m"]
        method, params, result = message.get("method"), message.get("params") or {}, message.get("result")
        if line["dir"] == "in":
            if method:
                methods[message.get("id")] = method
            elif message.get("id") in asked:
                question = asked[message["id"]]
                if question.effects[result["outcome"]["optionId"]] == "deny":
                    talk.calls.deny(question.question.tool_use_id)
                else:
                    found += talk.calls.release(question.question.tool_use_id or "")
            continue
        if method == "session/update":
            found += talk.update(params)
        elif method == "session/request_permission":
            said = talk.asked(str(message["id"]), params)
            asked[message["id"]] = of_type(said, Asked)[0]
            found += said
        elif result is not None:
            match methods.get(message["id"]):
                case "initialize":
                    about, talk.agent = reading.about(result), reading.agent_name(result)
                case "session/new":
                    session = reading.session(result)
                case "session/prompt":
                    found += talk.turn_ended(str(message["id"]), result)
                case _:
                    pass
    return Replay(about, session, found)


@pytest.mark.parametrize("name", AGENTS)
class TestEveryAgent:
    def test_says_who_it_is_and_which_session_this_is(self, name: str) -> None:
        heard = replay(name)
        assert heard.about.version
        assert heard.session.cli_session_id

    def test_ends_two_turns_and_has_the_third_interrupted(self, name: str) -> None:
        turns = of_type(replay(name).readings, Turn)
        assert [turn.result for turn in turns] == ["completed", "completed", "interrupted"]

    def test_says_its_messages_in_pieces_that_end(self, name: str) -> None:
        whole: dict[str, str] = {}
        open_now: set[str] = set()
        for piece in of_type(replay(name).readings, AgentMessage):
            whole[piece.id] = whole.get(piece.id, "") + piece.text
            (open_now.discard if piece.final else open_now.add)(piece.id)
        assert any("Everything is done: one test, which passes." in text for text in whole.values())
        assert not open_now

    def test_ends_every_tool_call_that_it_begins_once(self, name: str) -> None:
        tools = of_type(replay(name).readings, Tool)
        begun = {tool.id for tool in tools if tool.status == "running"}
        ended = [tool.id for tool in tools if tool.status != "running"]
        assert begun == set(ended)
        assert len(ended) == len(set(ended))

    def test_says_that_its_tests_ran(self, name: str) -> None:
        heard = replay(name).readings
        (begun,) = [c for c in of_type(heard, CommandStarted) if "unittest -v test_sum" in c.command]
        (ended,) = [c for c in of_type(heard, CommandEnded) if c.id == begun.id]
        assert ended.ran

    def test_names_the_file_that_it_wrote(self, name: str) -> None:
        if name.startswith("copilot"):
            pytest.skip("this model had no file tool here: it wrote with the shell")
        written = [touched.path for touched in of_type(replay(name).readings, FileAccess)]
        assert "test_sum.py" in {path.rpartition("/")[2] for path in written}

    def test_counts_its_tokens(self, name: str) -> None:
        used = of_type(replay(name).readings, Tokens)
        assert sum(tokens.input_tokens for tokens in used) >= 2400
        assert sum(tokens.output_tokens for tokens in used) >= 80


@pytest.mark.parametrize("name", [name for name in AGENTS if name != "codex-acp"])
class TestEveryAgentThatAsks:
    """Codex judged these commands itself."""

    def test_asks_with_the_exact_command_and_a_yes_and_a_no(self, name: str) -> None:
        asked = of_type(replay(name).readings, Asked)[0]
        assert "echo first > first.txt" in asked.question.summary
        assert asked.question.category == "shell"
        assert asked.option("allow") is not None
        assert asked.option("deny") is not None
        assert asked.option("allow") != asked.option("always")

    def test_a_call_that_was_refused_is_denied(self, name: str) -> None:
        heard = replay(name).readings
        second = of_type(heard, Asked)[1].question.tool_use_id
        ended = [tool for tool in of_type(heard, Tool) if tool.id == second and tool.status != "running"]
        assert [tool.status for tool in ended] == ["denied"]
        assert not [
            command for command in of_type(heard, CommandStarted) if command.id == second and "ran" in command.id
        ]


@pytest.mark.parametrize("name", ["claude-agent-acp", "gemini-0.61.0-acp", "opencode-1.18.33-acp"])
def test_an_edit_is_asked_for_with_its_diff(name: str) -> None:
    edits = [asked for asked in of_type(replay(name).readings, Asked) if asked.question.category == "edit"]
    assert len(edits) == 1
    assert edits[0].question.diff is not None


def test_the_cost_that_an_agent_sums_up_is_told_as_what_was_added() -> None:
    costs = [tokens.cost_usd for tokens in of_type(replay("opencode-1.18.33-acp").readings, Tokens) if tokens.cost_usd]
    assert costs == pytest.approx([0.00216, 0.00432])


def test_session_sums_of_tokens_are_told_as_what_was_added() -> None:
    used = [tokens.input_tokens for tokens in of_type(replay("copilot-1.0.102-acp").readings, Tokens)]
    assert used == [2400, 3600]


def test_the_size_of_the_context_is_known() -> None:
    context = of_type(replay("claude-agent-acp").readings, ContextUsage)[-1]
    assert context.size == 1_000_000


class TestWhatIsAnsweredFromAfar:
    def asked(self, *kinds: str) -> Asked:
        options = [{"optionId": kind, "name": kind, "kind": kind} for kind in kinds]
        call = {"toolCallId": "t", "title": "x"}
        (asked,) = of_type(reading.UpdateReader().asked("1", {"toolCall": call, "options": options}), Asked)
        return asked

    @pytest.mark.parametrize(
        ("kinds", "allow"),
        [
            (["allow_once", "reject_once"], "plain"),
            (["allow_always", "reject_once"], "option"),
            (["reject_once"], "no"),
        ],
    )
    def test_a_yes_as_the_agent_offers_it(self, kinds: list[str], allow: str) -> None:
        assert self.asked(*kinds).question.from_afar.allow == allow

    def test_a_plain_no_is_no_for_always_where_the_agent_knows_both(self) -> None:
        asked = self.asked("reject_always", "allow_once", "reject_once")
        assert choice(asked, Answer(decision="deny")) == "reject_once"
        assert choice(asked, Answer(decision="deny", option_id="reject_always")) == "reject_always"


class TestUnknownShapes:
    def test_another_protocol_version_is_not_read(self) -> None:
        with pytest.raises(ShapeError, match="protocolVersion"):
            reading.about({"protocolVersion": 2})

    def test_an_update_of_an_unknown_kind_is_ignored(self) -> None:
        assert reading.UpdateReader().update({"update": {"sessionUpdate": "from_the_future"}}) == []

    @pytest.mark.parametrize(
        "update",
        [
            {"sessionUpdate": "tool_call", "toolCallId": 7},
            {"sessionUpdate": "tool_call", "toolCallId": "t", "status": "perhaps"},
            {"sessionUpdate": "agent_message_chunk", "content": "text"},
            {"sessionUpdate": "plan", "entries": [{"content": "x"}]},
            {"sessionUpdate": "usage_update", "used": "many", "size": 1},
            {},
        ],
    )
    def test_a_known_update_of_another_shape_is_an_error(self, update: dict[str, Any]) -> None:
        with pytest.raises(ShapeError):
            reading.UpdateReader().update({"update": update})

    def test_an_option_of_an_unknown_kind_is_an_error_and_no_answer(self) -> None:
        call = {"toolCallId": "t", "title": "x"}
        options = [{"optionId": "1", "name": "Sure", "kind": "allow_sometimes"}]
        with pytest.raises(ShapeError, match="allow_sometimes"):
            reading.UpdateReader().asked("1", {"toolCall": call, "options": options})
