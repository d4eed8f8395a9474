"""A scripted model service for coding agents: the Anthropic Messages API, streamed and whole.

What it answers is decided by the request alone, so it keeps no state and serves many agents at once. The last
`do:NAME` in what the person said names the script; the number of tool results since then is the step. A step is a text,
a tool call (the tool's name and its input), or both; after the last step the turn ends. Requests that offer no tools
(titles, summaries) get a short text.
"""

import json
import re
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from typing import Any

import attrs

Json = dict[str, Any]
INPUT_TOKENS, CACHED_TOKENS, OUTPUT_TOKENS = 1200, 200, 40
_MARK = re.compile(r"\bdo:([a-z_]+)")
PASSING = (
    "import unittest\n\n\nclass Sum(unittest.TestCase):\n    def test_sum(self):\n        self.assertEqual(1 + 1, 2)\n"
)


@attrs.frozen(kw_only=True)
class Step:
    """One answer of the model. `delay`: seconds between its words; `status`: an error instead of an answer, with what
    it says.
    """

    say: str = ""
    tool: str = ""
    given: Mapping[str, Any] = attrs.field(factory=dict)
    delay: float = 0.0
    status: int = 200


def shell(command: str, say: str = "", **more: str) -> Step:
    """`escalate`: why it wants to leave Codex's sandbox, of which it asks; other agents are not given that."""
    return Step(say=say, tool="Bash", given={"command": command, "description": "a scripted step", **more})


REFUSED = "the model is out of paper"
"""Of an error that no agent tries again after."""
LEAVE = "May I leave the sandbox?"


COLOUR = {
    "question": "Which colour?",
    "header": "Colour",
    "options": [{"label": "red", "description": "warm"}, {"label": "blue", "description": "cold"}],
    "multiSelect": False,
}
PLAN_FILE, PLAN = "the plan's file", "1. Look at the tests\n2. Write the note\n"
"""Claude says in plan mode where its plan is to be written: that takes the place of the first."""
SCRIPTS: Mapping[str, Sequence[Step]] = {
    "hello": [Step(say="Hello from the scripted model.")],
    "shell": [shell("echo from-the-shell | tee shell.txt", "I run a command."), Step(say="The command ran.")],
    "two": [shell("echo first > first.txt"), shell("echo second > second.txt"), Step(say="Both were tried.")],
    "four": [
        *(shell(f"echo {name} > {name}.txt", escalate=LEAVE) for name in ("one", "two", "three", "four")),
        Step(say="All were tried."),
    ],
    "edit": [
        Step(say="I write.", tool="Write", given={"file_path": "notes.txt", "content": "one\ntwo\n"}),
        Step(say="The note is written."),
    ],
    "test": [
        Step(tool="Write", given={"file_path": "test_sum.py", "content": PASSING}),
        shell("python3 -m unittest -v test_sum"),
        Step(say="One test, which passes."),
    ],
    "risky": [
        Step(
            say="This needs leave.",
            tool="Bash",
            given={
                "command": "echo outside > risky.txt",
                "description": "risk",
                "escalate": LEAVE,
            },
        ),
        Step(say="That was all."),
    ],
    "ask": [Step(tool="AskUserQuestion", given={"questions": [COLOUR]}), Step(say="Thank you.")],
    "plan": [
        Step(tool="Write", given={"file_path": PLAN_FILE, "content": PLAN}),
        Step(tool="ExitPlanMode", given={}),
        Step(say="So be it."),
    ],
    "plan_again": [Step(tool="ExitPlanMode", given={}), Step(say="So be it.")],
    "slow": [Step(say=" ".join(f"word{n}" for n in range(600)), delay=0.1)],
    "long": [shell("python3 -c 'import time; time.sleep(120)'"), Step(say="It is over.")],
    "server": [
        shell("setsid python3 -c 'import time; time.sleep(121)' >/dev/null 2>&1 < /dev/null & echo up"),
        Step(say="The server is up."),
    ],
    "helper": [
        Step(
            tool="Agent",
            given={"description": "help", "prompt": "do:long as a helper", "subagent_type": "general-purpose"},
        ),
        Step(say="Handed over."),
    ],
    "busy": [Step(status=529)],
    "refused": [Step(status=400, say=REFUSED)],
    "agent": [
        Step(
            tool="Agent",
            given={"description": "help", "prompt": "do:shell as a helper", "subagent_type": "general-purpose"},
        ),
        Step(say="Handed over."),
    ],
}

_PLAN_PLACE = re.compile(r"(/[^\s\"]*/\.claude/plans/[\w.-]+\.md)")


@contextmanager
def serve(scripts: Mapping[str, Sequence[Step]] = SCRIPTS, *, protocols: Sequence[Any] = ()) -> Iterator["Model"]:
    """A model service on a free loopback port. `protocols`: others than Anthropic's, as in fake_protocols.py."""
    model = Model(scripts)
    model.protocols = protocols
    handler = type("Handler", (_Handler,), {"model": model})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    model.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Model:
    """`asked`: (script, step) of each request that offered tools; `history`: the scripts that the latest one remembers;
    `results`: what tool results told it; `models`: the names that were asked for.
    """

    def __init__(self, scripts: Mapping[str, Sequence[Step]]) -> None:
        self.scripts = scripts
        self.url = ""
        self.protocols: Sequence[Any] = ()
        self.asked: list[tuple[str, int]] = []
        self.results: list[str] = []
        self.history: list[str] = []
        self.models: set[str] = set()

    def answer(self, body: Json) -> Step:
        if not body.get("tools"):
            return Step(say="A title")
        name, step, result = _where(body.get("messages") or [])
        self.asked.append((name, step))
        said = json.dumps([one for one in body.get("messages") or [] if one.get("role") == "user"])
        self.history = _MARK.findall(said.replace("\\n", " "))
        if result:
            self.results.append(result)
        steps = self.scripts.get(name) or [Step(say="There is no such script.")]
        if step >= len(steps):
            return Step(say="There is nothing left to do.")
        found = steps[step]
        if found.given.get("file_path") == PLAN_FILE and (where := _PLAN_PLACE.findall(json.dumps(body))):
            found = attrs.evolve(found, given={**found.given, "file_path": where[-1]})
        return found


