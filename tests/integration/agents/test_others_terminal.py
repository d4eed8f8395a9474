"""The own screens of OpenCode, and by hand of Gemini, Qwen and Copilot, in a session; the model is scripted."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from tests.integration.agents import others
from tests.integration.agents.conftest import Agent
from tests.integration.agents.others import in_terminal, typed
from tests.integration.runner.conftest import Bench, open_bench
from tests.support.agents import fake_model
from townwatch.runner.agents import catalog

by_hand = pytest.mark.skipif(not others.by_hand(others.QWEN), reason="run by python -m tests.agents")


async def test_opencode_shares_its_conversation_and_the_first_answer_counts(
    bench: Bench, tmp_path: Path, model: fake_model.Model
) -> None:
    agent = others.place(others.OPENCODE, tmp_path, bench.directory, model)
    kind = catalog.recognise(["opencode"])
    assert kind is not None
    async with in_terminal(bench, agent, kind) as seen:
        await typed(seen, "do:two please")
        first = await seen.asks()
        assert first["summary"] == "echo first > first.txt"
        assert not (await seen.prompt("do:hello")).ok
        await seen.until(lambda found: "Permissionrequired" in found.screen)
        await trio.sleep(1)
        await seen.keys("\r")  # yes, in the terminal
        await seen.until(lambda found: found.resolved)
        assert seen.resolved == [("allow", "terminal")]
        assert not (await seen.decide(first, "deny")).ok or seen.resolved == [("allow", "terminal")]
        second = await seen.asks(2)
        assert (await seen.decide(second, "deny", note="not this one")).ok
        assert await seen.turn_ends() == "completed"
        await seen.is_now("idle")
        assert {path.name for path in bench.directory.glob("*.txt")} == {"first.txt"}
        assert [status for _, status in seen.tools if status != "running"] == ["ok", "denied"]
        assert seen.resolved == [("allow", "terminal"), ("deny", "ada")]


@by_hand
async def test_gemini_s_dialogs_are_refused_by_rules_from_afar_and_in_the_terminal(
    private: Path, model: fake_model.Model
) -> None:
    work = private / "work"
    (work / ".townwatch").mkdir(parents=True)
    rule = '[[rules]]\nid = "no-first"\neffect = "deny"\ncommand = "echo first*"\n'
    (work / ".townwatch" / "policy.toml").write_text(rule)
    async with open_bench(private / "state", work) as bench:
        agent = others.place(others.GEMINI, private, work, model)
        kind = catalog.recognise(["gemini"])
        assert kind is not None
        async with in_terminal(bench, agent, kind) as seen:
            await typed(seen, "do:two please")  # the first of them is denied by the rule, before a dialog
            asked = await seen.asks(2)
            assert seen.resolved == [("deny", "policy:no-first")]
            assert asked["summary"] == "echo second > second.txt"
            refused = await seen.decide(asked, "allow")
            assert not refused.ok
            assert "a yes in its terminal only" in refused.error.message
            await trio.sleep(1)
            assert (await seen.decide(asked, "deny")).ok
            await seen.until(lambda found: len(found.resolved) == 2)
            assert seen.resolved[1] == ("deny", "ada")
            assert await seen.turn_ends() == "interrupted"
            await seen.is_now("idle")
            await typed(seen, "do:shell please")
            await seen.asks(3)
            await seen.until(lambda found: found.screen.count("Allowexecution") >= 2 or "teeshell" in found.screen)
            await trio.sleep(1)
            await seen.keys("\x1b")
            await seen.until(lambda found: len(found.resolved) == 3)
            assert seen.resolved[2] == ("deny", "terminal")
            await seen.is_now("idle")
            await typed(seen, "do:shell again")
            await seen.asks(4)
            await trio.sleep(1)
            await seen.keys("\r")
            await seen.until(lambda found: len(found.resolved) == 4)
            assert seen.resolved[3] == ("allow", "terminal")
            await seen.until(lambda found: found.turns == ["interrupted", "interrupted", "completed"])
            assert {path.name for path in work.glob("*.txt")} == {"shell.txt"}
            assert [status for _, status in seen.tools if status != "running"] == ["denied", "denied", "denied", "ok"]


@by_hand
async def test_gemini_is_observed(private: Path, model: fake_model.Model) -> None:
    work = private / "work"
    async with open_bench(private / "state", work) as bench:
        agent = others.place(others.GEMINI, private, work, model)
        kind = catalog.recognise(["gemini"])
        assert kind is not None
        async with in_terminal(bench, agent, kind) as seen:
            await typed(seen, "do:shell please")
            await seen.is_now("waiting")
            assert seen.told("status")[-1]["for"] == "echo from-the-shell | tee shell.txt"
            await trio.sleep(1)
            await seen.keys("\r")
            assert await seen.turn_ends() == "completed"
            await seen.is_now("idle")
            assert ("run_shell_command", "ok") in seen.tools
            # its hooks say nothing of tokens, its telemetry does: of the router, and of two answers
            await seen.until(lambda agent: (agent.session.usage.total.input_tokens or 0) >= 3600)
            assert seen.session.usage.total.output_tokens == 120


@by_hand
async def test_qwen_is_answered_from_afar_and_in_the_terminal(
    bench: Bench, tmp_path: Path, model: fake_model.Model
) -> None:
    agent = others.place(others.QWEN, tmp_path, bench.directory, model)
    kind = catalog.recognise(["qwen"])
    assert kind is not None
    async with in_terminal(bench, agent, kind, "--auth-type", "openai", "--approval-mode", "default") as seen:
        await seen.is_now("idle")
        assert (await seen.prompt("do:shell please")).ok
        asked = await seen.asks()
        assert (await seen.decide(asked, "allow")).ok
        assert await seen.turn_ends() == "completed"
        await seen.is_now("idle")
        assert (await seen.prompt("do:two please")).ok
        asked = await seen.asks(2)
        assert (await seen.decide(asked, "deny")).ok
        await seen.is_now("idle")
        assert (await seen.prompt("do:hello again")).ok
        assert await seen.turn_ends(3) == "completed"
        assert [one[0] for one in seen.resolved] == ["allow", "deny"]
        assert not (bench.directory / "first.txt").exists()


@by_hand
async def test_qwens_dialogs_follow_each_other_and_its_question_is_answered_in_its_terminal(
    bench: Bench, tmp_path: Path, model: fake_model.Model
) -> None:
    agent = others.place(others.QWEN, tmp_path, bench.directory, model)
    kind = catalog.recognise(["qwen"])
    assert kind is not None
    async with in_terminal(bench, agent, kind, "--auth-type", "openai", "--approval-mode", "default") as seen:
        await seen.is_now("idle")
        assert (await seen.prompt("do:two please")).ok
        first = await seen.asks(1)
        assert (await seen.decide(first, "allow")).ok
        second = await seen.asks(2)
        assert [first["summary"], second["summary"]] == ["echo first > first.txt", "echo second > second.txt"]
        await seen.decide(first, "deny")  # an answer is for the dialog that it names: this one has its yes
        await trio.sleep(1)
        assert seen.resolved == [("allow", "ada")]
        assert not (bench.directory / "second.txt").exists()
        await trio.sleep(2)
        await seen.keys("\r")
        assert await seen.turn_ends() == "completed"
        assert seen.resolved == [("allow", "ada"), ("allow", "terminal")]
        assert {path.name for path in bench.directory.glob("*.txt")} == {"first.txt", "second.txt"}
        await seen.is_now("idle")
        assert (await seen.prompt("do:ask please")).ok
        asked = await seen.asks(3)
        assert (asked["category"], asked["summary"]) == ("question", "Which colour?")
        assert asked["context"]["fromAfar"]["allow"] == "no"
        await seen.until(lambda found: "Whichcolour?" in found.screen)
        for _ in range(5):
            if len(seen.resolved) < 3:
                await seen.keys("\r")
                await trio.sleep(2)
        assert await seen.turn_ends(2) == "completed"
        assert seen.resolved[2] == ("allow", "terminal")
        await seen.is_now("idle")


@by_hand
async def test_copilot_is_observed(bench: Bench, tmp_path: Path, model: fake_model.Model) -> None:
    agent = others.place(others.COPILOT, tmp_path, bench.directory, model)
    kind = catalog.recognise(["copilot"])
    assert kind is not None
    async with in_terminal(bench, agent, kind) as seen:
        await seen.until(lambda agent: "Confirmfoldertrust" in agent.screen)
        await trio.sleep(1)
        await seen.keys("\r")
        await typed(seen, "do:shell please")
        await seen.is_now("waiting")
        await trio.sleep(1)
        await seen.keys("\r")
        assert await seen.turn_ends() == "completed"
        assert ("bash", "ok") in seen.tools


@by_hand
async def test_copilots_dialogs_that_follow_each_other_are_told_one_by_one(
    bench: Bench, tmp_path: Path, model: fake_model.Model
) -> None:
    agent = others.place(others.COPILOT, tmp_path, bench.directory, model)
    kind = catalog.recognise(["copilot"])
    assert kind is not None

    def waits_for(text: str) -> Callable[[Agent], bool]:
        return lambda found: text in (found.told("status")[-1].get("for") or "")

    async with in_terminal(bench, agent, kind) as seen:
        await seen.until(lambda found: "Confirmfoldertrust" in found.screen)
        await trio.sleep(1)
        await seen.keys("\r")
        await typed(seen, "do:two please")
        for text in ("first.txt", "second.txt"):
            await seen.until(waits_for(text))
            await trio.sleep(2)
            assert not (bench.directory / text).exists()
            await seen.keys("\r")
        assert await seen.turn_ends() == "completed"
        await seen.is_now("idle")
        assert [status for _, status in seen.tools if status != "running"] == ["ok", "ok"]
        assert {path.name for path in bench.directory.glob("*.txt")} == {"first.txt", "second.txt"}
