// What to do with a session's changes: commit, branch, push, pull request, merge, discard. A button opens its form, one at a time; what
// cannot be undone here is asked a second time, elsewhere.

import { discardWorktree, land, landings, lookAtGit } from "../git.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "../html.js";
import { actsOf, stateOf, unknownOf } from "../landing.js";
import { landedText } from "../lines.js";
import { toApproval } from "../routes.js";
import { isFinal } from "../status.js";
import * as store from "../store.js";
import { Age, Glyph, Literal } from "./bits.js";

const ASLEEP_MS = 600;
const LATEST = 5;

/** story: as the stream has told it, for whether something was landed since. */
export function Landing({ agent, story }) {
  const { sessionId } = agent;
  const ended = isFinal(agent.state);
  const known = landings.value[sessionId];
  const [open, setOpen] = useState("");
  const [outcome, setOutcome] = useState(null);
  const bar = useRef(null);
  useEffect(() => void lookAtGit(sessionId), [sessionId, story?.landedSeq ?? 0, ended]);
  useEffect(() => setOutcome((known) => (known?.state === "sent" ? null : known)), [story?.landedSeq ?? 0]);
  const view = known?.view;
  if (view === undefined) return html`<p class="landing-none" role="status" data-testid="landing-none">${known?.error ? html`<b>Commit, push and merge are not possible here:</b> <${Literal} text=${known.error} />` : "Asking what there is to commit, push or merge …"}</p>`;
  if (view.whyNot) return html`<div class="landing" data-testid="landing-none"><p class="landing-state"><b>Commit, push and merge are not possible here:</b> <${Literal} text=${view.whyNot} /></p><${Before} landed=${view.landed} /></div>`;
  const acts = actsOf(view, { ended, worktree: view.worktree });
  const chosen = acts.find((one) => one.act === open);
  const close = (act) => {
    setOpen("");
    bar.current?.querySelector(`[data-act="${act}"]`)?.focus();
  };
  const done = (act, said) => {
    setOutcome({ ...said, act });
    if (said.state !== "refused") close(act);
  };
  return html`<section class="landing" aria-label="Commit, push and merge" data-testid="landing">
    <p class="landing-state" data-testid="landing-state">${view.branch ? html`<span class="faint">on</span> <code><${Literal} text=${view.branch} /></code>` : html`<b>${unknownOf(view, "branch") ? "its branch is not known" : "no branch"}</b>`}<span> · ${stateOf(view).join(" · ")}</span>
      <button type="button" class="link-button" data-testid="look-again" aria-busy=${known.busy} onClick=${() => lookAtGit(sessionId)}>${known.busy ? "Looking …" : "Look again"}</button></p>
    ${Object.keys(view.unknown ?? {}).length > 0 ? html`<p class="diff-trouble" role="status" data-testid="landing-unknown"><b>Not everything is known:</b> <${Literal} text=${[...new Set(Object.values(view.unknown))].join("; ")} /></p>` : null}
    ${known.error ? html`<p class="diff-trouble" role="status"><b>Could not be looked at again:</b> <${Literal} text=${known.error} /></p>` : null}
    ${view.underWay.map((one) => html`<p class="landing-way" role="status" key=${one.act}><${Glyph} tone="begin" /> ${one.act.replace("_", " ")} by <bdi>${one.by}</bdi> is under way</p>`)}
    <div class="landing-acts" ref=${bar}>${acts.map((one) => html`<button type="button" key=${one.act} class=${`button slim ${one.act === "commit" && !one.why ? "primary" : ""}`} data-act=${one.act} aria-expanded=${open === one.act} aria-describedby=${one.why ? `why-${one.act}` : undefined} disabled=${one.why !== "" || store.stale.value} onClick=${() => (setOpen(open === one.act ? "" : one.act), setOutcome(null))}>${one.label} …</button>${one.why ? html`<span class="sr-only" id=${`why-${one.act}`}>${one.why}</span>` : null}`)}
      ${view.forge || unknownOf(view, "forge") ? null : html`<span class="faint small">No pull request from here: neither gh nor glab is on its machine.</span>`}</div>
    ${chosen ? html`<${Form} key=${chosen.act} agent=${agent} act=${chosen} view=${view} close=${() => close(chosen.act)} done=${(said) => done(chosen.act, said)} />` : null}
    <${Outcome} agent=${agent} outcome=${outcome} />
    <${Before} landed=${view.landed} />
  </section>`;
}

