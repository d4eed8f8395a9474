// Who is looking, and how to sign in.

import { html, useState } from "../html.js";
import { CALLS, SUPERVISION, toOperator } from "../routes.js";
import * as store from "../store.js";
import { signInWith, signOut } from "../town.js";
import { Connections, NewPassword, PasswordSignIn } from "./account.js";
import { Preferences } from "./preferences.js";

/** What is looked at only when somebody opens it. */
function Fold({ title, name, children }) {
  const [open, setOpen] = useState(false);
  return html`<details class="fold" data-testid=${name} onToggle=${(event) => setOpen(event.currentTarget.open)}><summary>${title}</summary>${open ? children : null}</details>`;
}

export function Person() {
  const user = store.user.value;
  if (user === undefined) return null;
  if (user === null) {
    return html`<details class="pop"><summary class="person" data-testid="anonymous"><span class="person-name">Sign in</span></summary>
      <div class="pop-body"><p>You see what is public. To type, decide and stop, sign in.</p><${SignIn} /></div></details>`;
  }
  const role = store.village.value?.role;
  return html`<details class="pop"><summary class="person" data-testid="person"><span class="person-name">${user.name ?? user.userId}</span></summary>
    <div class="pop-body">
      <p><strong>${user.name ?? user.userId}</strong>${role ? html`<br /><span class="faint">${role} of ${store.village.value.name}</span>` : null}</p>
      ${store.serviceVersion.value ? html`<p class="faint">Townwatch ${store.serviceVersion.value}</p>` : null}
      <${Fold} title="Theme and notifications" name="my-preferences"><${Preferences} /><//>
      <a href=${CALLS} data-testid="nav-calls">Calls: be called when this page is closed</a>
      <${Fold} title="Your connections" name="my-connections"><${Connections} /><//>
      <${Fold} title="Password" name="my-password"><${NewPassword} /><//>
      <nav class="menu" aria-label="Operator"><a href=${toOperator()} data-testid="nav-operator">Run it</a><a href=${SUPERVISION} data-testid="nav-supervision">Supervision</a></nav>
      <button type="button" class="button" onClick=${signOut}>Sign out</button>
    </div></details>`;
}

/** Takes the code or the whole link that the service printed. */
export function SignIn() {
  const [text, setText] = useState("");
  const submit = (event) => {
    event.preventDefault();
    const code = text.includes("code=") ? new URL(text.trim(), location.href).searchParams.get("code") : text.trim();
    if (code) signInWith(code);
  };
  const provider = store.provider.value;
  return html`${provider ? html`<p><a class="button primary" data-testid="provider" href=${`${provider.start}?then=${encodeURIComponent(location.hash)}`}>Sign in with ${provider.label}</a></p>` : null}
  <form class="sign-in" onSubmit=${submit}>
    <label for="code">Sign-in link or code</label>
    <div class="field-row">
      <input id="code" autocomplete="one-time-code" spellcheck="false" value=${text} onInput=${(event) => setText(event.currentTarget.value)} />
      <button type="submit" class="button primary">Sign in</button>
    </div>
  </form>
  <${Fold} title="With a password" name="with-password"><${PasswordSignIn} /><//>`;
}

export function Notice() {
  const notice = store.notice.value;
  if (!notice) return null;
  return html`<div class=${`notice tone-${notice.tone}`} role="alert"><span>${notice.text}</span>
    <button type="button" class="quiet-button" onClick=${() => (store.notice.value = null)}>Dismiss</button></div>`;
}
