"""A played agent that talks: plan, messages, tools, a question, a permission and cost, without a key and a network.

Run as ``python -m townwatch.runner.demo.talker``. It speaks the protocol of a dispatched Claude Code on its standard
input and output (JSON lines both ways), so that the page shows of it what it shows of a real agent. What it reads,
writes and tests is real; only the thinking is played. Standard library only.
"""

import json
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

MODEL = "played-1"
PAUSE_SECONDS = 1.2
QUESTION = "How is half a cent rounded?"
STEPS = ("Read how payments are booked", "Ask how half a cent is rounded", "Write the function", "Test it")
MODULE = '''\
"""Sums of money, rounded to whole cents."""

from decimal import {rounding}, Decimal


def rounded(amount: Decimal) -> int:
    return int(amount.quantize(Decimal(1), {rounding}))
'''
TEST = """\
import unittest
from decimal import Decimal

from rounding import rounded


class RoundingTest(unittest.TestCase):
    def test_half_a_cent(self) -> None:
        self.assertEqual(rounded(Decimal("2.5")), {half})
"""
CHOICES = {"Up": ("ROUND_HALF_UP", 3, "2.5 becomes 3"), "To even": ("ROUND_HALF_EVEN", 2, "2.5 becomes 2")}


class Interrupted(Exception):
    """The turn is over: a person said so."""


