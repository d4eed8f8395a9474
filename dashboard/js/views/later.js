// A screen whose files are fetched when it is opened the first time.

import { html, useEffect, useState } from "../html.js";
import { Empty } from "./empty.js";

/** load: () => import(…). part: the name of the view in it. */
export function Later({ load, part, ...props }) {
  const [found, setFound] = useState(null);
  const [failed, setFailed] = useState(false);
  const get = () => (setFailed(false), load().then((module) => setFound({ view: module[part] }), (error) => (console.error(error), setFailed(true))));
  useEffect(() => void get(), [load]);
  if (failed) return html`<${Empty} whole title="This screen could not be fetched."><button type="button" class="button" onClick=${() => location.reload()}>Load the page again</button><//>`;
  return found ? html`<${found.view} ...${props} />` : html`<${Empty} whole quiet title="Opening …" />`;
}
