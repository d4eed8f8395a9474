// Everybody who has an account, for administrators: whom to lock out, and whom to let in again.

import * as api from "../api.js";
import { html, useEffect, useState } from "../html.js";
import * as store from "../store.js";

export function People() {
  const [found, setFound] = useState(null);
  const [failure, setFailure] = useState("");
  const [asked, setAsked] = useState(null); // userId: its button was pressed once
  const load = () => api.people().then(setFound, (error) => setFailure(error.message));
  useEffect(() => void load(), []);
  const change = (one) => {
    if (!one.disabled && asked !== one.userId) return setAsked(one.userId);
    setAsked(null);
    setFailure("");
    api.setDisabled(one.userId, !one.disabled).then(load, (error) => setFailure(error.message));
  };
  const word = (one) => (one.disabled ? "Let in again" : asked === one.userId ? "Really lock out?" : "Lock out");
  const me = store.user.value?.userId;
  return html`${failure ? html`<p class="failure" role="alert">${failure}</p>` : null}
  ${found === null ? html`<p class="faint">Looking …</p>` : html`<ul class="connections" data-testid="people">${found.map((one) => html`<li key=${one.userId}>
    <span><strong>${one.name}</strong> <span class="faint">${one.admin ? "administrator" : ""}${one.disabled ? " locked out" : ""}</span>
      <br /><span class="faint agent-words">${one.email ?? one.userId}</span></span>
    ${one.userId === me ? html`<span class="faint">you</span>` : html`<button type="button" class="button" onClick=${() => change(one)}>${word(one)}</button>`}</li>`)}</ul>`}`;
}
