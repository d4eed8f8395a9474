// A part of a recording, shared by a link: from where to where, until when; and the links that there are, to be ended.

import * as api from "../api.js";
import { BASE } from "../base.js";
import { clock, plural } from "../format.js";
import { html, useLayoutEffect, useRef, useState } from "../html.js";
import { useCopy } from "./bits.js";
import { Said, Sure, plainly, useActs } from "./operator/parts.js";
import { placeOf } from "../replay.js";

const LIFETIMES = [[1, "an hour"], [24, "a day"], [7 * 24, "a week"], [30 * 24, "30 days"]];
const until = (ms) => new Date(ms).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });

/** The button, and behind it the form. events: what there is of the session; here: the seq that is shown. */
export function ShareButton({ session, events, here }) {
  const [open, setOpen] = useState(false);
  const button = useRef(null);
  const close = () => (setOpen(false), button.current?.focus());
  return html`<button type="button" class="button slim" ref=${button} aria-expanded=${open} data-testid="share" onClick=${() => setOpen(!open)}>Share this part …</button>
    ${open ? html`<${Share} session=${session} events=${events} here=${here} close=${close} />` : null}`;
}

function Share({ session, events, here, close }) {
  const [from, setFrom] = useState(events[0]?.seq ?? 1);
  const [to, setTo] = useState(here || (events.at(-1)?.seq ?? 1));
  const [hours, setHours] = useState(24);
  const [made, setMade] = useState(null);
  const [links, setLinks] = useState(null);
  const [failure, setFailure] = useState("");
  const { act, busy, said } = useActs();
  const box = useRef(null);
  const load = () => api.clips(session.villageId, session.sessionId).then(setLinks, (error) => setFailure(plainly(error)));
  useLayoutEffect(() => (box.current?.querySelector("button, select")?.focus(), void load()), []);
  const at = (seq) => events[placeOf(events, "seq", seq)]?.ts;
  const submit = async (event) => {
    event.preventDefault();
    const answer = await act(() => api.shareClip(session.sessionId, { fromSeq: from, toSeq: to, hours }));
    if (answer) (setMade(answer), load());
  };
  const [copied, copy] = useCopy();
  const moment = (name, seq, set) => html`<span class="share-moment"><span>${name} <b class="num" data-testid=${`share-${name}`}>${at(seq) ? clock(at(seq)) : "?"}</b> <span class="faint small num">event ${seq}</span></span> <button type="button" class="button slim" onClick=${() => set(here)}>${name} here</button></span>`;
  return html`<form class="share" ref=${box} data-testid="share-form" aria-label="Share this part" onSubmit=${submit} onKeyDown=${(event) => event.key === "Escape" && (event.stopPropagation(), close())}>
    <p class="soft">Who has the link sees this part of the terminal and the timeline, without signing in, and nothing else.</p>
    <div class="share-row">${moment("from", from, setFrom)}${moment("to", to, setTo)}
      <label class="player-pick"><span>ends after</span><select class="input" value=${hours} onChange=${(event) => setHours(Number(event.currentTarget.value))}>${LIFETIMES.map(([value, words]) => html`<option value=${value}>${words}</option>`)}</select></label>
      <button type="submit" class="button primary" disabled=${busy || from > to}>Make a link</button><button type="button" class="button slim" onClick=${close}>Close</button></div>
    ${from > to ? html`<p class="failure" role="alert">It ends before it begins.</p>` : null}<${Said} said=${said} />
    ${made ? html`<div class="share-made" role="status"><p>This link is shown once. It ends on <b><time datetime=${new Date(made.expiresAt).toISOString()}>${until(made.expiresAt)}</time></b>.</p><p class="share-row"><code class="mono share-link" data-testid="share-link">${new URL(made.path.replace(/^.*\//, ""), BASE).href}</code><button type="button" class="button slim" onClick=${() => copy(new URL(made.path.replace(/^.*\//, ""), BASE).href)}>${copied || "Copy"}</button></p></div>` : null}
    ${failure ? html`<p class="failure" role="alert">${failure}</p>` : null}
    ${links?.length ? html`<div><p class="soft">${plural(links.length, "part")} of this session ${links.length === 1 ? "is" : "are"} shared now:</p><ul class="share-links">${links.map((one) => html`<${Shared} key=${one.clipId} one=${one} session=${session} at=${at} again=${load} />`)}</ul></div>` : null}
  </form>`;
}

function Shared({ one, session, at, again }) {
  const { act, busy, said } = useActs(again);
  const words = `events ${one.fromSeq} to ${one.toSeq}`;
  return html`<li data-testid="shared-part"><span><span class="num">${words}</span>${at(one.fromSeq) ? html` <span class="faint num">from ${clock(at(one.fromSeq))}</span>` : null} · by <bdi>${one.mine ? "you" : one.madeBy}</bdi> · until ${until(one.expiresAt)}</span> <${Sure} word="End" sure="Really end it?" act=${() => act(() => api.endClip(session.villageId, one.clipId))} disabled=${busy} of=${words} /><${Said} said=${said} /></li>`;
}
