"""A client of the chat with python-socketio. Run: chat_client.py URL NAME ROOM TEXT [TRANSPORT]

It joins, says its text, and ends when it has heard that.
"""

import queue
import sys
from typing import Any

import socketio


def main(url: str, name: str, room: str, text: str, transport: str = "websocket") -> None:
    client, heard = socketio.Client(), queue.Queue[dict[str, Any]]()
    client.on("said", heard.put)
    client.connect(url, auth={"name": name}, transports=[transport])
    print("joined", client.call("join", room), flush=True)
    client.emit("say", (room, text))
    while (said := heard.get(timeout=10))["text"] != text:
        pass
    print(f"{said['by']}: {said['text']}", flush=True)
    client.disconnect()


if __name__ == "__main__":
    main(*sys.argv[1:])
