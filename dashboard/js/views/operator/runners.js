// Runners: to add a machine, to see how each is, to keep work away from it, to give it a new token, to remove it.

import { BASE } from "../../base.js";
import { bytes, duration, plural } from "../../format.js";
import { html, useState } from "../../html.js";
import * as run from "../../operating.js";
import { qr } from "../../qr.js";
import { toAgent, withQuery } from "../../routes.js";
import { Empty } from "../empty.js";
import { Glyph, Literal } from "../bits.js";
import { Ago, Answered, Said, Secret, Sure, Table, Typed, useActs, useAnswer } from "./parts.js";

const EVERY_MS = 5_000;
/** The command's address: this page's. */
const SERVICE = BASE.href.replace(/\/$/, "");
const TONES = { online: "work", draining: "pause", maintenance: "pause", offline: "lost" };

export function RunnersScreen({ places, query }) {
  const runners = useAnswer(run.runners, "", EVERY_MS);
  return html`${places.admin || places.managed.length ? html`<${AddMachine} places=${places} />` : null}
    <${Answered} answer=${runners}>${(all) => all.length === 0
      ? html`<${Empty} title="No runner serves a village of yours."><p class="faint">A runner is a machine on which agents work. Add one: make a code, and type the command there.</p><//>`
      : html`<section class="panel" aria-label="Runners">
      <${Table} label="Runners" columns=${["State", "Runner", "Sessions", "Agents it has", "Serves", "Clock", "Not sent yet", "(Do)"]} data-testid="runners">
        ${all.map((one) => html`<${Row} key=${one.runnerId} runner=${one} places=${places} open=${query.of === one.runnerId} changed=${runners.again} />`)}
      <//></section>
      <p class="faint small">${plural(all.length, "runner")}. Drain: it finishes what runs, and takes nothing new.</p>`}<//>`;
}

function AddMachine({ places }) {
  const [code, setCode] = useState(null);
  const [pictured, setPictured] = useState(false);
  const [villageId, setVillageId] = useState(places.managed[0]?.villageId ?? "");
  const { act, busy, said } = useActs();
  const make = async (event) => {
    event.preventDefault();
    const name = event.currentTarget.elements.machine.value.trim();
    const made = await act(() => run.enrol(name, villageId));
    if (made) setCode(made);
  };
  const choices = [...places.managed.map((one) => [one.villageId, one.name ?? one.villageId]), ...(places.admin ? [["", "no village yet"]] : [])];
  if (code) {
    const command = `townwatch runner join ${SERVICE} --code ${code.code}${location.protocol === "http:" && !["127.0.0.1", "localhost", "[::1]"].includes(location.hostname) ? " --plain" : ""}`;
    return html`<${Secret} title="Type this on the machine." text=${command} close=${() => setCode(null)}>
      <p class="soft">The code works once, until ${new Date(code.expiresAt).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })}. Then <code>townwatch runner</code> starts it, and it appears below.</p>
      <p><button type="button" class="link-button" aria-expanded=${pictured} data-testid="show-qr" onClick=${() => setPictured(!pictured)}>${pictured ? "Hide the QR code" : "Show a QR code"}</button></p>
      ${pictured ? html`<${Picture} text=${command} />` : null}
    <//>`;
  }
  return html`<form class="panel operator-form" onSubmit=${make} data-testid="enrol"><h2>Add a machine</h2>
    <div class="field-pair"><label class="field"><span>It serves</span><select class="input" name="village" value=${villageId} onChange=${(event) => setVillageId(event.currentTarget.value)}>${choices.map(([id, words]) => html`<option value=${id}>${words}</option>`)}</select></label>
    <label class="field"><span>Name <small>left out: the machine's own</small></span><input class="input" name="machine" maxlength="200" autocomplete="off" /></label></div>
    <p class="operator-acts"><button type="submit" class="button primary" disabled=${busy}>Make a code</button></p><${Said} said=${said} /></form>`;
}

