// What a person sets for this browser: the theme, and what calls.

import { mayNotify } from "../caller.js";
import { KINDS } from "../calling.js";
import { html, useState } from "../html.js";
import { CALLS } from "../routes.js";
import { set, settings } from "../settings.js";

const THEMES = [["", "as the system has it"], ["light", "light"], ["dark", "dark"]];

export function Preferences() {
  const [refused, setRefused] = useState(false);
  const { theme, desktop, calls } = settings.value;
  const turn = async (on) => {
    const may = on && (await mayNotify());
    setRefused(on && !may);
    set({ desktop: may });
  };
  return html`<fieldset class="checks" data-testid="theme"><legend class="legend">Theme</legend>${THEMES.map(([id, label]) => html`<label class="check"><input type="radio" name="theme" checked=${theme === id} onChange=${() => set({ theme: id })} />${label}</label>`)}</fieldset>
    <fieldset class="checks" data-testid="calls"><legend class="legend">Notifications</legend>
      <label class="check"><input type="checkbox" data-testid="desktop" checked=${desktop} onChange=${(event) => turn(event.currentTarget.checked)} />tell me when I look elsewhere</label>
      ${desktop ? Object.entries(KINDS).map(([kind, label]) => html`<label class="check"><input type="checkbox" checked=${calls[kind]} onChange=${(event) => set({ calls: { ...calls, [kind]: event.currentTarget.checked } })} />${label}</label>`) : null}
      ${desktop ? html`<p class="faint small">Quiet hours, which hold here too, stand with your <a href=${CALLS}>calls</a>.</p>` : null}
      ${refused ? html`<p class="failure" role="alert">The browser does not let this page notify: allow it in the browser's settings of this site.</p>` : null}
    </fieldset>`;
}
