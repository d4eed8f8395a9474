// Nothing there: then the page says what to do first.

import { html } from "../html.js";
import * as store from "../store.js";
import { Command } from "./bits.js";
import { SignIn } from "./person.js";

/** whole: it stands for a whole screen, so its title is the heading of the page. */
export function Empty({ title, children, quiet = false, whole = false }) {
  return html`<div class=${`empty ${quiet ? "empty-quiet" : ""}`} data-testid="empty"><${whole ? "h1" : "p"} class="empty-title">${title}<//>${children}</div>`;
}

/** A village in which nobody has worked yet. */
export function NobodyAtWork() {
  if (!store.canDrive.value) return html`<${Empty} title="No agent works here yet." />`;
  return html`<${Empty} title="No agent works here yet. Start one:">
    <p><${Command} text="townwatch run -- bash" /></p>
    <p class="faint">Run it in a repository. Any command works: <code>claude</code>, <code>codex</code>, <code>pytest</code>. Your terminal stays yours, and the session appears here.</p>
  <//>`;
}

/** A link to a village that this person does not see. */
export function NoSuchVillage({ villageId }) {
  return store.missing.value === `village ${villageId}`
    ? html`<${Empty} whole title="There is no such village, or you may not see it."><p><a href="#/">Back to the village</a></p><//>`
    : html`<${Empty} whole quiet title="Looking for the village …" />`;
}

export function NoVillage() {
  return html`<div class="welcome">
    <h1>The control room for coding agents</h1>
    ${store.user.value === null
      ? html`<p>No village is open to visitors. Sign in with the link that <code>make run</code> or <code>townwatch serve</code> printed.</p><${SignIn} />`
      : html`<p>You are signed in, and a member of no village yet. Its owner can add you${store.user.value?.mayCreateVillages ? ", or make one, under your name" : ""}.</p>`}
  </div>`;
}
