// The page that a link in a call opens: one approval, without signing in. Looking decides nothing; a button does, once.

import * as api from "./api.js";
import { askOf, LINES_AT_ONCE } from "./asks.js";
import { html, render, useEffect, useState } from "./html.js";
import "./settings.js";
import * as store from "./store.js";
import { Age, Countdown, Literal } from "./views/bits.js";
import { Asked } from "./views/ask/asked.js";
import { Deadline } from "./views/ask/deadline.js";

const HOLD_MS = 5000;
const RISK = { low: "low risk", med: "medium risk", high: "high risk" };
const link = decodeURIComponent(location.hash.replace(/^#/, ""));

function Page() {
  const [seen, setSeen] = useState(null);
  const [failure, setFailure] = useState("");
  const [busy, setBusy] = useState(false);
  const look = () => api.lookAtLink(link).then((found) => {
    store.serviceSaid(found.serverTime);
    store.tick();
    setSeen(found);
  }, (error) => setFailure(error.message));
  useEffect(() => void look(), []);
  const attempt = async (act) => {
    setBusy(true);
    setFailure("");
    await act().catch((error) => setFailure(error.message));
    await look();
    setBusy(false);
  };
  if (seen === null) return html`<${Frame} title=${failure ? "This link opens nothing" : "Looking …"}>${failure ? html`<p role="alert" data-testid="over">${sentence(failure)}</p><p><a class="button" href="./">Sign in to Townwatch</a></p>` : null}<//>`;
  return html`<${Frame} title=${`${seen.agentName} ${askOf(seen.approval).title}`}>
    <p class="soft">${seen.village} · <span class=${`tag ${seen.approval.risk === "high" ? "is-bad" : seen.approval.risk === "med" ? "is-wait" : ""}`}>${RISK[seen.approval.risk] ?? seen.approval.risk}</span> · asked <${Age} at=${seen.approval.requestedAt} suffix=" ago" /> · <${Deadline} one=${seen.approval} /></p>
    <${What} one=${seen.approval}>${({ unread, cut, allow, why }) => html`<${Answer} seen=${seen} busy=${busy} off=${unread || cut} allow=${allow} why=${why} attempt=${attempt} />`}<//>
    ${failure ? html`<p class="failure" role="alert">${sentence(failure)}</p>` : null}
    <p class="faint small">You answer as ${seen.person}. This link is yours alone: do not pass it on.</p>
  <//>`;
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;

function Frame({ title, children }) {
  return html`<main class="answer" id="content"><p class="answer-brand"><a href="./">Townwatch</a></p><article class="ask" data-testid="answer"><h1 class="ask-title"><${Literal} text=${title} /></h1>${children}</article></main>`;
}

/** The whole of it comes first: what is behind a "read the rest" is read before Allow is offered. */
function What({ one, children }) {
  const [read, setRead] = useState(false);
  const ask = askOf(one);
  return html`<${Asked} one=${one} ask=${ask} read=${read} setRead=${setRead} />${children({ unread: ask.lines.length > LINES_AT_ONCE && !read, cut: ask.cut, allow: ask.allow, why: ask.why })}`;
}

function Answer({ seen, busy, off, allow, why, attempt }) {
  const { approval: one } = seen;
  if (seen.state === "held") {
    return html`<p role="status" data-testid="outcome"><b>Allowed by <${Literal} text=${one.resolvedBy ?? "somebody"} />.</b> ${one.releaseAt > store.now.value ? html`Its agent gets it in <${Countdown} until=${one.releaseAt} />.` : "Its agent gets it now."}</p>
      ${seen.mine && one.releaseAt > store.now.value ? html`<p><button type="button" class="button" data-testid="take-back" disabled=${busy} onClick=${() => attempt(() => api.takeBackByLink(link))}>Take it back</button></p>` : null}`;
  }
  if (seen.state === "decided") {
    return html`<p role="status" data-testid="outcome"><b>${one.decision === "allow" ? "Allowed" : "Denied"} by <${Literal} text=${one.resolvedBy ?? "its runner"} />.</b>${one.note ? html` “<${Literal} text=${one.note} />”` : null}</p>`;
  }
  const page = `./#/approvals/${encodeURIComponent(one.sessionId)}/${encodeURIComponent(one.approvalId)}`;
  if (seen.signIn) return html`<p class="ask-why" data-testid="sign-in">${sentence(seen.signIn)}</p><p><a class="button primary" href=${page}>Sign in and answer</a></p>`;
  const say = (decision) => attempt(() => api.decideByLink(link, decision, decision === "allow" ? HOLD_MS : 0));
  if (allow !== "plain") {
    return html`<p class="ask-why" data-testid="not-from-here">${why ? html`<${Literal} text=${sentence(why)} /> ` : null}${allow === "no" ? "Allow it in its terminal; a no can be given here." : "Open it in Townwatch to allow it by one of its own answers."}</p>
      <div class="ask-buttons"><button type="button" class="button" data-testid="deny" disabled=${busy} onClick=${() => say("deny")}>Deny</button> <a class="button" href=${page}>Open it in Townwatch</a></div>`;
  }
  return html`<div class="ask-buttons">
    <button type="button" class="button primary" data-testid="allow" disabled=${busy || off} onClick=${() => say("allow")}>Allow</button>
    <button type="button" class="button" data-testid="deny" disabled=${busy} onClick=${() => say("deny")}>Deny</button></div>
    <p class="faint small">An allow waits five seconds before its agent gets it, and can be taken back until then. <a href=${page}>Open it in Townwatch</a></p>`;
}

setInterval(store.tick, 500);
render(html`<${Page} />`, document.getElementById("page"));
