// What a terminal's buffer says: where words are in it, and which addresses. Lines that the terminal wrapped are one. Pure.

const ADDRESS = /https?:\/\/[^\s"'`<>]+/g;
/** What ends a sentence and no address. */
const BEHIND = /[.,;:!?'"]+$/;

/** The addresses in a text: [{at, url}]. A closing bracket belongs to one that opened it. */
export function addressesIn(text) {
  const found = [];
  for (const { 0: raw, index } of text.matchAll(ADDRESS)) {
    let url = raw.replace(BEHIND, "");
    while (/[)\]}]$/.test(url) && count(url, url.at(-1)) > count(url, OPENS[url.at(-1)])) url = url.slice(0, -1).replace(BEHIND, "");
    if (URL.canParse(url)) found.push({ at: index, url });
  }
  return found;
}

const OPENS = { ")": "(", "]": "[", "}": "{" };
const count = (text, letter) => text.split(letter).length - 1;

/** A text in parts: [{text}, {text, url}, …]. */
export function linkedParts(text) {
  const parts = [];
  let done = 0;
  for (const { at, url } of addressesIn(text)) {
    if (at > done) parts.push({ text: text.slice(done, at) });
    parts.push({ text: url, url });
    done = at + url.length;
  }
  if (done < text.length) parts.push({ text: text.slice(done) });
  return parts;
}

/** The line to which a row belongs: {first, rows}; `first` is its first row in the buffer. */
export function lineAt(buffer, row) {
  let first = row;
  while (first > 0 && buffer.getLine(first)?.isWrapped) first -= 1;
  const rows = [buffer.getLine(first)];
  while (buffer.getLine(first + rows.length)?.isWrapped) rows.push(buffer.getLine(first + rows.length));
  return { first, rows };
}

export const textOf = (rows) => rows.map((row, i) => row.translateToString(i === rows.length - 1)).join("");

/** The cell in which a character of the line's text stands: {row, col}, counted from the line's first row. Wide characters take two. */
export function cellAt(rows, offset) {
  let seen = 0;
  for (const [row, line] of rows.entries()) {
    for (let col = 0; col < line.length; col++) {
      const cell = line.getCell(col);
      if (cell.getWidth() === 0) continue;
      if (seen >= offset) return { row, col };
      seen += cell.getChars().length || 1;
    }
  }
  return { row: rows.length - 1, col: rows.at(-1).length };
}

/** Where the words stand, the oldest first: [{row, col, cells}]. Big and small letters are the same. */
export function placesOf(buffer, words) {
  const wanted = words.toLowerCase();
  const places = [];
  if (!wanted) return places;
  for (let row = 0; row < buffer.length; ) {
    const { first, rows } = lineAt(buffer, row);
    const text = textOf(rows).toLowerCase();
    for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + wanted.length)) {
      const begins = cellAt(rows, at);
      const ends = cellAt(rows, at + wanted.length);
      places.push({ row: first + begins.row, col: begins.col, cells: (ends.row - begins.row) * rows[0].length + ends.col - begins.col });
    }
    row = first + rows.length;
  }
  return places;
}
