// People and roles: who is in a village, and what they may do there; for administrators, everyone who has an account.

import { BASE } from "../../base.js";
import { html, useState } from "../../html.js";
import * as run from "../../operating.js";
import * as store from "../../store.js";
import { SignIns } from "./sign_ins.js";
import { Ago, Answered, Choice, Said, Secret, Sure, Table, manages, useActs, useAnswer } from "./parts.js";

const ROLES = [["viewer", "viewer: reads"], ["operator", "operator: starts, types, decides"], ["owner", "owner: manages"]];

export function PeopleScreen({ places, villageId, village }) {
  const members = useAnswer(() => run.members(villageId), villageId);
  const accounts = useAnswer(() => (places.admin ? run.people() : Promise.resolve(null)), "");
  const may = manages(places, villageId);
  const again = () => (members.again(), accounts.again());
  return html`<section class="panel" aria-labelledby="members"><div class="panel-head"><h2 id="members">In <bdi>${village.name ?? villageId}</bdi></h2></div>
      <${Answered} answer=${members}>${(all) => html`<${Table} label="Members" columns=${["Who", "Role", "Since", "(Do)"]} data-testid="members">${all.map((one) => html`<${Member} key=${one.userId} one=${one} villageId=${villageId} may=${may} again=${again} />`)}<//>
        ${may ? html`<${AddMember} villageId=${villageId} accounts=${(accounts.value ?? []).filter((one) => !all.some((each) => each.userId === one.userId))} admin=${places.admin} again=${again} />` : null}`}<//>
    </section>
    ${places.admin ? html`<${Accounts} accounts=${accounts} places=${places} villageId=${villageId} again=${again} />` : null}`;
}

const Who = ({ one }) => html`<strong><bdi>${one.name}</bdi></strong>${one.userId === store.user.value?.userId ? html` <span class="tag is-you">you</span>` : null}<br /><span class="faint small">${one.email ?? one.userId}</span>`;

function Member({ one, villageId, may, again }) {
  const { act, busy, said } = useActs(again);
  const [role, setRole] = useState(one.role);
  return html`<tr data-testid="member"><td><${Who} one=${one} /></td>
    <td data-label="role">${may ? html`<${Choice} label=${`Role of ${one.name}`} value=${role} choices=${ROLES} pick=${setRole} disabled=${busy} />${role === one.role ? null : html` <button type="button" class="button slim" disabled=${busy} onClick=${() => act(() => run.setRole(villageId, one.userId, role))}>Change</button>`}` : one.role}<${Said} said=${said} /></td>
    <td data-label="since"><${Ago} at=${one.addedAt} /></td>
    <td class="acts">${may ? html`<${Sure} word="Take out" act=${() => act(() => run.removeMember(villageId, one.userId))} disabled=${busy} of=${one.name} />` : null}</td></tr>`;
}

