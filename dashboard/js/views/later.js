// A screen whose files are fetched when it is opened the first time.

import { html, useEffect, useState } from "../html.js";
import { Empty } from "./empty.js";

/** What has been fetched, by what fetches it: opened again, a screen is there at once. */
const fetched = new Map();

/** load: () => import(…), the same function each time. part: the name of the view in it. */
export function Later({ load, part, ...props }) {
  const [failed, setFailed] = useState(null);
  const [, drawAgain] = useState(0);
  useEffect(() => {
    if (fetched.has(load)) return;
    load().then((module) => (fetched.set(load, module), drawAgain((before) => before + 1)), (error) => (console.error(error), setFailed(() => load)));
  }, [load]);
  if (failed === load) return html`<${Empty} whole title="This screen could not be fetched."><button type="button" class="button" onClick=${() => location.reload()}>Load the page again</button><//>`;
  const view = fetched.get(load)?.[part];
  return view ? html`<${view} ...${props} />` : html`<${Empty} whole quiet title="Opening …" />`;
}
