// Redocly's linter with its recommended rules: reads an OpenAPI document from standard input, prints what it found as one JSON line.
import { text } from "node:stream/consumers";
import { createConfig, lintFromString } from "@redocly/openapi-core";

const config = await createConfig({ extends: ["recommended"] });
const found = await lintFromString({ source: await text(process.stdin), config });
console.log(JSON.stringify(found.map(({ severity, ruleId, message, location }) => ({ severity, ruleId, message, at: location[0]?.pointer }))));
