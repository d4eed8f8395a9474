// The official ACP client, told what to do on standard input, one JSON array a line; prints a JSON line for each thing that
// happens: {"answer"} or {"error"} to what it was told, {"update"}, {"asked"}, {"withdrawn"}.
// Arguments: a JSON object {command, args}.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { Readable, Writable } from "node:stream";
import * as acp from "@agentclientprotocol/sdk";

const options = JSON.parse(process.argv[2]);
const agent = spawn(options.command, options.args, { stdio: ["pipe", "pipe", "inherit"], env: { ...process.env, ...options.env } });
const say = (value) => console.log(JSON.stringify(value));
const waiting = [];

await acp
  .client({ name: "test" })
  .onNotification(acp.methods.client.session.update, ({ params }) => say({ update: params.update, sessionId: params.sessionId }))
  .onRequest(acp.methods.client.session.requestPermission, ({ params, signal }) => {
    say({ asked: params });
    return new Promise((resolve) => {
      waiting.push(resolve);
      signal?.addEventListener("abort", () => {
        waiting.splice(waiting.indexOf(resolve), 1);
        say({ withdrawn: params.toolCall.toolCallId });
        resolve({ outcome: { outcome: "cancelled" } });
      });
    });
  })
  .connectWith(acp.ndJsonStream(Writable.toWeb(agent.stdin), Readable.toWeb(agent.stdout)), async (context) => {
    for await (const line of createInterface({ input: process.stdin })) {
      const [what, params] = JSON.parse(line);
      if (what === "choose") waiting.shift()({ outcome: { outcome: "selected", optionId: params } });
      else if (what === "session/cancel") {
        for (const resolve of waiting.splice(0)) resolve({ outcome: { outcome: "cancelled" } });
        await context.notify(what, params);
      } else
        context
          .request(what, params)
          .then((answer) => say({ answer: answer ?? null, to: what }))
          .catch((error) => say({ error: error.message, code: error.code, to: what }));
    }
  });
agent.kill();
process.exit(0);
