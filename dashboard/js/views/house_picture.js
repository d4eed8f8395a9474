// A house as an instrument. Roof: the last test run. Windows: sessions. Smoke: a run is going on. Flag: somebody waits for a
// person. Warm walls: somebody works in it. Fence: a runner is away. No pixel without a metric, and all of it is in the table too.

import { html } from "../html.js";

const WINDOWS = [[27, 51], [45, 51], [63, 51], [81, 51], [27, 71], [81, 71]];

/** state: {roof: good | bad | unknown | none, tones: [tone of each session], lights, smoke, banner, build} */
export function HousePicture({ state }) {
  const { roof, tones, lights, smoke, banner, build } = state;
  const shown = tones.slice(0, WINDOWS.length);
  return html`<svg class=${`house ${lights ? "house-lit" : ""}`} viewBox="0 0 120 93" aria-hidden="true">
    <path class="walls" d="M20 44h80v48H20z" />
    <path class="chimney" d="M83 17h9v20h-9z" />
    <path class=${`roof roof-${roof}`} d="M11 46 60 14l49 32z" />
    ${roof === "none" || roof === "unknown" ? html`<path class="hatch" d="M28 45 51 22M40 45l19-19M52 45l16-16M64 45l12-12M76 45l8-8" />` : null}
    ${smoke ? html`<g class=${`smoke smoke-${build ?? "in_progress"}`}><circle cx="88" cy="12" r="3" /><circle cx="93" cy="7" r="4" /><circle cx="101" cy="4" r="4.6" /></g>` : null}
    <path class="door" d="M53 72h14v20H53z" />
    ${WINDOWS.map(([x, y], i) => html`<${Window} x=${x} y=${y} tone=${shown[i]} />`)}
    ${banner ? html`<g class="banner"><path class="pole" d="M8 92V22" /><path class="flag" d="M8 23h22l-5 6.5 5 6.5H8z" /></g>` : null}
    ${tones.includes("lost") ? html`<path class="fence" d="M16 84h88M18 80v12M28 80v12M38 80v12M48 80v12M58 80v12M68 80v12M78 80v12M88 80v12M98 80v12" />` : null}
  </svg>`;
}

function Window({ x, y, tone }) {
  return html`<g class=${`window window-${tone ?? "empty"}`}>
    <rect x=${x} y=${y} width="12" height="13" />
    ${tone === "fail" ? html`<path d=${`M${x + 2.5} ${y + 3}l7 7m0-7-7 7`} />` : null}
    ${tone === "pause" ? html`<path d=${`M${x + 4} ${y + 3.5}v6m4-6v6`} />` : null}
    ${tone === "wait" ? html`<path d=${`M${x + 6} ${y + 2}l4 4.5-4 4.5-4-4.5z`} />` : null}
    ${tone === "quiet" || tone === "work" ? html`<path d=${`M${x + 6} ${y}v13M${x} ${y + 6.5}h12`} />` : null}
  </g>`;
}

const ROOFS = { passed: "good", failed: "bad" };

/** What a house's picture shows, from the house and its agents as the lists have them. */
export function pictureOf(house, agents) {
  const on = (name) => house.indicators?.[name]?.active === true;
  const last = house.lastTest ?? undefined;
  const here = agents.filter((agent) => agent.status.tone !== "done").sort((a, b) => (a.startedAt ?? 0) - (b.startedAt ?? 0));
  return {
    roof: ROOFS[last?.verdict] ?? "none",
    last,
    tones: here.map((agent) => agent.status.tone),
    lights: on("lights"),
    smoke: on("smoke"),
    banner: on("banner"),
    build: house.indicators?.smoke?.buildStatus,
  };
}
