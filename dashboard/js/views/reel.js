// What plays a session, or a part of one: its terminal, its timeline, and one scrubber over both.

import { clock, duration, spelled } from "../format.js";
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../html.js";
import { bars, clocked, filmed, nextMark, placeOf, SPEEDS } from "../replay.js";
import { inOrder, storyOf } from "../story.js";
import { Screen } from "../terminal.js";
import { fromRunnerEvent } from "../world.js";
import { Panel } from "./bits.js";
import { Item } from "./story.js";

const WRITE_CHARS = 262_144;
const STEP_MS = 80;
const SLOTS = 240;
const AROUND = 120;
const NOTHING = Object.freeze([]);

/**
 * events: oldest first. before: the terminal before the first of them. lead: events before them, for the terminal alone. from: the
 * seq where it begins; null: the end, and what comes behind it. linked: the seq in the address; link: called with the one to put
 * there, "" for the end. end: (seq) → what ends the bar.
 */
export function Reel({ name, agentId, events, before = null, lead = NOTHING, from = null, live = false, linked, link = () => {}, head, end = () => null }) {
  const [skip, setSkip] = useState(true);
  const [speed, setSpeed] = useState(1);
  const [playing, setPlaying] = useState(false);
  const [seq, setSeq] = useState(from);
  const { frames, marks } = useMemo(() => withScreen(filmed(events), before, lead, events[0]), [events, before, lead]);
  const { moments, length } = useMemo(() => clocked(events, skip), [events, skip]);
  const last = moments.at(-1)?.seq ?? 0;
  const here = Math.min(seq ?? last, last);
  const place = placeOf(moments, "seq", here);
  const time = moments[place]?.time ?? 0;
  useEffect(() => void (linked && setSeq(Number(linked) || null)), [linked]);
  const show = (to) => setSeq(to >= last ? null : to);
  const note = (to) => link(to >= last ? "" : String(to));
  const seek = (to) => (show(to), note(to));
  usePlaying(playing, { moments, length, time, speed, show, stop: () => (setPlaying(false), note(last)) });
  const play = () => {
    if (!playing && here >= last && moments.length) setSeq(moments[0].seq);
    if (playing) note(here);
    setPlaying(!playing);
  };
  const jump = (step) => {
    const mark = nextMark(marks, here, step);
    seek(mark ? mark.seq : step > 0 ? last : (moments[0]?.seq ?? 0));
  };
  const key = (event) => {
    if (event.target.closest("input, select, summary, a, button, .xterm") && event.key === " ") return;
    const acts = { " ": play, ArrowLeft: () => jump(-1), ArrowRight: () => jump(1) };
    if (!acts[event.key] || event.target.closest("input, select, .story, form")) return;
    event.preventDefault();
    acts[event.key]();
  };
  return html`<div class="player" data-testid="player" data-seq=${here} onKeyDown=${key}>
    ${head}
    <${Glass} name=${name} frames=${frames} seq=${here} />
    <${Moments} events=${events} agentId=${agentId} here=${here} seek=${seek} />
    <div class="player-bar" role="group" aria-label="Player">
      <${Track} moments=${moments} length=${length} marks=${marks} time=${time} show=${show} seek=${seek} />
      <div class="player-keys">
        <button type="button" class="button" data-testid="play" onClick=${play}>${playing ? "Pause" : "Play"}</button>
        <button type="button" class="button slim" aria-label="to the mark before" onClick=${() => jump(-1)}>◂ mark</button>
        <button type="button" class="button slim" aria-label="to the next mark" onClick=${() => jump(1)}>mark ▸</button>
        <label class="player-pick"><span>speed</span><select class="input" value=${speed} onChange=${(event) => setSpeed(Number(event.currentTarget.value))}>${SPEEDS.map((one) => html`<option value=${one}>${one} ×</option>`)}</select></label>
        <label class="check"><input type="checkbox" checked=${skip} onChange=${(event) => setSkip(event.currentTarget.checked)} />skip idle</label>
        <span class="num soft" data-testid="when">${moments[place] ? `${clock(moments[place].at)} · ${duration(time)} of ${duration(length)}` : ""}</span>
        ${live ? html`<button type="button" class="button slim" aria-pressed=${seq === null} onClick=${() => seek(last)}>live edge</button>` : null}
        ${end(here)}
      </div>
    </div>
  </div>`;
}

/** The frames begin with the terminal as it stood before the first event. */
function withScreen(film, before, lead, first) {
  if (lead.length) return { ...film, frames: [...filmed(lead).frames, ...film.frames] };
  if (!before || !first) return film;
  const at = { seq: first.seq - 1, at: first.ts };
  return { ...film, frames: [{ ...at, cols: before.cols, rows: before.rows }, { ...at, data: before.data }, ...film.frames] };
}

/** The terminal as it stood after an event. Forward it goes on, backward it is drawn anew. */
function Glass({ name, frames, seq }) {
  const place = useRef(null);
  const drawn = useRef({ screen: null, done: 0, turn: 0 });
  useEffect(() => {
    const nothing = () => {};
    const screen = new Screen(place.current, { input: nothing, resized: nothing, skipped: nothing, take: nothing, leave: nothing, many: nothing }, 13);
    screen.hold(80, 24);
    drawn.current = { screen, done: 0, turn: 0 };
    return () => (drawn.current.turn += 1, screen.dispose());
  }, []);
  useEffect(() => void draw(drawn.current, frames, seq), [frames, seq]);
  return html`<section class="tty player-glass" aria-label=${`Terminal of ${name}, as it stood at this moment`}><div class="glass" data-testid="replay"><div class="glass-inner" ref=${place}></div></div></section>`;
}

