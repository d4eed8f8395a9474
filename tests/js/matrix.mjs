// node matrix.mjs URL '{"namespace": "/", "io": {…}, "msgpack": false}': the scenario, its findings as JSON on standard output.
import { io } from "socket.io-client";
import * as msgpack from "socket.io-msgpack-parser";
import { scenario } from "./matrix_scenario.js";

const [url, text] = process.argv.slice(2);
const options = JSON.parse(text);
if (options.msgpack) options.io.parser = msgpack.default ?? msgpack;
process.stdout.write(JSON.stringify(await scenario(io, url, options)));
process.exit(0);
