// Rules: what agents of a village need not ask people. Read in words, edited as text, tried on the questions of the past before they count.

import { html, useLayoutEffect, useRef, useState } from "../../html.js";
import { plural } from "../../format.js";
import * as run from "../../operating.js";
import { toApproval } from "../../routes.js";
import { parse, placed, toText } from "../../rules_text.js";
import { Literal } from "../bits.js";
import { Ago, Answered, Said, Table, manages, plainly, useActs, useAnswer } from "./parts.js";

export function RulesScreen({ places, villageId }) {
  const rules = useAnswer(() => run.rules(villageId), villageId);
  return html`<${Answered} answer=${rules}>${(policy) => html`<${Rules} key=${policy.version} policy=${policy} villageId=${villageId} may=${manages(places, villageId)} again=${rules.again} />`}<//>`;
}

const WHO = ["tool", "category", "agent", "provider", "house", "branch", "person", "hours", "zone", "touches"];

/** When a rule holds, in words. */
function whenWords(rule) {
  const about = rule.command ? `run ${rule.command}` : rule.path ? `touch ${rule.path}` : rule.host ? `reach ${rule.host}` : "do anything";
  const more = WHO.filter((name) => rule[name]).map((name) => `${name} ${rule[name]}`);
  if (rule.risk?.length) more.push(`risk ${rule.risk.join(" or ")}`);
  if (rule.tests?.length) more.push(`tests ${rule.tests.join(" or ")}`);
  if (rule.linesOver !== null && rule.linesOver !== undefined) more.push(`more than ${rule.linesOver} lines changed`);
  return [about, ...more].join(", ");
}

function answerWords({ answer }) {
  if (!answer) return "";
  const people = answer.people > 1 ? `${answer.people} people` : answer.role === "owner" ? "an owner" : "a person";
  return [`answered by ${people}`, answer.people > 1 && answer.role === "owner" && "owners only", answer.human && "signed in", answer.notStarter && "not who started it"].filter(Boolean).join(", ");
}

const EFFECTS = { allow: ["allowed", "is-good"], ask: ["asks a person", "is-wait"], deny: ["denied", "is-bad"] };