/** An administrator chooses among all accounts; an owner is told the id by the person. */
function AddMember({ villageId, accounts, admin, again }) {
  const [role, setRole] = useState("viewer");
  const { act, busy, said } = useActs(again);
  const submit = (event) => {
    event.preventDefault();
    const form = event.currentTarget;
    act(() => run.setRole(villageId, form.elements.person.value.trim(), role), "Added.");
  };
  return html`<form class="operator-row" onSubmit=${submit} data-testid="add-member">
    ${admin ? html`<label class="operator-pick"><span class="sr-only">Person</span><select class="input" name="person" required><option value="">add a person …</option>${accounts.map((one) => html`<option value=${one.userId}>${one.name}${one.email ? ` (${one.email})` : ""}</option>`)}</select></label>`
      : html`<label class="operator-pick"><span class="sr-only">The person's id</span><input class="input" name="person" required maxlength="200" placeholder="their id: it stands under their own tokens" spellcheck="false" autocomplete="off" /></label>`}
    <${Choice} label="Role" value=${role} choices=${ROLES} pick=${setRole} /><button type="submit" class="button" disabled=${busy}>Add</button><${Said} said=${said} /></form>`;
}

function Accounts({ accounts, places, villageId, again }) {
  return html`<section class="panel" aria-labelledby="accounts"><div class="panel-head"><h2 id="accounts">Everyone with an account</h2></div>
    <${Answered} answer=${accounts}>${(all) => html`<${Table} label="Accounts" columns=${["Who", "Is", "Since", "(Do)"]} data-testid="people">${(all ?? []).map((one) => html`<${Account} key=${one.userId} one=${one} again=${again} />`)}<//>`}<//>
    <${Invite} places=${places} villageId=${villageId} again=${again} /></section>`;
}

function Account({ one, again }) {
  const { act, busy, said } = useActs(again);
  const mine = one.userId === store.user.value?.userId;
  const [open, setOpen] = useState(false);
  const set = (out) => act(() => run.setDisabled(one.userId, out));
  const administer = (admin) => act(() => run.setAdministrator(one.userId, admin));
  return html`<tr data-testid="account"><td><${Who} one=${one} /></td><td data-label="is">${one.disabled ? html`<span class="tag is-bad">locked out</span> ` : null}${one.admin ? "administrator" : "person"}<${Said} said=${said} /></td><td data-label="since"><${Ago} at=${one.createdAt} /></td>
    <td class="acts"><button type="button" class="button slim" aria-expanded=${open} onClick=${() => setOpen(!open)}>Sign-ins<span class="sr-only"> of ${one.name}</span></button> ${one.disabled ? null : one.admin ? html`<${Sure} word="Not administrator" sure="Really take the rights?" act=${() => administer(false)} disabled=${busy} of=${one.name} /> ` : html`<${Sure} word="Make administrator" act=${() => administer(true)} disabled=${busy} of=${one.name} /> `}${mine || one.disabled ? null : html`<${Sure} word="Sign out" act=${() => act(() => run.signPersonOut(one.userId), "Signed out everywhere.")} disabled=${busy} of=${one.name} /> `}${mine ? null : one.disabled ? html`<button type="button" class="button slim" disabled=${busy} onClick=${() => set(false)}>Let in again<span class="sr-only"> ${one.name}</span></button>` : html`<${Sure} word="Lock out" act=${() => set(true)} disabled=${busy} of=${one.name} />`}</td></tr>
    ${open ? html`<tr class="plain-more"><td colspan="4"><div class="operator-more"><${SignIns} userId=${one.userId} label=${`Sign-ins of ${one.name}`} /></div></td></tr>` : null}`;
}

function Invite({ places, villageId, again }) {
  const [open, setOpen] = useState(false);
  const [made, setMade] = useState(null);
  const { act, busy, said } = useActs(again);
  const submit = async (event) => {
    event.preventDefault();
    const { name, email, village, role, admin } = event.currentTarget.elements;
    const person = { name: name.value.trim(), admin: admin.checked, ...(email.value.trim() ? { email: email.value.trim() } : {}), ...(village.value ? { villageId: village.value, role: role.value } : {}) };
    const answer = await act(() => run.invite(person));
    if (answer) (setMade(answer), setOpen(false));
  };
  if (made) return html`<${Secret} title="A link that signs the new person in." text=${new URL(`?code=${encodeURIComponent(made.code)}`, BASE).href} close=${() => setMade(null)}><p class="soft">Give it to them alone: it works once, until ${new Date(made.expiresAt).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" })}.</p><//>`;
  if (!open) return html`<p class="operator-note"><button type="button" class="button" data-testid="invite" onClick=${() => setOpen(true)}>Invite a person …</button></p>`;
  return html`<form class="operator-form" onSubmit=${submit} data-testid="invite-form"><h2>Invite a person</h2><div class="field-pair">
    <label class="field"><span>Name</span><input class="input" name="name" required maxlength="200" autocomplete="off" autofocus /></label>
    <label class="field"><span>E-mail <small>to sign in with a password later; may be left out</small></span><input class="input" type="email" name="email" maxlength="320" autocomplete="off" /></label>
    <label class="field"><span>Village</span><select class="input" name="village"><option value="">none yet</option>${places.managed.map((one) => html`<option value=${one.villageId} selected=${one.villageId === villageId}>${one.name ?? one.villageId}</option>`)}</select></label>
    <label class="field"><span>Role there</span><select class="input" name="role">${ROLES.map(([id, words]) => html`<option value=${id}>${words}</option>`)}</select></label></div>
    <label class="check"><input type="checkbox" name="admin" />administrator: runs the whole service</label>
    <p class="operator-acts"><button type="submit" class="button primary" disabled=${busy}>Make a link</button><button type="button" class="button" onClick=${() => setOpen(false)}>Cancel</button></p><${Said} said=${said} /></form>`;
}
