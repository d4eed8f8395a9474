// The player of a session, live or ended: what is read of it, its head, its links.

import * as api from "../api.js";
import { plural, spelled } from "../format.js";
import { html, useEffect, useState } from "../html.js";
import { toAgent, toHistory, toSession, withQuery } from "../routes.js";
import { isFinal } from "../status.js";
import * as store from "../store.js";
import { Glyph, useCopy } from "./bits.js";
import { Empty } from "./empty.js";
import { Reel } from "./reel.js";
import { ShareButton } from "./share.js";

/** Events and characters of output that are read; a session that has more says so. */
const MOST_EVENTS = 200_000;
const MOST_CHARS = 48_000_000;
const FOLLOW_MS = 2_000;
const AGAIN_MS = 5_000;
/** While a long session is read, it is drawn anew this often. */
const DRAW_MS = 500;

export function PlayerPage({ sessionId }) {
  const film = useFilm(sessionId);
  if (film.error && !film.session) return html`<${Empty} whole title=${film.error}><p><a href=${toHistory()}>Back to the history</a></p><//>`;
  if (!film.session) return html`<${Empty} whole quiet title="Opening the session …" />`;
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
  const { at } = store.route.value.query;
  const live = !isFinal(session.state);
  /** Browsers take few changes of the address in a minute: not while it plays, nor while the scrubber moves. */
  const link = (to) => history.replaceState(null, "", withQuery(location.hash, { at: to }));
  const end = (here) => html`<${CopyLink} sessionId=${session.sessionId} seq=${here} />${store.canDrive.value ? html`<${ShareButton} session=${session} events=${events} here=${here} />` : null}`;
  return html`<${Reel} name=${session.agentName} agentId=${session.agentId} events=${events} from=${Number(at) || null} live=${live} linked=${at} link=${link} head=${html`<${Head} film=${film} live=${live} />`} end=${end} />`;
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
    <span class="soft"><bdi>${store.houseNameOf(session)}</bdi>${session.startedBy ? html` · started by <bdi>${session.startedBy.name ?? session.startedBy.userId}</bdi>` : null} · ${live ? "live" : session.state === "FAILED" ? "failed" : "done"}${session.reason ? html` <span class="faint">(${spelled(session.reason)})</span>` : null}</span>
    <span class="faint small" role="status">${[reading, cut, gone, film.error].filter(Boolean).join(" · ")}</span>
    <span class="push">${live ? html`<a class="button slim" href=${toAgent(session.agentId)}>Open the agent</a>` : null}</span>
  </header>`;
}

function CopyLink({ sessionId, seq }) {
  const [said, copy] = useCopy();
  return html`<button type="button" class="button slim push" onClick=${() => copy(`${location.origin}${location.pathname}${toSession(sessionId, seq)}`)}>${said || "Copy link to here"}</button>`;
}
