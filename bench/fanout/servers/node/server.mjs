// The official server doing the same fan-out: runner events in over a WebSocket, work_stream_event out to the village.
// No recovery, no compression, websocket only: its fastest configuration.
import { createServer } from "node:http";
import { Server } from "socket.io";
import { WebSocketServer } from "ws";

const http = createServer();
const io = new Server(http, { transports: ["websocket"], serveClient: false, perMessageDeflate: false });
const producers = new WebSocketServer({ noServer: true });

io.on("connection", (socket) => {
  socket.on("join_village", ({ villageId }, acknowledge) => {
    socket.join(`village:${villageId}`);
    acknowledge({ ok: true, room: `village:${villageId}` });
  });
});

function forward(text) {
  const event = JSON.parse(text);
  if (event.type !== "TERMINAL_CHUNK") return;
  const agentId = `runner_${event.sessionId.slice(0, 8)}`;
  io.to([`village:${event.orgId}`, `agent:${agentId}`]).emit("work_stream_event", {
    agentId,
    sessionId: event.sessionId,
    type: "output",
    payload: { data: event.data, stream: event.stream },
    timestamp: new Date(event.ts).toISOString(),
    seq: event.seq,
  });
}

http.on("upgrade", (request, socket, head) => {
  if (!request.url.startsWith("/runner")) return; // Socket.IO's own
  producers.handleUpgrade(request, socket, head, (producer) => producer.on("message", forward));
});

http.listen(Number(process.argv[2]), "127.0.0.1", 4096, () => console.log(`port ${http.address().port}`));
