"""python-socketio's client asks for many events and prints what came. Run: listener.py URL TRANSPORT PARSER"""

import json
import queue
import sys
from typing import Any

import socketio


def main(url: str, transport: str, parser: str) -> None:
    client: Any = socketio.Client(serializer="msgpack" if parser == "msgpack" else "default")
    heard = queue.Queue[tuple[Any, ...]]()
    client.on("one", lambda *arguments: heard.put(arguments))
    client.on("whole", lambda *arguments: heard.put(arguments))
    client.connect(url, transports=[transport])
    answered = client.call("many", 100, timeout=20)
    found = [heard.get(timeout=20) for _ in range(101)]
    client.disconnect()
    arguments, numbers = sorted({len(one) for one in found}), [one[0]["n"] for one in found]
    print(json.dumps({"arguments": arguments, "numbers": numbers, "answered": answered}))


if __name__ == "__main__":
    main(*sys.argv[1:])
