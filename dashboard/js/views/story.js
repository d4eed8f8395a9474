// The timeline of a session, oldest first. It sticks to the newest until somebody scrolls away, and then says what is new.

import { html, useLayoutEffect, useRef, useState } from "../html.js";
import { clock, duration, plural, shortCommand } from "../format.js";
import { EMPTY_STORY, inOrder, progressOf } from "../story.js";
import { Glyph, Literal, Panel } from "./bits.js";

const NEAR_PX = 40;
const SHOWN = 400;
const KINDS = ["all", "prompt", "message", "tool", "approval", "test", "file"];
const SHOWN_AS = { all: () => true, message: (kind) => kind === "message" || kind === "prompt" };

export function Story({ story = EMPTY_STORY }) {
  const [kind, setKind] = useState("all");
  const [more, setMore] = useState(SHOWN);
  const fits = SHOWN_AS[kind] ?? ((one) => one === kind);
  const all = inOrder(story).filter((item) => fits(item.kind));
  const items = all.slice(-more);
  const earlier = all.length - items.length;
  const { box, fresh, toEnd } = useStick(items.length, items.at(-1)?.last);
  return html`<${Panel} name="story" title="Timeline" end=${html`<span class="faint num">${earlier ? `${items.length} of ${all.length}` : all.length || ""}</span>`}>
    <div class="chips" role="group" aria-label="Kinds of events">${KINDS.map((one) => html`<button type="button" class="chip" aria-pressed=${kind === one} onClick=${() => setKind(one)}>${one}</button>`)}</div>
    <${Plan} plan=${story.plan} />
    <ol class="story" data-testid="story" ref=${box} tabindex="0" aria-label="What happened, oldest first">
      ${earlier || story.dropped || story.cut ? html`<li class="story-more">${earlier ? html`<button type="button" class="link-button" onClick=${() => setMore(more + SHOWN)}>${earlier} earlier</button>` : html`<span class="faint">${notKept(story)}</span>`}</li>` : null}
      ${items.map((item) => html`<${Item} key=${item.key} item=${item} />`)}
      ${items.length ? null : html`<li class="nothing">Nothing yet.</li>`}
    </ol>
    ${fresh ? html`<button type="button" class="button slim story-fresh" onClick=${toEnd}>${fresh} new</button>` : null}
  <//>`;
}

/** Of a long session the page has its beginning and its latest events. */
const notKept = ({ dropped, cut }) => (cut ? "Of this long session only the beginning and the latest events are here; its recording has all" : `${dropped} earlier are not kept here; the events of the session have them`);

/** Follows the end while it is in view. */
function useStick(count, last) {
  const box = useRef(null);
  const away = useRef(false);
  const [seen, setSeen] = useState(count);
  const toEnd = () => {
    away.current = false;
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
    setSeen(count);
  };
  useLayoutEffect(() => {
    const element = box.current;
    const scrolled = () => {
      away.current = element.scrollHeight - element.scrollTop - element.clientHeight > NEAR_PX;
      if (!away.current) setSeen(Infinity);
    };
    element.addEventListener("scroll", scrolled);
    return () => element.removeEventListener("scroll", scrolled);
  }, []);
  useLayoutEffect(() => {
    if (!away.current) toEnd();
  }, [count, last]);
  return { box, toEnd, fresh: away.current && Number.isFinite(seen) ? Math.max(0, count - seen) : 0 };
}

const STEP_TONES = { completed: "done", in_progress: "work" };

function Plan({ plan }) {
  const progress = progressOf(plan);
  if (!progress) return null;
  return html`<details class="plan" data-testid="plan"><summary>Plan: ${progress.done} of ${progress.of} done</summary>
    <ol>${plan.items.map((item) => html`<li class=${`step step-${item.status}`}><${Glyph} tone=${STEP_TONES[item.status] ?? "quiet"} /><span class="sr-only">${item.status.replace("_", " ")}: </span><${Literal} text=${item.text} /></li>`)}</ol></details>`;
}

/** One thing that happened. `seek`: in the player, its time goes there; `here`: it is the last one at this moment. */
export function Item({ item, here, seek }) {
  const View = VIEWS[item.kind] ?? Line;
  const time = html`<time class="num" datetime=${new Date(item.at).toISOString()}>${clock(item.at)}</time>`;
  return html`<li class=${`tale tale-${item.kind}`} aria-current=${here ? "step" : undefined}>${seek ? html`<button type="button" class="tale-seek" onClick=${seek}>${time}</button>` : time}<div class="tale-body"><${View} item=${item} /></div></li>`;
}

