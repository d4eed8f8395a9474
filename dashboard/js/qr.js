// Text as a QR code (ISO/IEC 18004): bytes, error correction M, versions 1 to 20. Pure: rows of booleans, true is dark.

/** Of each version: error correction bytes of a block, and how many blocks. */
const CHECK = [10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26];
const BLOCKS = [1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16];
const ALIGNED = [[], [6, 18], [6, 22], [6, 26], [6, 30], [6, 34], [6, 22, 38], [6, 24, 42], [6, 26, 46], [6, 28, 50], [6, 30, 54], [6, 32, 58], [6, 34, 62],
  [6, 26, 46, 66], [6, 26, 48, 70], [6, 26, 50, 74], [6, 30, 54, 78], [6, 30, 56, 82], [6, 30, 58, 86], [6, 34, 62, 90]];
const MASKS = [
  (y, x) => (y + x) % 2 === 0, (y) => y % 2 === 0, (y, x) => x % 3 === 0, (y, x) => (y + x) % 3 === 0,
  (y, x) => (Math.floor(y / 2) + Math.floor(x / 3)) % 2 === 0, (y, x) => ((y * x) % 2) + ((y * x) % 3) === 0,
  (y, x) => (((y * x) % 2) + ((y * x) % 3)) % 2 === 0, (y, x) => (((y + x) % 2) + ((y * x) % 3)) % 2 === 0,
];

/** The rows of the code, or null where the text is too long (more than 660 bytes or so). */
export function qr(text) {
  const bytes = new TextEncoder().encode(text);
  for (let version = 1; version <= CHECK.length; version++) {
    const room = capacityOf(version);
    const head = version < 10 ? 12 : 20;
    if (head + bytes.length * 8 <= room * 8) return drawn(version, blocksOf(version, dataOf(version, bytes, room)));
  }
  return null;
}

/** Bytes of a version for data and error correction. */
function totalOf(version) {
  const size = version * 4 + 17;
  const aligned = ALIGNED[version - 1].length;
  const marks = aligned ? (aligned * aligned - 3) * 25 - (aligned - 2) * 10 : 0;
  return Math.floor((size * size - 3 * 64 - 31 - 2 * (size - 16) - marks - (version >= 7 ? 36 : 0)) / 8);
}

const capacityOf = (version) => totalOf(version) - CHECK[version - 1] * BLOCKS[version - 1];

/** Mode, length, the bytes, the end, and padding. */
function dataOf(version, bytes, room) {
  const bits = [];
  const push = (value, count) => { for (let i = count - 1; i >= 0; i--) bits.push((value >>> i) & 1); };
  push(4, 4);
  push(bytes.length, version < 10 ? 8 : 16);
  for (const byte of bytes) push(byte, 8);
  push(0, Math.min(4, room * 8 - bits.length));
  push(0, (8 - (bits.length % 8)) % 8);
  const data = [];
  for (let i = 0; i < bits.length; i += 8) data.push(bits.slice(i, i + 8).reduce((sum, bit) => sum * 2 + bit, 0));
  for (let pad = 0xec; data.length < room; pad ^= 0xfd) data.push(pad);
  return data;
}

/** x · y in GF(2^8) modulo 0x11d. */
function times(x, y) {
  let z = 0;
  for (let i = 7; i >= 0; i--) z = ((z << 1) ^ ((z >>> 7) * 0x11d)) ^ (((y >>> i) & 1) * x);
  return z;
}

function divisorOf(degree) {
  const found = [...Array(degree - 1).fill(0), 1];
  for (let i = 0, root = 1; i < degree; i++, root = times(root, 2)) for (let j = 0; j < degree; j++) found[j] = times(found[j], root) ^ (found[j + 1] ?? 0);
  return found;
}

function checkOf(data, divisor) {
  const rest = divisor.map(() => 0);
  for (const byte of data) {
    const factor = byte ^ rest.shift();
    rest.push(0);
    divisor.forEach((one, i) => (rest[i] ^= times(one, factor)));
  }
  return rest;
}

/** Split into blocks, with error correction, interleaved. */
function blocksOf(version, data) {
  const count = BLOCKS[version - 1];
  const short = Math.floor(data.length / count);
  const long = data.length % count; // the last so many have one byte more
  const divisor = divisorOf(CHECK[version - 1]);
  const blocks = [];
  for (let i = 0, at = 0; i < count; i++) {
    const part = data.slice(at, at + short + (i < count - long ? 0 : 1));
    at += part.length;
    blocks.push({ part, check: checkOf(part, divisor) });
  }
  const result = [];
  for (let i = 0; i <= short; i++) for (const { part } of blocks) if (i < part.length) result.push(part[i]);
  for (let i = 0; i < divisor.length; i++) for (const { check } of blocks) result.push(check[i]);
  return result;
}