def _where(messages: list[Json]) -> tuple[str, int, str]:
    """(script, step, the last tool's result) of a conversation."""
    name, step, result = "hello", 0, ""
    for message in messages:
        if message.get("role") != "user":
            continue
        content = message.get("content")
        for block in content if isinstance(content, list) else [{"type": "text", "text": content}]:
            if block.get("type") == "tool_result":
                step, result = step + 1, json.dumps(block.get("content"))
            elif found := _MARK.findall(str(block.get("text", ""))):
                name, step, result = found[-1], 0, ""
    return name, step, result


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: Model

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def do_HEAD(self) -> None:
        self._json(200, {})

    def do_GET(self) -> None:
        self._json(200, {"data": [], "has_more": False})

    def do_POST(self) -> None:
        with suppress(ConnectionError):
            self._post()

    def _post(self) -> None:
        body = json.loads(self._body() or b"{}")
        if self.path.partition("?")[0].endswith("/count_tokens"):
            return self._json(200, {"input_tokens": INPUT_TOKENS})
        self.model.models.add(str(body.get("model") or self._path.rpartition("models/")[2].partition(":")[0]))
        protocol = next((one for one in self.model.protocols if self._path.endswith(one.end)), None)
        if protocol is not None:
            return self._speak(protocol, body)
        if not self.path.partition("?")[0].endswith("/messages"):
            return self._json(404, {"type": "error", "error": {"type": "not_found_error", "message": self.path}})
        step = self.model.answer(body)
        if step.status != 200:
            kind = "invalid_request_error" if step.status == 400 else "overloaded_error"
            error = {"type": kind, "message": step.say or "busy"}
            return self._json(step.status, {"type": "error", "error": error})
        message = _message(body, step)
        if not body.get("stream"):
            return self._json(200, message)
        return self._stream(message, step)

    @property
    def _path(self) -> str:
        return self.path.partition("?")[0]

    def _speak(self, protocol: Any, body: Json) -> None:
        """Answer in another protocol (fake_protocols.py)."""
        from tests.support.agents import fake_protocols

        asked = protocol.read(body)
        step = self.model.answer(asked.body)
        if asked.schema is not None:
            step = Step(say=json.dumps(fake_protocols.smallest(asked.schema)))
        if step.status != 200:
            refused = step.status == 400
            kind, status = ("invalid_request", "INVALID_ARGUMENT") if refused else ("overloaded", "UNAVAILABLE")
            error = {"message": step.say or "busy", "type": kind, "code": step.status, "status": status}
            return self._json(step.status, {"error": error})
        events = protocol.events(body, step, fake_protocols.call_of(step, asked))
        if not body.get("stream") and not self._path.endswith(":streamGenerateContent"):
            return self._json(200, fake_protocols.joined(list(events), protocol.end))
        last = "data: [DONE]\n\n" if protocol.end == "/chat/completions" else ""
        named = ((f"event: {name}\n" if name else "") + f"data: {json.dumps(value)}\n\n" for name, value in events)
        return self._chunks(named, last)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        data = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def _json(self, status: int, value: Json) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _stream(self, message: Json, step: Step) -> None:
        self._chunks(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in _events(message, step))

    def _chunks(self, texts: Iterable[str], last: str = "") -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for text in chain(texts, [last] if last else []):
            data = text.encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")


def _message(body: Json, step: Step) -> Json:
    content: list[Json] = [{"type": "text", "text": step.say}] if step.say else []
    if step.tool:
        identity = f"toolu_{uuid.uuid4().hex[:20]}"
        given = {name: value for name, value in step.given.items() if name != "escalate"}
        content.append({"type": "tool_use", "id": identity, "name": step.tool, "input": given})
    usage = {
        "input_tokens": INPUT_TOKENS,
        "cache_read_input_tokens": CACHED_TOKENS,
        "cache_creation_input_tokens": 0,
        "output_tokens": OUTPUT_TOKENS,
    }
    return {
        "id": f"msg_{uuid.uuid4().hex[:20]}",
        "type": "message",
        "role": "assistant",
        "model": body.get("model"),
        "content": content,
        "stop_reason": "tool_use" if step.tool else "end_turn",
        "stop_sequence": None,
        "usage": usage,
    }


def _events(message: Json, step: Step) -> Iterator[Json]:
    yield {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}}
    for index, block in enumerate(message["content"]):
        blank = {"text": ""} if block["type"] == "text" else {"input": {}}
        yield {"type": "content_block_start", "index": index, "content_block": {**block, **blank}}
        if block["type"] == "text":
            for word in re.findall(r"\S+\s*", block["text"]):
                delta = {"type": "text_delta", "text": word}
                yield {"type": "content_block_delta", "index": index, "delta": delta}
                time.sleep(step.delay)
        else:
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ended = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": ended, "usage": message["usage"]}
    yield {"type": "message_stop"}
