"""python-socketio's own clients tell the story of tests/js/matrix_scenario.js. Run as a program, with its own loop."""

import asyncio
import json
import queue
import sys
from typing import Any

import socketio

SECONDS = 10
BLOB = bytes(index % 256 for index in range(3000))
CUT = {"polling": "lose me", "websocket": "cut me"}
"""Said goodbye to while it polls, python-engineio takes that for the end; only what is lost comes back."""


async def with_asyncio(url: str, options: dict[str, Any]) -> dict[str, Any]:
    space = options["namespace"]
    found: dict[str, Any] = {"events": []}
    waiting: dict[str, asyncio.Queue[Any]] = {name: asyncio.Queue() for name in ("welcome", "answered", "connect")}
    refused = socketio.AsyncClient(reconnection=False, serializer=options["serializer"])
    refusal: asyncio.Queue[Any] = asyncio.Queue()
    refused.on("connect_error", lambda data: refusal.put_nowait(data), namespace=space)
    how: dict[str, Any] = {"transports": options["transports"], "namespaces": [space]}
    try:
        await refused.connect(url, auth={"token": "wrong"}, **how)
    except socketio.exceptions.ConnectionError:
        found["refusal"] = await asyncio.wait_for(refusal.get(), SECONDS)
    client = socketio.AsyncClient(reconnection_delay=0.02, reconnection_delay_max=0.1, serializer=options["serializer"])
    client.on("news", lambda text, *_: found["events"].append(text), namespace=space)
    client.on("question", lambda number, *_: number + 1, namespace=space)
    client.on("connect", lambda: waiting["connect"].put_nowait(None), namespace=space)
    client.on("welcome", lambda data, *_: waiting["welcome"].put_nowait(data), namespace=space)
    client.on("answered", lambda data, *_: waiting["answered"].put_nowait(data), namespace=space)

    async def next_(event: str) -> Any:
        return await asyncio.wait_for(waiting[event].get(), SECONDS)

    async def ask(event: str, data: Any = None) -> Any:
        return await client.call(event, data, namespace=space, timeout=SECONDS)

    await client.connect(url, auth={"token": "right"}, **how)
    await next_("connect")
    found["welcome"] = await next_("welcome")
    found["transport"] = client.transport()
    found["echo"] = await ask("echo", {"a": [1, "é🙂", None, 1.5]})
    found["binary"] = sum((await ask("echo", {"blob": BLOB}))["blob"])
    found["long"] = len(await ask("echo", "long " * 2000))
    await client.emit("ask me", namespace=space)
    found["answered"] = await next_("answered")
    await ask("join", "room")
    await ask("tell", ("room", "first"))
    sid = client.get_sid(space)
    await ask(CUT[client.transport()])
    await next_("connect")
    found["same"] = client.get_sid(space) == sid
    await ask("join", "room")
    await ask("tell", ("room", "last"))
    await client.disconnect()
    return found


def with_threads(url: str, options: dict[str, Any]) -> dict[str, Any]:
    space = options["namespace"]
    found: dict[str, Any] = {"events": []}
    waiting: dict[str, queue.Queue[Any]] = {name: queue.Queue() for name in ("welcome", "answered", "connect")}
    refused = socketio.Client(reconnection=False, serializer=options["serializer"])
    refusal: queue.Queue[Any] = queue.Queue()
    refused.on("connect_error", lambda data: refusal.put(data), namespace=space)
    how: dict[str, Any] = {"transports": options["transports"], "namespaces": [space]}
    try:
        refused.connect(url, auth={"token": "wrong"}, **how)
    except socketio.exceptions.ConnectionError:
        found["refusal"] = refusal.get(timeout=SECONDS)
    client = socketio.Client(reconnection_delay=0.02, reconnection_delay_max=0.1, serializer=options["serializer"])
    client.on("news", lambda text, *_: found["events"].append(text), namespace=space)
    client.on("question", lambda number, *_: number + 1, namespace=space)
    client.on("connect", lambda: waiting["connect"].put(None), namespace=space)
    client.on("welcome", lambda data, *_: waiting["welcome"].put(data), namespace=space)
    client.on("answered", lambda data, *_: waiting["answered"].put(data), namespace=space)

    def ask(event: str, data: Any = None) -> Any:
        return client.call(event, data, namespace=space, timeout=SECONDS)

    client.connect(url, auth={"token": "right"}, **how)
    waiting["connect"].get(timeout=SECONDS)
    found["welcome"] = waiting["welcome"].get(timeout=SECONDS)
    found["transport"] = client.transport()
    found["echo"] = ask("echo", {"a": [1, "é🙂", None, 1.5]})
    found["binary"] = sum(ask("echo", {"blob": BLOB})["blob"])
    found["long"] = len(ask("echo", "long " * 2000))
    client.emit("ask me", namespace=space)
    found["answered"] = waiting["answered"].get(timeout=SECONDS)
    ask("join", "room")
    ask("tell", ("room", "first"))
    sid = client.get_sid(space)
    ask(CUT[client.transport()])
    waiting["connect"].get(timeout=SECONDS)
    found["same"] = client.get_sid(space) == sid
    ask("join", "room")
    ask("tell", ("room", "last"))
    client.disconnect()
    return found


if __name__ == "__main__":
    kind, address, text = sys.argv[1:]
    chosen = json.loads(text)
    done = asyncio.run(with_asyncio(address, chosen)) if kind == "asyncio" else with_threads(address, chosen)
    print(json.dumps(done))
