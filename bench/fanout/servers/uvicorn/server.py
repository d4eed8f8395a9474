"""python-socketio on uvicorn and uvloop doing the same fan-out: runner events in over a WebSocket, the village out."""

import json
import socket
import sys
from datetime import UTC, datetime

import socketio
import uvicorn

server = socketio.AsyncServer(async_mode="asgi", transports=["websocket"])


@server.on("join_village")
async def join_village(sid, data):
    room = f"village:{data['villageId']}"
    await server.enter_room(sid, room)
    return {"ok": True, "room": room}


async def forward(text):
    event = json.loads(text)
    if event["type"] != "TERMINAL_CHUNK":
        return
    agent_id = f"runner_{event['sessionId'][:8]}"
    moment = datetime.fromtimestamp(event["ts"] / 1000, UTC)
    message = {
        "agentId": agent_id,
        "sessionId": event["sessionId"],
        "type": "output",
        "payload": {"data": event["data"], "stream": event["stream"]},
        "timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "seq": event["seq"],
    }
    await server.emit("work_stream_event", message, room=[f"village:{event['orgId']}", f"agent:{agent_id}"])


async def runner(receive, send):
    while (message := await receive())["type"] != "websocket.disconnect":
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        else:
            await forward(message["text"])


people = socketio.ASGIApp(server)


async def app(scope, receive, send):
    if scope["type"] == "websocket" and scope["path"] == "/runner":
        await runner(receive, send)
    else:
        await people(scope, receive, send)


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=4096)
print(f"port {listener.getsockname()[1]}", flush=True)
config = uvicorn.Config(
    app, loop="uvloop", http="httptools", ws="websockets-sansio", ws_per_message_deflate=False, log_level="error"
)
uvicorn.Server(config).run([listener])
