// Tokens and cost over time, made of usage ticks. What no tick says is unknown, never nothing. Pure.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const LENGTHS = [30 * SECOND, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR];

/** Ticks from the log and ticks from the live stream, each once, oldest first: {at, units, intervalMs}. */
export function joined(...lists) {
  const byTime = new Map(lists.flat().map((tick) => [tick.at, tick]));
  return [...byTime.values()].sort((a, b) => a.at - b.at);
}

const tokensOf = (units) => (units.inputTokens ?? 0) + (units.outputTokens ?? 0) + (units.cacheReadTokens ?? 0);
const sum = (a, b) => (b === undefined || b === null ? a : (a ?? 0) + b);
const NOTHING = Object.freeze({ ticks: 0, input: undefined, output: undefined, cache: undefined, cost: undefined, unpriced: 0 });

/** A tick added to a sum. `unpriced`: tokens whose cost is not known; a tick that does not say has all of them or none. */
function plus(total, { units }) {
  const priced = units.costUsd !== undefined && units.costUsd !== null;
  const unpriced = units.unpricedTokens ?? (priced ? 0 : tokensOf(units));
  return {
    ticks: total.ticks + 1,
    input: sum(total.input, units.inputTokens),
    output: sum(total.output, units.outputTokens),
    cache: sum(total.cache, units.cacheReadTokens),
    cost: sum(total.cost, units.costUsd),
    unpriced: total.unpriced + unpriced,
  };
}

/**
 * {length, periods: [{from, ticks, input, output, cache, cost, unpriced}], total}: at most `most` periods of one length, oldest
 * first. A period without a tick (`ticks` 0) was not measured.
 */
export function spendingOf(ticks, most = 40) {
  if (ticks.length === 0) return { length: 0, periods: [], total: NOTHING };
  const begin = ticks[0].at - (ticks[0].intervalMs ?? 0);
  const span = Math.max(1, ticks.at(-1).at - begin);
  const length = LENGTHS.find((one) => span <= one * most) ?? Math.ceil(span / most);
  const periods = Array.from({ length: Math.max(1, Math.round(span / length)) }, (_, i) => ({ from: begin + i * length, ...NOTHING }));
  for (const tick of ticks) {
    // By its middle: ticks come a little late, and none shall fall into the period of its neighbour.
    const middle = tick.at - (tick.intervalMs ?? 0) / 2;
    const at = Math.min(periods.length - 1, Math.max(0, Math.floor((middle - begin) / length)));
    periods[at] = { from: periods[at].from, ...plus(periods[at], tick) };
  }
  return { length, periods, total: ticks.reduce(plus, NOTHING) };
}

export const allTokens = ({ input, output, cache }) => (input ?? 0) + (output ?? 0) + (cache ?? 0);

const SOURCES = { agent: () => "said by the agent", price_table: ({ pricesAsOf }) => (pricesAsOf ? `by list prices as of ${pricesAsOf}` : "from a table of prices") };

/** Who said what it cost, as far as the ticks name somebody. */
export function sourceWords(ticks) {
  const named = new Set(ticks.map(({ units }) => SOURCES[units.source]?.(units)).filter(Boolean));
  return [...named].join(" and ");
}

/** What is known of the cost of a sum: {known: undefined | USD, words}. */
export function costWords({ cost, unpriced, input, output }, show) {
  if (cost === undefined) return { known: undefined, words: input === undefined && output === undefined ? "not known: the agent has said no tokens and no cost" : "not known: the agent says its tokens and not what they cost" };
  return { known: cost, words: unpriced > 0 ? `at least ${show(cost)}: some tokens came without a price` : show(cost) };
}