/** The text as a QR code: dark on white in both themes, with the quiet edge that readers need. */
function Picture({ text }) {
  const rows = qr(text);
  if (rows === null) return html`<p class="faint">The command is too long for a QR code.</p>`;
  const size = rows.length + 8;
  const path = rows.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x + 4} ${y + 4}h1v1h-1z` : ""))).join("");
  return html`<svg class="operator-qr" viewBox=${`0 0 ${size} ${size}`} role="img" aria-label="QR code of the command" data-testid="qr"><rect width=${size} height=${size} class="qr-light" /><path d=${path} class="qr-dark" /></svg>`;
}

/** The clock of a runner against the service's. */
function clockWords(ms) {
  if (ms === null || ms === undefined) return "not known";
  if (Math.abs(ms) < 50) return "exact";
  return `${duration(Math.abs(ms))} ${ms > 0 ? "slow" : "fast"}`;
}

function spoolWords(spool) {
  if (!spool) return "not known";
  return spool.events ? `${plural(spool.events, "event")}, ${bytes(spool.bytes)}` : "nothing";
}

/** One agent of a runner's machine: which version, which versions are tested, whether a person has signed in. */
function agentWords({ providerId, version, tested = [], signedIn }) {
  const range = [...new Set(tested)].join(" to ");
  const signed = signedIn === true ? "signed in" : signedIn === false ? "not signed in" : "not known whether signed in";
  return [`${providerId} ${version || "of an unknown version"}`, range && `tested with ${range}`, signed].filter(Boolean).join(", ");
}

function Row({ runner, places, open, changed }) {
  const { act, busy, said } = useActs(changed);
  const [secret, setSecret] = useState(null);
  const owns = places.admin || (runner.villages.length > 0 && runner.villages.every((id) => places.managed.some((one) => one.villageId === id)));
  const agents = runner.capabilities.agents ?? [];
  const away = runner.status === "offline";
  const resting = runner.wanted !== "active";
  const set = (state, text) => act(() => run.setRunnerState(runner.runnerId, state), text);
  return html`<tr class=${open ? "is-open" : ""} data-testid="runner" data-runner=${runner.runnerId}>
      <td><span class=${`status tone-${TONES[runner.status] ?? "quiet"}`}><${Glyph} tone=${TONES[runner.status] ?? "quiet"} />${runner.status}</span>${away ? html`${resting ? html` <span class="tag">${runner.wanted}</span>` : null}<br /><span class="faint small">${runner.heardAt ? html`heard <${Ago} at=${runner.heardAt} />` : "its daemon was never heard of"}</span>` : null}</td>
      <td><strong><bdi>${runner.name}</bdi></strong> <span class="faint small">${runner.version ?? "version not known"}</span></td>
      <td data-label="sessions" class="num">${runner.activeSessions} of ${runner.capabilities.maxConcurrentSessions ?? "?"}${runner.sessionsBeside ? html`<br /><span class="faint small">and ${runner.sessionsBeside} beside its daemon</span>` : null}</td>
      <td data-label="agents" class="soft">${agents.map((one) => `${one.providerId} ${one.version}`.trim()).join(", ") || html`<span class="faint">none found</span>`}</td>
      <td data-label="serves" class="soft"><bdi>${runner.villages.map((id) => places.all.find((one) => one.villageId === id)?.name ?? id).join(", ")}</bdi>${runner.villages.length ? "" : html`<span class="faint">no village</span>`}</td>
      <td data-label="clock" class="soft">${clockWords(runner.clockOffsetMs)}</td>
      <td data-label="not sent yet" class="soft">${away && runner.spool === null ? "not known" : spoolWords(runner.spool)}</td>
      <td class="acts">${owns ? html`<button type="button" class="button slim" disabled=${busy} onClick=${() => (resting ? set("active") : set("draining"))}>${resting ? "Take work again" : "Drain"}</button> ` : null}<a class="button slim" href=${withQuery(location.hash, { of: open ? "" : runner.runnerId })} aria-label=${`${open ? "Less" : "More"} of ${runner.name}`}>${open ? "Less" : "More"}</a></td>
    </tr>
    ${said || secret || open ? html`<tr class="plain-more"><td colspan="8">
      <${Said} said=${said} />
      ${secret ? html`<${Secret} title="The runner's new token." text=${secret} close=${() => setSecret(null)}><p class="soft">On the machine: <code>townwatch runner --token …</code>. The one before it works for five more minutes.</p><//>` : null}
      ${open ? html`<${More} runner=${runner} places=${places} owns=${owns} act=${act} busy=${busy} set=${set} show=${setSecret} agents=${agents} />` : null}
    </td></tr>` : null}`;
}