const Text = ({ text }) => html`<div class="tale-text"><${Literal} text=${text} /></div>`;
const Line = ({ item }) => html`<span class=${`line-${item.tone}`}><${Literal} text=${item.text} /></span>`;
const TOOL_TONES = { running: "begin", ok: "done", failed: "fail", denied: "fail" };

const VIEWS = {
  prompt: ({ item }) => html`<p class="tale-who"><b>${item.by === "terminal" ? "prompt, in its terminal" : !item.by ? "prompt" : html`prompt by <bdi>${item.by}</bdi>`}</b></p><${Text} text=${item.text} />`,
  message: ({ item }) => html`${item.role === "assistant" ? null : html`<p class="tale-who">${item.role}</p>`}<${Text} text=${item.text} />`,
  tool: Tool,
  subagent: ({ item }) => html`<span><${Glyph} tone=${item.status === "running" ? "begin" : "done"} /> subagent <b><${Literal} text=${item.name} /></b> ${item.status}</span>`,
  turn: ({ item }) => html`<span class=${item.result === "failed" ? "bad" : "soft"}>turn ${item.result}${item.ms === undefined ? "" : `, after ${duration(item.ms)}`}</span>${item.reason ? html`<div class="tale-text soft"><${Literal} text=${item.reason} /></div>` : null}`,
  retry: ({ item }) => html`<span class="line-wait">the model does not answer${item.status ? ` (${item.status})` : ""}: try ${item.attempt}${item.of ? ` of ${item.of}` : ""}${item.delayMs ? ` in ${duration(item.delayMs)}` : ""}</span>`,
  approval: ({ item }) => html`<span><${Glyph} tone=${item.decision ? (item.decision === "deny" ? "fail" : "done") : "wait"} /> ${item.summary ? html`asked (${item.category}, ${item.risk}): <code><${Literal} text=${item.summary} /></code>` : "an approval"}${item.decision ? html` <b>${{ allow: "allowed", deny: "denied" }[item.decision] ?? item.decision}</b>${item.by ? html` by <bdi>${item.by}</bdi>` : null} after ${duration(item.decidedAt - item.at)}${item.note ? html` “<${Literal} text=${item.note} />”` : null}` : null}</span>`,
  test: ({ item }) => html`<span><${Glyph} tone=${item.finished ? ({ passed: "done", failed: "fail" }[item.verdict] ?? "quiet") : "begin"} /> <code>${shortCommand(item.command ?? "tests")}</code> ${item.finished ? html`<b class=${item.verdict === "failed" ? "bad" : ""}>${item.verdict ?? ""}</b>${item.passed === undefined ? null : ` ${item.passed} passed, ${item.failed} failed`}` : "running"}</span>${item.reason ? html`<div class="tale-text soft"><${Literal} text=${item.reason} /></div>` : null}`,
  file: ({ item }) => html`<span>${item.how} <span class="path"><${Literal} text=${item.path} /></span>${Object.keys(item.times).length > 1 ? html` <span class="faint">${Object.keys(item.times).length} times</span>` : null}</span>`,
};

function Tool({ item }) {
  const output = item.output ?? "";
  const input = item.input === undefined || item.input === null ? "" : typeof item.input === "string" ? item.input : JSON.stringify(item.input, null, 1);
  const head = html`<${Glyph} tone=${TOOL_TONES[item.status] ?? "quiet"} /> <b><${Literal} text=${item.name ?? "tool"} /></b> ${item.title ? html`<code><${Literal} text=${item.title} /></code>` : null} <span class=${item.status === "failed" || item.status === "denied" ? "bad" : "faint"}>${item.status}${item.ms === undefined ? "" : `, ${duration(item.ms)}`}</span>`;
  if (!output && !input) return html`<span>${head}</span>`;
  const lines = output ? plural(output.trimEnd().split("\n").length, "line") : "no output";
  return html`<details class="tool"><summary>${head} <span class="faint">· ${lines}</span></summary>
    ${input ? html`<pre class="tool-text"><${Literal} text=${input} /></pre>` : null}${output ? html`<pre class="tool-text"><${Literal} text=${output} /></pre>` : null}</details>`;
}
