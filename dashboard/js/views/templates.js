// Templates of the start form: one to begin from, and the form as it is to be kept as one.

import { html, useState } from "../html.js";
import { forgetTemplate, keepTemplate, templates } from "../templates.js";
import { toStart } from "../routes.js";

/** chosen: the name in the address. A choice fills the whole form. */
export function Templates({ chosen = "" }) {
  const list = templates();
  if (list.length === 0) return null;
  const choose = (event) => (location.hash = toStart({ template: event.currentTarget.value }));
  const forget = () => (forgetTemplate(chosen), (location.hash = toStart()));
  const known = list.some((one) => one.name === chosen);
  return html`<div class="templates"><label class="field"><span>Begin from a template</span><select class="input" data-testid="template" value=${known ? chosen : ""} onChange=${choose}><option value="">none</option>${list.map((one) => html`<option value=${one.name}>${one.name}</option>`)}</select></label>
    ${known ? html`<button type="button" class="button" data-testid="forget-template" onClick=${forget}>Forget it</button>` : null}</div>`;
}

/** It stands in a form: Enter in its field starts nothing. */
export function KeepTemplate({ form, chosen = "" }) {
  const [name, setName] = useState(chosen);
  const [said, setSaid] = useState("");
  const keep = () => {
    if (!name.trim()) return setSaid("Give it a name.");
    try {
      keepTemplate(name, form);
      setSaid(`Kept in this browser as “${name.trim()}”.`);
    } catch {
      setSaid("Not kept: this browser has no more room.");
    }
  };
  const key = (event) => event.key === "Enter" && (event.preventDefault(), keep());
  return html`<details class="fold" data-testid="keep-template"><summary>Keep this as a template</summary>
    <div class="field-row"><input class="input" aria-label="Name of the template" maxlength="80" autocomplete="off" value=${name} onInput=${(event) => setName(event.currentTarget.value)} onKeyDown=${key} /><button type="button" class="button" onClick=${keep}>Keep</button></div>
    <p class="soft small" role="status">${said}</p></details>`;
}
