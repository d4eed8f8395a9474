// The player of a session, live or ended: what is read of it, its head, its links.

import * as api from "../api.js";
import { plural, spelled } from "../format.js";
import { html, useEffect, useState } from "../html.js";
import { isSize, LEAD, PART, partsOf } from "../replay.js";
import { toAgent, toHistory, toSession, withQuery } from "../routes.js";
import { isFinal } from "../status.js";
import * as store from "../store.js";
import { Glyph, useCopy } from "./bits.js";
import { Empty } from "./empty.js";
import { Reel } from "./reel.js";
import { ShareButton } from "./share.js";

/** Characters of output that are read of a part; one that has more says so. */
const MOST_CHARS = 48_000_000;
const FOLLOW_MS = 2_000;
const AGAIN_MS = 5_000;
/** While a part is read, it is drawn anew this often, and not before it has grown by a quarter: each time costs as much as it is long. */
const DRAW_MS = 500;
const GROWN = 1.25;

export function PlayerPage({ sessionId }) {
  const { part, at } = store.route.value.query;
  const film = useFilm(sessionId, Number(part) || Math.ceil(Number(at) / PART) || null);
  if (film.error && !film.session) return html`<${Empty} whole title=${film.error}><p><a href=${toHistory()}>Back to the history</a></p><//>`;
  if (!film.session) return html`<${Empty} whole quiet title="Opening the session …" />`;
  return html`<${Player} key=${film.part} film=${film} />`;
}

const NO_FILM = Object.freeze({ session: null, part: undefined, lead: [], events: [], read: 0, whole: false, error: "" });

/**
 * A part of the session, read page by page; of a live one's last part, what comes: {session, part, lead, events, read, whole, full,
 * error}. lead: events before the part. part: from 1; null: the last one.
 */
function useFilm(sessionId, part) {
  const [film, setFilm] = useState(NO_FILM);
  useEffect(() => {
    const reading = { over: false };
    setFilm(NO_FILM);
    read(sessionId, part, reading, setFilm);
    return () => void (reading.over = true);
  }, [sessionId, part]);
  return film;
}

async function read(sessionId, wanted, reading, setFilm) {
  const lead = [];
  const events = [];
  let chars = 0;
  let shown = { at: 0, events: 0, state: "", whole: false };
  try {
    let session = await api.session(sessionId);
    const parts = partsOf(session.lastEventSeq);
    const part = Math.min(parts, Math.max(1, wanted ?? parts));
    const first = (part - 1) * PART + 1;
    const last = part * PART;
    if (first - 1 > LEAD) lead.push(...(await api.film(sessionId, 0)).items.filter(isSize)); // what is told once, at the beginning
    for (let after = Math.max(0, first - 1 - LEAD); !reading.over; ) {
      const answer = await api.film(sessionId, after);
      if (reading.over) return;
      for (const event of answer.items) {
        if (event.seq > last) break;
        if (event.seq < first) lead.push(event);
        else (events.push(event), chars += event.data?.length ?? 0);
      }
      after = answer.items.at(-1)?.seq ?? after;
      const over = after >= last;
      if (over && !isFinal(session.state)) session = await api.session(sessionId); // it may have a next part by now
      const full = chars >= MOST_CHARS;
      const whole = over || (answer.next === null && !full);
      const changed = events.length !== shown.events || session.state !== shown.state || whole !== shown.whole;
      const grown = events.length >= shown.events * GROWN && Date.now() - shown.at > DRAW_MS;
      if (changed && (whole || full || grown)) {
        setFilm({ session, part, lead, events: events.slice(), read: events.length, whole, full, error: "" });
        shown = { at: Date.now(), events: events.length, state: session.state, whole };
      } else if (changed) setFilm((known) => ({ ...known, read: events.length }));
      if (full || over || (whole && isFinal(session.state))) return;
      if (!whole) continue;
      await new Promise((done) => setTimeout(done, FOLLOW_MS));
      session = await api.session(sessionId);
    }
  } catch (error) {
    if (reading.over) return;
    const gone = error.status === 404 || error.status === 403 || error.status === 401;
    setFilm((known) => ({ ...known, error: gone ? error.message : `${error.message}; trying again` }));
    if (!gone) setTimeout(() => reading.over || read(sessionId, wanted, reading, setFilm), AGAIN_MS);
  }
}

function Player({ film }) {
  const { session, lead, events } = film;
  const { at } = store.route.value.query;
  const live = !isFinal(session.state);
  /** Browsers take few changes of the address in a minute: not while it plays, nor while the scrubber moves. */
  const link = (to) => history.replaceState(null, "", withQuery(location.hash, { at: to }));
  const end = (here) => html`<${CopyLink} sessionId=${session.sessionId} seq=${here} />${store.canDrive.value ? html`<${ShareButton} session=${session} events=${events} here=${here} />` : null}`;
  return html`<${Reel} name=${session.agentName} agentId=${session.agentId} lead=${lead} events=${events} from=${Number(at) || null} live=${live} linked=${at} link=${link} head=${html`<${Head} film=${film} live=${live} />`} end=${end} />`;
}

function Head({ film, live }) {
  const { session, events, part } = film;
  const of = partsOf(session.lastEventSeq);
  const begin = (part - 1) * PART + 1;
  const first = events[0]?.seq ?? begin;
  const reading = !film.whole && !film.full ? `reading: ${film.read} of ${plural(Math.min(PART, session.lastEventSeq - begin + 1), "event")}` : "";
  const cut = film.full ? `only the first ${events.length} events of this part are here; "events.ndjson" has all` : "";
  const gone = first > begin ? `events ${begin} to ${first - 1} were removed` : "";
  const tone = session.state === "FAILED" ? "fail" : live ? "work" : "done";
  return html`<header class="player-head">
    <h1><${Glyph} tone=${tone} /> <bdi>${session.agentName}</bdi></h1>
    <span class="soft"><bdi>${store.houseNameOf(session)}</bdi>${session.startedBy ? html` · started by <bdi>${session.startedBy.name ?? session.startedBy.userId}</bdi>` : null} · ${live ? "live" : session.state === "FAILED" ? "failed" : "done"}${session.reason ? html` <span class="faint">(${spelled(session.reason)})</span>` : null}</span>
    <span class="faint small" role="status">${[reading, cut, gone, film.error].filter(Boolean).join(" · ")}</span>
    ${of > 1 ? html`<nav class="player-parts" aria-label="Parts of the session">
      ${part > 1 ? html`<a class="button slim" href=${toPart(session.sessionId, part - 1)}>‹ earlier</a>` : null}
      <span class="soft num" data-testid="part">part ${part} of ${of}</span>
      ${part < of ? html`<a class="button slim" href=${toPart(session.sessionId, part + 1)}>later ›</a>` : null}
    </nav>` : null}
    <span class="push">${live ? html`<a class="button slim" href=${toAgent(session.agentId)}>Open the agent</a>` : null}</span>
  </header>`;
}

const toPart = (sessionId, part) => withQuery(toSession(sessionId), { part: String(part) });

function CopyLink({ sessionId, seq }) {
  const [said, copy] = useCopy();
  return html`<button type="button" class="button slim push" onClick=${() => copy(`${location.origin}${location.pathname}${toSession(sessionId, seq)}`)}>${said || "Copy link to here"}</button>`;
}
