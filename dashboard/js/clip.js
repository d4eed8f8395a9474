// The page that a shared link opens: a part of one session in the player, without signing in, and nothing else.

import * as api from "./api.js";
import { plural } from "./format.js";
import { html, render, useEffect, useState } from "./html.js";
import "./settings.js";
import { Reel } from "./views/reel.js";

const AGAIN_MS = 1_000;
const LIMIT = 429;
const link = decodeURIComponent(location.hash.replace(/^#/, ""));

/** All of the part, read page by page: {clip, events, whole, failure}. A service that asks to wait is asked again. */
function useClip() {
  const [state, setState] = useState({ clip: null, events: [], whole: false, failure: "" });
  useEffect(() => {
    let clip = null;
    const events = [];
    const read = async (after) => {
      try {
        const answer = await api.lookAtClip(link, after);
        clip ??= answer;
        for (const event of answer.items) events.push({ ...event, sessionId: "" });
        setState({ clip, events: events.slice(), whole: answer.next === null, failure: "" });
        if (answer.next !== null) await read(answer.next);
      } catch (error) {
        if (error.status === LIMIT) return setTimeout(read, AGAIN_MS, after);
        setState((known) => ({ ...known, failure: error.message }));
      }
    };
    read(0);
  }, []);
  return state;
}

function Page() {
  const { clip, events, whole, failure } = useClip();
  if (!clip) {
    return html`<main class="answer" id="content"><p class="answer-brand"><a href="./">Townwatch</a></p><article class="ask"><h1 class="ask-title">${failure ? "This link opens nothing" : "Opening the part …"}</h1>
      ${failure ? html`<p role="alert" data-testid="over">${failure[0].toUpperCase()}${failure.slice(1)}.</p><p><a class="button" href="./">Sign in to Townwatch</a></p>` : null}</article></main>`;
  }
  const until = new Date(clip.expiresAt);
  const head = html`<header class="player-head"><h1><bdi>${clip.agentName}</bdi></h1>
    <span class="soft">a part of its session, shared by <bdi>${clip.sharedBy}</bdi> · this link ends on <time datetime=${until.toISOString()}>${until.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" })}</time></span>
    <span class="faint small" role="status">${failure || (whole ? "" : `reading: ${plural(events.length, "event")}`)}</span></header>`;
  return html`<main id="content" class="clip-page"><${Reel} name=${clip.agentName} agentId="" events=${events} before=${clip.screen} from=${clip.fromSeq} head=${head} /></main>`;
}

render(html`<${Page} />`, document.getElementById("page"));