function drawn(version, bytes) {
  const size = version * 4 + 17;
  const grid = Array.from({ length: size }, () => Array(size).fill(null)); // null: free for data
  markAll(grid, version);
  const plan = grid.map((row) => row.map((one) => one === null));
  fill(grid, plan, bytes);
  let best;
  MASKS.forEach((mask, number) => {
    const rows = grid.map((row, y) => row.map((dark, x) => dark !== (plan[y][x] && mask(y, x))));
    format(rows, number);
    const bad = penalty(rows);
    if (best === undefined || bad < best.bad) best = { bad, rows };
  });
  return best.rows;
}

/** What every code has: finders, timing, alignment, the version; room for the format. */
function markAll(grid, version) {
  const size = grid.length;
  const set = (y, x, dark) => { if (y >= 0 && x >= 0 && y < size && x < size) grid[y][x] = dark; };
  for (let i = 0; i < size; i++) (set(6, i, i % 2 === 0), set(i, 6, i % 2 === 0));
  for (const [cy, cx] of [[3, 3], [3, size - 4], [size - 4, 3]]) {
    for (let y = -4; y <= 4; y++) for (let x = -4; x <= 4; x++) set(cy + y, cx + x, ![2, 4].includes(Math.max(Math.abs(y), Math.abs(x))));
  }
  const at = ALIGNED[version - 1];
  const last = at.length - 1;
  at.forEach((cy, i) => at.forEach((cx, j) => {
    if ((i === 0 && j === 0) || (i === 0 && j === last) || (i === last && j === 0)) return;
    for (let y = -2; y <= 2; y++) for (let x = -2; x <= 2; x++) set(cy + y, cx + x, Math.max(Math.abs(y), Math.abs(x)) !== 1);
  }));
  format(grid, 0);
  if (version < 7) return;
  let rest = version;
  for (let i = 0; i < 12; i++) rest = (rest << 1) ^ ((rest >>> 11) * 0x1f25);
  const bits = (version << 12) | rest;
  for (let i = 0; i < 18; i++) {
    const [a, b] = [size - 11 + (i % 3), Math.floor(i / 3)];
    (set(a, b, ((bits >>> i) & 1) === 1), set(b, a, ((bits >>> i) & 1) === 1));
  }
}

/** Error correction M and the mask's number, twice. */
function format(rows, mask) {
  const size = rows.length;
  let rest = mask;
  for (let i = 0; i < 10; i++) rest = (rest << 1) ^ ((rest >>> 9) * 0x537);
  const bits = ((mask << 10) | rest) ^ 0x5412;
  const bit = (i) => ((bits >>> i) & 1) === 1;
  for (let i = 0; i < 15; i++) {
    if (i < 6) rows[i][8] = bit(i); else if (i < 8) rows[i + 1][8] = bit(i); else if (i === 8) rows[8][7] = bit(i); else rows[8][14 - i] = bit(i);
    if (i < 8) rows[8][size - 1 - i] = bit(i); else rows[size - 15 + i][8] = bit(i);
  }
  rows[size - 8][8] = true;
}

/** In columns of two from the right, up and down by turns. */
function fill(grid, plan, bytes) {
  const size = grid.length;
  let i = 0;
  for (let right = size - 1; right >= 1; right -= 2) {
    if (right === 6) right = 5;
    for (let step = 0; step < size; step++) for (const x of [right, right - 1]) {
      const y = ((right + 1) & 2) === 0 ? size - 1 - step : step;
      if (!plan[y][x]) continue;
      grid[y][x] = i < bytes.length * 8 && ((bytes[i >>> 3] >>> (7 - (i & 7))) & 1) === 1;
      i += 1;
    }
  }
}

/** How hard it is to read: runs, blocks, what looks like a finder, and too much of one colour. */
function penalty(rows) {
  const size = rows.length;
  const lines = [...rows, ...rows.map((_, x) => rows.map((row) => row[x]))].map((line) => line.map(Number).join(""));
  let bad = 0;
  for (const line of lines) {
    for (const [run] of line.matchAll(/0{5,}|1{5,}/g)) bad += run.length - 2;
    bad += 40 * [...line.matchAll(/(?=10111010000|00001011101)/g)].length;
  }
  for (let y = 1; y < size; y++) for (let x = 1; x < size; x++) {
    if (rows[y][x] === rows[y - 1][x] && rows[y][x] === rows[y][x - 1] && rows[y][x] === rows[y - 1][x - 1]) bad += 3;
  }
  const dark = rows.flat().filter(Boolean).length;
  return bad + 10 * Math.max(0, Math.ceil(Math.abs(dark * 20 - size * size * 10) / (size * size)) - 1);
}
