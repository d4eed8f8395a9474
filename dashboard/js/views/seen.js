// A failure stays on top of the lists until somebody who drives the village has seen it.

import * as api from "../api.js";
import { html, useEffect, useRef } from "../html.js";
import * as store from "../store.js";
import { Age } from "./bits.js";

/** What a person does at a page: that it is open on some screen is no sign that somebody looks. */
const SIGNS = ["pointerdown", "pointermove", "keydown", "wheel"];

/** Whoever opens a failed session has seen it; one that fails while it is open, with the next sign of a person. */
export function useSeen(agent) {
  const opened = useRef(undefined);
  const { sessionId, state } = agent ?? {};
  const unseen = state === "FAILED" && !agent.seenBy && store.canDrive.value;
  if (sessionId !== undefined && opened.current?.sessionId !== sessionId) opened.current = { sessionId, failed: state === "FAILED" };
  useEffect(() => {
    if (!unseen) return undefined;
    const look = () => {
      stop();
      api.seeFailure(sessionId).catch(() => {}); // the next sign says it again
    };
    const stop = () => SIGNS.forEach((sign) => removeEventListener(sign, look));
    if (opened.current.failed && !document.hidden) look();
    else for (const sign of SIGNS) addEventListener(sign, look, { passive: true });
    return stop;
  }, [sessionId, unseen]);
}

export function SeenBy({ agent }) {
  if (agent.state !== "FAILED" || !agent.seenBy) return null;
  return html`<span class="faint" data-testid="seen-by">seen by <bdi>${agent.seenBy.name}</bdi> <${Age} at=${agent.seenBy.at} suffix=" ago" /></span>`;
}
