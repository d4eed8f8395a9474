"""Claude Code's messages as they were recorded (version 2.1.332), read into the vocabulary of all agents."""

import json
from pathlib import Path
from typing import Any

import pytest

from townwatch.contracts.tasks import PolicySpec, TaskSpec
from townwatch.runner.agents import events as a
from townwatch.runner.agents.claude import answers, policy, session_file, stream, telemetry, tools
from townwatch.runner.agents.claude.hooks import Heard, Hooks
from townwatch.runner.agents.claude.stream import ClaudeStream, LineReading
from townwatch.runner.agents.shape import ShapeError
from townwatch.runner.session.lifecycle import NotPossible

TRACES = Path(__file__).parent / "traces"


def trace(name: str) -> list[dict[str, Any]]:
    lines = (TRACES / f"claude-code-2.1.332-{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def heard() -> list[Heard]:
    hooks = Hooks()
    return [hooks.read(line["stdin"]) for line in trace("hooks-tui")]


@pytest.fixture(scope="module")
def said() -> list[LineReading]:
    reader = ClaudeStream()
    found: list[LineReading] = []
    for line in trace("stream-json-control"):
        if line.get("dir") == "in" and line["m"].get("type") == "user":
            reader.begin(line["m"]["message"]["content"])
        elif line.get("dir") == "out":
            found.append(reader.read(line["m"]))
    return found


def every(heard: list[Any], kind: type[Any]) -> list[Any]:
    return [event for one in heard for event in one.events if isinstance(event, kind)]


# --- hooks ------------------------------------------------------------------------------------------------------------


def test_hooks_tell_the_session_and_how_to_resume_it(heard: list[Heard]) -> None:
    first = every(heard, a.CliSession)[0]
    assert first.resume == ["claude", "--resume", first.cli_session_id]


def test_hooks_tell_prompts_of_the_person_and_not_the_reports_of_subagents(heard: list[Heard]) -> None:
    assert [one.text for one in every(heard, a.Prompt)] == ["do:shell T3", "do:agent T", "do:ask T", "do:ask T2"]


def test_a_permission_request_is_a_question_about_its_tool_call(heard: list[Heard]) -> None:
    first = next(one.question for one in heard if one.question is not None)
    (call,) = [one for one in every(heard, a.CommandStarted) if one.id == first.tool_use_id]
    assert (first.category, first.summary) == ("shell", f"Bash: {call.command}")
    assert [(one.id, one.kind) for one in first.options] == [
        ("allow", "allow_once"),
        ("suggestion:0", "allow_always"),
        ("suggestion:1", "allow_always"),
        ("deny", "reject_once"),
    ]


def test_a_question_of_a_subagent_names_it(heard: list[Heard]) -> None:
    asked = [one.question for one in heard if one.question is not None]
    assert [one.subagent for one in asked] == [None, "general-purpose", None, None]
    assert len({one.tool_use_id for one in asked}) == 4


def test_a_question_has_its_options(heard: list[Heard]) -> None:
    asked = [one.question for one in heard if one.question is not None][-1]
    assert (asked.category, [one.label for one in asked.options]) == ("question", ["red", "blue"])


def test_tool_calls_begin_and_end(heard: list[Heard]) -> None:
    found: dict[str, list[str]] = {}
    for one in every(heard, a.Tool):
        found.setdefault(one.id, []).append(one.status)
    assert list(found.values()) == [["running", "ok"]] * len(found)
    assert {one.name for one in every(heard, a.Tool)} == {"Bash", "Agent", "AskUserQuestion"}
    assert every(heard, a.CommandEnded)[0].output == "from-the-shell"


def test_the_status_follows_what_happens(heard: list[Heard]) -> None:
    found = [one.status.status for one in heard[:9] if one.status is not None]
    assert found == ["busy", "busy", "waiting", "waiting", "busy", "busy", "idle", "busy"]
    assert [one.result for one in every(heard, a.Turn)] == ["completed"] * len(every(heard, a.Turn))


def test_a_subagent_runs_and_ends(heard: list[Heard]) -> None:
    assert [(one.name, one.status) for one in every(heard, a.Subagent)] == [
        ("general-purpose", "running"),
        ("general-purpose", "ended"),
    ]


def test_a_denied_call_is_told_when_its_batch_ends() -> None:
    hooks = Hooks()
    call = {"tool_name": "Bash", "tool_input": {"command": "ls"}, "tool_use_id": "t1", "session_id": "s"}
    hooks.read({"hook_event_name": "PreToolUse", **call})
    batch = hooks.read({"hook_event_name": "PostToolBatch", "tool_calls": [{**call, "tool_response": "no, says Ada"}]})
    assert batch.over == {"t1": "refused"}
    assert [(one.status, one.output) for one in every([batch], a.Tool)] == [("denied", "no, says Ada")]


@pytest.mark.parametrize(
    ("taken", "said"),
    [(None, "interrupted"), (True, "after Claude had taken the yes"), (False, "whether Claude had taken the yes")],
)
def test_a_call_that_escape_ended_says_whether_it_was_allowed_before(taken: bool | None, said: str) -> None:
    hooks = Hooks()
    call = {"session_id": "s", "tool_name": "Bash", "tool_use_id": "t1", "tool_input": {"command": "make"}}
    hooks.read({"hook_event_name": "UserPromptSubmit", "session_id": "s", "prompt": "go", "prompt_id": "p1"})
    hooks.read({**call, "hook_event_name": "PreToolUse"})
    if taken is not None:
        hooks.allowed["t1"] = taken
    heard = [hooks.interrupted()]
    (tool,), (turn,) = every(heard, a.Tool), every(heard, a.Turn)
    assert (tool.status, turn.result) == ("failed", "interrupted")
    assert said in tool.output
    assert hooks.allowed == {}


def test_a_command_that_failed_says_its_exit_code() -> None:
    call = {"tool_name": "Bash", "tool_input": {"command": "x"}, "tool_use_id": "t1", "error": "Exit code 3\nout"}
    found = Hooks().read({"hook_event_name": "PostToolUseFailure", **call})
    (ended,) = every([found], a.CommandEnded)
    assert (ended.exit_code, ended.output) == (3, "out")


@pytest.mark.parametrize("name", ["PreToolUse", "PermissionRequest", "PostToolUse"])
def test_a_tool_that_cannot_be_read_is_an_unknown_shape(name: str) -> None:
    for odd in ({}, {"tool_input": []}, {"tool_name": "Bash", "tool_use_id": "t", "tool_input": "ls"}):
        with pytest.raises(ShapeError):
            Hooks().read({"hook_event_name": name, **odd})


@pytest.mark.parametrize("odd", [{}, {"hook_event_name": 5}, {"hook_event_name": "SomethingNew", "tool_input": []}])
def test_odd_hooks_are_no_failure(odd: dict[str, Any]) -> None:
    assert isinstance(Hooks().read(odd), Heard)


# --- stream-json ------------------------------------------------------------------------------------------------------


def test_the_stream_tells_session_model_and_version(said: list[LineReading]) -> None:
    (session,) = every(said, a.CliSession)
    assert (session.model, session.version, session.mode) == ("claude-opus-5-5", "2.1.332", "default")


def test_the_stream_asks_with_its_request_id(said: list[LineReading]) -> None:
    asked = [(one.question.summary, one.question.category) for one in said if one.question is not None]
    assert asked == [
        ("Bash: echo first > first.txt", "shell"),
        ("Bash: echo second > second.txt", "shell"),
        ("Write: /repo/test_sum.py", "edit"),
        ("Bash: python3 -m unittest -v test_sum", "shell"),
    ]
    assert all(one.request_id for one in said if one.question is not None)


def test_the_stream_tells_a_denied_call_from_a_failed_one(said: list[LineReading]) -> None:
    ended = [(one.name, one.status) for one in every(said, a.Tool) if one.status != "running"]
    assert ended == [("Bash", "ok"), ("Bash", "denied"), ("Write", "ok"), ("Bash", "ok")]


def test_turns_end_as_they_did_and_usage_is_what_came_since_the_last(said: list[LineReading]) -> None:
    assert [one.result for one in every(said, a.Turn)] == ["completed", "completed", "interrupted"]
    spent = every(said, a.Tokens)
    assert [(one.input_tokens, one.output_tokens) for one in spent] == [(3600, 120), (3600, 120), (1200, 62)]
    assert sum(one.cost_usd or 0 for one in spent) == pytest.approx(0.03992)


def test_the_conversation_can_be_read_in_the_terminal(said: list[LineReading]) -> None:
    shown = "".join(one.shown for one in said)
    for text in ("I write the test.", "python3 -m unittest -v test_sum", "Ran 1 test", "turn interrupted"):
        assert text in shown
    assert "\x1b]" not in ClaudeStream().read({"type": "result", "is_error": True, "result": "\x1b]52;c;YQ\x07"}).shown


def test_a_request_that_is_not_known_is_named_so_that_it_can_be_refused() -> None:
    found = ClaudeStream().read({"type": "control_request", "request_id": "r", "request": {"subtype": "new_thing"}})
    assert (found.unknown, found.question) == ("new_thing", None)


def test_the_first_prompt_is_the_whole_task() -> None:
    task = TaskSpec(title="T", goal="G", constraints=["c1", "c2"], acceptance=["a1"])
    assert stream.task_prompt(task) == "T\n\nG\n\nConstraints:\n- c1\n- c2\n\nDone when:\n- a1"


# --- telemetry and the session file -----------------------------------------------------------------------------------


def test_telemetry_tells_tokens_and_who_decided() -> None:
    log = {"attributes": []}
    kinds = [telemetry.attributes(line["log"]).get("event.name") for line in trace("otel") if "log" in line]
    assert {"api_request", "tool_decision", "tool_result"} <= set(kinds)
    assert telemetry.read(telemetry.attributes(log)) is None
    request = {"event.name": "api_request", "input_tokens": "1200", "output_tokens": 40, "cost_usd": "0.0056"}
    assert telemetry.read(request) == a.Tokens(input_tokens=1200, output_tokens=40, cost_usd=0.0056)
    decided = {"event.name": "tool_decision", "tool_use_id": "t", "decision": "accept", "source": "user_temporary"}
    assert telemetry.read(decided) == telemetry.ToolDecision("t", True, True)
    assert telemetry.read({**decided, "source": "hook"}) == telemetry.ToolDecision("t", True, False)


def test_the_users_own_telemetry_is_left_alone() -> None:
    assert telemetry.environment("http://x", "t", {"PATH": "/bin"})
    assert telemetry.environment("http://x", "t", {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://mine"}) == {}


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b'{"status":"waiting","waitingFor":"permission prompt"}', "waiting"),
        (b'{"status":"dancing"}', "unknown"),
        (b"{}", None),
    ],
)
def test_the_session_file_says_what_the_cli_does(data: bytes, status: str | None) -> None:
    found = session_file.parse(data)
    assert found is not None
    assert found.status == status


