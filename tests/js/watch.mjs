// A client that nobody here wrote: the official socket.io-client. Joins what it is told, prints what it gets.
//
//   node watch.mjs URL '{"transports":["websocket"],"token":"…","joins":[["join_village",{"villageId":"demo"}]]}'
//
// One JSON line for each thing that happens: {"connected": transport}, {"ack": …}, {"event": name, "args": […]}, {"error": …}.
// Lines on standard input are emitted: ["event", payload]. The end of standard input ends it.
import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const [url, text] = process.argv.slice(2);
const options = JSON.parse(text);
const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");

const socket = io(url, {
  transports: options.transports,
  auth: options.auth ?? (options.token === undefined ? {} : { token: options.token }),
  query: options.query,
  extraHeaders: options.headers,
  tryAllTransports: options.tryAll ?? false,
  reconnection: options.reconnection ?? false,
  reconnectionDelay: 50,
  reconnectionDelayMax: 200,
  timeout: options.timeout ?? 20000,
  path: options.path ?? "/socket.io",
});
const engine = () => socket.io.engine?.transport?.name;

socket.on("connect", async () => {
  if (!options.tryAll && options.transports.length > 1 && engine() !== "websocket") await new Promise((done) => socket.io.engine.once("upgrade", done));
  say({ connected: engine(), recovered: socket.recovered, id: socket.id });
  if (socket.recovered) return;
  for (const [event, payload] of options.joins ?? []) say({ ack: await socket.timeout(10000).emitWithAck(event, payload), to: event });
  say({ joined: true });
});
socket.on("connect_error", (error) => say({ error: error.message, data: error.data }));
socket.on("disconnect", (reason) => say({ disconnected: reason }));
socket.onAny((event, ...args) => {
  const answer = args.findIndex((arg) => typeof arg === "function");
  if (answer >= 0) args.splice(answer, 1)[0]();
  // Connection state recovery adds an offset as the last argument of every event.
  if (typeof args.at(-1) === "string" && /^[0-9a-f]{8}\.[0-9a-f]+(\.[0-9a-ftvx~!-]+)?$/.test(args.at(-1))) args.pop();
  say({ event, args });
});

createInterface({ input: process.stdin })
  .on("line", async (line) => {
    const [event, payload] = JSON.parse(line);
    if (event === "$cut") socket.io.engine.close();
    else if (event === "$known") say({ pid: socket._pid, offset: socket._lastOffset });
    else if (payload === undefined) say({ ack: (await socket.timeout(10000).emitWithAck(event)) ?? null, to: event });
    else say({ ack: await socket.timeout(10000).emitWithAck(event, payload), to: event });
  })
  .on("close", () => {
    socket.disconnect();
    process.exit(0);
  });
