// What one may take away of a session, and that an owner may delete it.

import * as api from "../api.js";
import { html, useState } from "../html.js";
import { toVillage } from "../routes.js";
import { isFinal } from "../status.js";
import * as store from "../store.js";
import { Panel } from "./bits.js";

const FILES = [
  ["recording.cast", "cast", "Recording", "the terminal, for asciinema's player"],
  ["events.ndjson", "ndjson", "Events", "everything that happened, one JSON object a line"],
];

export function Keep({ agent }) {
  const [busy, setBusy] = useState("");
  const [failure, setFailure] = useState("");
  const attempt = async (name, work) => {
    setBusy(name);
    setFailure("");
    try {
      await work();
    } catch (error) {
      setFailure(error.message);
    }
    setBusy("");
  };
  const save = (path, ending) => attempt(path, async () => give(await api.file(agent.sessionId, path), `${agent.agentName} ${agent.sessionId}.${ending}`));
  const drop = () => attempt("delete", async () => {
    await api.drop(agent.sessionId);
    location.hash = toVillage(agent.villageId);
    location.reload(); // whatever is shown of it is gone
  });
  return html`<${Panel} name="keep" title="This session">
    <ul class="keep">${FILES.map(([path, ending, label, words]) => html`<li><button type="button" class="button" data-testid=${ending} disabled=${busy !== ""} onClick=${() => save(path, ending)}>${busy === path ? "Fetching …" : label}</button> <span class="faint">${words}</span></li>`)}
      ${store.canManage.value && isFinal(agent.state) ? html`<${Delete} busy=${busy === "delete"} drop=${drop} />` : null}</ul>
    ${failure ? html`<p class="failure" role="alert">${failure}</p>` : null}
  <//>`;
}

function Delete({ busy, drop }) {
  const [sure, setSure] = useState(false);
  const press = () => {
    if (sure) drop();
    setSure(!sure);
    if (!sure) setTimeout(() => setSure(false), 4000);
  };
  return html`<li><button type="button" class=${`button ${sure ? "danger" : ""}`} data-testid="delete" disabled=${busy} onClick=${press}>${sure ? "Really delete" : "Delete"}</button> <span class="faint">events, recording and approvals, for good</span></li>`;
}

function give(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