class Talker:
    """The agent's side of the protocol. `pause`: seconds of played thinking."""

    def __init__(self, pause: float = PAUSE_SECONDS) -> None:
        self._pause = pause
        self._session = str(uuid.uuid4())
        self._spent = {"inputTokens": 0, "outputTokens": 0, "cacheReadInputTokens": 0, "costUSD": 0.0}

    def run(self) -> None:
        """Read until the input ends: what is asked of us is answered, each prompt is a turn."""
        turns = 0
        while (message := _receive()) is not None:
            if message.get("type") == "control_request":
                self._control(message)
            elif message.get("type") == "user":
                turns += 1
                self._turn(first=turns == 1)

    def _turn(self, *, first: bool) -> None:
        _send(type="system", subtype="init", session_id=self._session, model=MODEL, permissionMode="manual",
              claude_code_version="played")  # fmt: skip
        try:
            if first:
                self._book_half_cents()
            else:
                self._say("I am played, and have one task only: it is done. A real agent would go on from here.")
            reason = "completed"
        except Interrupted:
            reason = "aborted_by_user"
        _send(type="result", subtype="success", is_error=False, terminal_reason=reason, session_id=self._session,
              total_cost_usd=self._spent["costUSD"], modelUsage={MODEL: self._spent})  # fmt: skip

    def _book_half_cents(self) -> None:
        self._plan(0)
        self._say("I look at how payments are booked before I change anything.")
        self._tool("Read", {"file_path": "ledger.py"}, lambda: Path("ledger.py").read_text(encoding="utf-8")[:2000])
        self._plan(1)
        options = [{"label": label, "description": why} for label, (_, _, why) in CHOICES.items()]
        asked = {"question": QUESTION, "header": "Rounding", "options": options, "multiSelect": False}
        answered = self._tool("AskUserQuestion", {"questions": [asked]}, None, ask=True)
        chosen = next((label for label in CHOICES if f"={label}" in answered), "To even")
        rounding, half, _ = CHOICES[chosen]
        self._say(f"Then half a cent is rounded {chosen.lower()}.")
        self._plan(2)
        for name, text in (
            ("rounding.py", MODULE.format(rounding=rounding)),
            ("test_rounding.py", TEST.format(half=half)),
        ):
            written = self._write(name, text)
            if not written:
                self._say(f"I leave {name} as it is, then.")
                return
        self._plan(3)
        command = "python3 -m unittest -v test_rounding"
        self._tool("Bash", {"command": command, "description": "run the tests"}, _run_tests)
        self._plan(4)
        self._say("Half cents are booked, and tested.")

    def _write(self, name: str, text: str) -> bool:
        def write() -> str:
            Path(name).write_text(text, encoding="utf-8")
            return f"{name} is written"

        return self._tool("Write", {"file_path": name, "content": text}, write, ask=True) != ""

    # --- the protocol -------------------------------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        self._message({"type": "text", "text": text})

    def _plan(self, done: int) -> None:
        states = ["completed" if n < done else "in_progress" if n == done else "pending" for n in range(len(STEPS))]
        todos = [
            {"content": text, "status": state, "activeForm": text} for text, state in zip(STEPS, states, strict=True)
        ]
        self._tool("TodoWrite", {"todos": todos}, lambda: "noted")

    def _tool(self, name: str, given: dict[str, Any], work: Any, *, ask: bool = False) -> str:
        """Call a tool and return its result; "" where a person said no."""
        call = f"toolu_{uuid.uuid4().hex[:20]}"
        self._message({"type": "tool_use", "id": call, "name": name, "input": given})
        result, failed = "", False
        if ask:
            answer = self._ask(name, given, call)
            if answer.get("behavior") != "allow":
                _result_of(call, str(answer.get("message", "denied")), failed=True)
                if answer.get("interrupt"):
                    raise Interrupted
                return ""
            if name == "AskUserQuestion":
                answers = answer.get("updatedInput", {}).get("answers", {})
                result = "; ".join(f"{question}={given}" for question, given in answers.items())
        if work is not None:
            result = work()
            failed = result.startswith("Exit code")
        _result_of(call, result, failed=failed)
        return result

    def _ask(self, name: str, given: dict[str, Any], call: str) -> dict[str, Any]:
        request = f"ask_{uuid.uuid4().hex[:12]}"
        about = {"subtype": "can_use_tool", "tool_name": name, "input": given, "tool_use_id": call}
        _send(type="control_request", request_id=request, request=about)
        while True:
            message = _receive()
            if message is None:
                sys.exit(0)
            if message.get("type") == "control_request":
                self._control(message, asking=request)
            elif message.get("response", {}).get("request_id") == request:
                return message["response"].get("response", {})

    def _control(self, message: dict[str, Any], asking: str | None = None) -> None:
        nothing: dict[str, Any] = {}
        inner = {"subtype": "success", "request_id": message.get("request_id"), "response": nothing}
        _send(type="control_response", response=inner)
        if message.get("request", {}).get("subtype") == "interrupt" and asking is not None:
            _send(type="control_cancel_request", request_id=asking)
            raise Interrupted

    def _message(self, block: dict[str, Any]) -> None:
        time.sleep(self._pause)
        read, written = 900 + len(json.dumps(block)), 20 + len(json.dumps(block)) // 4
        self._spent["inputTokens"] += read
        self._spent["cacheReadInputTokens"] += read // 2
        self._spent["outputTokens"] += written
        self._spent["costUSD"] = round(self._spent["costUSD"] + read * 3e-6 + written * 15e-6, 6)
        used = {"input_tokens": int(self._spent["inputTokens"]), "output_tokens": written}
        content = {"id": f"msg_{uuid.uuid4().hex[:12]}", "role": "assistant", "content": [block], "usage": used}
        _send(type="assistant", message=content, uuid=str(uuid.uuid4()), session_id=self._session)


def _result_of(call: str, text: str, *, failed: bool) -> None:
    block = {"type": "tool_result", "tool_use_id": call, "content": text, "is_error": failed}
    _send(type="user", message={"role": "user", "content": [block]})


def _run_tests() -> str:
    command = [sys.executable, "-m", "unittest", "-v", "test_rounding"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    said = done.stdout + done.stderr
    return said if done.returncode == 0 else f"Exit code {done.returncode}\n{said}"


def _send(**message: Any) -> None:
    print(json.dumps(message), flush=True)


def _receive() -> dict[str, Any] | None:
    line = sys.stdin.readline()
    return json.loads(line) if line else None


if __name__ == "__main__":
    Talker().run()