/** A question is shown until it is answered: what became of it is an event then, and below. */
function useAnswered(agent, outcome) {
  const seen = useRef("");
  if (outcome?.state !== "asked") return false;
  const waits = store.pending.value.some((one) => one.sessionId === agent.sessionId && one.approvalId === outcome.approvalId);
  if (waits) seen.current = outcome.approvalId;
  return !waits && seen.current === outcome.approvalId;
}

function Outcome({ agent, outcome }) {
  const answered = useAnswered(agent, outcome);
  if (answered) return html`<p class="landing-said" role="status" data-testid="landing-said">The question is answered. What became of it is below, and in the timeline.</p>`;
  if (!outcome) return html`<p class="sr-only" role="status"></p>`;
  if (outcome.state === "refused") return html`<p class="failure landing-said" role="alert" data-testid="landing-refused"><${Literal} text=${outcome.text} /></p>`;
  return html`<p class=${`landing-said ${outcome.state === "asked" ? "is-asked" : ""}`} role="status" data-testid="landing-said"><${Glyph} tone=${{ done: "done", asked: "wait" }[outcome.state] ?? "begin"} /> <${Literal} text=${outcome.text} />
    ${outcome.url?.startsWith("https://") ? html` <a href=${outcome.url} target="_blank" rel="noopener noreferrer">Open it</a>` : null}
    ${outcome.approvalId ? html` <a href=${toApproval({ sessionId: agent.sessionId, approvalId: outcome.approvalId })}>Look at the question</a>` : null}</p>`;
}

/** What people did before, the latest first. */
function Before({ landed }) {
  if (landed.length === 0) return null;
  const latest = landed.slice(-LATEST).reverse();
  const named = latest.length < landed.length ? `the latest ${latest.length} of ${landed.length}` : latest.length === 1 ? "1 time" : `${latest.length} times`;
  return html`<details class="fold landing-before" data-testid="landing-before"><summary>Done before: ${named}</summary>
    <ul>${latest.map((one) => html`<li key=${`${one.at} ${one.commit}`} class=${one.ok ? "" : "bad"}><${Literal} text=${landedText(one)} /> <span class="faint"><${Age} at=${one.at ?? undefined} suffix=" ago" /></span></li>`)}</ul></details>`;
}

const START = { message: "", branch: "", create: true, title: "", body: "", base: "", draft: false };

