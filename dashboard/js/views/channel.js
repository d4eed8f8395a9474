// One channel: where it calls, about what, and the buttons that try, change and remove it.

import * as api from "../api.js";
import { html, useState } from "../html.js";
import { leavePush } from "../push.js";
import * as store from "../store.js";
import { Glyph, Literal } from "./bits.js";

export const FORMS = {
  push: { label: "Browser" },
  mail: { label: "E-mail", asks: "Address", type: "email", example: "you@example.com" },
  ntfy: { label: "ntfy", asks: "Address of the topic", type: "url", example: "https://ntfy.sh/your-secret-topic" },
  slack: { label: "Slack", asks: "Incoming webhook", type: "url", example: "https://hooks.slack.com/services/…" },
  teams: { label: "Teams", asks: "Incoming webhook", type: "url", example: "https://….webhook.office.com/…" },
};

/** kind → what it is, as one is asked for it. */
export const CALL_KINDS = {
  "approval.requested": "an agent asks",
  "approval.escalated": "nobody has answered, and you are next",
  "approval.resolved": "an approval was answered",
  "session.failed": "a session failed",
  "session.ended": "a session ended",
  "alert.opened": "an alert was raised",
};

const WAITS = [[0, "at once"], [60, "if it waits a minute"], [120, "if it waits 2 minutes"], [300, "if it waits 5 minutes"], [900, "if it waits 15 minutes"]];

export function Channel({ one, here, load }) {
  const [failure, setFailure] = useState("");
  const [said, setSaid] = useState("");
  const [sure, setSure] = useState(false);
  const attempt = (act, words = "") => {
    setFailure("");
    setSaid("");
    return act().then(() => (setSaid(words), load())).catch((error) => setFailure(error.message));
  };
  const remove = () => {
    if (!sure) return setSure(true);
    return attempt(() => (here ? leavePush() : api.removeChannel(one.channelId)));
  };
  const label = FORMS[one.form]?.label ?? one.form;
  return html`<li class="channel" data-testid="channel">
    <div class="channel-head"><${Glyph} tone=${one.trouble ? "fail" : one.enabled ? "done" : "quiet"} />
      <span><b>${one.name || label}</b> <span class="faint agent-words"><${Literal} text=${one.form === "push" ? one.shown : `${label} · ${one.shown}`} /></span>${here ? html` <span class="tag is-you">this browser</span>` : null}</span>
      <span class="channel-acts">
        ${one.enabled ? html`<button type="button" class="button slim" data-testid="test-channel" onClick=${() => attempt(() => api.testChannel(one.channelId), "A test is on its way; below it says what became of it.")}>Test</button>` : one.confirmed ? html`<button type="button" class="button slim" onClick=${() => attempt(() => api.changeChannel(one.channelId, { enabled: true }))}>Switch on</button>` : null}
        <button type="button" class=${`button slim ${sure ? "danger" : ""}`} data-testid="remove-channel" onClick=${remove}>${sure ? "Really remove?" : "Remove"}</button></span></div>
    ${one.trouble ? html`<p class="failure">Switched off: ${one.trouble}.</p>` : one.confirmed && !one.enabled ? html`<p class="faint">It is off.</p>` : null}
    ${one.dropped || one.dead ? html`<p class="faint small">${one.dead} given up, ${one.dropped} found no room.</p>` : null}
    ${one.confirmed ? html`<${Kinds} one=${one} attempt=${attempt} />` : html`<${Confirm} one=${one} attempt=${attempt} />`}
    ${said ? html`<p class="soft" role="status">${said}</p>` : null}
    ${failure ? html`<p class="failure" role="alert">${failure}</p>` : null}</li>`;
}

function Confirm({ one, attempt }) {
  const send = (event) => {
    event.preventDefault();
    attempt(() => api.confirmChannel(one.channelId, event.currentTarget.elements.code.value));
  };
  return html`<form class="channel-confirm" onSubmit=${send}><label class="field"><span>A code was sent to ${one.shown}. Enter it here; nothing else is sent there until then.</span>
    <input class="input" name="code" inputmode="numeric" autocomplete="one-time-code" required data-testid="code" /></label><button type="submit" class="button">Confirm</button></form>`;
}

/** [what is shown, change]: what was chosen is shown at once, and what the service has said after that. */
function useChoice(value, save) {
  const [chosen, setChosen] = useState(undefined);
  return [chosen === undefined ? value : chosen, (next) => {
    setChosen(next);
    save(next).finally(() => setChosen(undefined));
  }];
}

/** What it calls about: everywhere, or otherwise in this village. */
function Kinds({ one, attempt }) {
  const village = store.villageId.value;
  const own = village ? one.villages[village] : undefined;
  const change = (body) => attempt(() => api.changeChannel(one.channelId, body));
  const [after, setAfter] = useChoice(one.afterSeconds, (afterSeconds) => change({ afterSeconds }));
  const [otherwise, setOtherwise] = useChoice(own !== undefined, (on) => apart(on ? one.kinds : undefined));
  const apart = (kinds) => change({ villages: kinds === undefined ? without(one.villages, village) : { ...one.villages, [village]: kinds } });
  return html`<details class="fold"><summary data-testid="channel-kinds">Calls about ${summary(own ?? one.kinds)}</summary>
    <${Checks} legend=${own ? "In your other villages, when" : "Call when"} kinds=${one.kinds} set=${(kinds) => change({ kinds })} />
    ${own ? html`<${Checks} legend=${`In ${store.village.value?.name ?? village}, when`} kinds=${own} set=${apart} />` : null}
    <div class="channel-more">${village ? html`<label class="check"><input type="checkbox" data-testid="own-kinds" checked=${otherwise} onChange=${(event) => setOtherwise(event.currentTarget.checked)} />otherwise in ${store.village.value?.name ?? village}</label>` : null}
      <label class="check">What an agent asks calls here <select class="input" value=${String(after)} onChange=${(event) => setAfter(Number(event.currentTarget.value))}>${waitsWith(after).map(([seconds, words]) => html`<option value=${String(seconds)}>${words}</option>`)}</select></label></div></details>`;
}

function Checks({ legend, kinds: known, set: save }) {
  const [kinds, set] = useChoice(known, save);
  return html`<fieldset class="checks"><legend class="legend">${legend}</legend>${Object.entries(CALL_KINDS).map(([kind, words]) => html`<label class="check"><input type="checkbox" data-kind=${kind} checked=${kinds.includes(kind)} onChange=${(event) => set(event.currentTarget.checked ? [...kinds, kind] : kinds.filter((each) => each !== kind))} />${words}</label>`)}</fieldset>`;
}

const without = (object, key) => Object.fromEntries(Object.entries(object).filter(([name]) => name !== key));
const waitsWith = (seconds) => (WAITS.some(([one]) => one === seconds) ? WAITS : [...WAITS, [seconds, `if it waits ${seconds} seconds`]]);
const summary = (kinds) => (kinds.length === 0 ? "nothing" : kinds.length === Object.keys(CALL_KINDS).length ? "everything" : `${kinds.length} of ${Object.keys(CALL_KINDS).length} kinds`);
