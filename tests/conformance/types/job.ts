// The main job in TypeScript, with a client that openapi-typescript made of the document: start, type, allow, 409, stop.
import createClient from "openapi-fetch";
import type { components, paths } from "./api";

declare const process: { argv: string[] };
const [url, token, directory] = process.argv.slice(2) as [string, string, string];
const client = createClient<paths>({ baseUrl: url, headers: { authorization: `Bearer ${token}` } });
type Session = components["schemas"]["SessionView"];

async function until<T>(look: () => Promise<T | undefined | false>): Promise<T> {
  for (let tries = 0; tries < 300; tries++) {
    const found = await look();
    if (found) return found;
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error("it did not come");
}

const script = "read word; townwatch ask --category shell --risk low $word && sleep 300";
const started = await client.POST("/api/runner/sessions", {
  body: {
    providerId: "command",
    command: ["sh", "-c", script],
    repoRef: { provider: "local", path: directory },
    task: { title: "t", goal: "g" },
  },
});
if (started.error) throw new Error(started.error.error.message);
const { sessionId } = started.data;
const path = { sessionId };
const view = async (): Promise<Session> => {
  const { data, error } = await client.GET("/api/runner/sessions/{sessionId}", { params: { path } });
  if (error) throw new Error(error.error.code);
  return data;
};
await until(async () => (await view()).state === "RUNNING");
const typed = await client.POST("/api/runner/sessions/{sessionId}/input", { params: { path }, body: { data: "hello", mode: "line" } });
if (typed.response.status !== 200) throw new Error("not typed");
const [asked] = await until(async () => {
  const { data } = await client.GET("/api/approvals");
  return data !== undefined && data.items.length > 0 && data.items;
});
if (asked?.summary !== "hello") throw new Error(asked?.summary);
const decide = (decision: components["schemas"]["DecisionBody"]["decision"]) =>
  client.POST("/api/runner/sessions/{sessionId}/approvals/{approvalId}", {
    params: { path: { ...path, approvalId: asked.approvalId } },
    body: { decision },
  });
const first = await decide("allow");
const second = await decide("deny");
if (first.error || second.response.status !== 409 || second.error?.error.code !== "E_DECIDED") throw new Error("decided twice");
const stopped = await client.POST("/api/runner/sessions/{sessionId}/stop", { params: { path }, body: { graceful: true } });
if (stopped.error) throw new Error(stopped.error.error.message);
const ended = await until(async () => {
  const now = await view();
  return now.endedAt !== null && now;
});
console.log(ended.state);

// @ts-expect-error there is no such path
void client.GET("/api/nothing");
// @ts-expect-error a decision is allow or deny
void decide("perhaps");