function More({ runner, places, owns, act, busy, set, show, agents }) {
  const load = runner.load;
  const sessions = useAnswer(() => run.sessionsOf(runner.runnerId), runner.runnerId, EVERY_MS);
  const labels = Object.entries(runner.labels ?? {});
  const rotate = async () => {
    const made = await act(() => run.rotateRunner(runner.runnerId));
    if (made) show(made.token);
  };
  return html`<div class="operator-more">
    <dl class="facts"><dt>Id</dt><dd class="mono">${runner.runnerId}</dd><dt>Machine</dt><dd>${runner.hostname ?? "not known"}</dd><dt>Since</dt><dd>${runner.createdAt ? new Date(runner.createdAt).toLocaleString() : "not known"}</dd>
      <dt>Load</dt><dd>${load ? `processor ${Math.round(load.cpuPercent)} %, memory ${Math.round(load.memoryPercent)} %, disk ${Math.round(load.diskPercent)} %` : "not known"}</dd>
      ${labels.length ? html`<dt>Labels</dt><dd><${Literal} text=${labels.map(([name, value]) => `${name}=${value}`).join(", ")} /></dd>` : null}
      <dt>Agents</dt><dd>${agents.length ? agents.map((one) => html`<div data-testid="runner-agent">${agentWords(one)}</div>`) : "none found on its machine"}</dd></dl>
    <${Grants} runner=${runner} places=${places} act=${act} />
    <section aria-label="Live sessions"><h2>Live sessions</h2><${Answered} answer=${sessions}>${(all) => all.length ? html`<ul class="operator-list">${all.map((one) => html`<li key=${one.sessionId}><a href=${toAgent(one.agentId)}><bdi>${one.agentName}</bdi></a> <span class="faint small">${one.villageId} · ${one.state.toLowerCase()}</span></li>`)}</ul>` : html`<p class="faint">none</p>`}<//></section>
    ${owns ? html`<p class="operator-acts">
      ${runner.wanted !== "maintenance" ? html`<button type="button" class="button slim" disabled=${busy} onClick=${() => set("maintenance")}>Maintenance</button>` : null}
      <${Sure} word="New token" sure="Really make a new one?" act=${rotate} disabled=${busy} />
      <${Sure} word="Revoke its token" sure="Really cut it off?" act=${() => act(() => run.revokeRunner(runner.runnerId), "Its token is revoked: it must join again with a code.")} disabled=${busy} /></p>
      <${Typed} word="Remove" expected=${runner.name} busy=${busy} act=${() => act(() => run.removeRunner(runner.runnerId))}>The runner and its token go. What its sessions did stays. One with live sessions is not removed: stop them first.<//>` : null}
  </div>`;
}

function Grants({ runner, places, act }) {
  const [asked, setAsked] = useState(null);
  const [going, setGoing] = useState(null); // {id, on}: on its way to the service
  if (places.managed.length === 0) return null;
  const tick = (villageId, on) => (on ? set(villageId, true) : setAsked(villageId));
  const set = async (villageId, on) => {
    setGoing({ id: villageId, on });
    await act(() => run.setRunnerVillages(runner.runnerId, on ? [...runner.villages, villageId] : runner.villages.filter((id) => id !== villageId)));
    setGoing(null);
  };
  const ticked = (id) => (going?.id === id ? going.on : runner.villages.includes(id) && asked !== id);
  return html`<fieldset class="checks"><legend class="legend">It serves</legend>${places.managed.map((one) => html`<label class="check"><input type="checkbox" data-testid=${`serves-${one.villageId}`} checked=${ticked(one.villageId)} onChange=${(event) => tick(one.villageId, event.currentTarget.checked)} /><bdi>${one.name ?? one.villageId}</bdi></label>`)}</fieldset>
    ${asked === null ? null : html`<p class="operator-acts" role="alert"><span>Its sessions in <bdi>${places.all.find((one) => one.villageId === asked)?.name ?? asked}</bdi> are stopped.</span><button type="button" class="button slim danger" onClick=${() => (setAsked(null), set(asked, false))}>Withdraw it</button><button type="button" class="button slim" onClick=${() => setAsked(null)}>Keep it</button></p>`}`;
}
