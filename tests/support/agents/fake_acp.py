"""An agent that speaks the Agent Client Protocol as a test wants: ``python fake_acp.py MODE``. Standard library only.

It writes what it was answered to ``answers.jsonl`` in its working directory.
"""

import json
import sys
from typing import Any

MODE = sys.argv[1]
OPTIONS = [
    {"optionId": "yes", "name": "Yes", "kind": "allow_once"},
    {"optionId": "always", "name": "Always", "kind": "allow_always"},
    {"optionId": "no", "name": "No", "kind": "reject_once"},
]
CALL = {"toolCallId": "t1", "title": "make it", "kind": "execute", "status": "pending", "rawInput": {"command": "make"}}


def send(**message: Any) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def update(**fields: Any) -> None:
    send(method="session/update", params={"sessionId": "s", "update": fields})


def receive() -> dict[str, Any]:
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    message: dict[str, Any] = json.loads(line)
    with open("answers.jsonl", "a") as file:
        file.write(line)
    return message


def ask(options: list[dict[str, Any]]) -> None:
    send(id=0, method="session/request_permission", params={"sessionId": "s", "toolCall": CALL, "options": options})


def turn(prompt: int) -> None:
    if MODE == "odd":
        update(sessionUpdate="tool_call", toolCallId=7)
        update(sessionUpdate="agent_message_chunk", content={"type": "text", "text": "still here"})
        ask([{"optionId": "yes", "name": "Sure", "kind": "allow_sometimes"}])
        receive()
    elif MODE == "files":
        send(id=5, method="fs/write_text_file", params={"sessionId": "s", "path": "/etc/passwd", "content": "x"})
        receive()
    elif MODE == "twice":  # two questions, one id
        ask(OPTIONS)
        send(id=0, method="session/request_permission",
             params={"sessionId": "s", "toolCall": {**CALL, "toolCallId": "t2", "rawInput": {"command": "rm -r ."}},
                     "options": OPTIONS})  # fmt: skip
        receive()
    elif MODE == "many":
        for number in range(1000):
            call = {**CALL, "toolCallId": f"t{number}", "rawInput": {"command": f"make {number}"}}
            given = {"sessionId": "s", "toolCall": call, "options": OPTIONS}
            send(id=number, method="session/request_permission", params=given)
        receive()
    elif MODE == "garbage":
        sys.stdout.write("\x00\x1b]52;c;aGk=\x07{not json}\n" * 2000 + "[" * 100_000 + "\n{\n")
        sys.stdout.flush()
        send(id=prompt, result=17)
        return
    elif MODE == "dies":
        ask(OPTIONS)
        sys.exit(9)
    elif MODE == "plain":
        update(sessionUpdate="agent_message_chunk", content={"type": "text", "text": "heard"})
    else:
        update(sessionUpdate="tool_call", **CALL)
        ask(OPTIONS)
        answer = receive()
        if "method" in answer:  # cancelled: the answer to the question comes after it
            receive()
            send(id=prompt, result={"stopReason": "cancelled"})
            return
        chosen = answer["result"]["outcome"].get("optionId")
        status = "completed" if chosen in ("yes", "always") else "failed"
        update(sessionUpdate="tool_call_update", toolCallId="t1", status=status)
    send(id=prompt, result={"stopReason": "end_turn"})


while True:
    message = receive()
    match message.get("method"):
        case "initialize":
            about = {"agentInfo": {"name": "fake", "version": "1"}, "agentCapabilities": {"loadSession": MODE != "odd"}}
            send(id=message["id"], result={"protocolVersion": 1, **about})
        case "session/new" if MODE == "sign-in":
            send(id=message["id"], error={"code": -32000, "message": "run fake login"})
        case "session/new":
            send(id=message["id"], result={"sessionId": "s"})
        case "session/load":
            update(sessionUpdate="user_message_chunk", content={"type": "text", "text": "go"})
            update(sessionUpdate="agent_message_chunk", content={"type": "text", "text": "said before"})
            send(id=message["id"], result=None)
        case "session/set_model" if message["params"]["modelId"] == "unknown":
            send(id=message["id"], error={"code": -32602, "message": "no such model"})
        case "session/set_model":
            send(id=message["id"], result={})
        case "session/prompt":
            turn(message["id"])
        case _:
            pass
