// Who is called when nobody answers: of one village, set by its owners.

import * as api from "../api.js";
import { html, useEffect, useState } from "../html.js";
import * as store from "../store.js";
import { Panel } from "./bits.js";

export function Escalation({ villageId }) {
  const [found, setFound] = useState(null);
  const [members, setMembers] = useState([]);
  const [said, setSaid] = useState(null);
  const owner = store.canManage.value;
  useEffect(() => {
    api.escalation(villageId).then(setFound, (error) => setSaid({ text: error.message }));
    if (owner) api.members(villageId).then((all) => setMembers(all.filter((one) => one.role !== "viewer")), () => {});
  }, [villageId, owner]);
  const save = (minutes, people, waits = waitsOf(people)) => api.setEscalation(villageId, minutes, people.map((one) => one.userId), waits).then((now) => (setFound(now), setSaid({ good: true, text: "Saved." })), (error) => setSaid({ text: error.message }));
  if (found === null) return said ? html`<${Panel} name="escalation" title="When nobody answers"><p class="failure nothing" role="alert">${said.text}</p><//>` : null;
  const { minutes, ordered, people } = found;
  const order = ordered ? people : [];
  const rest = members.filter((one) => !order.some((known) => known.userId === one.userId));
  // Whoever waits as long as the village says goes on doing so when that is changed.
  const waitsOf = (people) => Object.fromEntries(people.filter((one) => one.wait !== undefined && one.wait !== minutes).map((one) => [one.userId, one.wait]));
  const move = (at, by) => {
    const moved = [...order];
    moved.splice(at + by, 0, ...moved.splice(at, 1));
    save(minutes, moved);
  };
  return html`<${Panel} name="escalation" title=${`When nobody answers in ${store.village.value?.name ?? villageId}`}><div class="call-times" data-testid="escalation">
    <p>${minutes === 0 ? "An approval that nobody answers calls nobody else." : html`An approval that nobody has answered for <b>${minutes} minutes</b> ${ordered ? "goes to the next person in this order, and after as long again to the one after, where no other time stands beside a name" : "goes to all owners at once"}.`}</p>
    ${minutes > 0 ? html`<ol class=${ordered ? "order" : "order is-set"}>${people.map((one, at) => html`<li key=${one.userId}><span><bdi>${one.name}</bdi>${one.reachable ? null : html` <span class="tag is-wait">has no channel for it</span>`} <span class="soft">${one.after ? `after ${one.after} min` : "at once"}</span></span>
      ${owner && ordered ? html`<span class="channel-acts"><label class="step">+ <input class="input" type="number" min="0" max="1440" aria-label=${`Minutes until ${one.name}`} value=${one.wait} onChange=${(event) => save(minutes, order, { ...waitsOf(order), [one.userId]: Number(event.currentTarget.value) })} /> min</label>${at > 0 ? html`<button type="button" class="button slim" aria-label=${`${one.name} earlier`} onClick=${() => move(at, -1)}>↑</button>` : null}<button type="button" class="button slim" onClick=${() => save(minutes, order.filter((each) => each !== one))}>Remove</button></span>` : null}</li>`)}</ol>
      ${people.length === 0 ? html`<p class="faint">Nobody is there to be called.</p>` : null}` : null}
    ${owner ? html`<div class="field-row">
      <label class="field"><span>Minutes (0: never)</span><input class="input" type="number" min="0" max="1440" value=${minutes} onChange=${(event) => save(Number(event.currentTarget.value), order)} /></label>
      ${rest.length ? html`<label class="field"><span>${ordered ? "Then" : "Instead, first"}</span><select class="input" value="" onChange=${(event) => event.currentTarget.value && save(minutes, [...order, { userId: event.currentTarget.value }])}><option value="">…</option>${rest.map((one) => html`<option value=${one.userId}>${one.name}</option>`)}</select></label>` : null}</div>` : null}
    ${said ? html`<p class=${said.good ? "soft" : "failure"} role=${said.good ? "status" : "alert"}>${said.text}</p>` : null}</div><//>`;
}
