// How a person is called: this browser, other channels, when not, who is next when nobody answers, and what became of the latest calls.

import * as api from "../api.js";
import { html, useEffect, useState } from "../html.js";
import { browserName, channelHere, joinPush, leavePush, whyNoPush } from "../push.js";
import * as store from "../store.js";
import { Panel } from "./bits.js";
import { CallLog } from "./call_log.js";
import { Channel, FORMS } from "./channel.js";
import { Escalation } from "./escalation.js";
import { Times } from "./call_times.js";

export function CallsPage() {
  const [channels, setChannels] = useState(null);
  const [settings, setSettings] = useState(null);
  const [failure, setFailure] = useState("");
  const [rounds, setRounds] = useState(0);
  const load = () => Promise.all([api.channels().then(setChannels), api.callSettings().then(setSettings)]).then(() => setRounds((before) => before + 1), (error) => setFailure(error.message));
  const signedIn = store.user.value !== null;
  useEffect(() => void (signedIn && load()), [signedIn]);
  if (!signedIn) return html`<div class="calls"><p>Sign in to be called.</p></div>`;
  return html`<div class="calls" data-testid="calls-page">
    <h1>Calls</h1>
    <p class="soft">Be called when something needs you, also while this page is closed. You are told only of what you may see in your villages.</p>
    ${failure ? html`<p class="failure" role="alert">${failure}</p>` : null}
    ${channels === null || settings === null ? html`<p class="faint">Looking …</p>` : html`
      <${Panel} name="channels" title="Where you are called">
        <${Here} channels=${channels} pushKey=${settings.pushKey} load=${load} />
        ${channels.length ? html`<ul class="channels" data-testid="channels">${channels.map((one) => html`<${Channel} key=${one.channelId} one=${one} here=${one.channelId === channelHere()} load=${load} />`)}</ul>` : html`<p class="nothing">Nowhere yet.</p>`}
        <${NewChannel} mail=${settings.mail} load=${load} />
      <//>
      <${Times} settings=${settings} setSettings=${setSettings} />
      ${store.canDrive.value && store.villageId.value ? html`<${Escalation} key=${store.villageId.value} villageId=${store.villageId.value} />` : null}
      <${CallLog} rounds=${rounds} load=${load} />`}
  </div>`;
}

/** This browser is a channel, too. */
function Here({ channels, pushKey, load }) {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState("");
  const on = channels.some((one) => one.channelId === channelHere());
  const why = whyNoPush();
  const turn = async () => {
    setBusy(true);
    setFailure("");
    await (on ? leavePush() : joinPush(pushKey, browserName())).then(load).catch((error) => setFailure(error.message));
    setBusy(false);
  };
  return html`<div class="channel-here">
    <button type="button" class=${`button ${on ? "" : "primary"}`} data-testid="push-here" disabled=${busy || (why !== "" && !on)} onClick=${turn}>${busy ? "One moment …" : on ? "Do not call this browser any more" : "Call me in this browser"}</button>
    ${why && !on ? html`<p class="faint" data-testid="no-push">${why}</p>` : null}
    ${failure ? html`<p class="failure" role="alert">${failure}</p>` : null}</div>`;
}

function NewChannel({ mail, load }) {
  const [form, setForm] = useState("ntfy");
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState("");
  const known = FORMS[form];
  const add = async (event) => {
    event.preventDefault();
    const { address, token } = event.currentTarget.elements;
    const target = event.currentTarget;
    setBusy(true);
    setFailure("");
    await api.addChannel({ form, address: address.value.trim(), ...(token?.value ? { token: token.value.trim() } : {}) }).then(() => (target.reset(), load())).catch((error) => setFailure(error.message));
    setBusy(false);
  };
  return html`<form class="channel-new" onSubmit=${add} data-testid="new-channel">
    <label class="field"><span>Another way</span><select class="input" name="form" value=${form} onChange=${(event) => setForm(event.currentTarget.value)}>
      ${Object.entries(FORMS).filter(([id]) => id !== "push").map(([id, one]) => html`<option value=${id} disabled=${id === "mail" && !mail}>${one.label}${id === "mail" && !mail ? " (this service has no mail server)" : ""}</option>`)}</select></label>
    <label class="field"><span>${known.asks}</span><input class="input" name="address" type=${known.type} placeholder=${known.example} required autocomplete=${form === "mail" ? "email" : "off"} spellcheck="false" /></label>
    ${form === "ntfy" ? html`<label class="field"><span>Its token, if it is protected</span><input class="input" name="token" type="password" autocomplete="off" /></label>` : null}
    <button type="submit" class="button" disabled=${busy}>${busy ? "Adding …" : "Add"}</button>
    ${failure ? html`<p class="failure" role="alert">${failure}</p>` : null}
  </form>`;
}
