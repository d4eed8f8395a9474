// Run it: plain screens for those who run villages, and the service. The service decides who may; what nobody here may do is not offered.

import { html, useEffect, useRef } from "../../html.js";
import * as run from "../../operating.js";
import { SUPERVISION, toOperator, withQuery } from "../../routes.js";
import { mayManage } from "../../status.js";
import * as store from "../../store.js";
import { Empty } from "../empty.js";
import { AuditScreen } from "./audit.js";
import { DevicesScreen } from "./devices.js";
import { LimitsScreen } from "./limits.js";
import { Answered, Choice, useAnswer } from "./parts.js";
import { PeopleScreen } from "./people.js";
import { RulesScreen } from "./rules.js";
import { RunnersScreen } from "./runners.js";
import { TokensScreen } from "./tokens.js";
import { VillagesScreen } from "./villages.js";
import { WebhooksScreen } from "./webhooks.js";

const someVillage = (places) => places.managed.length > 0;

/** of: whose villages can be chosen on the screen. */
const SCREENS = [
  { id: "runners", name: "Runners", view: RunnersScreen },
  { id: "people", name: "People and roles", view: PeopleScreen, of: "mine" },
  { id: "villages", name: "Villages and houses", view: VillagesScreen },
  { id: "rules", name: "Rules", view: RulesScreen, of: "mine" },
  { id: "webhooks", name: "Webhooks", view: WebhooksScreen, of: "managed", show: someVillage },
  { id: "audit", name: "Audit", view: AuditScreen, of: "managed", show: someVillage, all: true },
  { id: "limits", name: "Limits in use", view: LimitsScreen },
  { id: "tokens", name: "Your tokens", view: TokensScreen },
  { id: "devices", name: "Sign-ins and devices", view: DevicesScreen },
];

/** Which villages a person may look into and manage, and which one the address names. */
function placesOf(all) {
  const admin = store.user.value?.admin ?? false;
  const mine = all.filter((one) => admin || one.role);
  return { all, admin, mine, managed: all.filter((one) => admin || mayManage(one.role)) };
}

export function OperatorPage() {
  const { id, query } = store.route.value;
  const villages = useAnswer(run.villages, store.user.value?.userId ?? "");
  if (store.user.value === null) return html`<${Empty} whole title="Sign in to run the service." />`;
  return html`<div class="operator">
    ${villages.value === undefined ? html`<h1 class="sr-only">Run it</h1>` : null}
    <${Answered} answer=${villages}>${(all) => html`<${Frame} places=${{ ...placesOf(all), again: villages.again }} id=${id} query=${query} />`}<//>
  </div>`;
}

/** On a phone the screens are a strip that scrolls: where one is must be in sight. */
function showCurrent(nav) {
  const here = nav.querySelector("[aria-current]");
  if (here) nav.scrollLeft = here.offsetLeft - (nav.clientWidth - here.offsetWidth) / 2;
}

function Frame({ places, id, query }) {
  const shown = SCREENS.filter((one) => !one.show || one.show(places));
  const screen = SCREENS.find((one) => one.id === id);
  const choices = screen?.of ? places[screen.of] : [];
  const whole = Boolean(screen?.all && places.admin);
  const asked = query.village ?? (whole ? "" : store.villageId.value);
  const villageId = whole && asked === "" ? "" : (choices.find((one) => one.villageId === asked) ?? choices[0])?.villageId;
  const names = choices.map((one) => [one.villageId, one.name ?? one.villageId]);
  const nav = useRef(null);
  useEffect(() => showCurrent(nav.current), [id]);
  return html`<nav class="operator-nav" aria-label="Run it" ref=${nav}>${shown.map((one) => html`<a href=${toOperator(one.id)} aria-current=${one.id === id ? "page" : undefined}>${one.name}</a>`)}<a href=${SUPERVISION}>Supervision</a></nav>
    <div class="operator-screen" data-testid=${`operator-${id}`}>
      <div class="operator-head"><h1>${screen?.name ?? "Run it"}</h1>
        ${screen?.of && (choices.length > 1 || whole) ? html`<${Choice} label="Village" data-testid="operator-village" value=${villageId} choices=${whole ? [["", "the whole service"], ...names] : names} pick=${(value) => (location.hash = withQuery(toOperator(id), { village: value }))} />` : null}</div>
      ${screen === undefined ? html`<${Empty} title="There is no such screen." />` : screen.of && villageId === undefined ? html`<${Empty} title=${screen.of === "managed" ? "You manage no village: its owners, and administrators, see this." : "You are a member of no village yet."} />` : html`<${screen.view} key=${`${id} ${villageId ?? ""}`} places=${places} villageId=${villageId} village=${choices.find((one) => one.villageId === villageId)} query=${query} />`}
    </div>`;
}
