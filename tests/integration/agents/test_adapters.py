"""Whatever an adapter does, its session is told truly and goes on: with an adapter that does what the test wants."""

import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
import trio

from tests.integration.agents.conftest import Agent
from tests.integration.runner.conftest import Bench, until
from townwatch.runner.agents import events as a
from townwatch.runner.agents.adapter import Adapter, AdapterOff, Host, HttpAnswer, HttpRequest, Prepared

SLEEP = ("sh", "-c", "echo $ADDED; sleep 1000")


class Scripted(Adapter):
    """`made` is the latest one."""

    provider = "claude_code"
    programs = ("scripted",)
    tested = ("1", "1")
    made: "Scripted"
    fails_in = ""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.prompts: list[str] = []
        self.taken: list[a.Answer] = []
        self.takes = True
        self.fail = trio.Event()
        type(self).made = Scripted.made = self

    @classmethod
    def recognise(cls, command: Sequence[str]) -> bool:
        return False

    async def prepare(self) -> Prepared:
        if self.fails_in == "prepare":
            raise OSError("no room")
        return Prepared(command=list(self.host.launch.command), env={"ADDED": "it-was-added"})

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        if self.fails_in == "run":
            raise AdapterOff("a shape that is not known")
        task_status.started()
        await self.fail.wait()
        raise AdapterOff("its channel broke")

    @property
    def goes_on_alone(self) -> bool:
        return False

    async def prompt(self, text: str) -> None:
        self.prompts.append(text)
        await self.host.say(a.Status(status="busy"))

    async def interrupt(self) -> None:
        await self.host.say(a.Status(status="idle"))

    async def deliver(self, answer: a.Answer) -> bool:
        self.taken.append(answer)
        return self.takes


class FailsInPrepare(Scripted):
    fails_in = "prepare"


class FailsInRun(Scripted):
    fails_in = "run"


async def begin(bench: Bench, adapter: type[Adapter] = Scripted) -> Agent:
    session = bench.start(*SLEEP, provider="claude_code", adapter=adapter)
    await session.started.wait()
    await bench.one(session, "SESSION_STARTED")
    await until(lambda: session.lifecycle.state == "RUNNING")
    return Agent(bench, session)


BASH = a.Question(summary="Bash: ls", category="shell", tool="Bash", input={"command": "ls"})


@pytest.mark.parametrize("adapter", [FailsInPrepare, FailsInRun])
async def test_an_adapter_that_cannot_start_leaves_a_plain_terminal_and_one_alert(
    bench: Bench, adapter: type[Adapter]
) -> None:
    agent = await begin(bench, adapter)
    await until(lambda: [one for one in agent.events if one["type"] == "ALERT_RAISED"])
    assert agent.statuses[-1] == "unknown"
    (alert,) = [one for one in agent.events if one["type"] == "ALERT_RAISED"]
    assert (alert["severity"], alert["title"]) == ("info", "adapter off: claude_code")
    refused = await agent.prompt("hello")
    assert not refused.ok
    assert "not connected" in refused.error.message
    await bench.shows(agent.session, "\n")  # the key is for the shell: before there is one, nobody hears it
    await agent.session.type("\x03")
    await bench.over(agent.session)


async def test_an_adapter_that_fails_later_takes_back_what_it_asked_and_the_session_goes_on(bench: Bench) -> None:
    agent = await begin(bench)
    await bench.shows(agent.session, "it-was-added")
    adapter = Scripted.made
    await adapter.host.ask(BASH, adapter.deliver)
    await until(lambda: agent.session.lifecycle.state == "WAITING_FOR_APPROVAL")
    adapter.fail.set()
    await until(lambda: agent.statuses[-1] == "unknown")
    await until(lambda: agent.resolved == [("withdrawn", "terminal")])
    assert agent.session.lifecycle.state == "RUNNING"
    assert (await agent.command("stop")).ok
    await bench.over(agent.session)
    assert not adapter.host.launch.directory.exists()


async def test_a_decision_stands_only_when_the_cli_has_taken_it(bench: Bench) -> None:
    agent = await begin(bench)
    adapter = Scripted.made
    adapter.takes = False
    await adapter.host.ask(BASH, adapter.deliver)
    asked = await agent.asks()
    assert (await agent.decide(asked, "allow", option_id="allow")).ok
    assert [(one.decision, one.by, one.option_id) for one in adapter.taken] == [("allow", "ada", "allow")]
    assert agent.resolved == []
    await adapter.host.settle(asked["approvalId"], "withdrawn", "terminal", "refused in its terminal")
    await agent.decide(asked, "allow")
    await agent.command("stop")
    await bench.over(agent.session)
    assert agent.resolved == [("withdrawn", "terminal")]


