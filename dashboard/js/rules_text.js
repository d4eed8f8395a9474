// A village's rules as text, one a line, and where an error of the service belongs in it. Pure.

/** [{id, effect, …}] → one JSON object a line; what is empty or unset is left out. */
export function toText(rules) {
  return rules.map((rule) => JSON.stringify(trimmed(rule))).join("\n");
}

function trimmed(rule) {
  const set = ([, value]) => value !== null && value !== undefined && !(Array.isArray(value) && value.length === 0);
  return Object.fromEntries(Object.entries(rule).filter(set));
}

/** → {rules, lines, errors}: `lines[i]` is the line (from 1) of rule i; errors are [{line, text}]. Empty lines count for nothing. */
export function parse(text) {
  const rules = [];
  const lines = [];
  const errors = [];
  text.split("\n").forEach((words, index) => {
    if (words.trim() === "") return;
    try {
      const rule = JSON.parse(words);
      if (rule === null || typeof rule !== "object" || Array.isArray(rule)) throw new Error('one rule a line: {"id": …, "effect": …}');
      rules.push(rule);
      lines.push(index + 1);
    } catch (error) {
      errors.push({ line: index + 1, text: error instanceof SyntaxError ? `no JSON: ${error.message}` : error.message });
    }
  });
  return { rules, lines, errors };
}

/** "rules[2].effect: must be …" → {line: that of rule 2, text}; what is about no rule has no line. */
export function placed(message, lines) {
  const [, number, rest] = /\brules(?:\[|\.)(\d+)\]?\.?(.*)$/s.exec(message) ?? [];
  const line = number === undefined ? undefined : lines[Number(number)];
  return line === undefined ? { text: message } : { line, text: rest || message };
}
