// What a client does in the feature matrix, in node and in a browser alike: `io` is the official client's.
// The same story is told in Python by tests/conformance/matrix/python_client.py.
export async function scenario(io, url, options) {
  const found = { events: [] };
  const refused = io(url + options.namespace, { ...options.io, auth: { token: "wrong" }, forceNew: true, reconnection: false });
  found.refusal = await new Promise((done) => refused.once("connect_error", (error) => done([error.message, error.data])));
  refused.disconnect();
  refused.io.engine?.close();

  const settings = { ...options.io, auth: { token: "right" }, forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 100 };
  const socket = io(url + options.namespace, settings);
  const next = (event) => new Promise((done) => socket.once(event, (...args) => done(args)));
  const plain = (value) => (value instanceof ArrayBuffer || ArrayBuffer.isView(value) ? Array.from(new Uint8Array(value.buffer ?? value, value.byteOffset ?? 0, value.byteLength)) : value);
  socket.on("news", (text) => found.events.push(text));
  socket.on("question", (number, answer) => answer(number + 1));
  const answered = next("answered");
  const welcome = next("welcome");
  await next("connect");
  found.welcome = (await welcome)[0];
  if (options.upgrades && socket.io.engine.transport.name !== "websocket") await new Promise((done) => socket.io.engine.once("upgrade", done));
  found.transport = socket.io.engine.transport.name;
  const ask = (...args) => socket.timeout(10000).emitWithAck(...args);
  found.echo = await ask("echo", { a: [1, "é🙂", null, 1.5] });
  const bytes = Uint8Array.from({ length: 3000 }, (_, index) => index % 256);
  found.binary = plain((await ask("echo", { blob: bytes.buffer })).blob).reduce((sum, byte) => sum + byte, 0);
  found.long = (await ask("echo", "long ".repeat(2000))).length;
  socket.emit("ask me");
  found.answered = (await answered)[0];
  await ask("join", "room");
  await ask("tell", "room", "first");
  const id = socket.id;
  const again = next("connect");
  await ask("cut me"); // the server cuts the connection, and says "missed" to the room while nobody is there
  await again;
  found.recovered = socket.recovered;
  found.same = socket.id === id;
  if (!socket.recovered) await ask("join", "room");
  await ask("tell", "room", "last");
  const gone = next("disconnect");
  socket.disconnect();
  found.reason = (await gone)[0];
  return found;
}
