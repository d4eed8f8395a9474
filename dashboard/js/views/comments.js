// The comments that were gathered on a diff, and how they go to the agent: all of them as one prompt.

import { copied } from "../clipboard.js";
import { LONGEST_PROMPT, placeKey, promptOf, whereOf, written } from "../comments.js";
import { hunksOf, placeOf } from "../diff.js";
import { html, useMemo, useState } from "../html.js";
import { modeOf } from "../prompting.js";
import { commentsOf, dropComment, notKept, sendComments } from "../reading.js";
import { isFinal } from "../status.js";
import * as store from "../store.js";
import { Literal } from "./bits.js";

/** reading: the diff as it was read here, or undefined. */
export function Gathered({ agent, story, reading }) {
  const list = commentsOf(agent.sessionId);
  const said = written(list);
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState("");
  const [outcome, setOutcome] = useState("");
  const places = useMemo(() => placesOf(reading), [reading?.view, reading?.whole]);
  const gone = (one) => reading?.view !== undefined && !places.has(placeKey(one));
  if (said.length === 0) return html`<p class="gathered-none" role="status" data-testid="comments-sent">${outcome}</p>`;
  const prompt = promptOf(said);
  const mode = story?.agent === undefined ? undefined : modeOf(agent, story.agent);
  const why = whyNot(agent, mode, prompt);
  const send = async () => {
    setBusy(true);
    setFailure("");
    await sendComments(agent.sessionId, mode.first).then(
      (count) => setOutcome(`${count === 1 ? "1 comment was" : `${count} comments were`} ${mode.first === "send" ? "given to the agent" : "queued: the agent gets them when its turn has ended"}.`),
      (error) => setFailure(`Not sent: ${error.message}. Nothing is lost.`),
    );
    setBusy(false);
  };
  const copy = () => copied(prompt).then((did) => (did ? setOutcome("Copied.") : setFailure("This browser does not let the page copy.")));
  const count = said.length === 1 ? "1 comment" : `${said.length} comments`;
  return html`<section class="gathered" aria-label="Comments that are not sent" data-testid="gathered">
    <details class="fold"><summary>${count}, not sent</summary>
      <ol class="gathered-list">${said.map((one) => html`<li key=${placeKey(one)} data-testid="gathered-one"><span class="path"><${Literal} text=${whereOf(one)} /></span> ${gone(one) ? html`<span class="tag">its line is not in the text read here</span>` : null}
        ${gone(one) ? html`<code class="gathered-code"><${Literal} text=${one.code} /></code>` : null}<span class="comment-text">${one.text}</span>
        <button type="button" class="link-button" aria-label=${`Remove the comment on ${whereOf(one)}`} onClick=${() => dropComment(agent.sessionId, one)}>Remove</button></li>`)}</ol>
    </details>
    <div class="gathered-buttons">
      <button type="button" class="button primary" data-testid="send-comments" disabled=${busy || why !== "" || store.stale.value} onClick=${send}>${busy ? "Sending …" : `${mode?.first === "queue" ? "Queue" : "Send"} ${count}`}</button>
      <button type="button" class="button" data-testid="copy-comments" onClick=${copy}>Copy</button>
      <span class="faint small">as one prompt</span></div>
    ${why ? html`<p class="faint small" data-testid="why-not">${why}</p>` : null}
    ${notKept.value ? html`<p class="failure" role="alert">${notKept.value}</p>` : null}
    ${failure ? html`<p class="failure" role="alert" data-testid="not-sent">${failure}</p>` : null}
    <p class="sr-only" role="status">${outcome}</p>
  </section>`;
}

/** Every line that there is to comment on. */
function placesOf(reading) {
  const lines = (file) => hunksOf(file.patch).flatMap((hunk) => hunk.lines.map((line) => placeKey({ path: file.path, ...placeOf(line.key) })));
  return new Set((reading?.view?.files ?? []).flatMap((file) => lines(reading.whole[file.path]?.file ?? file)));
}

function whyNot(agent, mode, prompt) {
  if (isFinal(agent.state)) return "The session has ended: nothing can be said to it. The comments stay here, and can be copied.";
  if (mode === undefined) return "This session runs no agent that takes prompts: copy them, and paste them into its terminal.";
  if (mode.off) return mode.off;
  if (prompt.length > LONGEST_PROMPT) return `Together they are ${prompt.length} characters long, and a prompt may have ${LONGEST_PROMPT}: remove some.`;
  return "";
}
