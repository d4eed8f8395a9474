// Web push in this browser: its service worker, its subscription, and which channel of the service it is.

import * as api from "./api.js";

const KEY = "townwatch.push";
const WORKER = "service-worker.js";

/** Why this browser cannot be called, or "". */
export function whyNoPush() {
  if (!globalThis.isSecureContext) return "This page was not opened by https:, so its browser cannot be called.";
  if (!("serviceWorker" in navigator) || !("PushManager" in globalThis) || !("Notification" in globalThis)) {
    return /iPhone|iPad/.test(navigator.userAgent) ? "Add this page to the home screen first; opened from there it can be called." : "This browser has no web push.";
  }
  return Notification.permission === "denied" ? "This browser does not let the page notify: allow it in the browser's settings of this site." : "";
}

/** The id of the channel that this browser is, if it is one. */
export const channelHere = () => localStorage.getItem(KEY) ?? "";

/** Asks the person, subscribes, and makes a channel of it. Throws with words for the person. */
export async function joinPush(pushKey, name) {
  if ((await Notification.requestPermission()) !== "granted") throw new Error(whyNoPush() || "The browser was not allowed to notify.");
  await navigator.serviceWorker.register(WORKER);
  const registration = await navigator.serviceWorker.ready;
  const key = fromBase64Url(pushKey);
  const known = await registration.pushManager.getSubscription();
  if (known && !sameKey(known.options.applicationServerKey, key)) await known.unsubscribe();
  const { endpoint, keys } = (await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key })).toJSON();
  const made = await api.addChannel({ form: "push", name, subscription: { endpoint, ...keys } });
  localStorage.setItem(KEY, made.channelId);
  return made;
}

/** Ends the calls to this browser. What fails is no reason to stay signed in. */
export async function leavePush() {
  const id = channelHere();
  if (!id) return;
  localStorage.removeItem(KEY);
  const registration = await navigator.serviceWorker?.getRegistration().catch(() => undefined);
  const subscription = await registration?.pushManager?.getSubscription().catch(() => null);
  await Promise.allSettled([api.removeChannel(id), subscription?.unsubscribe()]);
}

const fromBase64Url = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (sign) => sign.charCodeAt(0));
const sameKey = (buffer, key) => buffer !== null && buffer.byteLength === key.length && new Uint8Array(buffer).every((byte, at) => byte === key[at]);

/** "Chromium on Linux", for the list of channels. */
export function browserName() {
  const agent = navigator.userAgent;
  const browser = [["Edg/", "Edge"], ["Firefox/", "Firefox"], ["Chrome/", "Chrome"], ["Safari/", "Safari"]].find(([mark]) => agent.includes(mark))?.[1] ?? "A browser";
  const system = [["Android", "Android"], ["iPhone", "an iPhone"], ["iPad", "an iPad"], ["Mac OS", "a Mac"], ["Windows", "Windows"], ["Linux", "Linux"]].find(([mark]) => agent.includes(mark))?.[1];
  return system ? `${browser} on ${system}` : browser;
}
