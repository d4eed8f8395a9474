// Part of starting work: go on with a conversation that an agent had outside of Townwatch.

import * as api from "../api.js";
import { since } from "../format.js";
import { html, useState } from "../html.js";
import { goingOn, keeperOf, providerName } from "../starting.js";
import { Panel } from "./bits.js";

/** set(change) changes the form. */
export function Earlier({ form, runners, villageId, set }) {
  const [found, setFound] = useState(null);
  const keeper = keeperOf(runners, form.runnerId);
  const shown = found && found.runnerId === keeper?.runnerId ? found : null;
  const look = async () => {
    const { runnerId } = keeper;
    setFound({ runnerId, busy: true });
    setFound({ runnerId, ...(await api.conversations(villageId, runnerId).catch((error) => ({ trouble: error.message }))) });
  };
  const choose = (name) => set(goingOn(shown.items.find((one) => one.conversation === name) ?? null, keeper.runnerId));
  if (keeper === null) return null;
  return html`<${Panel} name="earlier" title="Go on with an earlier conversation"><div class="start-body">
    ${shown?.items?.length ? html`<label class="field"><span>One that an agent had outside of Townwatch, on ${keeper.name}</span>
      <select class="input" data-testid="conversation" value=${form.conversation} onChange=${(event) => choose(event.currentTarget.value)}><option value="">none: begin anew</option>${shown.items.map((one) => html`<option value=${one.conversation}>${label(one)}</option>`)}</select>
      ${shown.truncated ? html`<small>These are the newest ones; there are more.</small>` : null}</label>` : null}
    ${shown?.items?.length === 0 ? html`<p class="nothing" data-testid="no-conversation">No conversation is known on ${keeper.name}.</p>` : null}
    ${shown?.unknown?.length ? html`<p class="faint" data-testid="unknown-conversations">Not known: ${shown.unknown.map((one) => `${providerName(one.providerId)} (${one.reason})`).join(", ")}.</p>` : null}
    ${shown?.trouble ? html`<p class="failure" role="alert">${shown.trouble}</p>` : null}
    <button type="button" class="button" data-testid="look-earlier" disabled=${shown?.busy} onClick=${look}>${shown?.busy ? "Looking …" : shown ? "Look again" : `Look on ${keeper.name}`}</button>
  </div><//>`;
}

const label = (one) => `${providerName(one.providerId)}, ${since(Date.now() - one.at)}: ${one.title ?? "without a title"} (${one.path})`;
