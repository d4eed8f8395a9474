// The player: one scrubber over a session's terminal and timeline, with marks, speed, and idle time made short.

import * as api from "../api.js";
import { clock, duration, plural, spelled } from "../format.js";
import { houseName } from "../history.js";
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../html.js";
import { bars, clocked, filmed, nextMark, placeOf, SPEEDS } from "../replay.js";
import { toAgent, toHistory, toSession, withQuery } from "../routes.js";
import { isFinal } from "../status.js";
import * as store from "../store.js";
import { EMPTY_STORY, inOrder, tell } from "../story.js";
import { Screen } from "../terminal.js";
import { fromRunnerEvent } from "../world.js";
import { Glyph, Panel } from "./bits.js";
import { Empty } from "./empty.js";
import { Item } from "./story.js";

/** Events and characters of output that are read; a session that has more says so. */
const MOST_EVENTS = 200_000;
const MOST_CHARS = 48_000_000;
const WRITE_CHARS = 262_144;
const FOLLOW_MS = 2_000;
const AGAIN_MS = 5_000;
const STEP_MS = 80;
const SLOTS = 240;
const AROUND = 120;
/** While a long session is read, it is drawn anew this often. */
const DRAW_MS = 500;

export function PlayerPage({ sessionId }) {
  const film = useFilm(sessionId);
  if (film.error && !film.session) return html`<${Empty} title=${film.error}><p><a href=${toHistory()}>Back to the history</a></p><//>`;
  if (!film.session) return html`<${Empty} quiet title="Opening the session …" />`;
  return html`<${Player} film=${film} />`;
}

/** The session and its events, read in parts; of a live one, what comes: {session, events, whole, error}. */
function useFilm(sessionId) {
  const [film, setFilm] = useState({ session: null, events: [], whole: false, error: "" });
  useEffect(() => {
    const reading = { over: false };
    read(sessionId, reading, setFilm);
    return () => void (reading.over = true);
  }, [sessionId]);
  return film;
}

async function read(sessionId, reading, setFilm) {
  const events = [];
  let chars = 0;
  let shown = { at: 0, events: -1, state: "" };
  try {
    let session = await api.session(sessionId);
    for (let after = 0; !reading.over; ) {
      const answer = await api.film(sessionId, after);
      for (const event of answer.items) (events.push(event), chars += event.data?.length ?? 0);
      after = events.at(-1)?.seq ?? after;
      const full = events.length >= MOST_EVENTS || chars >= MOST_CHARS;
      const whole = answer.next === null && !full;
      if (reading.over) return;
      const changed = events.length !== shown.events || session.state !== shown.state;
      if (changed && (whole || full || Date.now() - shown.at > DRAW_MS)) {
        setFilm({ session, events: events.slice(), whole, full, error: "" });
        shown = { at: Date.now(), events: events.length, state: session.state };
      }
      if (full || (whole && isFinal(session.state))) return;
      if (!whole) continue;
      await new Promise((done) => setTimeout(done, FOLLOW_MS));
      session = await api.session(sessionId);
    }
  } catch (error) {
    if (reading.over) return;
    const gone = error.status === 404 || error.status === 403 || error.status === 401;
    setFilm((known) => ({ ...known, error: gone ? error.message : `${error.message}; trying again` }));
    if (!gone) setTimeout(() => reading.over || read(sessionId, reading, setFilm), AGAIN_MS);
  }
}

