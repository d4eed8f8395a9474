// The answer: nothing here can be hit by chance. Buttons wake a moment after they are drawn; a high risk has a second question, elsewhere.

import { answersOf, termsOf } from "../../asks.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "../../html.js";
import * as store from "../../store.js";
import { decide } from "../../town.js";
import { approvalKey } from "../../world.js";
import { Literal } from "../bits.js";

const ASLEEP_MS = 600;

/** False for the first moment: a click or a key that was meant for what stood here before meets nothing. */
function useAwake() {
  const [awake, setAwake] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setAwake(true), ASLEEP_MS);
    return () => clearTimeout(timer);
  }, []);
  return awake;
}

/** Where a yes is given that cannot be given plainly here. */
const elsewhere = (ask) => (ask.allow === "no" ? `${ask.verb} it in its terminal; a no can be given here.` : `${ask.verb} it by one of its own answers.`);

/** Whom a note reaches: some agents have no place for one. */
const noteName = (ask) => (ask.byPerson ? "Note" : { any: "Note to the agent", deny: "Note to the agent with a no", no: "Note for the record" }[ask.note]);

export function Answer({ one, ask, unread }) {
  const [note, setNote] = useState("");
  const [given, setGiven] = useState({});
  const [sure, setSure] = useState(null);
  const allow = useRef(null);
  useLayoutEffect(() => void (sure === false && allow.current?.focus()), [sure]);
  const awake = useAwake();
  const verdict = store.verdicts.value[approvalKey(one)];
  if (!store.mayDecide(one)) return html`<p class="faint">Only who may drive can answer.</p>`;
  const off = store.stale.value || verdict?.state === "sending" || !awake;
  const answers = ask.kind === "question" ? answersOf(ask.questions, given) : {};
  const terms = termsOf(one);
  const mayAllow = !off && ask.allow !== "no" && !ask.cut && !unread && answers !== null;
  const say = (decision, more = {}) => decide(one, decision, { note: note.trim() || undefined, ...(decision === "allow" ? answers : {}), ...more });
  const ready = (decision, more) => (decision === "allow" && one.risk === "high" ? setSure({ decision, more }) : say(decision, more));
  if (sure) return html`<${Sure} one=${one} sure=${sure} back=${() => setSure(false)} yes=${() => say(sure.decision, sure.more)} />`;
  return html`
    ${ask.questions.map((question) => ask.allow === "no" ? html`<p key=${question.key}><${Literal} text=${question.text} /></p>` : html`<${Question} key=${question.key} name=${`${approvalKey(one)} ${question.key}`} question=${question} given=${given[question.key]} set=${(value) => setGiven({ ...given, [question.key]: value })} />`)}
    ${terms ? html`<p class="ask-why is-terms" data-testid="terms" role="status"><${Literal} text=${terms} /></p>` : null}
    ${ask.allow === "plain" ? null : html`<p class="ask-why" data-testid="not-from-here" role="status"><b>${elsewhere(ask)}</b>${ask.why ? html` <${Literal} text=${`${ask.why}.`} />` : null}</p>`}
    <div class="ask-answer">
      <label><span class="sr-only">${noteName(ask)} about: <${Literal} text=${ask.title} /></span><input class="input" placeholder=${`${noteName(ask)} (optional)`} maxlength="2000" value=${note} onInput=${(event) => setNote(event.currentTarget.value)} /></label>
      <div class="ask-buttons">
        ${ask.allow === "plain" ? html`<button type="button" class="button primary" ref=${allow} data-testid="allow" data-decision="allow" disabled=${!mayAllow} onClick=${() => ready("allow")}>${ask.verb}${one.risk === "high" ? " …" : ""}</button>` : null}
        <button type="button" class="button" data-testid="deny" data-decision="deny" disabled=${off} onClick=${() => say("deny")}>${ask.refuse}</button>
      </div>
      <div class="ask-more">
        ${ask.always.map((option) => html`<button type="button" class="link-button" disabled=${!mayAllow} onClick=${() => ready("allow", { optionId: option.id })}>${ask.verb}: <${Literal} text=${option.label} /></button>`)}
        ${ask.byPerson ? null : html`<button type="button" class="link-button" data-testid="deny-stop" disabled=${off} onClick=${() => setSure({ decision: "deny", more: { stop: true } })}>${ask.refuse} and stop the agent …</button>`}
        <span class="push">${store.stale.value ? "The service does not answer, so nothing can be decided now." : unread ? "Read the rest before you allow it." : html`<span class="wide-only">${ask.allow === "plain" ? html`<kbd>Ctrl Enter</kbd> ${ask.verb.toLowerCase()} · ` : null}<kbd>Ctrl ⌫</kbd> ${ask.refuse.toLowerCase()}</span>`}</span>
      </div>
      ${verdict?.state === "failed" || verdict?.state === "late" ? html`<p class="failure" role="alert">${verdict.text}</p>` : null}
    </div>`;
}

/** The second question: another place, another colour, the focus on Back, its yes asleep for a moment. */
function Sure({ one, sure, back, yes }) {
  const awake = useAwake();
  const first = useRef(null);
  useLayoutEffect(() => first.current?.focus(), []);
  const stops = sure.decision === "deny";
  const where = store.agents.value[one.agentId]?.agentName ?? "the agent";
  return html`<div class="ask-sure" role="group" aria-label="Second question">
    <p>${stops ? html`<b>Deny it and end this session?</b> What the agent has not saved is lost.` : html`<b>This is a high risk. Allow it for <bdi>${where}</bdi>?</b> The agent gets it 5 s after you say yes; until then you can take it back.`}</p>
    <div class="ask-buttons">
      <button type="button" class="button" data-testid="back" ref=${first} onClick=${back}>Back</button>
      <button type="button" class="button danger" data-testid="sure" data-decision=${sure.decision} disabled=${!awake || store.stale.value} onClick=${yes}>${stops ? "Yes, deny and stop" : "Yes, allow it"}</button>
    </div></div>`;
}

/** One question of the agent: options, or one's own words. */
function Question({ name, question, given = {}, set }) {
  const { chosen = [], own = "" } = given;
  const pick = (value) => {
    if (!question.several) return set({ chosen: [value], own: "" });
    set({ own, chosen: chosen.includes(value) ? chosen.filter((one) => one !== value) : [...chosen, value] });
  };
  const type = (text) => set({ chosen: question.several ? chosen : [], own: text });
  return html`<fieldset class="options"><legend class="legend"><${Literal} text=${question.text} /></legend>
    ${question.options.map((option) => html`<label class="option"><input type=${question.several ? "checkbox" : "radio"} name=${name} checked=${chosen.includes(option.value)} onChange=${() => pick(option.value)} /><span><${Literal} text=${option.label} /></span>${option.description ? html`<small><${Literal} text=${option.description} /></small>` : null}</label>`)}
    ${question.byOption ? null : html`<label class="field"><span>${question.options.length ? "Something else" : "Your answer"}</span><input class="input" value=${own} maxlength="4000" onInput=${(event) => type(event.currentTarget.value)} /></label>`}
  </fieldset>`;
}
