// How the page calls a person who looks elsewhere: the tab's title, its icon, and the browser's notifications. Pure but for `mark`.

/** "◆ 3 · Ada · Demo village · Townwatch": what waits first, then where one is. */
export function titleOf(waiting, places, live) {
  const place = [...places, "Townwatch"].filter(Boolean).join(" · ");
  if (!live) return `○ not live · ${place}`;
  return waiting > 0 ? `◆ ${waiting} · ${place}` : place;
}

/** wait: something waits; down: not live; calm: neither. */
export const moodOf = (waiting, live) => (!live ? "down" : waiting > 0 ? "wait" : "calm");

const SCREENS = { approvals: "Approvals", start: "Start work", history: "History", calls: "Calls", grid: "Grid", supervision: "Supervision", operator: "Run it" };

/** What a tab is called by: the agent or house that it shows, or its screen. */
export const placeOf = (route, agents, houses) => ({ agent: agents[route.id]?.agentName, house: houses[route.id]?.name })[route.page] ?? SCREENS[route.page];

/** Whether a person is not to be called now: {quiet: {begins, ends} (minutes of the day) or null, timeZone}. */
export function quietNow({ quiet, timeZone }, at) {
  if (!quiet) return false;
  const told = new Intl.DateTimeFormat("en-GB", { timeZone, hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).formatToParts(at);
  const part = (type) => Number(told.find((one) => one.type === type).value);
  const minute = part("hour") * 60 + part("minute");
  return quiet.begins <= quiet.ends ? minute >= quiet.begins && minute < quiet.ends : minute >= quiet.begins || minute < quiet.ends;
}

const FLAMES = { wait: "#ffb224", calm: "#8d979e", down: "none" };

/** The lantern as an address for the tab's icon: amber when something waits, a ring when not live. */
export function iconOf(mood) {
  const ring = mood === "down" ? '<circle cx="10" cy="12" r="2.4" fill="none" stroke="#ff8476" stroke-width="1.4"/>' : "";
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 20 20"><rect width="20" height="20" rx="4" fill="#111418"/><path d="M7 3.5a3 3 0 0 1 6 0M5 5h10M6 17.5h8M6.2 5.5 5 16h10L13.800 5.500" fill="none" stroke="#e9e7e1" stroke-width="1.3"/><path d="M10 8c1.700 1.900 2.300 2.900 2.300 4a2.300 2.300 0 0 1-4.600 0c0-1.100.6-2.100 2.300-4z" fill="${FLAMES[mood]}"/>${ring}</svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}

/** What one is told of: kind → what it is. Each can be turned off. */
export const KINDS = { wait: "needs you", fail: "failed", lost: "runner lost", turn: "your turn" };

/**
 * The news between two moments: [{key, kind, title, body, href}] of agents that came into a state that calls.
 * before: agentId → tone, undefined at the first look, which is no news. agents: with status and waiting.
 */
export function newsOf(before, agents, wanted) {
  if (before === undefined) return [];
  const news = [];
  for (const agent of agents) {
    const { tone, why, label } = agent.status;
    if (before[agent.agentId] === tone || !wanted[tone]) continue;
    news.push({ key: `${agent.agentId} ${tone}`, kind: tone, title: `${agent.agentName}: ${KINDS[tone] ?? label}`, body: why ?? "", href: `#/a/${encodeURIComponent(agent.agentId)}` });
  }
  return news;
}

export const tonesOf = (agents) => Object.fromEntries(agents.map((agent) => [agent.agentId, agent.status.tone]));

/** Several at once are one: "4 agents need you". */
export function bundled(news) {
  if (news.length <= 2) return news;
  return [{ key: "several", kind: "several", title: `${news.length} agents call`, body: news.slice(0, 4).map((one) => one.title).join("\n"), href: "#/" }];
}