function Player({ film }) {
  const { session, events } = film;
  const [skip, setSkip] = useState(true);
  const [speed, setSpeed] = useState(1);
  const [playing, setPlaying] = useState(false);
  const [seq, setSeq] = useState(Number(store.route.value.query.at) || null); // null: the end, and what comes behind it
  const { frames, marks } = useMemo(() => filmed(events), [events]);
  const { moments, length } = useMemo(() => clocked(events, skip), [events, skip]);
  const last = moments.at(-1)?.seq ?? 0;
  const here = Math.min(seq ?? last, last);
  const place = placeOf(moments, "seq", here);
  const time = moments[place]?.time ?? 0;
  const linked = store.route.value.query.at;
  useEffect(() => void (linked && setSeq(Number(linked) || null)), [linked]);
  const show = (to) => setSeq(to >= last ? null : to);
  /** Browsers take few changes of the address in a minute: not while it plays, nor while the scrubber moves. */
  const link = (to) => history.replaceState(null, "", withQuery(location.hash, { at: to >= last ? "" : String(to) }));
  const seek = (to) => (show(to), link(to));
  usePlaying(playing, { moments, length, time, speed, show, stop: () => (setPlaying(false), link(last)) });
  const play = () => {
    if (!playing && here >= last && moments.length) setSeq(moments[0].seq);
    if (playing) link(here);
    setPlaying(!playing);
  };
  const jump = (step) => {
    const mark = nextMark(marks, here, step);
    seek(mark ? mark.seq : step > 0 ? last : (moments[0]?.seq ?? 0));
  };
  const key = (event) => {
    if (event.target.closest("input, select, summary, a, button, .xterm") && event.key === " ") return;
    const acts = { " ": play, ArrowLeft: () => jump(-1), ArrowRight: () => jump(1) };
    if (!acts[event.key] || event.target.closest("input, select, .story")) return;
    event.preventDefault();
    acts[event.key]();
  };
  const live = !isFinal(session.state);
  return html`<div class="player" data-testid="player" data-seq=${here} onKeyDown=${key}>
    <${Head} film=${film} live=${live} />
    <${Glass} name=${session.agentName} frames=${frames} seq=${here} />
    <${Moments} events=${events} session=${session} here=${here} seek=${seek} />
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
        <${CopyLink} sessionId=${session.sessionId} seq=${here} />
      </div>
    </div>
  </div>`;
}

function Head({ film, live }) {
  const { session, events } = film;
  const first = events[0]?.seq ?? 1;
  const reading = !film.whole && !film.full ? `reading: ${events.length} of ${plural(session.lastEventSeq, "event")}` : "";
  const cut = film.full ? `only the first ${events.length} of ${plural(session.lastEventSeq, "event")} are here; "events.ndjson" has all` : "";
  const gone = first > 1 ? `events 1 to ${first - 1} were removed` : "";
  const tone = session.state === "FAILED" ? "fail" : live ? "work" : "done";
  return html`<header class="player-head">
    <h1><${Glyph} tone=${tone} /> <bdi>${session.agentName}</bdi></h1>
    <span class="soft"><bdi>${houseName(session)}</bdi>${session.startedBy ? html` · started by <bdi>${session.startedBy.name ?? session.startedBy.userId}</bdi>` : null} · ${live ? "live" : session.state === "FAILED" ? "failed" : "done"}${session.reason ? html` <span class="faint">(${spelled(session.reason)})</span>` : null}</span>
    <span class="faint small" role="status">${[reading, cut, gone, film.error].filter(Boolean).join(" · ")}</span>
    <span class="push">${live ? html`<a class="button slim" href=${toAgent(session.agentId)}>Open the agent</a>` : null}</span>
  </header>`;
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
function Moments({ events, session, here, seek }) {
  const items = useMemo(() => {
    let story = EMPTY_STORY;
    const alerts = [];
    for (const event of events) {
      if (event.providerEvent?.type === "session_diff") continue; // its text is the changes' to show
      const told = fromRunnerEvent(event, session.agentId);
      if (told?.[0] === "work_stream_event") story = tell(story, told[1], event.ts);
      if (told?.[0] === "alert_raised") alerts.push({ key: `alert:${event.seq}`, kind: "line", seq: event.seq, at: event.ts, tone: "fail", text: `alert: ${event.title}` });
    }
    return inOrder({ items: [...Object.values(story.items), ...alerts] });
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

function CopyLink({ sessionId, seq }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard?.writeText(`${location.origin}${location.pathname}${toSession(sessionId, seq)}`).catch(() => {});
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return html`<button type="button" class="button slim push" onClick=${copy}>${copied ? "copied" : "Copy link to here"}</button>`;
}
