// Keeps the tab's title and icon true, and tells what is new to who looks elsewhere.

import * as api from "./api.js";
import { bundled, iconOf, moodOf, newsOf, placeOf, quietNow, titleOf, tonesOf } from "./calling.js";
import { effect } from "./html.js";
import { settings } from "./settings.js";
import * as store from "./store.js";

const BUNDLE_MS = 1000;

let before;
let village;
let collected = [];
let timer;

export function startCalling() {
  effect(() => {
    const live = !store.stale.value;
    const waiting = live ? store.pending.value.length : 0;
    document.title = titleOf(waiting, [placeOf(store.route.value, store.agents.value, store.houses.value), store.village.value?.name], live);
    const icon = document.querySelector('link[rel="icon"]');
    const href = iconOf(moodOf(waiting, live));
    if (icon && icon.href !== href) icon.href = href;
  });
  effect(() => {
    const agents = store.roster.value;
    if (!store.loaded.value || store.stale.value) return;
    if (village !== store.villageId.value) before = undefined;
    village = store.villageId.value;
    const { desktop, calls } = settings.value;
    const news = desktop && store.canDrive.value ? newsOf(before, agents, calls) : [];
    before = tonesOf(agents);
    if (news.length === 0 || document.visibilityState === "visible" && document.hasFocus()) return;
    collected.push(...news);
    timer ??= setTimeout(tell, BUNDLE_MS);
  });
}

/** Quiet hours hold for an open page, too. Who cannot be asked for them is told. */
async function tell() {
  timer = undefined;
  const news = bundled(collected);
  collected = [];
  const quiet = await api.callSettings().then((found) => quietNow(found, store.serviceNow()), () => false);
  for (const one of quiet ? [] : news) {
    const shown = new Notification(one.title, { body: one.body, tag: one.key, icon: "icon.svg" });
    shown.onclick = () => {
      focus();
      location.hash = one.href;
      shown.close();
    };
  }
}

/** Asks the browser; answers whether it may. */
export async function mayNotify() {
  if (!("Notification" in globalThis)) return false;
  return (await Notification.requestPermission()) === "granted";
}
