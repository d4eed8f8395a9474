// When a person is not called, and how many calls are too many.

import * as api from "../api.js";
import { html, useState } from "../html.js";
import { Panel } from "./bits.js";

const clockOf = (minute) => `${String(Math.floor(minute / 60)).padStart(2, "0")}:${String(minute % 60).padStart(2, "0")}`;
const minuteOf = (text) => {
  const [hours, minutes] = text.split(":").map(Number);
  return hours * 60 + minutes;
};

export function Times({ settings, setSettings }) {
  const [said, setSaid] = useState(null);
  const [quiet, setQuiet] = useState(settings.quiet !== null);
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const save = (event) => {
    event.preventDefault();
    const { from, until, escalations, calls, minutes } = event.currentTarget.elements;
    const hours = quiet ? { quiet: { begins: minuteOf(from.value), ends: minuteOf(until.value) }, quietEscalations: !escalations.checked } : {};
    const wanted = { timeZone: here, digestCalls: Number(calls.value), digestMinutes: Number(minutes.value), ...hours };
    api.setCallSettings(wanted).then((found) => (setSettings(found), setSaid({ good: true, text: "Saved." })), (error) => setSaid({ good: false, text: error.message }));
  };
  return html`<${Panel} name="times" title="When you are not called"><form class="call-times" onSubmit=${save} data-testid="call-times">
    <label class="check"><input type="checkbox" data-testid="quiet" checked=${quiet} onChange=${(event) => setQuiet(event.currentTarget.checked)} />Quiet hours: what comes then waits until they are over</label>
    ${quiet ? html`<div class="field-row"><label class="field"><span>From</span><input class="input" type="time" name="from" required value=${clockOf(settings.quiet?.begins ?? 22 * 60)} /></label>
      <label class="field"><span>Until</span><input class="input" type="time" name="until" required value=${clockOf(settings.quiet?.ends ?? 7 * 60)} /></label></div>
      <p class="faint small">In your time zone, ${here}.${settings.quiet !== null && settings.timeZone !== here ? ` So far they are kept in ${settings.timeZone}.` : ""}</p>
      <label class="check"><input type="checkbox" name="escalations" checked=${!settings.quietEscalations} />but call me when nobody else has answered an approval</label>` : null}
    <p class="call-digest">At most <label><span class="sr-only">Calls</span><input class="input" type="number" name="calls" min="0" max="100" required value=${settings.digestCalls} /></label> calls of a channel in <label><span class="sr-only">Minutes</span><input class="input" type="number" name="minutes" min="1" max="60" required value=${settings.digestMinutes} /></label> minutes; what is more is summed up in one. <span class="faint">0 calls: no limit.</span></p>
    <div><button type="submit" class="button">Save</button> ${said ? html`<span class=${said.good ? "soft" : "failure"} role=${said.good ? "status" : "alert"}>${said.text}</span>` : null}</div>
  </form><//>`;
}
