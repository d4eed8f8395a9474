// A list that comes in pages, and its foot: how many of how many, and more.

import { html, useEffect, useRef, useState } from "../html.js";

/** Pages of a list that is read anew when `question` changes: {items, answer, error, more, again, busy}. `ask(cursor)`. */
export function usePages(question, ask) {
  const [state, setState] = useState({ items: [], answer: null, error: "", busy: true });
  const turn = useRef(0);
  const read = async (before) => {
    const mine = ++turn.current;
    setState((known) => ({ ...known, busy: true }));
    try {
      const answer = await ask(before?.answer.next);
      if (mine !== turn.current) return;
      setState({ items: [...(before?.items ?? []), ...answer.items], answer, error: "", busy: false });
    } catch (error) {
      if (mine === turn.current) setState((known) => ({ ...known, error: error.message, busy: false }));
    }
  };
  useEffect(() => {
    if (question === null) return;
    read(null);
    return () => void (turn.current += 1);
  }, [question]);
  return { ...state, more: () => read(state), again: () => read(null) };
}

export function Foot({ list, text }) {
  return html`<p class="roster-foot" role="status" data-testid="foot">${list.error ? html`<span class="failure">${list.error}</span> <button type="button" class="link-button" onClick=${list.again}>Try again</button>` : list.busy && !list.items.length ? "Looking …" : text}
    ${!list.error && list.answer?.next ? html`<button type="button" class="link-button" disabled=${list.busy} data-testid="more" onClick=${list.more}>Show more</button>` : null}</p>`;
}
