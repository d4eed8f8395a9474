"""A chat on Socket.IO and trio, without the rest of Townwatch. Run: chat_server.py [PORT]

Clients (any Socket.IO client, or chat_client.py) join a room and say something; it reaches all in the room.
"""

import sys
from typing import Any

import socketio
import trio

from townwatch.transports.socketio import Edge, EdgeSettings, TrioServer

server = TrioServer(cors_allowed_origins="*")


@server.event
async def join(sid: str, room: str) -> dict[str, Any]:
    await server.enter_room(sid, room)
    return {"room": room, "people": len(list(server.manager.get_participants("/", room)))}


@server.event
async def say(sid: str, room: str, text: str) -> None:
    name = (await server.get_session(sid)).get("name", "?")
    await server.emit("said", {"by": name, "text": text}, room=room)


@server.event
async def connect(sid: str, environ: dict[str, Any], auth: dict[str, str] | None) -> None:
    if not auth or not auth.get("name"):
        raise socketio.exceptions.ConnectionRefusedError("say who you are: auth={'name': …}")
    await server.save_session(sid, {"name": auth["name"]})


class Clock(socketio.AsyncNamespace):
    """A namespace as a class."""

    def on_connect(self, sid: str, environ: dict[str, Any]) -> None:
        server.start_background_task(self.tick, sid)

    async def tick(self, sid: str) -> None:
        for number in range(3):
            await server.emit("tick", number, to=sid, namespace="/clock")
            await server.sleep(0.05)


server.register_namespace(Clock("/clock"))


async def main(port: int) -> None:
    edge = Edge(EdgeSettings(port=port))
    server.mount(edge)
    async with server.serving(), trio.open_nursery() as nursery:
        await nursery.start(edge.serve)
        print(f"http://127.0.0.1:{edge.port}", flush=True)


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]) if sys.argv[1:] else 8000)
