// Webhooks: what is called when something happens in a village, whether it answers, and what became of each message.

import { html, useState } from "../../html.js";
import * as run from "../../operating.js";
import { toSession, withQuery } from "../../routes.js";
import { Empty } from "../empty.js";
import { Foot, usePages } from "../pages.js";
import { Ago, Answered, Choice, Said, Secret, Sure, Table, useActs, useAnswer } from "./parts.js";

const EVERY_MS = 5_000;
const KINDS = [["approval.requested", "an agent asks"], ["approval.resolved", "a question is answered"], ["session.ended", "a session ends"], ["session.failed", "a session fails"], ["alert.opened", "an alert is raised"]];
const STATES = [["", "all messages"], ["waiting", "waiting"], ["delivered", "delivered"], ["dead", "given up"]];

export function WebhooksScreen({ villageId, query }) {
  const [made, setMade] = useState(null);
  const webhooks = useAnswer(() => run.webhooks(villageId), villageId, EVERY_MS);
  const show = (answer) => answer && setMade(answer);
  return html`${made ? html`<${Secret} title="The webhook's secret." text=${made.secret} close=${() => setMade(null)}><p class="soft">The receiver checks the signature of each message with it (Standard Webhooks).</p><//>` : null}
    <${Answered} answer=${webhooks}>${(all) => html`<section class="panel" aria-label="Webhooks">${all.length ? html`<${Table} label="Webhooks" columns=${["State", "Calls", "When", "Messages", "(Do)"]} data-testid="webhooks">${all.map((one) => html`<${Row} key=${one.webhookId} one=${one} villageId=${villageId} open=${query.of === one.webhookId} again=${webhooks.again} show=${show} query=${query} />`)}<//>` : html`<${Empty} title="No webhook is set up."><p class="faint">The service calls an address of yours when an agent asks, a session ends, or an alert is raised.</p><//>`}</section>`}<//>
    <${New} villageId=${villageId} again=${webhooks.again} show=${show} />`;
}

function stateOf(one) {
  if (!one.enabled) return html`<span class=${`tag ${one.trouble ? "is-bad" : ""}`}>off</span>${one.trouble ? html`<br /><span class="failure small">${one.trouble}</span>` : null}`;
  return one.dead ? html`<span class="tag is-wait">on</span>` : html`<span class="tag is-good">on</span>`;
}

const counts = (one) => [one.waiting && `${one.waiting} waiting`, one.dead && `${one.dead} given up`, one.dropped && `${one.dropped} not kept`].filter(Boolean).join(", ") || "none waits";

function Row({ one, villageId, open, again, show, query }) {
  const { act, busy, said } = useActs(again);
  const change = (what, text) => act(() => run.changeWebhook(villageId, one.webhookId, what), text);
  const name = one.name || one.url;
  return html`<tr class=${open ? "is-open" : ""} data-testid="webhook"><td>${stateOf(one)}</td><td>${one.name ? html`<strong><bdi>${one.name}</bdi></strong><br />` : null}<span class="path">${one.url}</span></td>
      <td class="soft" data-label="when">${one.kinds.map((kind) => KINDS.find(([id]) => id === kind)?.[1] ?? kind).join(", ")}</td><td class="soft" data-label="messages">${counts(one)}</td>
      <td class="acts"><button type="button" class="button slim" disabled=${busy} onClick=${() => change({ enabled: !one.enabled })}>${one.enabled ? "Switch off" : "Switch on"}</button> <a class="button slim" href=${withQuery(location.hash, { of: open ? "" : one.webhookId, state: "" })} aria-label=${`${open ? "Less" : "More"} of ${name}`}>${open ? "Less" : "More"}</a></td></tr>
    ${open || said ? html`<tr class="plain-more"><td colspan="5"><${Said} said=${said} />${open ? html`<div class="operator-more">
      <p class="faint small">Made by <bdi>${one.createdBy}</bdi> <${Ago} at=${one.createdAt} />.${one.oldSecretUntil ? ` The secret before this one signs, too, until ${new Date(one.oldSecretUntil).toLocaleString()}.` : ""}</p>
      <${Change} one=${one} change=${change} busy=${busy} />
      <p class="operator-acts"><button type="button" class="button slim" data-testid="test-webhook" disabled=${busy || !one.enabled} onClick=${() => act(() => run.tryWebhook(villageId, one.webhookId), "A test is on its way: see below what becomes of it.")}>Send a test</button>
        <${Sure} word="New secret" sure="Really make a new one?" act=${() => act(() => run.rotateWebhook(villageId, one.webhookId)).then(show)} disabled=${busy} />
        <${Sure} word="Delete" act=${() => act(() => run.deleteWebhook(villageId, one.webhookId))} disabled=${busy} /></p>
      <${Deliveries} villageId=${villageId} webhook=${one} state=${query.state ?? ""} tick=${`${one.waiting} ${one.dead} ${said?.text ?? ""}`} act=${act} /></div>` : null}</td></tr>` : null}`;
}

function Kinds({ chosen, set }) {
  return html`<fieldset class="checks"><legend class="legend">It is called when</legend>${KINDS.map(([kind, words]) => html`<label class="check"><input type="checkbox" checked=${chosen.includes(kind)} onChange=${(event) => set(event.currentTarget.checked ? [...chosen, kind] : chosen.filter((one) => one !== kind))} />${words}</label>`)}</fieldset>`;
}

function Change({ one, change, busy }) {
  const [open, setOpen] = useState(false);
  const [kinds, setKinds] = useState(one.kinds);
  if (!open) return html`<p><button type="button" class="button slim" onClick=${() => setOpen(true)}>Change …</button></p>`;
  const submit = async (event) => {
    event.preventDefault();
    const { address, label } = event.currentTarget.elements;
    if (await change({ url: address.value.trim(), name: label.value.trim(), kinds }, "Changed.")) setOpen(false);
  };
  return html`<form class="operator-form" onSubmit=${submit}><div class="field-pair"><label class="field"><span>Address</span><input class="input mono" name="address" type="url" required maxlength="2000" value=${one.url} /></label><label class="field"><span>Name</span><input class="input" name="label" maxlength="200" value=${one.name} /></label></div>
    <${Kinds} chosen=${kinds} set=${setKinds} /><p class="operator-acts"><button type="submit" class="button" disabled=${busy || kinds.length === 0}>Save</button><button type="button" class="button" onClick=${() => setOpen(false)}>Cancel</button></p></form>`;
}

function New({ villageId, again, show }) {
  const [kinds, setKinds] = useState(["approval.requested", "session.failed"]);
  const [open, setOpen] = useState(false);
  const { act, busy, said } = useActs(again);
  const submit = async (event) => {
    event.preventDefault();
    const { address, label } = event.currentTarget.elements;
    const answer = await act(() => run.makeWebhook(villageId, { url: address.value.trim(), name: label.value.trim(), kinds }));
    if (answer) (setOpen(false), show(answer));
  };
  if (!open) return html`<p><button type="button" class="button" data-testid="add-webhook" onClick=${() => setOpen(true)}>Add a webhook …</button></p>`;
  return html`<form class="panel operator-form" onSubmit=${submit} data-testid="new-webhook"><h2>Add a webhook</h2><div class="field-pair">
    <label class="field"><span>Address</span><input class="input mono" name="address" type="url" required maxlength="2000" placeholder="https://…" autocomplete="off" autofocus /></label><label class="field"><span>Name <small>may be left out</small></span><input class="input" name="label" maxlength="200" autocomplete="off" /></label></div>
    <${Kinds} chosen=${kinds} set=${setKinds} />
    <p class="operator-acts"><button type="submit" class="button primary" disabled=${busy || kinds.length === 0}>Add it</button><button type="button" class="button" onClick=${() => setOpen(false)}>Cancel</button></p><${Said} said=${said} /></form>`;
}

const DELIVERED = { delivered: "is-good", dead: "is-bad", waiting: "is-wait" };

function Deliveries({ villageId, webhook, state, tick, act }) {
  const list = usePages(JSON.stringify([webhook.webhookId, state, tick]), (cursor) => run.deliveries(villageId, webhook.webhookId, { ...(state ? { state } : {}), ...(cursor ? { cursor } : {}) }));
  return html`<section aria-label="Deliveries"><div class="operator-head"><h2>Deliveries</h2><${Choice} label="Which messages" value=${state} choices=${STATES} pick=${(value) => location.replace(withQuery(location.hash, { state: value }))} /></div>
    ${list.items.length ? html`<${Table} label="Deliveries" columns=${["When", "What", "Came to", "(Do)"]} data-testid="deliveries">${list.items.map((one) => html`<tr key=${one.deliveryId} data-testid="delivery"><td><${Ago} at=${one.createdAt} /></td>
      <td><code>${one.kind}</code>${one.sessionId ? html` <a class="small" href=${toSession(one.sessionId)}>its session</a>` : null}<details class="fold"><summary class="small">message</summary><pre class="operator-body" tabindex="0">${one.body}</pre></details></td>
      <td data-label="came to"><span class=${`tag ${DELIVERED[one.state]}`}>${one.state === "dead" ? "given up" : one.state}</span> <span class="faint small">${one.attempts ? `${one.attempts} tries` : "not tried yet"}${one.status ? `, answer ${one.status}` : ""}${one.error ? `, ${one.error}` : ""}</span></td>
      <td class="acts"><button type="button" class="button slim" onClick=${() => act(() => run.resend(villageId, webhook.webhookId, one.deliveryId), "It is on its way again.")}>Send again</button></td></tr>`)}<//>` : null}
    <${Foot} list=${list} text=${list.items.length ? `${list.items.length} shown${list.answer?.next ? ", there are more" : ", that is all"}` : "No message is kept."} /></section>`;
}
