// Finding by words: every word of the query must be there, in any order. Pure.

export function fits(text, query) {
  const low = text.toLowerCase();
  return query.toLowerCase().split(/\s+/).filter(Boolean).every((word) => low.includes(word));
}