async def test_no_answer_in_time_is_a_no_that_the_cli_hears(bench: Bench) -> None:
    agent = await begin(bench)
    adapter = Scripted.made
    question = a.Question(summary="Bash: ls", category="shell", timeout_seconds=0.05)
    await adapter.host.ask(question, adapter.deliver)
    await until(lambda: agent.resolved)
    assert agent.resolved == [("deny", "timeout")]
    assert [one.decision for one in adapter.taken] == ["deny"]
    await until(lambda: agent.session.lifecycle.state == "RUNNING")
    await agent.command("stop")


async def test_prompts_wait_for_an_idle_agent_in_their_order_and_can_be_withdrawn(bench: Bench) -> None:
    agent = await begin(bench)
    adapter = Scripted.made
    await adapter.host.say(a.Status(status="busy"))
    for text in ("one", "two", "three"):
        await agent.command("prompt", prompt_id=text, data=text, mode="send", by="ada")
    assert (await agent.command("withdraw_prompt", prompt_id="two")).ok
    assert not (await agent.command("withdraw_prompt", prompt_id="two")).ok
    await adapter.host.say(a.Status(status="idle"))
    await until(lambda: adapter.prompts == ["one"])
    await adapter.host.say(a.Status(status="idle"))
    await until(lambda: adapter.prompts == ["one", "three"])
    assert (await agent.command("prompt", prompt_id="now", data="now", mode="interrupt", by="ada")).ok
    await until(lambda: adapter.prompts == ["one", "three", "now"])
    await agent.command("stop")


async def test_what_an_adapter_says_is_bounded_and_masked(bench: Bench) -> None:
    session = bench.start(*SLEEP, provider="claude_code", adapter=Scripted, env={"API_KEY": "a-very-secret-value"})
    await session.started.wait()
    agent, host = Agent(bench, session), Scripted.made.host
    for number in range(300):
        await host.say(a.AgentMessage(id="m", text=f"{number} ", final=False))
    await host.say(a.AgentMessage(id="m", text="a-very-secret-value", final=True))
    await host.say(a.Tool(id="t", name="Write", status="ok", input={"content": "x" * 100_000}, output="y" * 100_000))
    await host.say(a.Prompt(text="\x1b]52;c;YQ\x07an \x1b[31modd\x1b[0m\r\nprompt\x9b"))
    await host.say(a.Status(status="idle"))
    await host.say(a.Status(status="idle"))
    await agent.command("stop")
    await bench.over(session)
    said = agent.told("message")
    assert len(said) < 30
    text = "".join(one["text"] for one in said)
    assert text.startswith("0 1 2 ")
    assert "a-very-secret-value" not in text
    assert agent.told("prompt")[0]["text"] == "]52;c;YQan odd\nprompt"
    (tool,) = agent.told("tool")
    assert tool["input"]["cut"] is True
    assert len(json.dumps(tool)) < 40_000
    assert agent.statuses == ["starting", "idle"]


async def test_a_dialog_without_an_approval_is_waited_for_all_the_same(bench: Bench) -> None:
    agent = await begin(bench)
    host = Scripted.made.host
    await host.say(a.Status(status="waiting", for_="trust this folder?"))
    assert agent.session.lifecycle.state == "WAITING_FOR_APPROVAL"
    assert agent.session.lifecycle.reason == "trust this folder?"
    assert (await agent.command("input", data="y", mode="raw")).ok
    assert (await agent.command("input", data="yes\r", mode="raw")).error.code == "WAITING"
    await host.say(a.Status(status="idle"))
    assert agent.session.lifecycle.state == "RUNNING"
    await agent.command("stop")


async def test_only_the_sessions_own_cli_is_heard_and_its_leaving_is_noticed(bench: Bench) -> None:
    agent = await begin(bench)
    adapter = Scripted.made
    token = agent.session._env["TOWNWATCH_ASK_TOKEN"]
    heard: list[HttpRequest] = []
    left = trio.Event()

    async def handle(request: HttpRequest) -> HttpAnswer:
        heard.append(request)
        if request.path == "/held":
            await request.gone()
            left.set()
        return HttpAnswer(body=b'{"ok":1}')

    adapter.host.serve(handle)
    url = adapter.host.base_url
    good = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(trust_env=False) as http:
        bad: list[dict[str, Any]] = [{}, {"authorization": "Bearer x"}, {**good, "origin": "https://evil.example"}]
        for headers in bad:
            assert (await http.post(f"{url}/hook", headers=headers, json={})).status_code in (401, 403)
        assert (await http.post(f"{url}x/hook", headers=good, json={})).status_code == 401
        assert heard == []
        assert (await http.post(f"{url}/hook", headers=good, json={"a": 1})).json() == {"ok": 1}
        assert (await http.post(f"{url}/hook", headers=good, content=b"x" * 300_000)).json() == {"ok": 1}
        assert [(one.path, len(one.body)) for one in heard] == [("/hook", 7), ("/hook", 300_000)]
        with pytest.raises(httpx.ReadTimeout):
            await http.post(f"{url}/held", headers=good, json={}, timeout=0.2)
        with trio.fail_after(10):
            await left.wait()
        await agent.command("stop")
        assert (await http.post(f"{url}/hook", headers=good, json={})).status_code == 401
