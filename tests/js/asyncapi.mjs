// The official parser of AsyncAPI: reads a document from standard input and prints what it found, as one JSON line.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(0, "utf8"));
const found = diagnostics.map(({ severity, code, message, path }) => ({ severity, code, message, path: path.join(".") }));
const names = document && {
  version: document.version(),
  channels: document.channels().all().map((one) => one.address()),
  operations: document.operations().all().map((one) => `${one.action()} ${one.channels().all()[0].address()}`),
  messages: document.operations().all().flatMap((one) => one.messages().all().map((message) => message.name())),
  schemas: Object.keys(document.json().components.schemas).length,
};
console.log(JSON.stringify({ names, found }));
