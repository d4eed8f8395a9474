// What is read of a session's work: the text of its diff, and the comments that a person gathers on it.

import * as api from "./api.js";
import { keptUnder, parsed, promptOf, put, remaining, without, written } from "./comments.js";
import { heardOf } from "./diff.js";
import { signal } from "./html.js";
import * as store from "./store.js";

/** Diffs of so many sessions are kept: they are long. */
const MOST = 4;

/** By sessionId: {busy, view, heard, error, whole: {path: {file, at}}, wholeError: {path: text}}. `view` is the last answer. */
export const readings = signal({});

function told(sessionId, change) {
  const { [sessionId]: known, ...others } = readings.peek();
  const kept = Object.entries(others).slice(-(MOST - 1));
  readings.value = { ...Object.fromEntries(kept), [sessionId]: { whole: {}, wholeError: {}, ...known, ...change } };
}

/** Asks for the diff. When that fails, the one before stays, with its age. */
export async function readDiff(sessionId) {
  if (readings.peek()[sessionId]?.busy) return;
  const heard = heardOf(store.sessions.peek()[sessionId]);
  told(sessionId, { busy: true });
  try {
    told(sessionId, { busy: false, error: "", view: await api.diff(sessionId), heard, whole: {}, wholeError: {} });
  } catch (error) {
    told(sessionId, { busy: false, error: error.message });
  }
}

/** Asks for one file whose text did not fit. */
export async function readFile(sessionId, path) {
  const { whole, wholeError } = readings.peek()[sessionId];
  try {
    const { files, at } = await api.diff(sessionId, path);
    told(sessionId, { whole: { ...whole, [path]: { file: files[0], at } }, wholeError: { ...wholeError, [path]: "" } });
  } catch (error) {
    told(sessionId, { wholeError: { ...wholeError, [path]: error.message } });
  }
}

// --- comments ---------------------------------------------------------------------------------------------------------

const NONE = Object.freeze([]);
/** By the name under which this browser keeps them. */
const gathered = signal({});
/** Why this browser cannot keep them beyond this tab, or "". */
export const notKept = signal("");

const nameOf = (sessionId) => keptUnder(store.user.value?.userId ?? "", sessionId);

export const commentsOf = (sessionId) => gathered.value[nameOf(sessionId)] ?? NONE;

function load(name) {
  gathered.value = { ...gathered.peek(), [name]: parsed(localStorage.getItem(name)) };
}

/** Loads what this person has written about a session. */
export const openComments = (sessionId) => load(nameOf(sessionId));

addEventListener("storage", (event) => event.key in gathered.peek() && load(event.key));

/** `work`: comments → comments, of what is kept now: another tab may have written meanwhile. */
function change(sessionId, work) {
  const name = nameOf(sessionId);
  const list = work(notKept.peek() ? commentsOf(sessionId) : parsed(localStorage.getItem(name)));
  gathered.value = { ...gathered.peek(), [name]: list };
  try {
    if (list.length) localStorage.setItem(name, JSON.stringify(list));
    else localStorage.removeItem(name);
    notKept.value = "";
  } catch {
    notKept.value = "This browser has no more room: the comments are in this tab only.";
  }
}

export const keepComment = (sessionId, comment) => change(sessionId, (list) => put(list, comment));
export const dropComment = (sessionId, comment) => change(sessionId, (list) => without(list, comment));

/** Gives them to the agent as one prompt. They are gone from here when it has been taken; raises what went wrong. */
export async function sendComments(sessionId, mode) {
  const sent = written(commentsOf(sessionId));
  await api.givePrompt(sessionId, promptOf(sent), mode);
  change(sessionId, (list) => remaining(list, sent));
  return sent.length;
}