@pytest.mark.parametrize("data", [b"", b"[]", b'{"status":', b"\xff"])
def test_half_a_session_file_says_nothing(data: bytes) -> None:
    assert session_file.parse(data) is None


# --- answers and policy -----------------------------------------------------------------------------------------------

BASH = {"command": "ls"}
ASK = {"questions": [{"question": "Which?", "options": [{"label": "red"}]}]}


def answer(name: str, given: dict[str, Any], suggestions: Any = None, **fields: Any) -> dict[str, Any]:
    return answers.decision(name, given, suggestions, a.Answer(**fields))


def test_a_decision_in_the_words_of_the_cli() -> None:
    assert answer("Bash", BASH, decision="allow") == {"behavior": "allow", "updatedInput": BASH}
    denied = answer("Bash", BASH, decision="deny", by="ada", note="why", stop=True)
    assert denied == {"behavior": "deny", "message": "ada said no: why", "interrupt": True}
    rule = {"type": "addRules"}
    always = answer("Bash", BASH, [rule], decision="allow", option_id="suggestion:0")
    assert always["updatedPermissions"] == [rule]
    assert answer("AskUserQuestion", ASK, decision="allow", option_id="red")["updatedInput"]["answers"] == {
        "Which?": "red"
    }


@pytest.mark.parametrize(
    ("name", "given", "fields"),
    [
        ("Bash", BASH, {"option_id": "suggestion:0"}),
        ("Bash", BASH, {"option_id": "deny"}),
        ("Bash", BASH, {"updated_input": "rm"}),
        ("AskUserQuestion", ASK, {}),
        ("AskUserQuestion", ASK, {"answers": {"Another?": "red"}}),
    ],
)
def test_an_answer_that_does_not_fit_is_no_yes(name: str, given: dict[str, Any], fields: dict[str, Any]) -> None:
    with pytest.raises(NotPossible):
        answer(name, given, decision="allow", **fields)


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("ls -l", ("shell", "med")),
        ("cd x && npm install left-pad", ("deps_add", "med")),
        ("git push --force", ("merge", "high")),
        ("curl https://x | sh", ("network", "med")),
        ("FOO=1 sudo rm -rf /", ("shell", "high")),
        ("echo 'unclosed", ("shell", "high")),
    ],
)
def test_a_command_has_a_category_and_a_risk(command: str, kind: tuple[str, str]) -> None:
    assert tools.command_kind(command) == kind


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("rm -rf x", "rm *"),
        ("ls; rm x", "rm *"),
        ("(cd y && rm x)", "rm *"),
        ("git push origin", "git push"),
        ("git status", None),
        ("rmdir x", None),
    ],
)
def test_a_denylist_is_looked_for_in_each_command_of_a_line(command: str, found: str | None) -> None:
    assert policy.forbidden(PolicySpec(shell_denylist=["rm *", "git push"]), "Bash", command) == found


def test_a_policy_becomes_flags_and_a_star_allows_nothing_unasked() -> None:
    assert policy.flags(PolicySpec()) == []
    flags = policy.flags(PolicySpec(shell_allowlist=["git status"], shell_denylist=["rm *"], network_mode="open"))
    assert flags == [
        "--allowedTools=Bash(git status:*)",
        "--allowedTools=WebFetch",
        "--allowedTools=WebSearch",
        "--disallowedTools=Bash(rm:*)",
    ]


@pytest.mark.parametrize(
    ("ending", "over"),
    [({}, False), ({"is_error": True}, True), ({"terminal_reason": "aborted_tools"}, True)],
    ids=["completed", "failed", "interrupted"],
)
def test_a_turn_that_ends_by_itself_takes_no_question_of_a_background_agent_back(
    ending: dict[str, object], over: bool
) -> None:
    said = ClaudeStream().read({"type": "result", "subtype": "success", "duration_ms": 1, **ending})
    assert said.all_over is over
