// Villages and houses: to make, rename, open to visitors, and delete.

import { html, useState } from "../../html.js";
import { plural } from "../../format.js";
import * as run from "../../operating.js";
import { toHouse, toVillage, withQuery } from "../../routes.js";
import * as store from "../../store.js";
import { follow } from "../../town.js";
import { Empty } from "../empty.js";
import { Answered, Said, Table, Typed, useActs, useAnswer } from "./parts.js";

export function VillagesScreen({ places, query }) {
  const changed = async () => (await follow(), places.again());
  return html`<section class="panel" aria-label="Villages">${places.mine.length ? html`<${Table} label="Villages" columns=${["Village", "Id", "Your role", "Visitors", "(Do)"]} data-testid="villages">${places.mine.map((one) => html`<${Village} key=${one.villageId} one=${one} managed=${places.managed.includes(one)} open=${query.of === one.villageId} changed=${changed} />`)}<//>` : html`<${Empty} title="You are a member of no village yet." />`}</section>
    ${store.user.value?.mayCreateVillages ? html`<${NewVillage} changed=${changed} />` : null}`;
}

function Village({ one, managed, open, changed }) {
  return html`<tr class=${open ? "is-open" : ""} data-testid="village-row"><td><a href=${toVillage(one.villageId)}><strong><bdi>${one.name ?? one.villageId}</bdi></strong></a></td><td class="mono" data-label="id">${one.villageId}</td><td data-label="your role">${one.role ?? html`<span class="faint">none</span>`}</td><td data-label="visitors">${one.public ? "may look" : "see nothing"}</td>
    <td class="acts"><a class="button slim" href=${withQuery(location.hash, { of: open ? "" : one.villageId })} aria-label=${`${open ? "Less" : "More"} of ${one.name ?? one.villageId}`}>${open ? "Less" : "More"}</a></td></tr>
    ${open ? html`<tr class="plain-more"><td colspan="5"><div class="operator-more">${managed ? html`<${Settings} one=${one} changed=${changed} />` : null}<${Houses} villageId=${one.villageId} managed=${managed} /></div></td></tr>` : null}`;
}

function Settings({ one, changed }) {
  const { act, busy, said } = useActs(changed);
  const submit = (event) => {
    event.preventDefault();
    const { label, visible, unsaid } = event.currentTarget.elements;
    act(() => run.changeVillage(one.villageId, { name: label.value.trim(), public: visible.checked, leaveOutTexts: unsaid.checked }), "Saved.");
  };
  return html`<form class="operator-form" onSubmit=${submit}>
    <label class="field"><span>Name</span><input class="input" name="label" required maxlength="200" defaultValue=${one.name} value=${one.name} /></label>
    <label class="check"><input type="checkbox" name="visible" checked=${one.public} />visitors may look at it without signing in</label>
    <label class="check"><input type="checkbox" name="unsaid" checked=${one.leaveOutTexts} />keep nothing of what is said</label>
    <p class="faint small">Prompts, messages, inputs and outputs of tools, plans, questions, notes and terminals are then shown live, and are not stored: no history, search, recording, webhook or call has them. What was done, when and who decided it is kept. It holds from now on; what is stored already stays.</p>
    <p class="operator-acts"><button type="submit" class="button" disabled=${busy}>Save</button></p><${Said} said=${said} /></form>
    <${Typed} word="Delete" expected=${one.villageId} busy=${busy} act=${() => act(() => run.deleteVillage(one.villageId))}>Its members, sessions (live ones are stopped), events, approvals, tokens and webhooks go for good. Nothing brings them back.<//>`;
}

/** A house, and where one may the form that gives it another name. An empty one takes the name away. */
function HouseLine({ one, villageId, managed, again }) {
  const [open, setOpen] = useState(false);
  const { act, busy, said } = useActs(again);
  const submit = async (event) => {
    event.preventDefault();
    const answer = await act(() => run.renameHouse(villageId, one.repoId, event.target.elements.label.value.trim() || null));
    if (answer) setOpen(false);
  };
  return html`<li data-testid="house-line"><a href=${toHouse(one.repoId)}><bdi>${one.name}</bdi></a> <span class="faint small path"><bdi>${one.repoPath}</bdi></span>
    ${!managed ? null : open ? html`<form class="operator-row" onSubmit=${submit} onKeyDown=${(event) => event.key === "Escape" && setOpen(false)}><label class="operator-pick"><span class="sr-only">Name of ${one.repoPath}</span><input class="input" name="label" maxlength="200" placeholder="as its folder" defaultValue=${one.name} value=${one.name} autofocus /></label><button type="submit" class="button slim" disabled=${busy}>Save</button><button type="button" class="button slim" onClick=${() => setOpen(false)}>Cancel</button></form>` : html` <button type="button" class="button slim" onClick=${() => setOpen(true)}>Rename<span class="sr-only"> ${one.name}</span></button>`}<${Said} said=${said} /></li>`;
}

function Houses({ villageId, managed }) {
  const houses = useAnswer(() => run.houses(villageId).then((all) => all.filter((one) => one.repoPath !== "")), villageId);
  return html`<section aria-label="Houses"><h2>Houses</h2><${Answered} answer=${houses}>${(all) => html`${all.length ? html`<ul class="operator-list">${all.map((one) => html`<${HouseLine} key=${one.repoId} one=${one} villageId=${villageId} managed=${managed} again=${houses.again} />`)}</ul>` : html`<p class="faint">none: a house is a repository in which an agent works</p>`}${all.length ? html`<p class="faint small">${plural(all.length, "house")}. A house comes with its first session, and goes with its last one.</p>` : null}`}<//></section>`;
}

/** Make a village, where one may. Its id may get a random ending: the answer says which it has. */
function NewVillage({ changed }) {
  const [open, setOpen] = useState(false);
  const { act, busy, said } = useActs(changed);
  const submit = async (event) => {
    event.preventDefault();
    const { id, label, visible } = event.currentTarget.elements;
    const made = await act(() => run.makeVillage(id.value.trim(), label.value.trim() || id.value.trim(), visible.checked));
    if (made) location.hash = toVillage(made.villageId);
  };
  if (!open) return html`<p><button type="button" class="button" onClick=${() => setOpen(true)}>New village …</button></p>`;
  return html`<form class="panel operator-form" data-testid="new-village" onSubmit=${submit}><h2>New village</h2><div class="field-pair">
    <label class="field"><span>Id, in its address</span><input class="input" name="id" required maxlength="64" pattern="[A-Za-z0-9][A-Za-z0-9_.\\-]*" spellcheck="false" autocomplete="off" autofocus /></label>
    <label class="field"><span>Name</span><input class="input" name="label" maxlength="200" autocomplete="off" /></label></div>
    <label class="check"><input type="checkbox" name="visible" />visitors may look at it without signing in</label>
    <p class="operator-acts"><button type="submit" class="button primary" disabled=${busy}>Make it</button><button type="button" class="button" onClick=${() => setOpen(false)}>Cancel</button></p><${Said} said=${said} /></form>`;
}
