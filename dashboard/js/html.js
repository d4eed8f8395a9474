// The one place that knows which view library the page uses.

import { createElement, Fragment, render } from "../vendor/preact/preact.js";
import htm from "../vendor/htm/htm.js";

export { Fragment, render };
// What moves the focus does so in useLayoutEffect: before the next key, which would go to where the focus was.
export { useEffect, useLayoutEffect, useMemo, useRef, useState } from "../vendor/preact/hooks.js";
export { batch, computed, effect, signal, useComputed, useSignal } from "../vendor/signals/signals.js";

/** Tagged template → elements. What is put in is text: it can never become markup. */
export const html = htm.bind(createElement);
