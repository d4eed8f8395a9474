// The official MCP client, told what to do on standard input, one JSON array a line; it prints one answer a line.
// Arguments: a JSON object {url, token, mode} or {command, args, env, mode}.
import { createInterface } from "node:readline";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

const options = JSON.parse(process.argv[2]);
const transport = options.url
  ? new StreamableHTTPClientTransport(new URL(options.url), { requestInit: { headers: { authorization: `Bearer ${options.token}` } } })
  : new StdioClientTransport({ command: options.command, args: options.args, env: { ...process.env, ...options.env } });
const client = new Client({ name: "test", version: "1" }, { versionNegotiation: { mode: options.mode } });
const say = (value) => console.log(JSON.stringify(value));
try {
  await client.connect(transport);
  say({ server: client.getServerVersion(), instructions: client.getInstructions() });
} catch (error) {
  say({ error: String(error) });
  process.exit(1);
}
for await (const line of createInterface({ input: process.stdin })) {
  const [what, name, args] = JSON.parse(line);
  try {
    if (what === "list") say({ tools: (await client.listTools()).tools });
    else say(await client.callTool({ name, arguments: args }));
  } catch (error) {
    say({ error: String(error), code: error.code });
  }
}
await client.close();
