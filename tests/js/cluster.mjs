// An official Socket.IO cluster over Redis: emitters, servers with the Redis adapters, and a client of one of those.
//
//   node cluster.mjs '{"redis":"redis://127.0.0.1:6379","key":"socket.io","stream":"socket.io"}'
//
// Lines on standard input: {via: emitter | adapter | streams, namespace?, rooms?, except?, event, args, times?}; each is answered with {done: via}.
// {"listen": adapter | streams, "room": …} lets a client of that server join a room; what it gets is printed as {heard: event, args, by}.
// {"order": socketsJoin | disconnectSockets, via, rooms?} are the orders that servers give each other's clients.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { createClient } from "redis";
import { Server } from "socket.io";
import { io as connect } from "socket.io-client";
import { createAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import { Emitter } from "@socket.io/redis-emitter";

const options = JSON.parse(process.argv[2]);
const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const client = async () => {
  const made = createClient({ url: options.redis });
  made.on("error", () => {});
  await made.connect();
  return made;
};

const emitter = new Emitter(await client(), { key: options.key });
const serve = async (adapter) => {
  const http = createServer();
  const server = new Server(http, { adapter });
  for (const name of ["/", "/other"]) {
    server.of(name).on("connection", (socket) => socket.on("join", (room, done) => (socket.join(room), done())));
  }
  await new Promise((listening) => http.listen(0, "127.0.0.1", listening));
  return { server, port: http.address().port };
};
const servers = {
  adapter: await serve(createAdapter(await client(), await client(), { key: options.key })),
  streams: await serve(createStreamsAdapter(await client(), { streamName: options.stream })),
};
const place = (via, namespace) => (via === "emitter" ? (namespace ? emitter.of(namespace) : emitter) : servers[via].server.of(namespace ?? "/"));
say({ up: true });

createInterface({ input: process.stdin }).on("line", async (line) => {
  const order = JSON.parse(line);
  if (order.listen) {
    const socket = connect(`http://127.0.0.1:${servers[order.listen].port}`, { transports: ["websocket"] });
    socket.onAny((event, ...args) => say({ heard: event, args, by: order.listen }));
    await new Promise((done) => socket.on("connect", done));
    await socket.emitWithAck("join", order.room);
    return say({ done: "listen" });
  }
  let to = place(order.via, order.namespace);
  if (order.rooms) to = to.to(order.rooms);
  if (order.except) to = to.except(order.except);
  if (order.order === "socketsJoin") to.socketsJoin("village:demo");
  else if (order.order) to[order.order](true);
  else {
    const args = (order.args ?? []).map((one) => (one === "$bytes" ? Buffer.from("abc") : one));
    for (let number = 0; number < (order.times ?? 1); number++) to.emit(order.event, ...args.map((one) => (one === "$number" ? number : one)));
  }
  say({ done: order.via });
}).on("close", () => process.exit(0));