function Rules({ policy, villageId, may, again }) {
  const [text, setText] = useState(null);
  return html`<section class="panel" aria-label="Rules">
      ${policy.rules.length ? html`<${Table} label="Rules" columns=${["When an agent wants to", "Then", "Note", "Name"]}>${policy.rules.map((rule) => html`<tr key=${rule.id}>
        <td><${Literal} text=${whenWords(rule)} /></td><td><span class=${`tag ${EFFECTS[rule.effect]?.[1] ?? ""}`}>${EFFECTS[rule.effect]?.[0] ?? rule.effect}</span> <span class="small soft">${answerWords(rule)}</span></td><td class="soft" data-label=${rule.note ? "note" : undefined}>${rule.note ?? ""}</td><td class="mono soft" data-label="name">${rule.id}</td></tr>`)}<//>` : html`<p class="operator-note">There is no rule: every question goes to a person.</p>`}
    </section>
    <${Warnings} warnings=${policy.warnings} />
    <p class="faint small">A denial wins. Between asking and allowing the more exact rule wins; what no rule answers, a person does.${policy.version ? html` Version ${policy.version}, changed <${Ago} at=${policy.changedMs} />.` : ""}</p>
    ${may && text === null ? html`<p><button type="button" class="button" onClick=${() => setText(toText(policy.rules))}>Edit as text</button></p>` : null}
    ${text === null ? null : html`<${Editor} policy=${policy} villageId=${villageId} first=${text} close=${() => setText(null)} saved=${again} />`}`;
}

function Editor({ policy, villageId, first, close, saved }) {
  const [text, setText] = useState(first);
  const [variables, setVariables] = useState((policy.variables ?? []).join(" "));
  const [refused, setRefused] = useState(null);
  const [trial, setTrial] = useState(null);
  const { act, busy, said } = useActs();
  const area = useRef(null);
  useLayoutEffect(() => area.current.focus(), []);
  const read = parse(text);
  const errors = refused ? [refused] : read.errors;
  const body = { rules: read.rules, variables: variables.split(/[\s,]+/).filter(Boolean), ...(policy.budget ? { budget: policy.budget } : {}) };
  const changed = () => (setRefused(null), setTrial(null));
  const send = (work) => act(async () => {
    try {
      return await work();
    } catch (error) {
      if (error.status !== 400) throw error;
      setRefused(placed(plainly(error), read.lines));
      return undefined;
    }
  });
  const attempt = async () => {
    const found = await send(() => run.tryRules(villageId, body));
    if (found) setTrial(found);
  };
  const save = async () => {
    const done = await send(() => run.saveRules(villageId, { ...body, version: policy.version }));
    if (done) (close(), saved());
  };
  const jump = (line) => {
    const from = text.split("\n").slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
    area.current.focus();
    area.current.setSelectionRange(from, from + text.split("\n")[line - 1].length);
  };
  return html`<section class="panel operator-form" aria-label="Edit the rules" data-testid="rules-editor">
    <label class="field"><span>Rules, one a line</span><textarea class="input mono operator-text" ref=${area} rows=${Math.min(24, Math.max(6, text.split("\n").length + 1))} spellcheck="false" wrap="off" value=${text} aria-invalid=${errors.length ? "true" : undefined} aria-describedby="rules-errors" placeholder=${'{"id": "git", "effect": "allow", "command": "git status *"}'} onInput=${(event) => (setText(event.currentTarget.value), changed())} /></label>
    <div id="rules-errors" role="status">${errors.map((one) => html`<p class="failure" data-testid="rule-error">${one.line ? html`<button type="button" class="link-button" onClick=${() => jump(one.line)}>line ${one.line}</button>: ` : null}${one.text}</p>`)}</div>
    <label class="field"><span>Variables that may stand before a command <small>names, beyond the harmless ones</small></span><input class="input mono" spellcheck="false" value=${variables} onInput=${(event) => (setVariables(event.currentTarget.value), changed())} /></label>
    <p class="operator-acts"><button type="button" class="button" data-testid="try-rules" disabled=${busy || read.errors.length > 0} onClick=${attempt}>Try on past questions</button><button type="button" class="button primary" disabled=${busy || errors.length > 0} onClick=${save}>Save</button><button type="button" class="button" onClick=${close}>Cancel</button></p>
    <${Said} said=${said} />
    ${trial ? html`<${Warnings} warnings=${trial.warnings} /><${Trial} trial=${trial} />` : null}
  </section>`;
}

/** Rules that can never match, with what to write instead. */
function Warnings({ warnings = [] }) {
  if (warnings.length === 0) return null;
  return html`<ul class="operator-warnings" role="status" data-testid="rule-warnings">${warnings.map((one) => html`<li class="failure" key=${one.rule}>The rule <code><${Literal} text=${one.rule} /></code> can never match: its ${one.field} <${Literal} text=${`${one.why}; ${one.instead}`} />.</li>`)}</ul>`;
}

function Trial({ trial }) {
  const items = trial.items;
  const other = (one) => one.decision && one.verdict !== "ask" && one.verdict !== one.decision;
  const shown = [...items.filter(other), ...items.filter((one) => !other(one) && one.verdict !== "ask")];
  return html`<div data-testid="trial"><p role="status">${items.length === 0 ? "Nothing was asked in this village yet." : `Of the last ${plural(items.length, "question")}: allowed ${trial.allowed}, denied ${trial.denied}, asked a person ${trial.asked}.`} ${trial.differ ? html`<strong class="failure">To ${trial.differ} of them people said otherwise.</strong>` : ""}</p>
    ${shown.length ? html`<${Table} label="What the rules would have said" columns=${["Question", "Rules", "People", "By"]}>${shown.map((one) => html`<tr key=${`${one.sessionId} ${one.approvalId}`}><td><a href=${toApproval(one)}><${Literal} text=${one.summary || one.approvalId} /></a></td><td data-label="rules">${one.verdict}</td><td data-label="people" class=${other(one) ? "failure" : ""}>${one.decision ?? "no answer"}</td><td data-label="by" class="mono soft">${one.rule ?? ""}</td></tr>`)}<//>` : null}</div>`;
}