async function draw(drawn, frames, seq) {
  const turn = ++drawn.turn;
  const { screen } = drawn;
  const until = placeOf(frames, "seq", seq) + 1;
  const written = (text) => new Promise((done) => screen.terminal.write(text, done));
  if (drawn.writing) await drawn.writing;
  if (turn !== drawn.turn) return;
  if (until < drawn.done) {
    screen.reset();
    screen.hold(80, 24);
    drawn.done = 0;
  }
  while (drawn.done < until && turn === drawn.turn) {
    let text = "";
    const first = frames[drawn.done];
    if (first.cols) {
      screen.hold(first.cols, first.rows);
      drawn.done += 1;
      continue;
    }
    while (drawn.done < until && frames[drawn.done].data !== undefined && text.length < WRITE_CHARS) text += frames[drawn.done++].data;
    drawn.writing = written(text);
    await drawn.writing;
  }
}

/** Shows what the clock says, until the end. */
function usePlaying(playing, now) {
  const latest = useRef(now);
  latest.current = now;
  useEffect(() => {
    if (!playing) return undefined;
    let at = latest.current.time;
    let before = performance.now();
    const timer = setInterval(() => {
      const { moments, length, speed, show, stop } = latest.current;
      const tick = performance.now();
      at += (tick - before) * speed;
      before = tick;
      const place = placeOf(moments, "time", at);
      if (moments[place]) show(moments[place].seq);
      if (at >= length) stop();
    }, STEP_MS);
    return () => clearInterval(timer);
  }, [playing]);
}

/** The scrubber: signs of work as bars, marks above them. */
function Track({ moments, length, marks, time, show, seek }) {
  const counts = useMemo(() => bars(moments, length, SLOTS), [moments, length]);
  const top = Math.log1p(Math.max(1, ...counts));
  const x = (mark) => ((moments[placeOf(moments, "seq", mark.seq)]?.time ?? 0) / (length || 1)) * SLOTS;
  const near = marks.findLast((mark) => (moments[placeOf(moments, "seq", mark.seq)]?.time ?? 0) <= time);
  const moved = (then) => (event) => {
    const place = placeOf(moments, "time", Number(event.currentTarget.value));
    if (moments[place]) then(moments[place].seq);
  };
  return html`<div class="track">
    <svg class="track-bars" viewBox=${`0 0 ${SLOTS} 40`} preserveAspectRatio="none" aria-hidden="true">
      ${counts.map((count, i) => (count ? html`<rect class="track-bar" x=${i} y=${40 - (24 * Math.log1p(count)) / top} width="0.8" height=${(24 * Math.log1p(count)) / top} />` : null))}
      ${marks.map((mark) => html`<rect class=${`track-mark mark-${mark.kind}`} x=${x(mark) - 0.5} y="0" width="1" height="14"><title>${spelled(mark.text)}</title></rect>`)}
      <rect class="track-here" x=${(time / (length || 1)) * SLOTS - 0.3} y="0" width="0.6" height="40" />
    </svg>
    <input type="range" class="track-input" data-testid="scrubber" min="0" max=${Math.max(1, Math.ceil(length))} step="1" value=${time} aria-label="Moment of the session" aria-valuetext=${`${duration(time)} of ${duration(length)}${near ? `, after ${spelled(near.text).slice(0, 80)}` : ""}`} onInput=${moved(show)} onChange=${moved(seek)} />
    <p class="track-words faint small clip">${near ? spelled(near.text) : ""}</p>
  </div>`;
}

/** The timeline around this moment; a time in it is a place to go to. */
function Moments({ events, agentId, here, seek }) {
  const items = useMemo(() => {
    const told = [];
    const alerts = [];
    for (const event of events) {
      if (event.type === "TERMINAL_CHUNK" || event.providerEvent?.type === "session_diff") continue; // its text is the changes' to show
      const [name, e] = fromRunnerEvent(event, agentId) ?? [];
      if (name === "work_stream_event") told.push([e, event.ts]);
      if (name === "alert_raised") alerts.push({ key: `alert:${event.seq}`, kind: "line", seq: event.seq, at: event.ts, tone: "fail", text: `alert: ${event.title}` });
    }
    return inOrder({ items: [...Object.values(storyOf(told).items), ...alerts] });
  }, [events]);
  const box = useRef(null);
  const current = placeOf(items, "seq", here);
  const from = Math.max(0, current - AROUND);
  const shown = items.slice(from, current + AROUND);
  useLayoutEffect(() => {
    const row = box.current?.querySelector('[aria-current="step"]');
    if (row) box.current.scrollTop = row.offsetTop - box.current.offsetTop - box.current.clientHeight / 2;
  }, [current, items.length]);
  return html`<${Panel} name="moments" title="Timeline" end=${html`<span class="faint num">${shown.length === items.length ? items.length || "" : `${from + 1} to ${from + shown.length} of ${items.length}`}</span>`}>
    <ol class="story" data-testid="moments" ref=${box} tabindex="0" aria-label="What happened, oldest first">
      ${shown.map((item, i) => html`<${Item} key=${item.key} item=${item} here=${from + i === current} seek=${() => seek(item.seq)} />`)}
      ${items.length ? null : html`<li class="nothing">Nothing but its terminal.</li>`}
    </ol>
  <//>`;
}