/** Of one act. It is sent once: the button sleeps until the answer is there. */
function Form({ agent, act, view, close, done }) {
  const [form, setForm] = useState({ ...START, title: view.subject ?? "", base: view.base ?? "", remote: view.remote ?? "" });
  const [left, setLeft] = useState({}); // paths that are not to be committed
  const [busy, setBusy] = useState(false);
  const [sure, setSure] = useState(null);
  const box = useRef(null);
  useLayoutEffect(() => box.current?.querySelector("textarea, input:not([type=checkbox]), button")?.focus(), []);
  const field = (name) => ({ value: form[name], onInput: (event) => setForm({ ...form, [name]: event.currentTarget.value }) });
  const chosen = view.files.filter((file) => !left[file.path]);
  const all = chosen.length === view.files.length;
  const why = whyNot(act.act, form, chosen);
  const send = async (confirm) => {
    setBusy(true);
    setSure(null);
    const body = { ...bodyOf(act.act, form, view, all && view.files.length < view.filesTotal ? undefined : chosen.map((file) => file.path)), ...(view.head ? { head: view.head } : {}), ...(confirm === undefined ? {} : { confirm }) };
    const said = await (act.act === "discard" ? discardWorktree(agent.sessionId) : land(agent.sessionId, act.act, body));
    setBusy(false);
    if (said.state === "confirm") setSure({ text: said.text, yes: "Yes, do it", rule: said.rule });
    else done(said);
  };
  const submit = (event) => {
    event.preventDefault();
    if (busy || why || sure) return;
    if (act.high) setSure({ text: secondQuestion(act.act, view), yes: act.act === "discard" ? "Yes, discard it" : act.act === "merge" ? "Yes, merge" : "Yes, push" });
    else send();
  };
  const keys = (event) => {
    if (event.key === "Escape") (event.stopPropagation(), sure ? setSure(null) : close());
    if (event.key === "Enter" && event.ctrlKey && !sure) submit(event);
  };
  return html`<form class="landing-form" ref=${box} onSubmit=${submit} onKeyDown=${keys} aria-label=${act.label} data-testid=${`form-${act.act}`}>
    <${Fields} act=${act.act} view=${view} form=${form} setForm=${setForm} field=${field} left=${left} setLeft=${setLeft} />
    ${sure ? html`<${Second} sure=${sure} back=${() => setSure(null)} yes=${() => send(sure.rule)} />` : html`<div class="landing-buttons">
      <button type="submit" class="button primary" data-testid="land" disabled=${busy || why !== "" || store.stale.value}>${busy ? "At it …" : buttonOf(act, view, chosen, all)}</button>
      <button type="button" class="button" onClick=${close}>Cancel</button>
      ${why ? html`<span class="faint small">${why}</span>` : null}</div>`}
  </form>`;
}

function Fields({ act, view, form, setForm, field, left, setLeft }) {
  const check = (name, label) => html`<label class="check"><input type="checkbox" checked=${form[name]} onChange=${(event) => setForm({ ...form, [name]: event.currentTarget.checked })} />${label}</label>`;
  switch (act) {
    case "commit":
      return html`<label class="field"><span>Message</span><textarea class="input" rows="3" maxlength="20000" data-testid="message" ...${field("message")}></textarea></label>
        <${FileChoice} view=${view} left=${left} setLeft=${setLeft} />`;
    case "branch":
      return html`<label class="field"><span>Branch</span><input class="input mono" maxlength="200" spellcheck="false" data-testid="branch-name" ...${field("branch")} /></label>${check("create", "a new one, from the commit that is checked out")}`;
    case "push":
      return html`<p>Pushes <code><${Literal} text=${view.branch ?? ""} /></code>${view.subject ? html` (“<${Literal} text=${view.subject} />” is its last commit)` : null}${view.remoteUrl ? html` to <span class="path"><${Literal} text=${view.remoteUrl} /></span>` : null}, never by force.</p>
        ${view.remotes.length > 1 ? html`<label class="field"><span>Remote</span><select class="input" value=${form.remote} onChange=${(event) => setForm({ ...form, remote: event.currentTarget.value })}>${view.remotes.map((one) => html`<option value=${one}>${one}</option>`)}</select></label>` : null}`;
    case "pull-request":
      return html`<label class="field"><span>Title</span><input class="input" maxlength="300" data-testid="title" ...${field("title")} /></label>
        <label class="field"><span>What it is about (optional)</span><textarea class="input" rows="3" maxlength="20000" ...${field("body")}></textarea></label>
        <label class="field"><span>Into (optional)</span><input class="input mono" maxlength="200" spellcheck="false" ...${field("base")} /><small>With ${view.forge} on its machine. Whether it is signed in there shows when it is tried.</small></label>${check("draft", "a draft")}`;
    case "merge":
      return html`<p>Merges <code><${Literal} text=${view.branch ?? ""} /></code> into <code><${Literal} text=${view.base ?? ""} /></code> in the repository on its machine. With conflicts, nothing is changed.</p>`;
    default:
      return html`<p>Removes the worktree of this session, and the branch that was made for it. What is only there is lost: ${stateOf(view).join(", ")}.</p>`;
  }
}

