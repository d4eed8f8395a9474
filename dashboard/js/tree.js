// The supervision tree as rows to draw, from whatever of /api/supervision is there. Pure.

/** Children beyond this many are folded into one row: a thousand clients are a number, not a picture. */
export const SHOWN_CHILDREN = 8;

/** One node with camelCase names and no holes. */
export function normalise(node, path = "") {
  const get = (camel, snake) => node[camel] ?? node[snake];
  const id = String(node.id ?? node.name ?? "?");
  const here = path ? `${path}/${id}` : id;
  const exit = get("lastExit", "last_exit");
  return {
    id,
    path: here,
    kind: node.kind ?? node.type ?? "",
    state: node.state ?? "unknown",
    strategy: node.strategy ?? "",
    mailbox: mailbox(node.mailbox),
    rate: get("messagesPerSecond", "messages_per_second"),
    restarts: Array.isArray(node.restarts) ? node.restarts.length : (node.restarts ?? 0),
    intensity: node.intensity,
    period: node.period,
    lastExit: exit ? { reason: String(exit.reason ?? ""), age: exit.age ?? exit.ageSeconds } : undefined,
    events: Array.isArray(node.events) ? node.events : [],
    children: (node.children ?? []).map((child) => normalise(child, here)),
  };
}

function mailbox(box) {
  if (!box) return undefined;
  return { depth: box.depth ?? 0, capacity: box.capacity ?? 0, high: box.highWater ?? box.high_water ?? 0, dropped: box.dropped ?? 0 };
}

/** Depth-first rows: {node, rails: [is there a sibling below, for each level], more: hidden children or 0}. */
export function rowsOf(root, opened = new Set()) {
  const rows = [];
  const visit = (node, rails) => {
    rows.push({ node, rails, more: 0 });
    const all = opened.has(node.path) ? node.children : shown(node.children);
    all.forEach((child, i) => visit(child, [...rails, i < all.length - 1 || all.length < node.children.length]));
    if (all.length < node.children.length) rows.push({ node, rails: [...rails, false], more: node.children.length - all.length });
  };
  visit(root, []);
  return rows;
}

/** The troubled first, so that folding never hides trouble; else the order stays. */
function shown(children) {
  if (children.length <= SHOWN_CHILDREN) return children;
  const troubled = children.filter(hasTrouble);
  const kept = new Set([...troubled, ...children].slice(0, SHOWN_CHILDREN));
  return children.filter((child) => kept.has(child));
}

const GOOD = new Set(["running", "alive", "up", "ok", "started"]);
export const isRunning = (state) => GOOD.has(String(state).toLowerCase());

export function hasTrouble(node) {
  return !isRunning(node.state) || node.restarts > 0 || (node.mailbox?.dropped ?? 0) > 0;
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
