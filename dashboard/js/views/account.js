// A person's own things: where they are connected from, and their password.

import * as api from "../api.js";
import { html, useEffect, useState } from "../html.js";
import { connectionId, signInByPassword, setPassword } from "../town.js";
import { Age } from "./bits.js";

const DOORS = { socketio: "a page", control: "a program" };

/** Every live connection of one's own, each with a button that ends it. */
export function Connections() {
  const [found, setFound] = useState(null);
  const [failure, setFailure] = useState("");
  const load = () => api.connections().then(setFound, (error) => setFailure(error.message));
  useEffect(() => void load(), []);
  const close = (one) => api.closeConnection(one.connectionId).then(load, (error) => setFailure(error.message));
  if (failure) return html`<p class="failure" role="alert">${failure}</p>`;
  if (found === null) return html`<p class="faint">Looking …</p>`;
  return html`<ul class="connections" data-testid="connections">${found.map((one) => html`<li key=${one.connectionId}>
    <span><strong>${DOORS[one.kind] ?? one.kind}</strong> from ${one.address || "?"} <span class="faint"><${Age} at=${one.since} /></span>
      <br /><span class="faint agent-words">${one.userAgent || "says nothing of itself"}</span></span>
    ${one.connectionId === connectionId() ? html`<span class="faint">this one</span>` : html`<button type="button" class="button" onClick=${() => close(one)}>Close</button>`}</li>`)}</ul>`;
}

/** Sign in by address and password. */
export function PasswordSignIn() {
  const [failure, setFailure] = useState("");
  const submit = (event) => {
    event.preventDefault();
    const { email, password } = event.currentTarget.elements;
    signInByPassword(email.value, password.value).catch((error) => setFailure(error.message));
  };
  return html`<form class="sign-in" onSubmit=${submit}>
    <label for="email">E-mail</label><input class="input" id="email" name="email" type="email" autocomplete="username" required />
    <label for="password">Password</label><input class="input" id="password" name="password" type="password" autocomplete="current-password" required />
    <button type="submit" class="button">Sign in with a password</button>
    ${failure ? html`<p class="failure" role="alert">${failure}</p>` : null}
  </form>`;
}

/** Set a password, or another one. Everywhere else one is signed out by it. */
export function NewPassword() {
  const [said, setSaid] = useState(null);
  const submit = (event) => {
    event.preventDefault();
    const { fresh, current } = event.currentTarget.elements;
    setPassword(fresh.value, current.value).catch((error) => setSaid(error.message));
  };
  return html`<form class="sign-in" onSubmit=${submit}>
    <label for="current">Password so far, if there is one</label><input class="input" id="current" name="current" type="password" autocomplete="current-password" />
    <label for="fresh">New password</label><input class="input" id="fresh" name="fresh" type="password" autocomplete="new-password" required />
    <button type="submit" class="button">Set it, and sign out everywhere else</button>
    ${said ? html`<p class="failure" role="alert">${said}</p>` : null}
  </form>`;
}
