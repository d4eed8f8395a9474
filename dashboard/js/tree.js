// The supervision tree as rows to draw, from whatever of /api/supervision is there. Pure.

/** Children beyond this many are folded into one row: a thousand clients are a number, not a picture. */
export const SHOWN_CHILDREN = 8;
export const STRATEGY = { one_for_one: "one for one", one_for_all: "one for all", rest_for_one: "rest for one", dynamic: "dynamic" };

/** One node with camelCase names and no holes. */
export function normalise(node, path = "") {
  const get = (camel, snake) => node[camel] ?? node[snake];
  const id = String(node.id ?? node.name ?? "?");
  const here = path ? `${path}/${id}` : id;
  const exit = get("lastExit", "last_exit");
  return {
    id,
    path: here,
    kind: node.actor ?? node.kind ?? "",
    supervises: node.kind === "supervisor" || Boolean(node.strategy),
    uptime: node.uptime,
    inHand: get("inHand", "in_hand"),
    incarnation: node.incarnation ?? 0,
    state: node.state ?? "unknown",
    strategy: node.strategy ?? "",
    mailbox: mailbox(node.mailbox),
    rate: undefined, // messages/s, from two answers: see withRates
    restarts: node.restarts ?? 0,
    recent: node.recent ?? 0, // failures of its children within the period
    intensity: node.intensity ?? undefined,
    period: node.period ?? undefined,
    more: node.more ?? 0, // children that the service left out
    note: node.note ?? undefined, // what it says of itself
    lastExit: exit ? { reason: String(exit.reason ?? ""), age: exit.age ?? exit.ageSeconds } : undefined,
    events: Array.isArray(node.events) ? node.events : [],
    children: (node.children ?? []).map((child) => normalise(child, here)),
  };
}

function mailbox(box) {
  if (!box) return undefined;
  return { depth: box.depth ?? 0, capacity: box.capacity ?? 0, high: box.highWater ?? box.high_water ?? 0, dropped: box.dropped ?? 0, handled: box.handled };
}

/** The same tree with each node's messages per second since the answer before. */
export function withRates(root, before, seconds) {
  const handled = new Map();
  const note = (node) => {
    handled.set(`${node.path}#${node.incarnation}`, node.mailbox?.handled);
    node.children.forEach(note);
  };
  if (before) note(before);
  const rated = (node) => {
    const was = handled.get(`${node.path}#${node.incarnation}`);
    const is = node.mailbox?.handled;
    const rate = was === undefined || is === undefined || !(seconds > 0) ? undefined : Math.max(0, is - was) / seconds;
    return { ...node, rate, children: node.children.map(rated) };
  };
  return rated(root);
}

/** Depth-first rows: {node, rails: [is there a sibling below, for each level], more: hidden children or 0, fewer: folds it}. */
export function rowsOf(root, opened = new Set()) {
  const rows = [];
  const visit = (node, rails) => {
    rows.push({ node, rails, more: 0 });
    const few = shown(node.children);
    const all = opened.has(node.path) ? node.children : few;
    const foldable = all.length > few.length;
    const hidden = node.children.length - all.length + node.more;
    all.forEach((child, i) => visit(child, [...rails, i < all.length - 1 || hidden > 0 || foldable]));
    if (hidden > 0) rows.push({ node, rails: [...rails, false], more: hidden });
    else if (foldable) rows.push({ node, rails: [...rails, false], more: 0, fewer: true });
  };
  visit(root, []);
  return rows;
}

/** Of each kind so many, the troubled first, so that folding never hides trouble; else the order stays. */
function shown(children) {
  if (children.length <= SHOWN_CHILDREN) return children;
  const troubled = children.filter(hasTrouble);
  const taken = new Map();
  const kept = new Set();
  for (const child of [...troubled, ...children]) {
    const count = taken.get(child.kind) ?? 0;
    if (count === SHOWN_CHILDREN || kept.has(child)) continue;
    taken.set(child.kind, count + 1);
    kept.add(child);
  }
  return children.filter((child) => kept.has(child));
}

const GOOD = new Set(["running", "alive", "up", "ok", "started"]);
export const isRunning = (state) => GOOD.has(String(state).toLowerCase());

export function hasTrouble(node) {
  return !isRunning(node.state) || node.restarts > 0 || node.recent > 0 || (node.mailbox?.dropped ?? 0) > 0;
}

/** Totals of the whole tree for the page's head. */
export function totals(root) {
  const sum = { nodes: 0, running: 0, restarts: 0, queued: 0, dropped: 0 };
  const visit = (node) => {
    sum.nodes += 1;
    sum.running += isRunning(node.state) ? 1 : 0;
    sum.restarts += node.restarts;
    sum.queued += node.mailbox?.depth ?? 0;
    sum.dropped += node.mailbox?.dropped ?? 0;
    node.children.forEach(visit);
  };
  visit(root);
  return sum;
}

/** The node at a path, however it is folded. */
export function findNode(node, path) {
  if (node.path === path) return node;
  for (const child of node.children) {
    const found = path === child.path || path.startsWith(`${child.path}/`) ? findNode(child, path) : undefined;
    if (found) return found;
  }
  return undefined;
}
