// Shows what the service pushes to this browser, also where no page of it is open. It keeps nothing, and answers nothing by itself.

const HOLD_MS = 5000;
const ICON = "icons/icon-192.png";

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("push", (event) => event.waitUntil(shown(event.data)));
self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(answered(event.notification, event.action));
});

/** A push that cannot be read is shown all the same: browsers demand it. */
async function shown(data) {
  let told = {};
  try {
    told = data?.json() ?? {};
  } catch {}
  const { title = "Townwatch", text = "Something calls you.", village = "", path = "", tag, at, link, acts } = told;
  await self.registration.showNotification(title, {
    body: village ? `${text}\n${village}` : text,
    tag,
    renotify: Boolean(tag),
    timestamp: at,
    icon: ICON,
    badge: "icons/badge-96.png",
    requireInteraction: Boolean(link),
    data: { path, link, title, tag },
    actions: acts && link ? [{ action: "allow", title: "Allow" }, { action: "deny", title: "Deny" }] : [],
  });
}

/** Only a button of the notification decides; a tap on it opens what it is about. */
async function answered({ data }, action) {
  if (action === "allow" || action === "deny") return decided(data, action);
  if (action === "back") return takenBack(data);
  return opened(data.path);
}

async function decided(data, decision) {
  const answer = await ask("decide", { link: data.link, decision, ...(decision === "allow" ? { holdMs: HOLD_MS } : {}) });
  if (answer.error) return say(data, "It was not answered", answer.error, []);
  if (decision === "deny") return say(data, "Denied", data.title, []);
  if (answer.needed) return say(data, "Counted", `${answer.allowedBy.length} of ${answer.needed} people have allowed it`, []);
  return say(data, "Allowed", `${data.title}. Its agent gets it after ${HOLD_MS / 1000} seconds.`, [{ action: "back", title: "Take it back" }]);
}

async function takenBack(data) {
  const answer = await ask("take-back", { link: data.link });
  return answer.error ? say(data, "It was not taken back", answer.error, []) : say(data, "Taken back", `${data.title}: it waits again.`, []);
}

async function ask(what, body) {
  try {
    const response = await fetch(`api/links/${what}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    const answer = await response.json();
    return response.ok ? answer : { error: answer.error?.message ?? `the service answered ${response.status}` };
  } catch {
    return { error: "the service does not answer" };
  }
}

const say = (data, title, body, actions) => self.registration.showNotification(title, { body, tag: data.tag, icon: ICON, badge: "icons/badge-96.png", data, actions });

/** In a page of ours that is open, else in a new one. A link's own page is always a new one. */
async function opened(path) {
  const url = new URL(path || "./", self.registration.scope).href;
  if (!url.startsWith(self.registration.scope)) return;
  const pages = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const page = pages.find((one) => new URL(one.url).pathname === new URL(self.registration.scope).pathname);
  if (!page || !path.startsWith("#")) return self.clients.openWindow(url);
  await page.focus();
  return page.navigate(url).catch(() => self.clients.openWindow(url));
}