function FileChoice({ view, left, setLeft }) {
  const chosen = view.files.length - Object.keys(left).length;
  const named = view.files.length < view.filesTotal ? html`<p class="diff-note">${view.files.length} of ${view.filesTotal} files are named here: with all of them chosen, all ${view.filesTotal} are committed.</p>` : null;
  const toggle = (path) => {
    const { [path]: out, ...others } = left;
    setLeft(out ? others : { ...left, [path]: true });
  };
  return html`<fieldset class="landing-files"><legend class="legend">Files: ${chosen} of ${view.files.length}</legend>
    <div class="landing-which"><button type="button" class="link-button" onClick=${() => setLeft({})}>All</button><button type="button" class="link-button" onClick=${() => setLeft(Object.fromEntries(view.files.map((file) => [file.path, true])))}>None</button></div>
    <ul class="landing-list">${view.files.map((file) => html`<li key=${file.path}><label class="check"><input type="checkbox" checked=${!left[file.path]} onChange=${() => toggle(file.path)} /><span class="file-path"><${Literal} text=${file.path} /></span> <span class="faint">${file.status}</span></label></li>`)}</ul>${named}</fieldset>`;
}

/** The second question: elsewhere, in another colour, the focus on Back, its yes asleep for a moment. */
function Second({ sure, back, yes }) {
  const [awake, setAwake] = useState(false);
  const first = useRef(null);
  useLayoutEffect(() => {
    first.current?.focus();
    const timer = setTimeout(() => setAwake(true), ASLEEP_MS);
    return () => clearTimeout(timer);
  }, []);
  return html`<div class="ask-sure" role="group" aria-label="Second question">
    <p><${Literal} text=${sure.text} /></p>
    <div class="ask-buttons"><button type="button" class="button" data-testid="back" ref=${first} onClick=${back}>Back</button>
      <button type="button" class="button danger" data-testid="sure" disabled=${!awake || store.stale.value} onClick=${yes}>${sure.yes}</button></div></div>`;
}

function whyNot(act, form, chosen) {
  if (act === "commit") return chosen.length === 0 ? "Choose a file." : form.message.trim() === "" ? "Say what the commit is." : "";
  if (act === "branch") return form.branch.trim() === "" ? "Name the branch." : "";
  if (act === "pull-request") return form.title.trim() === "" ? "Give it a title." : "";
  return "";
}

function bodyOf(act, form, view, paths) {
  switch (act) {
    case "commit":
      return { message: form.message.trim(), ...(paths === undefined ? {} : { paths }) };
    case "branch":
      return { branch: form.branch.trim(), create: form.create };
    case "push":
      return form.remote ? { remote: form.remote } : {};
    case "pull-request":
      return { title: form.title.trim(), body: form.body.trim(), draft: form.draft, ...(form.base.trim() ? { base: form.base.trim() } : {}) };
    case "merge":
      return { base: view.base };
    default:
      return {};
  }
}

function buttonOf(act, view, chosen, all) {
  switch (act.act) {
    case "commit":
      return all ? (view.filesTotal === 1 ? "Commit the file" : `Commit all ${view.filesTotal} files`) : chosen.length === 1 ? "Commit 1 file" : `Commit ${chosen.length} files`;
    case "branch":
      return "Switch";
    case "push":
      return act.high ? "Push …" : "Push";
    case "pull-request":
      return "Open pull request";
    case "merge":
      return "Merge …";
    default:
      return "Discard …";
  }
}

function secondQuestion(act, view) {
  if (act === "discard") return "Remove the worktree, with everything that is only there? This cannot be taken back.";
  if (act === "merge") return `Others may build on ${view.base}. Merge ${view.branch} into it?`;
  return `Others build on ${view.branch}. Push it to ${view.remote}? A push cannot be taken back.`;
}
