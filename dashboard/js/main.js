// The page's start.

import { html, render } from "./html.js";
import { parseRoute } from "./routes.js";
import { route } from "./store.js";
import { start } from "./town.js";
import { App } from "./views/app.js";
import { startCalling } from "./caller.js";
import { listenForKeys } from "./views/keys.js";

addEventListener("hashchange", () => (route.value = parseRoute(location.hash)));
listenForKeys();
render(html`<${App} />`, document.getElementById("page"));
startCalling();
start();
