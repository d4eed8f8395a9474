// Which villages there are and which runners serve them: to make one, and to grant and withdraw.

import * as api from "../api.js";
import { html, useEffect, useState } from "../html.js";
import { toVillage } from "../routes.js";
import { mayManage } from "../status.js";
import * as store from "../store.js";

/** Make a village, where one may. Its id may get a random ending: the answer says which it has. */
export function NewVillage() {
  const [said, setSaid] = useState("");
  const submit = (event) => {
    event.preventDefault();
    const { id, label } = event.currentTarget.elements;
    api.createVillage(id.value, label.value || id.value).then(
      (made) => {
        location.hash = toVillage(made.villageId);
        location.reload(); // the page follows it from now on
      },
      (error) => setSaid(error.message),
    );
  };
  return html`<form class="sign-in" data-testid="new-village" onSubmit=${submit}>
    <label for="village-id">Id, in its address</label><input id="village-id" name="id" required maxlength="64" pattern="[A-Za-z0-9][A-Za-z0-9_.\\-]*" spellcheck="false" />
    <label for="village-label">Name</label><input id="village-label" name="label" maxlength="200" />
    <button type="submit" class="button">Make it</button>
    ${said ? html`<p class="failure" role="alert">${said}</p>` : null}
  </form>`;
}

/** The runners that one sees, each with the villages that it serves; ticks for those that one may grant. */
export function Runners() {
  const [found, setFound] = useState(null);
  const [failure, setFailure] = useState("");
  const load = () =>
    Promise.all([api.runners(), api.villages()]).then(
      ([runners, villages]) => setFound({ runners, villages }),
      (error) => setFailure(error.message),
    );
  useEffect(() => void load(), []);
  if (failure) return html`<p class="failure" role="alert">${failure}</p>`;
  if (found === null) return html`<p class="faint">Looking …</p>`;
  if (found.runners.length === 0) return html`<p class="faint">No runner serves a village of yours. <code>townwatch runner code --village …</code> makes a code for one.</p>`;
  const admin = store.user.value?.admin ?? false;
  const mine = found.villages.filter((one) => admin || mayManage(one.role));
  return html`<ul class="connections" data-testid="runners">${found.runners.map((one) => html`<${Runner} key=${one.runnerId} runner=${one} mine=${mine} />`)}</ul>`;
}

/** One agent of a runner's machine: which version, which versions are tested, whether a person has signed in. */
function agentOf({ providerId, version, tested = [], signedIn }) {
  const range = [...new Set(tested)].join(" to ");
  const signed = signedIn === true ? "signed in" : signedIn === false ? "not signed in" : "not known whether signed in";
  return [`${providerId} ${version || "of an unknown version"}`, range && `tested with ${range}`, signed].filter(Boolean).join(", ");
}

function Runner({ runner, mine }) {
  const [serves, setServes] = useState(runner.villages);
  const [failure, setFailure] = useState("");
  const set = (villageId, on) => {
    const wanted = on ? [...serves, villageId] : serves.filter((one) => one !== villageId);
    api.setRunnerVillages(runner.runnerId, wanted).then(
      (now) => {
        setServes(now.villages);
        setFailure("");
      },
      (error) => {
        setServes([...serves]);
        setFailure(error.message);
      },
    );
  };
  const others = serves.filter((id) => !mine.some((one) => one.villageId === id));
  return html`<li>
    <span><strong>${runner.name}</strong> <span class="faint">${runner.status}</span><br />
      ${mine.map((one) => html`<label class="faint"><input type="checkbox" data-testid=${`serves-${one.villageId}`} checked=${serves.includes(one.villageId)} onChange=${(event) => set(one.villageId, event.currentTarget.checked)} /> ${one.name ?? one.villageId} </label>`)}
      <span class="faint">${others.join(", ") || (serves.length === 0 && mine.length === 0 ? "serves no village" : "")}</span>
      ${(runner.capabilities.agents ?? []).map((one) => html`<br /><span class="faint" data-testid="runner-agent">${agentOf(one)}</span>`)}</span>
    ${failure ? html`<p class="failure" role="alert">${failure}</p>` : null}</li>`;
}
